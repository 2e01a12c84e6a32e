"""control.py - the operations under /_control/, as described at the top of server.py.

Each takes the request's JSON object and gives a JSON value. Called with the server's lock held. A
member it does not know is an error, so that a mistyped test does not pass.
"""

import threading

import faults
import oauth
import store

SETTINGS = {
    "auth": "any",  # any, osf, bearer, base64: the one form of credentials that is accepted
    "patch_answer": 200,  # 200, 201, 204
    "on_changed_kept": False,  # a PATCH without on-changed leaves the file's old one
    "no_config": "empty",  # empty, 404: what a device without configuration answers
    "ips_without_address": "empty",  # omit, empty, null, missing
    "ips_null": False,  # null instead of an empty list
    "page_items": 0,  # at most so many devices a page; 0: as the client asks
    "error_shape": "list",  # list, map, message, oauth, text: how a refusal looks
}


def checked(body, *known):
    unknown = set(body) - set(known)
    if unknown:
        raise ValueError("unknown: " + ", ".join(sorted(unknown)))
    return body


class Control:
    def __init__(self, server):
        self.server = server

    def run(self, name, body):
        operation = getattr(self, "do_" + name, None)
        if not operation:
            raise ValueError("no such operation: " + name)
        return operation(body)

    def do_set(self, body):
        settings = self.server.settings
        for key, value in checked(body, *settings).items():
            default = {**SETTINGS, **oauth.SETTINGS}[key]
            if default is not None and not isinstance(value, type(default)):
                raise ValueError("%s is of type %s" % (key, type(default).__name__))
            settings[key] = value
        return settings

    def do_fault(self, body):
        self.server.faults.add(body)
        return {"rules": len(self.server.faults.rules)}

    def do_chaos(self, body):
        self.server.faults.chaos_set(checked(body, "percent", "seed", "faults"))
        return {}

    def do_clear(self, body):
        checked(body)
        self.server.faults.clear()
        self.server.tls_set("good", -1)
        return {}

    def do_faults(self, body):
        checked(body)
        return [{**r.spec, "left": r.left, "hits": r.hits} for r in self.server.faults.rules]

    def do_release(self, body):
        checked(body)
        self.server.faults.release()
        return {}

    def do_tls(self, body):
        checked(body, "cert", "times")
        self.server.tls_set(body["cert"], body.get("times", -1))
        return {}

    def do_listen(self, body):
        checked(body, "on")
        self.server.listen(body["on"])
        return {}

    # ---- credentials ----

    def do_token(self, body):
        checked(body, "scopes", "token", "expires_in")
        scopes = body.get("scopes", ["devices:read", "devices:read-update"])
        return {"token": self.server.oauth.api_token(scopes, body.get("token"),
                                                     body.get("expires_in"))}

    def do_login(self, body):
        """Tokens as if somebody had logged in: what a credentials file starts from."""
        checked(body, "scopes", "client_id")
        server = self.server.oauth
        grant = oauth.Grant(server.scopes(body.get("scopes", ["devices:read"])),
                            body.get("client_id", oauth.TOOL_CLIENT), "client_id" in body)
        return server.issue(grant, grant.scopes)[1]

    def do_code(self, body):
        checked(body, "scopes")
        scopes = body.get("scopes", ["devices:read", "devices:read-update"])
        return {"code": self.server.oauth.code_new(scopes)}

    def do_client(self, body):
        checked(body, "id", "secret", "scopes")
        self.server.oauth.client_add(body["id"], body["secret"],
                                     body.get("scopes", ["devices:read"]))
        return {}

    def do_approve(self, body):
        checked(body, "user_code", "deny")
        if not self.server.oauth.device_decide(body["user_code"], not body.get("deny")):
            raise ValueError("no such user_code")
        return {}

    def do_revoke(self, body):
        checked(body, "access", "refresh")
        self.server.oauth.revoke(body.get("access"), body.get("refresh"))
        return {}

    def do_secrets(self, body):
        checked(body)
        return self.server.oauth.secrets

    # ---- devices and config ----

    def do_device(self, body):
        """Makes the device if it is not there; then rename, file, remove."""
        checked(body, "name", "rename", "remove", "address", "pubkey", "enabled", "raw",
                "unencrypted", "file_remove")
        world = self.server.store
        if body.get("remove"):
            world.device_remove(body["name"])
            return {}
        device = world.devices.get(body["name"]) or world.device_add(body["name"])
        if "rename" in body:
            world.device_rename(device.name, body["rename"])
        if body.get("file_remove"):
            device.log.remove("wireguard-client")
        if "raw" in body:
            device.vpn_write(body["raw"], body.get("unencrypted", True))
        elif {"address", "pubkey", "enabled", "unencrypted"} & set(body):
            device.vpn_write(self._client_file(device, body), body.get("unencrypted", True))
        return {"name": device.name, "uuid": device.uuid}

    def _client_file(self, device, body):
        file = device.log.file("wireguard-client")
        fields = store.vpn_parse(file["value"]) if file else {}
        address = body.get("address", fields.get("address"))
        pubkey = body.get("pubkey", fields.get("pubkey")) or store.key_new()
        enabled = body.get("enabled", fields.get("enabled") != "0")
        lines = ["address=" + address] if address else []
        return "\n".join(lines + ["pubkey=" + pubkey] + ([] if enabled else ["enabled=0"]))

    def do_devices(self, body):
        checked(body, "generate", "prefix", "first_ip", "enabled", "remove_prefix")
        world = self.server.store
        if "remove_prefix" in body:
            names = [n for n in world.devices if n.startswith(body["remove_prefix"])]
            for name in names:
                world.device_remove(name)
            return {"names": names}
        return {"names": world.devices_generate(
            body["generate"], body.get("prefix", "press-"), body.get("first_ip", "10.42.42.2"),
            body.get("enabled", True))}

    def do_config(self, body):
        """One file of the factory config, verbatim; without value it is removed."""
        checked(body, "name", "value", "unencrypted", "on-changed")
        name = body.setdefault("name", "wireguard-server")
        if "value" not in body:
            return self.server.store.config.remove(name)
        body.setdefault("unencrypted", True)
        if name == "wireguard-server":
            body.setdefault("on-changed", store.HANDLER)
        return self.server.store.config.change({"reason": "control", "files": [body]}, True)

    def do_ips(self, body):
        """Raw items behind those of the devices: what no device could write, or duplicates."""
        checked(body, "extra")
        self.server.store.extra_ips = body["extra"]
        return {}

    # ---- what happened ----

    def do_counts(self, body):
        checked(body)
        return self.server.counts

    def do_holding(self, body):
        checked(body)
        return {"holding": self.server.faults.held}

    def do_requests(self, body):
        checked(body, "since")
        return [e for e in self.server.journal if e["n"] >= body.get("since", 0)]

    def do_forget(self, body):
        checked(body)
        self.server.counts.clear()
        self.server.journal.clear()
        return {}

    def do_state(self, body):
        checked(body)
        world = self.server.store
        return {"config": world.config.elements, "ips": world.wireguard_ips("empty"),
                "devices": [d.shown(world.factory) for d in world.devices.values()]}

    def do_stop(self, body):
        checked(body)
        threading.Timer(0.1, self.server.stopping.set).start()  # the answer goes first
        return {}
