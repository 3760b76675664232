"""The gate at the moment of connecting: what a name resolves to is judged, once and for good."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from shim.outbound.dial import Dialer, DialError
from shim.outbound.policy import policy_of
from shim.outbound.target import parse_target

BLOCK = ("127.0.0.2/32", "169.254.0.0/16")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


class Resolver:
    """Says something else each time that it is asked."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self.answers = list(answers)

    def __call__(self, _: str, port: int, **__: Any) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in self.answers.pop(0)
        ]


def dial(host: str, port: int) -> socket.socket:
    dialer = Dialer(policy_of({}, BLOCK, "allow"), {})
    return dialer.connect(parse_target("http", f"{host}:{port}"), 5.0, to_self=False)


def test_a_name_that_changes_its_mind_gains_nothing(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = Resolver(("127.0.0.1",), ("127.0.0.2",))
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    port = listener.getsockname()[1]
    with dial("rebinding.example", port) as connection:
        assert connection.getpeername() == ("127.0.0.1", port)
    assert resolver.answers == [("127.0.0.2",)], "asked once"


def test_a_blocked_answer_is_never_connected_to(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = listener.getsockname()[1]
    monkeypatch.setattr(socket, "getaddrinfo", Resolver(("127.0.0.2", "127.0.0.1")))
    with dial("both.example", port) as connection:
        assert connection.getpeername()[0] == "127.0.0.1"
    monkeypatch.setattr(socket, "getaddrinfo", Resolver(("127.0.0.2", "169.254.169.254")))
    with pytest.raises(DialError, match="which the node blocks") as failed:
        dial("bad.example", port)
    assert failed.value.case == b"destination-IP-prohibited"


def test_a_denied_name_is_not_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Resolver())
    dialer = Dialer(policy_of({}, (), "deny"), {})
    for to_self in (True, False):
        with pytest.raises(DialError) as failed:
            dialer.connect(parse_target("http", "secret.example"), 5.0, to_self=to_self)
        assert failed.value.case == b"HTTP-request-denied"


def test_a_server_that_never_accepts_costs_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        dialer = Dialer(policy_of({}, (), "allow"), {})
        with pytest.raises(DialError) as failed:
            dialer.connect(parse_target("http", f"127.0.0.1:{port}"), 0.3, to_self=False)
        assert failed.value.case == b"connection-timeout"
        for each in waiting:
            each.close()


def test_certificates_that_are_none_are_told(listener: socket.socket) -> None:
    dialer = Dialer(policy_of({}, (), "allow"), {"SSL_CERT_FILE": "/nowhere"})
    target = parse_target("https", f"127.0.0.1:{listener.getsockname()[1]}")
    with pytest.raises(DialError, match="SSL_CERT_FILE=/nowhere") as failed:
        dialer.connect(target, 5.0, to_self=False)
    assert failed.value.case == b"configuration-error"
