"""Requests that serving guests make: real sockets, what is carried, what is refused, and why."""

import concurrent.futures
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shim.outbound.policy import Policy, policy_of
from tests.support import certificates, outbound_guest
from tests.support.http_server import Serving, body_of, read_all, read_until, serving
from tests.support.upstream import answer, reset, upstream

pytestmark = pytest.mark.root

A = "io.containerd.tandem.v1/allowed-outbound-hosts"


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path, outbound_guest.component()) as served:
        yield served


def get(served: Serving, host: str, path: str = "/x") -> bytes:
    return served.ask(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())


def case(reply: bytes) -> str:
    """The error that the guest has met."""
    assert b" 502 " in reply.partition(b"\r\n")[0], reply
    return outbound_guest.CASES[body_of(reply)[0]]


def gate(allowed: str | None, block: tuple[str, ...] = (), default: str = "allow") -> Policy:
    return policy_of({} if allowed is None else {A: allowed}, block, default)


def say_ok(connection: socket.socket, _: bytes) -> None:
    connection.sendall(answer(b"ok"))


def test_request_and_answer_arrive_whole(one: Serving) -> None:
    seen = []

    def handler(connection: socket.socket, head: bytes) -> None:
        seen.append(head)
        connection.sendall(answer(b"abc", "x-a: b", "X-A: c", status="203 Fine"))

    with upstream(handler) as port:
        reply = one.ask(
            f"GET /p?q=1 HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nx-guest: yes\r\n"
            "connection: close\r\n\r\n".encode()
        )
    assert seen == [
        f"GET /p?q=1 HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nx-guest: yes\r\n"
        "connection: close\r\n\r\n".encode()
    ]
    assert reply.startswith(b"HTTP/1.1 203 ")
    assert b"x-a: b\r\nx-a: c\r\n" in reply
    assert body_of(reply) == b"abc"


def test_request_bodies_stream(one: Serving) -> None:
    """The server has the first piece before the client sends the last, and then all of them."""
    first = threading.Event()
    whole: list[bytes] = []

    def handler(connection: socket.socket, head: bytes) -> None:
        data = head.partition(b"\r\n\r\n")[2]
        data = data or read_until(connection, b"\n")
        first.set()
        if not data.endswith(b"0\r\n\r\n"):
            data += read_until(connection, b"0\r\n\r\n")
        whole.append(body_of(b"transfer-encoding: chunked\r\n\r\n" + data))
        connection.sendall(answer(b"done"))

    with upstream(handler) as port, one.connect() as client:
        client.sendall(
            f"POST /x HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ntransfer-encoding: chunked\r\n"
            "connection: close\r\n\r\n6\r\nfirst\n\r\n".encode()
        )
        assert first.wait(20), one.log
        client.sendall(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n0\r\n\r\n")
        assert body_of(read_all(client)) == b"done", one.log
    assert whole == [b"first\n" + b"x" * (1 << 20)]


def test_answers_stream(one: Serving) -> None:
    """The client has the first piece before the server sends the last."""
    go_on = threading.Event()

    def handler(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nfirst\n\r\n")
        assert go_on.wait(20)
        connection.sendall(b"400000\r\n" + b"y" * (4 << 20) + b"\r\n0\r\n\r\n")

    with upstream(handler) as port, one.connect() as client:
        client.sendall(
            f"GET /x HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n".encode()
        )
        begun = read_until(client, b"first\n")
        go_on.set()
        assert body_of(begun + read_all(client)) == b"first\n" + b"y" * (4 << 20), one.log


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\nmore",
    ],
)
def test_answers_of_other_forms(one: Serving, said: bytes) -> None:
    with upstream(lambda connection, _: connection.sendall(said)) as port:
        assert body_of(get(one, f"127.0.0.1:{port}")) == b"ok", one.log


def test_redirects_are_the_guests_to_follow(one: Serving) -> None:
    def handler(connection: socket.socket, _: bytes) -> None:
        connection.sendall(answer(b"", "location: http://127.0.0.1:1/", status="302 Found"))

    with upstream(handler) as port:
        assert get(one, f"127.0.0.1:{port}").startswith(b"HTTP/1.1 302 ")


def test_failures_have_their_names(one: Serving) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    assert case(get(one, f"127.0.0.1:{closed}")) == "connection-refused"
    assert case(get(one, "no-such-name.invalid")) in {"DNS-error", "DNS-timeout"}
    assert case(get(one, "127.1")) == "HTTP-request-URI-invalid"
    assert case(get(one, "x", "/n")) == "HTTP-request-URI-invalid"
    with upstream(lambda connection, _: reset(connection)) as port:
        assert case(get(one, f"127.0.0.1:{port}")) == "connection-terminated"
    with upstream(lambda connection, _: connection.sendall(b"no HTTP\r\n\r\n")) as port:
        assert case(get(one, f"127.0.0.1:{port}")) == "HTTP-protocol-error"
    with upstream(say_ok) as port:
        assert body_of(get(one, f"127.0.0.1:{port}")) == b"ok", "and the next one is served"


def test_a_slow_server_ends_at_the_guests_timeout(one: Serving) -> None:
    over = threading.Event()

    def handler(connection: socket.socket, _: bytes) -> None:
        over.wait(20)

    with upstream(handler) as port:
        assert case(get(one, f"127.0.0.1:{port}", "/t")) == "HTTP-response-timeout"
        over.set()


@pytest.mark.parametrize("ends_with_reset", [True, False])
def test_an_answer_that_is_cut_off_is_no_whole_one(one: Serving, ends_with_reset: bool) -> None:
    def handler(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc")
        if ends_with_reset:
            reset(connection)

    with upstream(handler) as port:
        reply = get(one, f"127.0.0.1:{port}")
    assert b"0\r\n\r\n" not in reply[-5:], reply
    assert len(body_of(reply.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")) == 0


def test_a_body_that_the_guest_drops_never_looks_whole(one: Serving) -> None:
    got: list[bytes] = []
    began = threading.Event()

    def handler(connection: socket.socket, head: bytes) -> None:
        began.set()
        got.append(head + read_all(connection))

    with upstream(handler) as port, one.connect() as client:
        client.sendall(
            f"POST /d HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ntransfer-encoding: chunked\r\n"
            "connection: close\r\n\r\n3\r\nabc\r\n".encode()
        )
        assert began.wait(20)
        client.sendall(b"0\r\n\r\n")
        read_all(client)
    assert len(got) == 1
    assert not got[0].endswith(b"0\r\n\r\n"), got


def test_many_at_once(one: Serving) -> None:
    def handler(connection: socket.socket, head: bytes) -> None:
        connection.sendall(answer(head.split(b" ")[1]))

    with upstream(handler) as port, concurrent.futures.ThreadPoolExecutor(16) as pool:
        paths = [f"/x{number}" for number in range(100)]
        replies = pool.map(lambda path: get(one, f"127.0.0.1:{port}", path), paths)
        assert [body_of(reply).decode() for reply in replies] == paths, one.log


@pytest.mark.parametrize(
    ("policy", "host", "expected"),
    [
        (gate("http://127.0.0.1:*"), "127.0.0.1", None),
        (gate("http://127.0.0.0/8:*"), "127.0.0.1", None),
        (gate("http://localhost:*"), "localhost", None),
        (gate("http://LOCALHOST.:*"), "LocalHost.", None),
        (gate(None), "localhost", None),
        (gate("http://localhost:*"), "127.0.0.1", "HTTP-request-denied"),
        (gate("http://127.0.0.1:1"), "127.0.0.1", "HTTP-request-denied"),
        (gate("https://127.0.0.1:*"), "127.0.0.1", "HTTP-request-denied"),
        (gate("http://127.0.0.0/8:*"), "localhost", "HTTP-request-denied"),
        (gate(""), "127.0.0.1", "HTTP-request-denied"),
        (gate(None, default="deny"), "127.0.0.1", "HTTP-request-denied"),
        (gate("*://*:*", ("127.0.0.0/8", "::1")), "127.0.0.1", "destination-IP-prohibited"),
        (gate("*://*:*", ("127.0.0.0/8", "::1")), "localhost", "destination-IP-prohibited"),
        (gate("*://*:*", ("127.0.0.0/8", "::1")), "0.0.0.0", "destination-IP-prohibited"),
        (gate("*://*:*", ("127.0.0.0/8",)), "[::ffff:127.0.0.1]", "destination-IP-prohibited"),
    ],
)
def test_the_gate(tmp_path: Path, policy: Policy, host: str, expected: str | None) -> None:
    asked = []

    def handler(connection: socket.socket, head: bytes) -> None:
        asked.append(head)
        connection.sendall(answer(b"ok"))

    with (
        serving(tmp_path, outbound_guest.component(), outbound=policy) as served,
        upstream(handler) as port,
    ):
        reply = get(served, f"{host}:{port}")
        if expected is None:
            assert body_of(reply) == b"ok", served.log
        else:
            assert case(reply) == expected
            assert f"tandem: request refused or failed: {expected}" in served.log
    assert len(asked) == (expected is None)


def test_tls_and_whose_certificates_hold(tmp_path: Path) -> None:
    pair = certificates.self_signed(tmp_path)

    def handler(connection: socket.socket, _: bytes) -> None:
        connection.sendall(answer(b"z" * (1 << 20)))

    trusting = (f"SSL_CERT_FILE={pair.certificate}",)
    guest = outbound_guest.component()
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
    with upstream(handler, pair.secured) as port:
        with serving(tmp_path / "a", guest, env=trusting) as served:
            assert body_of(get(served, f"localhost:{port}", "/s")) == b"z" * (1 << 20), served.log
            assert case(get(served, f"127.0.0.1:{port}", "/s")) == "TLS-certificate-error"
        with serving(tmp_path / "b", guest) as served:
            assert case(get(served, f"localhost:{port}", "/s")) == "TLS-certificate-error"
    with (
        upstream(say_ok, _say_nonsense) as port,
        serving(tmp_path / "c", guest) as served,
    ):
        assert case(get(served, f"localhost:{port}", "/s")) == "TLS-protocol-error"


def test_in_a_root_of_its_own(tmp_path: Path) -> None:
    """Names are those of the container, and nothing of the host is missed."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "hosts").write_text("127.0.0.1 inside.example\n127.0.0.2 blocked.example\n")
    policy = gate("*://*.example:*", ("127.0.0.2/32",))
    guest = outbound_guest.component()
    with (
        serving(tmp_path, guest, root=root, outbound=policy) as served,
        upstream(say_ok) as port,
        upstream(say_ok, _say_nonsense) as nonsense,
    ):
        assert body_of(get(served, f"inside.example:{port}")) == b"ok", served.log
        assert case(get(served, f"inside.example:{nonsense}", "/s")) == "TLS-protocol-error"
        assert case(get(served, f"blocked.example:{port}")) == "destination-IP-prohibited"
        assert case(get(served, f"inside.other:{port}")) == "HTTP-request-denied"


@pytest.mark.parametrize("allowed", ["http://self", "http://x.y"])
def test_a_request_that_names_no_server_goes_to_its_own(tmp_path: Path, allowed: str) -> None:
    def handler(connection: socket.socket, _: bytes) -> None:
        connection.sendall(answer(b"own"))

    with upstream(handler) as own:
        policy = policy_of({A: allowed}, (), "allow", f"127.0.0.1:{own}")
        with serving(tmp_path, outbound_guest.component(), outbound=policy) as served:
            reply = get(served, "ignored", "/n")
            if "self" in allowed:
                assert body_of(reply) == b"own", served.log
            else:
                assert case(reply) == "HTTP-request-denied"


def _say_nonsense(connection: socket.socket) -> socket.socket:
    connection.sendall(b"no TLS")
    return connection
