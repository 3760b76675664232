"""The relay without wasmtime: who may use it, and what reaches the server."""

import socket

from shim.outbound.messages import Head
from shim.outbound.relay import Relay, Timeouts

TIMEOUTS = Timeouts(5.0, 5.0, 5.0)
HEAD = Head(b"GET", b"/", b"a.b", (), has_body=False)


def connect(relay: Relay) -> socket.socket:
    host, _, port = relay.authority.partition(":")
    return socket.create_connection((host, int(port)), 10)


def ask(relay: Relay, path: str) -> bytes:
    with connect(relay) as guest:
        guest.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        data = b""
        while piece := guest.recv(4096):
            data += piece
        return data


def test_strangers_get_nothing_and_the_guest_its_answer() -> None:
    server, far = socket.socketpair()
    relay = Relay(far, HEAD, TIMEOUTS, lambda: False)
    relay.start()
    assert ask(relay, "/wrong") == b""
    assert ask(relay, relay.path[:-1]) == b""
    server.sendall(b"HTTP/1.1 204 No\r\nx: y\r\n\r\n")
    assert ask(relay, relay.path).endswith(b"\r\n\r\n0\r\n\r\n")
    assert relay.over.wait(10)
    assert (relay.status, relay.fields, relay.failed) == (204, ((b"x", b"y"),), None)
    with server:
        assert server.recv(4096) == b"GET / HTTP/1.1\r\nhost: a.b\r\nconnection: close\r\n\r\n"


def test_trailers_are_kept() -> None:
    server, far = socket.socketpair()
    relay = Relay(far, HEAD, TIMEOUTS, lambda: False)
    relay.start()
    server.sendall(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nsum: 1\r\n\r\n"
    )
    assert b"\r\n1\r\na\r\n0\r\n\r\n" in ask(relay, relay.path)
    assert relay.over.wait(10)
    server.close()
    assert relay.answer_trailers == [(b"sum", b"1")]


def test_a_guest_that_is_stopped_ends_its_requests() -> None:
    server, far = socket.socketpair()
    stopped: list[int] = []
    relay = Relay(far, HEAD, TIMEOUTS, lambda: bool(stopped))
    relay.start()
    with connect(relay) as guest, server:
        guest.sendall(f"GET {relay.path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        assert server.recv(4096)
        stopped.append(1)
        assert relay.over.wait(10)
        assert server.recv(4096) == b"", "the server hears of it"
    assert relay.failed == b"connection-terminated"
