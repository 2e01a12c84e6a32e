#!/usr/bin/env python3
"""traffic.py - the programs that talk through the hub in tests/reach.

  traffic.py serve              TCP and UDP on port 7000 of every address: takes, checks and gives back
  traffic.py cells BYTES WHO... tries each WHO, "NAME ADDRESS yes" or "NAME ADDRESS no", all at once:
                                TCP with BYTES each way, UDP of 100 and of 8192 bytes, ping. A line for
                                each: "NAME yes SEEN-AS" or "NAME no". yes means that all of it worked,
                                no that nothing of it got through; anything else is named.
  traffic.py many ADDRESS N     N connections at once, from the lowest ports on; each is its own
  traffic.py hold ADDRESS       one connection; a byte every 100 ms until it fails: says how
  traffic.py tcp ADDRESS PORT   one exchange of 1000 bytes: prints how the server saw us
Exit: 0, or 1 and why.
"""
import errno
import hashlib
import os
import resource
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time

PORT = 7000
PATIENCE = 120  # seconds that something which must work may take
HOLD = 900  # seconds that a connection is held: longer than any test
NO = 1.5  # seconds in which something that must not work has not worked


def resolve(address, port, kind):
    return socket.getaddrinfo(address, port, 0, kind, 0, socket.AI_NUMERICHOST)[0]


def read_all(conn, n, digest):
    while n:
        piece = conn.recv(min(n, 1 << 18))
        if not piece:
            raise OSError("the stream ends early")
        digest.update(piece)
        n -= len(piece)


def read_exact(conn, n):
    data = b""
    while len(data) < n:
        piece = conn.recv(n - len(data))
        if not piece:
            raise OSError("the stream ends early")
        data += piece
    return data


def send_random(conn, n):
    digest = hashlib.sha256()
    block = os.urandom(1 << 20)
    while n:
        piece = block[: min(n, len(block))]
        conn.sendall(piece)
        digest.update(piece)
        n -= len(piece)
        block = block[1:] + block[:1]
    return digest.digest()


# ---- the server: [up, down], up bytes -> how it saw us, their hash, down bytes, their hash ----


def serve_tcp(conn, seen):
    with conn:
        try:
            while True:
                up, down = struct.unpack("!QQ", read_exact(conn, 16))
                digest = hashlib.sha256()
                read_all(conn, up, digest)
                conn.sendall(struct.pack("!B", len(seen)) + seen.encode() + digest.digest())
                conn.sendall(send_random(conn, down))
        except OSError:
            pass


def serve_udp(sock):
    while True:
        try:
            data, address = sock.recvfrom(65535)
            sock.sendto(address[0].removeprefix("::ffff:").encode() + b"|" + data[20:], address)
        except OSError:
            pass


def serve():
    resource.setrlimit(resource.RLIMIT_NOFILE, (5000, 5000))
    threading.stack_size(256 << 10)
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.bind(("::", PORT))
    threading.Thread(target=serve_udp, args=(udp,), daemon=True).start()
    listener = socket.create_server(
        ("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True, backlog=4096)
    while True:
        conn, address = listener.accept()
        seen = address[0].removeprefix("::ffff:")
        threading.Thread(target=serve_tcp, args=(conn, seen), daemon=True).start()


# ---- clients ----


def exchange(conn, up, down):
    """How the server saw us."""
    conn.sendall(struct.pack("!QQ", up, down))
    sent = send_random(conn, up)
    seen = read_exact(conn, read_exact(conn, 1)[0]).decode()
    if read_exact(conn, 32) != sent:
        raise OSError("what the server got is not what was sent")
    digest = hashlib.sha256()
    read_all(conn, down, digest)
    if read_exact(conn, 32) != digest.digest():
        raise OSError("what came back is not what the server sent")
    return seen


def try_tcp(address, n, patience):
    family, kind, proto, _, target = resolve(address, PORT, socket.SOCK_STREAM)
    with socket.socket(family, kind, proto) as conn:
        conn.settimeout(patience)
        conn.connect(target)
        conn.settimeout(PATIENCE)
        return exchange(conn, n, n)


def try_udp(address, size, patience):
    family, kind, proto, _, target = resolve(address, PORT, socket.SOCK_DGRAM)
    end = time.monotonic() + patience
    with socket.socket(family, kind, proto) as sock:
        sock.settimeout(min(1.0, patience))
        sock.connect(target)
        while time.monotonic() < end:
            data = os.urandom(size)
            try:
                sock.send(data)
                while True:  # an answer to the one before may be late
                    seen, _, rest = sock.recv(65535).partition(b"|")
                    if rest == data[20:]:
                        return seen.decode()
            except OSError:
                time.sleep(0.05)
    raise OSError("no answer")


def try_ping(address, patience):
    words = ["ping", "-n", "-q", "-c", "1", "-W", str(patience), "-w", str(patience), address]
    if subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        raise OSError("no answer")


def cell(name, address, wanted, n, lines):
    patience = PATIENCE if wanted == "yes" else NO
    worked, failed, seen = [], [], set()
    attempts = {
        "tcp": lambda: seen.add(try_tcp(address, n, patience)),
        "udp": lambda: seen.add(try_udp(address, 100, patience)),
        "udp8k": lambda: seen.add(try_udp(address, 8192, patience)),
        "ping": lambda: try_ping(address, patience),
    }

    def attempt(what):
        try:
            attempts[what]()
            worked.append(what)
        except OSError as error:
            failed.append(f"{what}:{error}")

    run_all([threading.Thread(target=attempt, args=(what,)) for what in attempts])
    if wanted == "no" and not worked:
        lines.append(f"{name} no")
    elif wanted == "yes" and not failed and len(seen) == 1:
        lines.append(f"{name} yes {seen.pop()}")
    else:
        lines.append(f"{name} {'+'.join(worked)} but {'+'.join(failed)} seen as {sorted(seen)}")


def run_all(threads):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def cells(n, whos):
    lines = []
    run_all([threading.Thread(target=cell, args=(*who.split(), n, lines)) for who in whos])
    print("\n".join(sorted(lines)))


def many(address, n):
    """All are open at once; then each says a word of its own and must get that back."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (5000, 5000))
    family, kind, proto, _, target = resolve(address, PORT, socket.SOCK_STREAM)
    poll = selectors.DefaultSelector()
    words = {}
    for i in range(n):
        conn = socket.socket(family, kind, proto)
        conn.setblocking(False)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        conn.bind(("", 20000 + i))
        words[conn] = os.urandom(32)
        if conn.connect_ex(target) not in (0, errno.EINPROGRESS):
            raise OSError(f"connection {i} fails")
        poll.register(conn, selectors.EVENT_WRITE)
    end = time.monotonic() + PATIENCE
    opened = 0
    while opened < n and time.monotonic() < end:
        for key, _ in poll.select(1):
            conn = key.fileobj
            code = conn.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            poll.unregister(conn)
            opened += 1
    if opened < n:
        raise OSError(f"only {opened} of {n} are open")
    for conn, word in words.items():
        conn.setblocking(True)
        conn.settimeout(PATIENCE)
        conn.sendall(struct.pack("!QQ", len(word), 0) + word)
    for conn, word in words.items():
        read_exact(conn, read_exact(conn, 1)[0])
        if read_exact(conn, 32) != hashlib.sha256(word).digest():
            raise OSError("two connections were mixed up")
    print(f"{n} connections")


def hold(address):
    family, kind, proto, _, target = resolve(address, PORT, socket.SOCK_STREAM)
    with socket.socket(family, kind, proto) as conn:
        conn.settimeout(PATIENCE)
        conn.connect(target)
        exchange(conn, 10, 10)
        print("open", flush=True)
        conn.sendall(struct.pack("!QQ", 1 << 40, 0))
        begin = time.monotonic()
        try:
            while time.monotonic() < begin + HOLD:
                conn.sendall(b".")
                time.sleep(0.1)
        except OSError as error:
            print(errno.errorcode.get(error.errno, str(error)), flush=True)
            return
    raise OSError("it still hangs")


def tcp(address, port):
    family, kind, proto, _, target = resolve(address, int(port), socket.SOCK_STREAM)
    with socket.socket(family, kind, proto) as conn:
        conn.settimeout(PATIENCE)
        conn.connect(target)
        print(exchange(conn, 1000, 1000))


def main():
    command, *words = sys.argv[1:] or [""]
    try:
        if command == "serve":
            serve()
        elif command == "cells":
            cells(int(words[0]), words[1:])
        elif command == "many":
            many(words[0], int(words[1]))
        elif command == "hold":
            hold(words[0])
        elif command == "tcp":
            tcp(*words)
        else:
            sys.exit(__doc__)
    except OSError as error:
        print(f"{command} {' '.join(words)}: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
