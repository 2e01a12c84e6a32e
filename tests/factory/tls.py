"""tls.py - certificates made at start by openssl(1), and what a client meets at the handshake.

Two authorities: one that clients are told of (ca.pem) and one that they are not.
"""

import os
import ssl
import subprocess

KINDS = ("good", "untrusted", "wrongname", "silent", "garbage")
HANDSHAKE_MAX_S = 60
RIGHT_NAMES = "DNS:localhost,IP:127.0.0.1,IP:127.0.0.2"


class Tls:
    def __init__(self, directory, more_names=()):
        """more_names: what clients may call the server, too, as DNS names."""
        right_names = ",".join([RIGHT_NAMES] + ["DNS:" + name for name in more_names])
        self.directory = directory
        self._authority("ca")
        self._authority("unknown-ca")
        self.ca_path = self._path("ca.pem")
        self.contexts = {
            "good": self._context("good", "ca", right_names),
            "untrusted": self._context("untrusted", "unknown-ca", right_names),
            "wrongname": self._context("wrongname", "ca", "DNS:api.example.net"),
        }

    def accept(self, sock, kind):
        """The connection with TLS, or None where there is to be none."""
        sock.settimeout(None if kind == "silent" else HANDSHAKE_MAX_S)
        if kind in ("silent", "garbage"):
            if kind == "garbage":
                sock.sendall(b"220 mail.example.net ESMTP\r\n")
            while sock.recv(4096):
                pass
            return None
        wrapped = self.contexts[kind].wrap_socket(sock, server_side=True,
                                                  suppress_ragged_eofs=True)
        wrapped.settimeout(None)
        return wrapped

    def _path(self, name):
        return os.path.join(self.directory, name)

    def _openssl(self, *args):
        subprocess.run(("openssl",) + args, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, umask=0o077)

    def _authority(self, name):
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                      "-nodes", "-days", "2", "-subj", "/CN=test " + name,
                      "-keyout", self._path(name + ".key"), "-out", self._path(name + ".pem"))

    def _context(self, name, authority, alt_names):
        with open(self._path(name + ".ext"), "w", encoding="ascii") as extensions:
            extensions.write("basicConstraints=CA:FALSE\nsubjectAltName=%s\n" % alt_names)
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                      "-nodes", "-subj", "/CN=test " + name,
                      "-keyout", self._path(name + ".key"), "-out", self._path(name + ".csr"))
        self._openssl("x509", "-req", "-days", "2", "-in", self._path(name + ".csr"),
                      "-CA", self._path(authority + ".pem"),
                      "-CAkey", self._path(authority + ".key"), "-CAcreateserial",
                      "-extfile", self._path(name + ".ext"), "-out", self._path(name + ".pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._path(name + ".pem"), self._path(name + ".key"))
        return context
