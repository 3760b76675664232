"""A registry that answers what a test says, for what no real one does.

`with HostileRegistry() as registry` serves plain HTTP on loopback, or TLS with a certificate of a
folder; a test fills `answers`, by path, and reads `asked`. Where there is a `guard`, it is the
answer to who does not bring `token`.
"""

import hashlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class Reply:
    """One answer: a body that is there, or pieces that may never end."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: Callable[[], Iterator[bytes]] | None = None


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def descriptor(data: bytes, media_type: str = "text/plain", **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **more}


class HostileRegistry:
    """Not started until the with statement begins."""

    def __init__(self, certificate: Path | None = None) -> None:
        """`certificate` is a folder with tls.crt and tls.key."""
        self.answers: dict[str, Reply] = {}
        self.guard: Reply | None = None
        self.token = ""
        self.asked: list[tuple[str, str | None]] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                registry.asked.append((self.path, self.headers["Authorization"]))
                reply = registry.answers.get(self.path, Reply(b'{"errors":[]}', 404))
                is_known = self.headers["Authorization"] == f"Bearer {registry.token}"
                if registry.guard and self.path.startswith("/v2/") and not is_known:
                    reply = registry.guard
                try:
                    self._send(reply)
                except OSError:
                    self.close_connection = True

            def _send(self, reply: Reply) -> None:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.pieces is None:
                    self.send_header("Content-Length", str(len(reply.body)))
                    self.end_headers()
                    self.wfile.write(reply.body)
                    return
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for piece in reply.pieces():
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.block_on_close = True
        self._server.daemon_threads = False
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate / "tls.crt", certificate / "tls.key")
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def manifest(self, document: object, media_type: str = MANIFEST, reference: str = "1") -> bytes:
        """Answer with a manifest under a tag and its digest; returns its bytes."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        for name in (reference, digest_of(data)):
            path = f"/v2/a/manifests/{name}"
            self.answers[path] = Reply(data, headers={"Content-Type": media_type})
        return data

    def image(self, *layers: bytes) -> bytes:
        """Answer with a whole image of these layers; returns its manifest."""
        for data in (b"{}", *layers):
            self.answers[self.blob(data)] = Reply(data)
        described = [descriptor(layer) for layer in layers]
        return self.manifest({"config": descriptor(b"{}"), "layers": described})

    @staticmethod
    def blob(data: bytes) -> str:
        """The path of a blob."""
        return f"/v2/a/blobs/{digest_of(data)}"
