#!/usr/bin/python3
"""unit.py - runs a service's ExecStart as systemd would, as far as our units use it.

    unit.py UNIT-FILE      becomes the program; words as systemd.service(5) splits them

WorkingDirectory, Environment, LoadCredential and Type=notify are honoured (a service that says it is
ready makes UNIT-FILE.ready); nothing is confined. A key that may stand once and stands twice takes the
last value.
"""

import os
import shlex
import shutil
import socket
import sys
import tempfile


def fields(path):
    found = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            key, equals, value = line.rstrip("\n").partition("=")
            if equals and not line.startswith(("#", ";", "[")):
                found.setdefault(key, []).append(value)
    return found


def word(text):
    return text.replace("%%", "%").replace("$$", "$")


def hear_ready(unit_file):
    """Another process waits for READY=1; the path of the socket on which it hears it."""
    path = unit_file + ".notify"
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(path)
    service = os.getpid()
    if os.fork():
        return path
    if os.fork():  # so that it is no child of the service
        os._exit(0)
    listener.settimeout(0.2)
    while os.path.exists(f"/proc/{service}"):
        try:
            said = listener.recv(4096)
        except TimeoutError:
            continue
        if b"READY=1" in said.split(b"\n"):
            with open(unit_file + ".ready", "w", encoding="utf-8"):
                break
    os._exit(0)


def main():
    unit = fields(sys.argv[1])
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    for assignment in unit.get("Environment", []):
        name, _, value = assignment.partition("=")
        environment[name] = value
    for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "LOG_LEVEL"):
        if name in os.environ:
            environment[name] = os.environ[name]
    if "LoadCredential" in unit:
        folder = tempfile.mkdtemp(prefix="credentials-", dir=os.path.dirname(sys.argv[1]))
        environment["CREDENTIALS_DIRECTORY"] = folder
        for credential in unit["LoadCredential"]:
            name, _, path = credential.partition(":")
            shutil.copy(word(path), os.path.join(folder, name))
    if unit.get("Type", [""])[-1] == "notify":
        environment["NOTIFY_SOCKET"] = hear_ready(sys.argv[1])
        os.wait()
    os.chdir(unit.get("WorkingDirectory", ["/"])[-1])
    words = [word(w) for w in shlex.split(unit["ExecStart"][-1])]
    os.execve(words[0], words, environment)


main()
