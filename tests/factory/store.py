"""store.py - what the Factory remembers: config history, devices, and the peer list made of them.

Owns no socket and no lock: the server calls it with its lock held. Nothing is written to disk.
A wrong request raises Refused, which carries the answer; it has changed nothing.
"""

import base64
import fnmatch
import ipaddress
import os
import time
import uuid

CONFIG_MAX_BYTES = 1 << 20
PAGE_LIMITS = (10, 20, 30, 40, 50, 100, 200, 500, 1000)
HANDLER = ["/usr/share/fioconfig/handlers/factory-config-vpn"]


class Refused(Exception):
    def __init__(self, status, message, errors=None):
        super().__init__(message)
        self.status, self.message, self.errors = status, message, errors


def key_new():
    """Looks like a public key; nobody has its private half."""
    return base64.b64encode(os.urandom(32)).decode()


def vpn_parse(text):
    """The lines of a wireguard-client or wireguard-server file; the last value of a key counts."""
    fields = {}
    for line in text.split("\n"):
        key, equals, value = line.partition("=")
        if equals:
            fields[key.strip()] = value.strip()
    return fields


class ConfigLog:
    """A change log, newest first; every element is the whole state, not a difference."""

    def __init__(self, is_device):
        self.elements, self.is_device = [], is_device

    def files(self):
        return self.elements[0]["files"] if self.elements else []

    def file(self, name):
        return next((f for f in self.files() if f["name"] == name), None)

    def change(self, body, merge, keep_on_changed=False):
        """PATCH (merge by name) or POST (replace)."""
        wanted, errors = self._checked(body)
        if errors:
            raise Refused(400, "Validation failed", errors)
        for file in wanted:
            old = self.file(file["name"]) or {}
            if keep_on_changed and "on-changed" in old:
                file.setdefault("on-changed", old["on-changed"])
        names = {f["name"] for f in wanted}
        kept = [f for f in self.files() if f["name"] not in names] if merge else []
        return self._push(kept + wanted, body.get("reason") or "")

    def remove(self, name):
        if not self.file(name):
            raise Refused(404, "no such file: " + name)
        return self._push([f for f in self.files() if f["name"] != name], "delete " + name)

    def _checked(self, body):
        if not isinstance(body, dict) or not isinstance(body.get("files"), list):
            return [], {"files": "required"}
        errors, wanted = {}, []
        for i, f in enumerate(body["files"]):
            where = "files.%d." % i
            if not isinstance(f, dict) or not isinstance(f.get("name"), str) or not f["name"]:
                errors[where + "name"] = "required"
            elif not isinstance(f.get("value"), str):
                errors[where + "value"] = "must be text"
            else:
                members = ("name", "value", "unencrypted", "on-changed")
                wanted.append({m: f[m] for m in members if m in f})
        if sum(len(f["value"]) for f in wanted) > CONFIG_MAX_BYTES:
            errors["files"] = "more than 1 MB"
        return wanted, errors

    def _push(self, files, reason):
        element = {
            "created-at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()),
            "created-by": "61aa00bb22cc33dd44ee55ff",
            "reason": reason,
            "files": files,
        }
        if self.is_device:
            element["applied-at"] = None
        self.elements.insert(0, element)
        return element


class Device:
    def __init__(self, name):
        self.name, self.uuid, self.log = name, str(uuid.uuid4()), ConfigLog(True)
        self.created_at = self.last_seen = now_zoned()

    def vpn_write(self, value, unencrypted=True, on_changed=True):
        file = {"name": "wireguard-client", "value": value, "unencrypted": unencrypted}
        if on_changed:
            file["on-changed"] = HANDLER
        return self.log.change({"reason": "control", "files": [file]}, True)

    def listed(self, factory):
        return {
            "uuid": self.uuid, "name": self.name, "owner": "61aa00bb22cc33dd44ee55ff",
            "factory": factory, "device-group": None, "created-at": self.created_at,
            "last-seen": self.last_seen, "target-name": "imx8mm-lmp-41", "ostree-hash": "9f2c",
            "tag": "main", "device-tags": ["main"], "docker-apps": [],
            "network-info": {"hostname": "imx8mm", "local_ipv4": "192.168.7.40",
                             "mac": "02:00:5e:10:20:30"},
            "up-to-date": True, "status": "OK", "is-prod": False, "is-wave": False,
            "current-update": "", "public-key": "",
        }

    def shown(self, factory):
        one = self.listed(factory)
        del one["device-group"]
        one["group"] = None
        one["active-config"] = self.log.elements[0] if self.log.elements else None
        one["change-meta"] = {"created-at": self.created_at, "updated-at": self.last_seen}
        return one


def now_zoned():
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())


class Store:
    def __init__(self, factory):
        self.factory, self.config = factory, ConfigLog(False)
        self.devices = {}  # name to Device, in order of creation
        self.by_uuid = {}
        self.extra_ips = []  # raw items behind the derived ones

    def device(self, name, by_uuid=False):
        device = (self.by_uuid if by_uuid else self.devices).get(name)
        if not device:
            raise Refused(404, "Not found: device " + name)
        return device

    def device_add(self, name):
        if name in self.devices:
            raise Refused(409, "device exists: " + name)
        device = self.devices[name] = Device(name)
        self.by_uuid[device.uuid] = device
        return device

    def device_remove(self, name):
        del self.by_uuid[self.device(name).uuid]
        del self.devices[name]

    def device_rename(self, old, new):
        device = self.device(old)
        if new in self.devices:
            raise Refused(409, "device exists: " + new)
        device.name = new
        self.devices = {d.name: d for d in self.devices.values()}

    def devices_generate(self, count, prefix, first_ip, enabled=True):
        """Devices without a machine behind them, with consecutive addresses; none ends in 0."""
        ip = ipaddress.IPv4Address(first_ip) - 1
        names = []
        for i in range(count):
            ip += 1 if (int(ip) + 1) % 256 else 2
            device = self.device_add("%s%05d" % (prefix, i))
            off = "" if enabled else "\nenabled=0"
            device.vpn_write("address=%s\npubkey=%s%s" % (ip, key_new(), off))
            names.append(device.name)
        return names

    def wireguard_ips(self, without_address):
        """The peer list. without_address: how a device with a key but no address appears:
        omit, empty, null or missing."""
        items = []
        for device in self.devices.values():
            file = device.log.file("wireguard-client")
            if not file or not file.get("unencrypted"):
                continue
            fields = vpn_parse(file["value"])
            item = {"name": device.name, "ip": fields.get("address", ""),
                    "enabled": fields.get("enabled") != "0", "pubkey": fields.get("pubkey", "")}
            if not item["ip"]:
                if without_address == "omit":
                    continue
                if without_address == "missing":
                    del item["ip"]
                if without_address == "null":
                    item["ip"] = None
            items.append(item)
        return items + self.extra_ips

    def device_list(self, query):
        wanted = list(self.devices.values())
        if "name" in query:
            wanted = [d for d in wanted if fnmatch.fnmatchcase(d.name, query["name"])]
        if "uuid" in query:
            wanted = [d for d in wanted if d.uuid == query["uuid"]]
        for key in reversed(query.get("sortby", "").split(",")):
            noun = {"name": "name", "last_seen": "last_seen"}.get(key.lstrip("-"))
            if noun:
                wanted.sort(key=lambda d: getattr(d, noun), reverse=key.startswith("-"))
        return wanted

    def gateway_read(self, device):
        """What the device gateway answers: factory and device files in one map, capitalised."""
        device.last_seen = now_zoned()
        if device.log.elements:
            device.log.elements[0]["applied-at"] = device.last_seen
        merged = {}
        for file in self.config.files() + device.log.files():
            merged[file["name"]] = {"Value": file["value"],
                                    "Unencrypted": bool(file.get("unencrypted"))}
            if "on-changed" in file:
                merged[file["name"]]["OnChanged"] = file["on-changed"]
        return merged


def page_cut(items, query, max_items):
    """One page of a list: its items, page, pages, limit. The smaller of limit and max_items counts."""
    try:
        limit, page = int(query.get("limit", "500")), int(query.get("page", "1"))
    except ValueError:
        raise Refused(400, "page and limit are numbers") from None
    if limit not in PAGE_LIMITS or page < 1:
        raise Refused(400, "limit is one of " + ", ".join(map(str, PAGE_LIMITS)))
    limit = min(limit, max_items) if max_items else limit
    pages = max(1, -(-len(items) // limit))
    return items[(page - 1) * limit:page * limit], page, pages, limit
