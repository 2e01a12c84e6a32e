"""api.py - what each path of the Factory answers: API, OAuth, the browser's page, device gateway.

One function from a request to an Answer; the server holds its lock meanwhile. Order as the real
one is believed to have it: credentials (401), factory (404), scope (403), then the resource.
"""

import html
import json
import re
from urllib.parse import parse_qsl, urlencode

from faults import Answer
from oauth import TOOL_CLIENT
from store import Refused, page_cut

FORMS = {"any": ("osf", "bearer", "base64"), "osf": ("osf",), "bearer": ("bearer",),
         "base64": ("base64",)}


class Request:
    def __init__(self, method, path, query, body, headers, listener):
        self.method, self.path, self.body, self.headers = method, path, body, headers
        self.listener = listener  # main, other, http, unix
        self.query_text, self.query = query, dict(parse_qsl(query))
        is_form = path.startswith("/oauth/") and method == "POST"
        self.form = dict(parse_qsl(body.decode("latin-1"))) if is_form else {}

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Refused(400, "JSON: %s" % error) from None


class Api:
    def __init__(self, server):
        self.server, self.settings = server, server.settings
        self.store, self.oauth = server.store, server.oauth

    def answer(self, request):
        try:
            if request.path.startswith("/oauth/"):
                return self.oauth_answer(request)
            if request.path == "/authorize" and request.method == "GET":
                return self.browser_page(request)
            if request.path.startswith("/_gateway/"):
                return self.gateway(request)
            if request.path.startswith("/ota/"):
                return self.ota(request)
            raise Refused(404, "Not found")
        except Refused as refused:
            return self.refusal(refused)

    def refusal(self, refused):
        errors, text = refused.errors or {}, str(refused)
        body = {
            "list": {"msg": text, "errors": ["%s: %s" % e for e in errors.items()]},
            "map": {"message": text, "errors": errors},
            "message": {"message": text},
            "oauth": {"error": "refused", "error_description": text},
            "text": text,
        }[self.settings["error_shape"]]
        kind = "text/plain" if isinstance(body, str) else "application/json"
        return Answer(refused.status, body, content_type=kind)

    # ---- OAuth ----

    def oauth_answer(self, request):
        if request.method != "POST":
            raise Refused(405, "Method not allowed")
        if request.path == "/oauth/authorization/device/":
            uri = self.server.urls["main"] + "/activate"
            return Answer(*self.oauth.device_start(request.form, uri))
        if request.path not in ("/oauth/token", "/oauth/token/"):
            raise Refused(404, "Not found")
        slashed, wanted = request.path.endswith("/"), self.settings["token_slash"]
        if wanted == "redirect" and not slashed:
            return Answer(301, None, {"Location": self.server.urls["main"] + "/oauth/token/"})
        if (wanted, slashed) in (("with", False), ("without", True)):
            raise Refused(404, "Not found")
        return Answer(*self.oauth.token(request.form))

    def browser_page(self, request):
        """The person is logged in and agrees at once: the page shows the code to be pasted."""
        query = request.query
        if query.get("client_id") != TOOL_CLIENT or query.get("response_type") != "code":
            raise Refused(400, "client_id or response_type")
        code = self.oauth.code_new(query.get("scope", "").split(), query.get("redirect_uri"))
        page = '<!DOCTYPE html><html><body><p>Paste this: <code id="code">%s</code></body></html>\n'
        return Answer(200, page % html.escape(code), content_type="text/html; charset=utf-8")

    # ---- API ----

    def identify(self, request):
        form, access = self.oauth.identify(request.headers)
        if not access or not access.usable() or form not in FORMS[self.settings["auth"]]:
            raise Refused(401, "Invalid or expired token")
        return access

    def require(self, access, scope):
        whole = self.store.factory + ":" + scope
        if not access.allows(whole, self.settings["update_implies_read"]):
            raise Refused(403, "Missing scope: " + whole)

    def ota(self, request):
        access = self.identify(request)
        if request.path == "/ota/factories/" and request.method == "GET":
            return Answer(200, [{"name": self.store.factory, "reposerver-id": "7e57"}])
        factory = re.fullmatch(r"/ota/factories/([^/]+)/(.*)", request.path)
        devices = re.fullmatch(r"/ota/devices/(?:([^/]+)/(.*))?", request.path)
        if not factory and not devices:
            raise Refused(404, "Not found")
        if (factory[1] if factory else request.query.get("factory")) != self.store.factory:
            raise Refused(404, "Not found: factory")
        self.require(access, "devices:read" if request.method == "GET" else "devices:read-update")
        if factory:
            return self.factory(request, factory[2])
        name, rest = devices.groups()
        if name is None:
            return self.device_list(request)
        device = self.store.device(name, request.query.get("by-uuid") == "1")
        if not rest and request.method == "GET":
            return Answer(200, device.shown(self.store.factory))
        return self.config(request, device.log, rest)

    def factory(self, request, rest):
        if rest == "wireguard-ips/" and request.method == "GET":
            items = self.store.wireguard_ips(self.settings["ips_without_address"])
            return Answer(200, "null" if not items and self.settings["ips_null"] else items)
        if rest == "users/" and request.method == "GET":
            return Answer(200, [{"polis-id": "61aa00bb22cc33dd44ee55ff", "name": "Test Person"}])
        return self.config(request, self.store.config, rest)

    def config(self, request, log, rest):
        file = re.fullmatch(r"config/([^/]+)/", rest)
        if file and request.method == "DELETE":
            return Answer(200, log.remove(file[1]))
        if rest != "config/":
            raise Refused(404, "Not found")
        if request.method == "GET":
            if log.is_device and not log.elements and self.settings["no_config"] == "404":
                raise Refused(404, "Not found: no configuration")
            return Answer(200, {"config": log.elements, "total": len(log.elements), "next": None})
        if request.method not in ("PATCH", "POST"):
            raise Refused(405, "Method not allowed")
        if request.headers.get("Content-Type", "").split(";")[0] != "application/json":
            raise Refused(400, "Content-Type is not application/json")
        return Answer(self.settings["patch_answer"], self.change(request, log))

    def change(self, request, log):
        return log.change(request.json(), request.method == "PATCH",
                          self.settings["on_changed_kept"])

    def device_list(self, request):
        if request.method != "GET":
            raise Refused(405, "Method not allowed")
        wanted = self.store.device_list(request.query)
        cut, page, pages, limit = page_cut(wanted, request.query, self.settings["page_items"])
        following = None
        if page < pages:
            query = urlencode({**request.query, "page": page + 1})
            following = self.server.urls[request.listener] + request.path + "?" + query
        return Answer(200, {"devices": [d.listed(self.store.factory) for d in cut], "page": page,
                            "pages": pages, "limit": limit, "total": len(wanted),
                            "next": following})

    # ---- device gateway ----

    def gateway(self, request):
        """Only by the socket. The path says who the device is, in place of its certificate."""
        match = re.fullmatch(r"/_gateway/([^/]+)/config", request.path)
        if not match or request.listener != "unix":
            raise Refused(404, "Not found")
        device = self.store.by_uuid.get(match[1]) or self.store.device(match[1])
        if request.method == "GET":
            merged = self.store.gateway_read(device)
            return Answer(200, merged) if merged else Answer(204)
        if request.method != "PATCH":
            raise Refused(405, "Method not allowed")
        return Answer(201, self.change(request, device.log))
