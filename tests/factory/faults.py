"""faults.py - scripted misbehaviour: which request is hit, and what happens to its answer.

A rule matches requests in order of arrival and is used up after `times`. `play` writes to the
connection without any lock held, and may take as long as the rule says. What the rules are called
and what they take is described at the top of server.py.
"""

import fnmatch
import json
import random
import select
import socket
import struct
import threading
import time

ANSWERS = ("status", "body", "html", "truncate", "short", "huge", "redirect", "next")
KINDS = ANSWERS + ("silent", "slow", "delay", "hold", "drop", "reset")
RULE_MEMBERS = {
    "match", "do", "times", "skip", "grant", "apply", "status", "message", "json", "body", "type",
    "headers", "retry_after", "bytes", "chunked", "seconds", "ms", "chunk", "to",
}
MESSAGES = {401: "Invalid or expired token", 403: "Missing scope", 404: "Not found",
            429: "Too many requests", 500: "Internal server error"}


class Answer:
    """What a client gets. body: None, text, bytes, or something that becomes JSON."""

    def __init__(self, status, body=None, headers=None, content_type="application/json"):
        self.status, self.headers, self.content_type = status, dict(headers or {}), content_type
        if body is None or status in (204, 304):
            self.body = b""
        elif isinstance(body, (str, bytes)):
            self.body = body.encode() if isinstance(body, str) else body
        else:
            self.body = json.dumps(body).encode()


class Rule:
    def __init__(self, spec):
        unknown = set(spec) - RULE_MEMBERS
        if unknown:
            raise ValueError("a fault knows no " + ", ".join(sorted(unknown)))
        if spec.get("do") not in KINDS:
            raise ValueError("do is one of " + ", ".join(KINDS))
        self.spec, self.left, self.skip = spec, spec.get("times", 1), spec.get("skip", 0)
        self.hits = 0

    def matches(self, method, path, grant):
        pattern = self.spec.get("match", "*")
        if not fnmatch.fnmatchcase(method + " " + path, pattern):
            return False
        return self.spec.get("grant") in (None, grant)


class Faults:
    """The rules in their order, the random ones behind them, and the requests on hold."""

    def __init__(self):
        self.rules, self.chaos, self.random = [], None, random.Random()
        self.held, self.gate = 0, threading.Condition()
        self.gate_round = 0

    def add(self, spec):
        rule = Rule(spec)
        self.rules.append(rule)
        return rule

    def chaos_set(self, spec):
        """{"percent": 30, "seed": 1, "faults": [...]}: each matching request is hit by chance."""
        rules = [Rule(f) for f in spec.get("faults", [])]
        if not rules or not 0 <= spec.get("percent", 0) <= 100:
            raise ValueError("chaos takes percent and faults")
        self.random.seed(spec.get("seed"))
        self.chaos = (spec["percent"], rules)

    def clear(self):
        self.rules, self.chaos = [], None
        self.release()

    def take(self, method, path, grant):
        """The rule that hits this request, or None. Called with the server's lock held."""
        for rule in self.rules:
            if not rule.left or not rule.matches(method, path, grant):
                continue
            if rule.skip:
                rule.skip -= 1
                continue
            rule.left -= 1 if rule.left > 0 else 0  # negative: for ever
            rule.hits += 1
            return rule
        if not self.chaos or self.random.random() * 100 >= self.chaos[0]:
            return None
        fitting = [r for r in self.chaos[1] if r.matches(method, path, grant)]
        if not fitting:
            return None
        rule = self.random.choice(fitting)
        rule.hits += 1
        return rule

    def hold(self, seconds):
        """Waits for release()."""
        with self.gate:
            self.held += 1
            round_at_entry = self.gate_round
            self.gate.wait_for(lambda: self.gate_round != round_at_entry, seconds)
            self.held -= 1

    def release(self):
        with self.gate:
            self.gate_round += 1
            self.gate.notify_all()


def retarget(where, urls, path):
    """Where a redirect or a next points to: a name of ours, or the URL itself."""
    if where == "loop":
        where = "main"
    return urls[where] + path if where in urls else where


def distort(spec, answer, urls, path):
    """The answer that a rule of the kinds in ANSWERS gives instead of the right one."""
    kind = spec["do"]
    headers = dict(spec.get("headers", {}))
    if kind == "status":
        if "retry_after" in spec:
            headers["Retry-After"] = str(spec["retry_after"])
        status = spec.get("status", 500)
        message = spec.get("message", MESSAGES.get(status, "refused by the test"))
        return Answer(status, spec.get("json", {"message": message}), headers)
    if kind == "body":
        return Answer(spec.get("status", 200), spec.get("body", ""), headers,
                      spec.get("type", "application/json"))
    if kind == "html":
        text = "<!DOCTYPE html><html><body><h1>%s</h1></body></html>\n"
        return Answer(spec.get("status", 200), text % spec.get("message", "Maintenance"), headers,
                      "text/html; charset=utf-8")
    if kind == "truncate":  # a whole HTTP answer with half a JSON text
        return Answer(answer.status, answer.body[:len(answer.body) // 2], answer.headers)
    if kind == "huge":  # valid JSON: only its size is wrong
        size = spec.get("bytes", 20 << 20)
        return Answer(spec.get("status", 200), b"[" + b" " * (size - 2) + b"]", headers)
    if kind == "redirect":
        headers["Location"] = retarget(spec.get("to", "other"), urls, path)
        return Answer(spec.get("status", 302), None, headers)
    if kind == "next":
        changed = json.loads(answer.body)
        changed["next"] = retarget(spec.get("to", "other"), urls, path)
        return Answer(answer.status, changed, answer.headers)
    return answer


def play(connection, spec, answer, send):
    """Puts the answer onto the connection the way the rule wants. False: the connection is over."""
    kind = spec["do"]
    if kind == "silent":
        # A client that gives up makes the socket readable.
        select.select([connection], [], [], spec.get("seconds", 3600))
        return False
    if kind == "drop":
        return False
    if kind == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    if kind == "delay":
        time.sleep(spec.get("ms", 1000) / 1000)
    if kind == "slow":
        whole = send(answer, None)
        chunk = spec.get("chunk", 1)
        for at in range(0, len(whole), chunk):
            connection.sendall(whole[at:at + chunk])
            time.sleep(spec.get("ms", 100) / 1000)
        return True
    if kind == "short":  # the connection ends before Content-Length is reached
        whole = send(answer, None)
        connection.sendall(whole[:len(whole) - (len(answer.body) + 1) // 2])
        return False
    whole = send(answer, "chunked" if spec.get("chunked") else None)
    connection.sendall(whole)
    return True
