#!/usr/bin/python3
"""fioctl.py - what an operator's fioctl does about WireGuard: the same requests in the same order.

    fioctl.py [-t TOKEN | -b ACCESS] config wireguard [--disable]
    fioctl.py [-t TOKEN | -b ACCESS] devices list
    fioctl.py [-t TOKEN | -b ACCESS] devices config wireguard DEVICE [enable | disable]

-t sends OSF-TOKEN (default: FACTORY_TOKEN), -b an access token as fioctl does with its own login.
FACTORY_URL, FACTORY_NAME and FACTORY_CA come from the environment (lib.sh). An address is the first
after the server's that nobody has; nothing keeps two operators from taking the same one, and
a `hold` fault on the PATCH makes them. Exit: 1 with the reason on standard error.
"""

import argparse
import base64
import ipaddress
import json
import os
import ssl
import sys
import urllib.error
import urllib.request

HANDLER = ["/usr/share/fioconfig/handlers/factory-config-vpn"]
ADDRESSES_TRIED = 9999


class Api:
    def __init__(self, args):
        self.base, self.factory = os.environ["FACTORY_URL"], os.environ["FACTORY_NAME"]
        self.context = ssl.create_default_context(cafile=os.environ["FACTORY_CA"])
        self.headers = {"User-Agent": "fioctl-v0.40", "Content-Type": "application/json"}
        if args.b:
            encoded = base64.b64encode(args.b.encode()).decode()
            self.headers["Authorization"] = "Bearer " + encoded
        else:
            self.headers["OSF-TOKEN"] = args.t or os.environ["FACTORY_TOKEN"]

    def request(self, method, url, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, self.headers, method=method)
        with urllib.request.urlopen(request, context=self.context, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def factory_url(self, rest):
        return "%s/ota/factories/%s/%s" % (self.base, self.factory, rest)

    def device_url(self, device):
        return "%s/ota/devices/%s/config/?factory=%s" % (self.base, device, self.factory)


def file_now(config, name):
    """Only the newest element counts."""
    files = config["config"][0]["files"] if config["config"] else []
    return next((f["value"] for f in files if f["name"] == name), None)


def parse(text, keys):
    fields = {}
    for line in (text or "").split("\n"):
        key, equals, value = line.partition("=")
        if not line.strip() or not equals:
            continue
        if key.strip() not in keys:
            sys.exit("fioctl: unexpected key in the file: " + key.strip())
        fields[key.strip()] = value.strip()
    return fields


def server_fields(api):
    config = api.request("GET", api.factory_url("config/"))
    keys = ("enabled", "endpoint", "server_address", "pubkey")
    return parse(file_now(config, "wireguard-server"), keys)


def write(api, url, name, fields, order, enabled):
    lines = ["%s=%s" % (k, fields[k]) for k in order if k in fields]
    value = "\n".join(lines + ([] if enabled else ["enabled=0"]))
    api.request("PATCH", url, {"reason": "Set Wireguard from fioctl", "files": [
        {"name": name, "value": value, "unencrypted": True, "on-changed": HANDLER}]})


def show(fields, key_of):
    print("Enabled: " + ("true" if fields and fields.get("enabled") != "0" else "false"))
    for label, key in key_of:
        if fields.get(key):
            print("%s: %s" % (label, fields[key]))


def address_find(api):
    server = server_fields(api)
    if not server or server.get("enabled") == "0":
        sys.exit("fioctl: the factory has no enabled VPN server")
    try:
        first = ipaddress.IPv4Address(server.get("server_address", ""))
    except ValueError as error:
        sys.exit("fioctl: server_address: %s" % error)
    items = api.request("GET", api.factory_url("wireguard-ips/")) or []
    taken = {item.get("ip") for item in items}
    for step in range(1, ADDRESSES_TRIED + 1):
        ip = first + step
        if str(ip) not in taken and int(ip) & 0xff:
            return str(ip)
    sys.exit("fioctl: no address is free")


def device_command(api, device, verb):
    url = api.device_url(device)
    try:
        text = file_now(api.request("GET", url), "wireguard-client")
    except urllib.error.HTTPError:
        text = None
    fields = parse(text, ("enabled", "address", "pubkey"))
    if not verb:
        return show(fields, (("Address", "address"), ("Public Key", "pubkey")))
    if verb not in ("enable", "disable"):
        return print("fioctl: the word must be enable or disable")
    if verb == "enable" and "pubkey" not in fields:
        sys.exit("fioctl: device %s has no VPN key" % device)
    if verb == "enable" and not fields.get("address"):
        fields["address"] = address_find(api)
    return write(api, url, "wireguard-client", fields, ("address", "pubkey"), verb == "enable")


def devices_list(api):
    url = "%s/ota/devices/?factory=%s&limit=500" % (api.base, api.factory)
    while url:
        page = api.request("GET", url)
        for device in page["devices"]:
            print(device["name"])
        url = page["next"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-t")
    parser.add_argument("-b")
    parser.add_argument("--disable", action="store_true")
    parser.add_argument("words", nargs="+")
    args = parser.parse_args()
    api, words = Api(args), args.words
    try:
        if words[:2] == ["config", "wireguard"]:
            fields = server_fields(api)
            keys = ("endpoint", "server_address", "pubkey")
            if args.disable:
                url = api.factory_url("config/")
                return write(api, url, "wireguard-server", fields, keys, False)
            return show(fields, zip(("Endpoint", "Address", "Public Key"), keys))
        if words == ["devices", "list"]:
            return devices_list(api)
        if words[:3] == ["devices", "config", "wireguard"] and len(words) in (4, 5):
            return device_command(api, words[3], words[4] if len(words) == 5 else None)
    except urllib.error.HTTPError as error:
        sys.exit("fioctl: HTTP %d: %s" % (error.code, error.read(512).decode(errors="replace")))
    except (urllib.error.URLError, OSError, ValueError) as error:
        sys.exit("fioctl: %s" % error)
    parser.error("unknown command: " + " ".join(words))


if __name__ == "__main__":
    main()
