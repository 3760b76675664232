"""A server's certificate, signed by itself: for the name localhost, and two days."""

import socket
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and of its key."""

    certificate: Path
    key: Path

    def secured(self, connection: socket.socket) -> socket.socket:
        """The server's end of a connection, with TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context.wrap_socket(connection, server_side=True)


def self_signed(folder: Path) -> Pair:
    """Make one."""
    pair = Pair(folder / "certificate", folder / "key")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(pair.key), "-out", str(pair.certificate)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return pair
