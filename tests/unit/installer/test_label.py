"""The label, asked of an API server that speaks TLS."""

import http.server
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtimeclass.installer import label
from runtimeclass.installer.errors import LabelError
from runtimeclass.installer.label import LABEL, Labels


class Server(http.server.HTTPServer):
    """Answers with these statuses, one after the other, the last again and again."""

    statuses: list[int]
    asked: list[tuple[str, str, Any]]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_PATCH(self) -> None:
        assert isinstance(self.server, Server)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["Content-Type"] == "application/strategic-merge-patch+json"
        self.server.asked.append((self.path, self.headers["Authorization"], body))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.end_headers()
        self.wfile.write(b"because")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def account(tmp_path: Path) -> Path:
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    files: list[str | Path] = ["-keyout", tmp_path / "key", "-out", tmp_path / "ca.crt"]
    names = ["-subj", "/CN=api", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*request, *files, "-nodes", *names], check=True, capture_output=True)
    (tmp_path / "token").write_text("secret\n")
    return tmp_path


@pytest.fixture
def server(account: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(label, "_PAUSE_S", 0.0)
    made = Server(("127.0.0.1", 0), Handler)
    made.asked = []
    made.statuses = [200]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(account / "ca.crt", account / "key")
    made.socket = context.wrap_socket(made.socket, server_side=True)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def labels(server: Server, account: Path) -> Labels:
    port = str(server.server_address[1])
    env = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port}
    return Labels("node-1", env, account)


def test_label_is_set_and_removed(server: Server, account: Path) -> None:
    labels(server, account).set()
    labels(server, account).remove()
    assert server.asked == [
        ("/api/v1/nodes/node-1", "Bearer secret", {"metadata": {"labels": {LABEL: value}}})
        for value in ("true", None)
    ]


def test_server_that_is_not_up_yet_is_asked_again(server: Server, account: Path) -> None:
    server.statuses = [503, 500, 200]
    labels(server, account).set()
    assert len(server.asked) == 3


def test_refusal_is_told_with_the_way_out(server: Server, account: Path) -> None:
    server.statuses = [403]
    with pytest.raises(
        LabelError, match=r"node-1 cannot be labelled .* 403 because; .*patch on no"
    ):
        labels(server, account).set()
    assert len(server.asked) == 1


def test_node_that_is_gone_has_no_label(server: Server, account: Path) -> None:
    server.statuses = [404]
    labels(server, account).remove()
    with pytest.raises(LabelError):
        labels(server, account).set()


def test_authority_of_others_is_not_believed(server: Server, account: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    names = ["-subj", "/CN=other", "-nodes"]
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    files: list[str | Path] = ["-keyout", other / "key", "-out", other / "ca.crt"]
    subprocess.run([*request, *files, *names], check=True, capture_output=True)
    (other / "token").write_text("secret")
    with pytest.raises(LabelError, match="cannot be labelled"):
        labels(server, other).set()
    assert server.asked == []


def test_missing_token_is_an_error(server: Server, account: Path) -> None:
    (account / "token").unlink()
    with pytest.raises(LabelError, match="token"):
        labels(server, account).set()


@pytest.mark.parametrize(
    ("node", "env", "reason"),
    [
        ("", {"KUBERNETES_SERVICE_HOST": "::1"}, "no node is named"),
        ("n", {}, "there is no API server here"),
        ("n", {"KUBERNETES_SERVICE_HOST": "::1"}, ""),
    ],
)
def test_why_no_label_is_set(node: str, env: dict[str, str], reason: str) -> None:
    assert reason in Labels(node, env).why_not
    if reason:
        Labels(node, env).set()
        assert Labels(node, env).why_not
