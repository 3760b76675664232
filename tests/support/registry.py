"""A registry for images and artifacts: Debian's docker-registry with its own folder and port.

`with Registry() as registry` listens on 127.0.0.1 at `registry.address` and leaves nothing behind.
With a `room` it listens on that room's loopback instead, where a private containerd finds it:
`Registry(room=containerd.room)`. containerd takes loopback addresses for plain HTTP by itself.
"""

import base64
import hashlib
import http.client
import json
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import network
from tests.support.network import HttpReply
from tests.support.node import Room, Service
from tests.support.waiting import wait_for

USER = "ox"
PASSWORD = "two-under-one-yoke"
# The registry takes bcrypt alone, for which Python has no function.
_HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuu9wp6mHsUFshVVQhjqeedyKFV7s35qb.\n"

_LISTENING = re.compile(r"listening on (127\.0\.0\.1:\d+)")


@dataclass(frozen=True)
class Blob:
    """Bytes, and how a descriptor calls them."""

    media_type: str
    data: bytes

    @property
    def digest(self) -> str:
        """Such as sha256:..."""
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"

    def descriptor(self, **more: object) -> dict[str, object]:
        """The descriptor of these bytes, with further fields of it."""
        size = len(self.data)
        return {"mediaType": self.media_type, "digest": self.digest, "size": size, **more}


class RegistryError(Exception):
    """The registry refused a request; the text holds its answer."""


class Registry:
    """One registry. Not started until the with statement begins."""

    def __init__(self, *, auth: bool = False, tls: bool = False, room: Room | None = None) -> None:
        """Describe it.

        Args:
            auth: whether it asks for USER and PASSWORD (basic authentication).
            tls: whether it speaks HTTPS, with a certificate that only `certificate` vouches for.
            room: whose loopback it listens on; none means this machine's.
        """
        self._auth = auth
        self._tls = tls
        self._room = room
        self._service: Service | subprocess.Popen[bytes] | None = None
        self.folder = Path()
        self.address = ""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="tandem-registry-"))
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    @property
    def url(self) -> str:
        """Scheme and address."""
        return f"{'https' if self._tls else 'http'}://{self.address}"

    @property
    def certificate(self) -> Path:
        """Its certificate in PEM, which is its own authority."""
        return self.folder / "tls.crt"

    def image(self, name: str, tag: str = "1") -> str:
        """The full reference of an image in it."""
        return f"{self.address}/{name}:{tag}"

    def push(self, name: str, manifest: Blob, *blobs: Blob, tag: str = "1") -> str:
        """Put blobs and the manifest (or index) that names them there.

        Args:
            name: the repository, without the registry.
            manifest: pushed last, under the tag and its digest.
            blobs: what it names; manifests of an index among them.
            tag: empty to push by digest alone.

        Returns:
            The full reference.

        Raises:
            RegistryError: it was refused.
        """
        for blob in blobs:
            if blob.media_type.endswith(("manifest.v1+json", "manifest.v2+json", "index.v1+json")):
                self._put_manifest(name, blob, blob.digest)
            else:
                self._put_blob(name, blob)
        self._put_manifest(name, manifest, tag or manifest.digest)
        return self.image(name, tag) if tag else f"{self.address}/{name}@{manifest.digest}"

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> HttpReply:
        """Make one call; `path` begins with /v2/. Any status is an answer.

        Raises:
            OSError: nobody answers.
        """
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        wanted = {"Authorization": f"Basic {token}"} if self._auth else {}
        connection = self._connect()
        try:
            connection.request(method, path, body, {**wanted, **(headers or {})})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return HttpReply(response.status, found, response.read())
        finally:
            connection.close()

    def _put_blob(self, name: str, blob: Blob) -> None:
        if self.request("HEAD", f"/v2/{name}/blobs/{blob.digest}").status == 200:
            return
        begun = self._expect(202, "POST", f"/v2/{name}/blobs/uploads/")
        location = begun.headers["location"].removeprefix(self.url)
        mark = "&" if "?" in location else "?"
        kind = {"Content-Type": "application/octet-stream"}
        self._expect(201, "PUT", f"{location}{mark}digest={blob.digest}", blob.data, kind)

    def _put_manifest(self, name: str, manifest: Blob, reference: str) -> None:
        kind = {"Content-Type": manifest.media_type}
        self._expect(201, "PUT", f"/v2/{name}/manifests/{reference}", manifest.data, kind)

    def _expect(
        self,
        status: int,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        reply = self.request(method, path, body, headers)
        if reply.status != status:
            text = reply.body.decode(errors="replace")
            raise RegistryError(f"{method} {path}: {reply.status}: {text}")
        return reply

    def _connect(self) -> http.client.HTTPConnection:
        host, _, port = self.address.rpartition(":")
        connection: http.client.HTTPConnection
        if self._tls:
            trust = ssl.create_default_context(cafile=str(self.certificate))
            connection = http.client.HTTPSConnection(host, int(port), timeout=30, context=trust)
        else:
            connection = http.client.HTTPConnection(host, int(port), timeout=30)
        if self._room is None:
            connection.connect()
        else:
            with network.inside(self._room.network):
                connection.connect()
        return connection

    def _start(self) -> None:
        if self._tls:
            _make_certificate(self.folder)
        if self._auth:
            (self.folder / "htpasswd").write_text(_HTPASSWD)
        (self.folder / "config.yml").write_text(json.dumps(self._config()))
        argv: list[str | Path] = ["docker-registry", "serve", self.folder / "config.yml"]
        environment = {"PATH": "/usr/bin:/bin"}
        log = self.folder / "log"
        if self._room is not None:
            self._service = self._room.spawn(argv, environment, log)
        else:
            with log.open("wb") as output:
                # Ctrl-C does not reach it; a test run that is killed takes it along.
                self._service = subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", *argv],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )

        def address() -> str:
            found = _LISTENING.search(log.read_text())
            return found[1] if found else ""

        self.address = wait_for(f"registry that listens ({log.read_text()})", address, 30)

    def _stop(self) -> None:
        match self._service:
            case subprocess.Popen():
                self._service.terminate()
                self._service.wait(20)
            case Service():
                self._service.end(signal.SIGTERM)
            case None:
                pass
        self._service = None
        shutil.rmtree(self.folder)

    def _config(self) -> dict[str, object]:
        """Its configuration, whose YAML is JSON here; port 0 lets the kernel choose."""
        http_part: dict[str, object] = {"addr": "127.0.0.1:0", "secret": "tests"}
        if self._tls:
            http_part["tls"] = {
                "certificate": str(self.certificate),
                "key": str(self.folder / "tls.key"),
            }
        config: dict[str, object] = {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}},
            "http": http_part,
        }
        if self._auth:
            users = {"realm": "tests", "path": str(self.folder / "htpasswd")}
            config["auth"] = {"htpasswd": users}
        return config


def _make_certificate(folder: Path) -> None:
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    files: list[str | Path] = ["-keyout", folder / "tls.key", "-out", folder / "tls.crt"]
    subject = ["-nodes", "-days", "7", "-subj", "/CN=localhost", "-addext", names]
    subprocess.run([*request, *subject, *files], check=True, capture_output=True)
