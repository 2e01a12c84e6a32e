#!/usr/bin/python3
"""server.py - a FoundriesFactory of our own for tests: API, OAuth server and device gateway.

Only Python's standard library and openssl(1). It listens on loopback and on a Unix socket, makes
its certificates at start, keeps everything in memory, and does on demand what servers do on bad
days. Merge, history, tokens and the peer list are real; nobody ever checked it against the service.

    server.py [--factory NAME] [--port N] [--dir DIR] [--dns NAME]... [--background | --until-eof]

--dns: the certificate is good for this name, too.

When it is ready it prints lines of NAME=VALUE that a shell can eval, then an empty line:

    FACTORY_NAME       acme-presses, unless --factory says otherwise
    FACTORY_URL        https://127.0.0.1:PORT; FACTORY_PORT is the port alone
    FACTORY_OAUTH_URL  the same and /oauth; the browser's page is FACTORY_URL/authorize
    FACTORY_OTHER_URL  another host with a valid certificate; no client may ever be lured there
    FACTORY_HTTP_URL   the same without TLS
    FACTORY_CA         PEM file to verify with (CACERT, curl --cacert)
    FACTORY_SOCKET     Unix socket: everything without TLS, from any network namespace
    FACTORY_TOKEN      an API token with devices:read and devices:read-update
    FACTORY_DIR        certificates and log; made new without --dir, and then removed at the end
    FACTORY_PID

--background returns then (shell: tests/factory/lib.sh); otherwise the server stays in front. With
--until-eof it ends when its standard input does: a C test starts it with a pipe as stdin, reads the
lines from a pipe as stdout, and whatever becomes of the test, no server is left. Others: SIGTERM.

Control
-------
POST /_control/NAME with a JSON object or nothing; JSON answer, 400 with a reason for a mistake.
    curl --unix-socket $FACTORY_SOCKET http://factory/_control/counts -d '{}'
It also works over FACTORY_URL, needs no credentials, and is neither counted nor hit by faults.

  set        settings by name; answers all of them. See SETTINGS in control.py and oauth.py
  token      {"scopes", "token", "expires_in"}: one more API token; all optional. -> {"token"}
  login      {"scopes", "client_id"}: answer of a token endpoint, as if somebody had logged in
  code       {"scopes"}: an authorization code, as if somebody had agreed. -> {"code"}
  client     {"id", "secret", "scopes"}: application credentials for client_credentials
  approve    {"user_code", "deny"}: what the person does in the device grant
  revoke     {"access": "all" | TOKEN, "refresh": "all" | TOKEN}: ends tokens; not API tokens
  secrets    every token, code and client secret there ever was, to look for in logs and argv
  device     {"name", ...} makes it if need be; with "address", "pubkey", "enabled": writes its file
             (what is not given stays, a key is made up); "raw", "unencrypted": the file verbatim;
             "rename": NEW; "file_remove": true; "remove": true
  devices    {"generate": N, "prefix", "first_ip", "enabled"} with made-up keys and consecutive
             addresses; {"remove_prefix"}. -> {"names"}
  config     {"name", "value", "unencrypted", "on-changed"}: a file of the factory config, verbatim
             (name: wireguard-server); without value the file is removed
  ips        {"extra": [ANYTHING]}: items that are put behind those of the devices
  counts     {"GET /ota/...": N}; requests to another listener than FACTORY_URL have its name in
             front: "other GET /...", "http ...", "unix ..."
  requests   {"since"}: each request with n, listener, method, path, query, auth (none, osf, bearer,
             base64, both, other), known (is the token one of ours), grant, fault, status and the
             headers without credentials. status 0: it got no whole answer
  forget     counts and requests begin anew
  state      config history, devices and peer list
  tls        {"cert", "times"}: for the next so many connections (-1: until told): good, untrusted
             (unknown CA), wrongname, silent (no handshake), garbage (no TLS). Open ones are closed
  listen     {"on": false}: connections refused at FACTORY_URL until {"on": true}, same port
  fault      one more rule, below;  faults  all rules with hits and times left
  chaos      {"percent", "seed", "faults": [RULE...]}: by chance, a random fitting rule
  release    lets requests on hold go on;  holding  -> {"holding": N}
  clear      no rules, no chaos, good certificate, hold released
  stop       ends the server

A rule: {"do": KIND, ...}. The first in order of arrival that fits the request is used.
  match      shell pattern on "METHOD /path" without query ("*"): "GET /ota/*/wireguard-ips/"
  grant      only token requests with this grant_type
  times      1; -1: for ever.     skip  0: so many fitting requests are spared first
  apply      true: the request takes effect before its answer is spoilt (a refresh token is used up)
  headers    added to the answer
Kinds:
  status     status (500), message or json, retry_after: also 401, 403, 404, 429, 204
  body       body verbatim, status (200), type (application/json)
  html       status (200), message: an HTML page
  truncate   a whole HTTP answer with half of the JSON text
  short      the connection ends in the middle of the body
  huge       bytes (20 MiB) of valid JSON; chunked: true sends no Content-Length
  silent     no answer until the client goes, or for seconds
  slow       the right answer, chunk (1) bytes every ms (100)
  delay      the right answer after ms (1000)
  hold       the request takes effect only after release, or seconds (60)
  drop, reset  the connection is closed, or reset, without an answer
  redirect   status (302), to: other, http, main or a URL; the path stays
  next       the right answer with another next: other, http, loop or a URL
truncate, short, slow, delay, hold and next always take effect.
"""

import argparse
import collections
import json
import os
import shlex
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from http.client import responses
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

sys.dont_write_bytecode = True
import control  # noqa: E402
import faults  # noqa: E402
import oauth  # noqa: E402
import store  # noqa: E402
import tls  # noqa: E402
from api import Api, Request  # noqa: E402

BODY_MAX_BYTES = 8 << 20
TAKES_EFFECT = ("truncate", "short", "slow", "delay", "hold", "next")
CREDENTIALS = ("authorization", "osf-token", "cookie")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def serve(self):
        url = urlsplit(self.path)
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = BODY_MAX_BYTES + 1
        if length > BODY_MAX_BYTES or length < 0 or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            return self.send(faults.Answer(413, {"message": "Request too large"}))
        body = self.rfile.read(length)
        if url.path.startswith("/_control/"):
            return self.send(self.server.world.control(url.path[len("/_control/"):], body))
        listener = self.server.listener_name
        request = Request(self.command, url.path, url.query, body, self.headers, listener)
        self.server.world.serve(request, self)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = do_HEAD = serve

    def render(self, answer, coding=None):
        """The bytes of a whole answer."""
        head = ["HTTP/1.1 %d %s" % (answer.status, responses.get(answer.status, ""))]
        head += ["%s: %s" % h for h in answer.headers.items()]
        head += ["Date: " + self.date_time_string()]
        body = answer.body
        if answer.status != 204:
            head += ["Content-Type: " + answer.content_type]
        if coding == "chunked":
            head += ["Transfer-Encoding: chunked"]
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        elif answer.status != 204:
            head += ["Content-Length: %d" % len(body)]
        if self.close_connection:
            head += ["Connection: close"]
        return "\r\n".join(head + ["", ""]).encode("latin-1") + body

    def send(self, answer):
        self.connection.sendall(self.render(answer))


class Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, world, name, address, with_tls):
        self.world, self.listener_name, self.with_tls = world, name, with_tls
        self.open, self.open_lock = {}, threading.Lock()
        if isinstance(address, str):
            self.address_family = socket.AF_UNIX
        super().__init__(address, Handler)

    def finish_request(self, sock, address):
        """In the connection's own thread: a client that is slow with TLS holds up nobody."""
        with self.open_lock:
            self.open[sock] = threading.get_ident()
        held = sock
        try:
            if self.address_family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.with_tls:
                sock = self.world.tls.accept(sock, self.world.tls_take(self.listener_name))
                with self.open_lock:
                    if self.open.pop(held, None) is None or not sock:
                        return
                    held = sock
                    self.open[held] = threading.get_ident()
            Handler(sock, address or ("unix", 0), self)
        except OSError:
            pass  # the client went away, or would not have our certificate
        finally:
            with self.open_lock:
                self.open.pop(held, None)
            if sock:
                sock.close()

    def connections_close(self):
        """All but the one that asks for it."""
        with self.open_lock:
            for sock, thread in list(self.open.items()):
                if thread == threading.get_ident():
                    continue
                del self.open[sock]
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def handle_error(self, sock, address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(sock, address)

    def start(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class World:
    """All of it: what is remembered, what is scripted, and who listens. One lock for everything
    but the connections."""

    def __init__(self, factory, port, directory, dns_names):
        self.lock, self.stopping = threading.RLock(), threading.Event()
        self.settings = {**control.SETTINGS, **oauth.SETTINGS}
        self.store, self.oauth = store.Store(factory), oauth.OAuth(self.settings, factory)
        self.faults, self.tls = faults.Faults(), tls.Tls(directory, dns_names)
        self.tls_now, self.tls_times = "good", -1
        self.counts, self.journal = collections.Counter(), collections.deque(maxlen=20000)
        self.n_requests = 0
        self.socket_path = os.path.join(directory, "socket")
        if os.path.exists(self.socket_path):
            os.unlink(self.socket_path)
        self.listeners = {
            "main": Listener(self, "main", ("127.0.0.1", port), True),
            "other": Listener(self, "other", ("127.0.0.2", 0), True),
            "http": Listener(self, "http", ("127.0.0.1", 0), False),
            "unix": Listener(self, "unix", self.socket_path, False),
        }
        self.urls = {n: "%s://%s:%d" % (("https" if li.with_tls else "http",) + li.server_address)
                     for n, li in self.listeners.items() if n != "unix"}
        self.urls["unix"] = "http://factory"
        self.api = Api(self)
        self.listening = True

    def control(self, name, body):
        try:
            with self.lock:
                value = control.Control(self).run(name, json.loads(body or b"{}"))
            return faults.Answer(200, value)
        except (ValueError, KeyError, TypeError, AttributeError, store.Refused) as error:
            text = "%s: %s" % (type(error).__name__, error)
            return faults.Answer(400, {"message": text})

    def serve(self, request, handler):
        with self.lock:
            rule, entry = self.note(request)
        spec = rule.spec if rule else {"do": "none"}
        if spec["do"] == "hold":
            self.faults.hold(spec.get("seconds", 60))
        answer = None
        if not rule or spec["do"] in TAKES_EFFECT or spec.get("apply"):
            with self.lock:
                answer = self.api.answer(request)
        if spec["do"] in faults.ANSWERS:
            answer = faults.distort(spec, answer, self.urls, self.target(request, spec))
        if faults.play(handler.connection, spec, answer, handler.render):
            entry["status"] = answer.status
        else:
            handler.close_connection = True

    @staticmethod
    def target(request, spec):
        """A redirect keeps the path; so does a next, which for "loop" is the same page again."""
        return request.path + ("?" + request.query_text if request.query_text else "")

    def note(self, request):
        name = "" if request.listener == "main" else request.listener + " "
        self.counts[name + request.method + " " + request.path] += 1
        grant = request.form.get("grant_type")
        rule = self.faults.take(request.method, request.path, grant)
        auth, access = self.oauth.identify(request.headers)
        self.n_requests += 1
        entry = {
            "n": self.n_requests, "listener": request.listener, "method": request.method,
            "path": request.path, "query": request.query, "auth": auth, "known": bool(access),
            "grant": grant, "fault": rule.spec["do"] if rule else None, "status": 0,
            "headers": {k.lower(): v for k, v in request.headers.items()
                        if k.lower() not in CREDENTIALS},
        }
        self.journal.append(entry)
        return rule, entry

    # ---- the listeners ----

    def tls_set(self, cert, times):
        if cert not in tls.KINDS:
            raise ValueError("cert is one of " + ", ".join(tls.KINDS))
        changed = cert != self.tls_now
        self.tls_now, self.tls_times = cert, times
        if changed:
            self.listeners["main"].connections_close()

    def tls_take(self, listener):
        with self.lock:
            if listener != "main":
                return "good"
            cert = self.tls_now
            if self.tls_times > 0:
                self.tls_times -= 1
                if not self.tls_times:
                    self.tls_now, self.tls_times = "good", -1
            return cert

    def listen(self, on):
        if on == self.listening:
            return
        main = self.listeners["main"]
        if on:
            self.listeners["main"] = Listener(self, "main", main.server_address, True)
            self.listeners["main"].start()
        else:
            main.shutdown()
            main.server_close()
            main.connections_close()
        self.listening = on

    def start(self):
        for listener in self.listeners.values():
            listener.start()

    def describe(self, directory, token, pid):
        return {
            "FACTORY_NAME": self.store.factory, "FACTORY_URL": self.urls["main"],
            "FACTORY_PORT": self.urls["main"].rpartition(":")[2],
            "FACTORY_OAUTH_URL": self.urls["main"] + "/oauth",
            "FACTORY_OTHER_URL": self.urls["other"], "FACTORY_HTTP_URL": self.urls["http"],
            "FACTORY_CA": self.tls.ca_path, "FACTORY_SOCKET": self.socket_path,
            "FACTORY_TOKEN": token, "FACTORY_DIR": directory, "FACTORY_PID": pid,
        }


def arguments():
    parser = argparse.ArgumentParser(description="A FoundriesFactory for tests, on loopback.")
    parser.add_argument("--factory", default="acme-presses")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--dir")
    parser.add_argument("--dns", action="append", default=[])
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument("--background", action="store_true")
    ends.add_argument("--until-eof", action="store_true")
    return parser.parse_args()


def to_background(directory):
    """Returns in the child only; the parent leaves with 0 after printing."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    log = os.open(os.path.join(directory, "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for number, fd in ((0, null), (1, log), (2, log)):
        os.dup2(fd, number)
    return 0


def main():
    args = arguments()
    directory = os.path.abspath(args.dir or tempfile.mkdtemp(prefix="factory."))
    os.makedirs(directory, mode=0o700, exist_ok=True)
    try:
        world = World(args.factory, args.port, directory, args.dns)
    except (OSError, subprocess.CalledProcessError) as error:
        print("server.py: %s" % error, file=sys.stderr)
        if not args.dir:
            shutil.rmtree(directory, ignore_errors=True)
        return 1
    token = world.oauth.api_token(["devices:read", "devices:read-update"])
    pid = to_background(directory) if args.background else os.getpid()
    if pid:
        for name, value in world.describe(directory, token, pid).items():
            print("%s=%s" % (name, shlex.quote(str(value))))
        print(flush=True)
    if args.background and pid:
        return 0
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: world.stopping.set())
    world.start()
    if args.until_eof:
        def wait():
            while os.read(0, 4096):
                pass
            world.stopping.set()
        threading.Thread(target=wait, daemon=True).start()
    world.stopping.wait()
    if not args.dir:
        shutil.rmtree(directory, ignore_errors=True)
    sys.stdout.flush()
    os._exit(0)  # threads that play a fault are not waited for


if __name__ == "__main__":
    sys.exit(main())
