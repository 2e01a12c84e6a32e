"""oauth.py - the Factory's OAuth server: codes, access and refresh tokens, the device grant.

Owns every token, also those of the API. Called with the server's lock held. Answers are pairs of
status and JSON body. Tokens are random and say what they are, so that a test can look for them
in logs: `secrets` has all that ever were.
"""

import base64
import secrets as random_source
import time

TOOL_CLIENT = "fioid_B68H03zaynCXzycBX9M3WKL7xLqJYJyf"  # public: printed in the documentation
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"

SETTINGS = {
    "expires_in": 86400,  # lifetime of an access token in seconds
    "report_expires_in": None,  # another number in the answer than the true one; may be a float
    "omit_expires_in": False,
    "rotate": True,  # a refresh answers with a new refresh token
    "single_use": True,  # the old refresh token ends with its use
    "reuse_revokes": False,  # using an old refresh token again ends the whole family
    "code_uses": 2,  # how often a code can be redeemed
    "code_ttl": 600,
    "token_slash": "both",  # both, with, without: the other form is 404; redirect: the other is 301
    "device_grant": True,
    "device_interval": 1,
    "device_ttl": 600,
    "approve_after_polls": None,  # the device grant approves itself at this poll
    "update_implies_read": True,  # devices:read-update is enough for reading
}


class Grant:
    """What somebody was allowed: outlives its access and refresh tokens."""

    def __init__(self, scopes, client_id=None, needs_secret=False):
        self.scopes, self.client_id, self.needs_secret = scopes, client_id, needs_secret
        self.revoked = False


class Access:
    def __init__(self, scopes, expires_at, grant=None):
        self.scopes, self.expires_at, self.grant, self.revoked = scopes, expires_at, grant, False

    def usable(self):
        return not (self.revoked or (self.grant and self.grant.revoked) or
                    (self.expires_at and time.time() >= self.expires_at))

    def allows(self, scope, update_implies_read):
        return scope in self.scopes or (update_implies_read and scope + "-update" in self.scopes)


class OAuth:
    def __init__(self, settings, factory):
        self.settings, self.factory = settings, factory
        self.access, self.refresh, self.codes, self.device_codes = {}, {}, {}, {}
        self.used_refresh, self.secrets = {}, []
        self.clients = {}  # id to (secret, scopes); the tool's own has no secret

    def random(self, what):
        token = what + "." + random_source.token_hex(20)
        self.secrets.append(token)
        return token

    def api_token(self, scopes, token=None, expires_in=None):
        token = token or self.random("apitoken")
        self.secrets.append(token)
        expires_at = time.time() + expires_in if expires_in else None
        self.access[token] = Access(self.scopes(scopes), expires_at)
        return token

    def client_add(self, client_id, secret, scopes):
        self.secrets.append(secret)
        self.clients[client_id] = (secret, self.scopes(scopes))

    def scopes(self, names):
        """Short names as in devices:read get the factory in front."""
        return {n if n.count(":") > 1 else self.factory + ":" + n for n in names}

    def code_new(self, scopes, redirect_uri=None):
        code = self.random("code")
        self.codes[code] = {"scopes": self.scopes(scopes), "redirect_uri": redirect_uri,
                            "uses": self.settings["code_uses"],
                            "until": time.time() + self.settings["code_ttl"]}
        return code

    def identify(self, headers):
        """Which form of credentials a request has, and whose token it is, if anybody's."""
        osf, bearer = headers.get("OSF-TOKEN"), headers.get("Authorization")
        if osf is not None and bearer is not None:
            return "both", None
        if osf is not None:
            return "osf", self.access.get(osf)
        if bearer is None:
            return "none", None
        scheme, _, value = bearer.partition(" ")
        if scheme.lower() != "bearer":
            return "other", None
        if value in self.access:
            return "bearer", self.access[value]
        try:
            plain = base64.b64decode(value, validate=True).decode()
        except ValueError:
            return "bearer", None
        return ("base64", self.access[plain]) if plain in self.access else ("bearer", None)

    def revoke(self, access, refresh):
        """Each is a token, "all" or None."""
        for token, record in self.access.items():
            if access in ("all", token) and record.grant:
                record.revoked = True
        for token in [t for t in self.refresh if refresh in ("all", t)]:
            self.used_refresh[token] = self.refresh.pop(token)

    # ---- the token endpoint ----

    def token(self, form):
        grants = {"authorization_code": self._code, "refresh_token": self._refresh,
                  "client_credentials": self._client, DEVICE_GRANT: self._device}
        serve = grants.get(form.get("grant_type"))
        if not serve:
            return failed("unsupported_grant_type")
        return serve(form)

    def issue(self, grant, scopes, expires_in=None, refresh=True):
        lifetime = self.settings["expires_in"]
        lifetime = min(lifetime, expires_in) if expires_in else lifetime
        access = self.random("access")
        self.access[access] = Access(scopes, time.time() + lifetime, grant)
        body = {"access_token": access, "token_type": "Bearer", "scope": " ".join(sorted(scopes)),
                "orgs": [{"name": self.factory}]}
        if refresh:
            body["refresh_token"] = self.random("refresh")
            self.refresh[body["refresh_token"]] = (grant, scopes)
        if not self.settings["omit_expires_in"]:
            reported = self.settings["report_expires_in"]
            body["expires_in"] = lifetime if reported is None else reported
        return 200, body

    def _code(self, form):
        code = self.codes.get(form.get("code"))
        if form.get("client_id") != TOOL_CLIENT:
            return failed("invalid_client", 401)
        if not code or not code["uses"] or time.time() >= code["until"]:
            return failed("invalid_grant", 400, "this code is used up, expired or unknown")
        if code["redirect_uri"] not in (None, form.get("redirect_uri")):
            return failed("invalid_grant", 400, "another redirect_uri than the code's")
        scopes = set(form.get("scope", " ".join(code["scopes"])).split())
        if not scopes <= code["scopes"]:
            return failed("invalid_scope")
        expires_in = form.get("expires")
        if expires_in is not None and not (expires_in.isdigit() and int(expires_in)):
            return failed("invalid_request", 400, "expires is a number of seconds")
        code["uses"] -= 1
        return self.issue(Grant(scopes, TOOL_CLIENT), scopes, int(expires_in or 0))

    def _refresh(self, form):
        token = form.get("refresh_token")
        if token in self.used_refresh and self.settings["reuse_revokes"]:
            self.used_refresh[token][0].revoked = True
        grant, scopes = self.refresh.get(token, (None, None))
        if not grant or grant.revoked:
            return failed("invalid_grant", 400, "this refresh token is used up, revoked or unknown")
        if grant.needs_secret and not self._client_known(form, grant.client_id):
            return failed("invalid_client", 401)
        if form.get("client_id", grant.client_id) != grant.client_id:
            return failed("invalid_client", 401)
        if self.settings["single_use"] and self.settings["rotate"]:
            self.used_refresh[token] = self.refresh.pop(token)
        return self.issue(grant, scopes, refresh=self.settings["rotate"])

    def _client_known(self, form, client_id):
        known = self.clients.get(client_id)
        return bool(known and form.get("client_id") == client_id and
                    form.get("client_secret") == known[0])

    def _client(self, form):
        client_id = form.get("client_id")
        if not self._client_known(form, client_id):
            return failed("invalid_client", 401)
        scopes = self.clients[client_id][1]
        return self.issue(Grant(scopes, client_id, needs_secret=True), scopes)

    # ---- the device grant (RFC 8628) ----

    def device_start(self, form, verification_uri):
        if not self.settings["device_grant"]:
            return failed("invalid_request", 404)
        if not form.get("client_id"):
            return failed("invalid_client", 401)
        device_code, user_code = self.random("devicecode"), random_source.token_hex(4).upper()
        scopes = set(form.get("scope", self.factory + ":devices:read").split())
        self.device_codes[device_code] = {
            "user_code": user_code, "client_id": form["client_id"], "scopes": scopes,
            "state": "authorization_pending", "polls": 0, "last_poll": 0,
            "until": time.time() + self.settings["device_ttl"]}
        return 200, {"device_code": device_code, "user_code": user_code,
                     "verification_uri": verification_uri,
                     "interval": self.settings["device_interval"],
                     "expires_in": self.settings["device_ttl"]}

    def device_decide(self, user_code, approve):
        for code in self.device_codes.values():
            if code["user_code"] == user_code:
                code["state"] = "approved" if approve else "access_denied"
                return True
        return False

    def _device(self, form):
        code = self.device_codes.get(form.get("device_code"))
        if not code or code["client_id"] != form.get("client_id"):
            return failed("invalid_grant")
        if time.time() >= code["until"]:
            return failed("expired_token")
        too_fast = time.time() - code["last_poll"] < self.settings["device_interval"] * 0.9
        code["polls"], code["last_poll"] = code["polls"] + 1, time.time()
        if code["polls"] == self.settings["approve_after_polls"]:
            code["state"] = "approved"
        if code["state"] != "approved":
            return failed("slow_down" if too_fast else code["state"])
        del self.device_codes[form["device_code"]]
        return self.issue(Grant(code["scopes"], code["client_id"]), code["scopes"])


def failed(error, status=400, description=None):
    return status, {"error": error, "error_description": description or error}
