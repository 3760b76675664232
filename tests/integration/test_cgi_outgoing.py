"""Requests that CGI components make: by the same gate and relay as those that serve."""

import socket
from pathlib import Path

import pytest

from shim.outbound.policy import METADATA, policy_of
from tests.support import cgi_outbound, outbound_guest
from tests.support.http_server import Serving, body_of, serving
from tests.support.upstream import answer, upstream

pytestmark = pytest.mark.root

A = "io.containerd.tandem.v1/allowed-outbound-hosts"
LARGE = 3 << 20


def case(served: Serving) -> str:
    """The error that the guest has met."""
    reply = served.get("/")
    assert reply.startswith(b"HTTP/1.1 502 "), reply
    return outbound_guest.CASES[body_of(reply)[0]]


def test_answers_pass_whole_and_every_request_has_its_own(tmp_path: Path) -> None:
    seen = []

    def handler(connection: socket.socket, head: bytes) -> None:
        seen.append(head.partition(b"\r\n")[0])
        connection.sendall(answer(b"x" * LARGE))

    with (
        upstream(handler) as port,
        serving(tmp_path, cgi_outbound.component(f"127.0.0.1:{port}", "/a?b"), cgi="/...") as one,
    ):
        for _ in range(3):
            assert body_of(one.get("/")) == b"x" * LARGE
        assert one.end() == 0
    assert seen == [b"GET /a?b HTTP/1.1"] * 3


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({}, "destination-IP-prohibited"),
        ({A: "http://other.example"}, "HTTP-request-denied"),
    ],
)
def test_lists_hold(tmp_path: Path, annotations: dict[str, str], expected: str) -> None:
    guest = cgi_outbound.component("169.254.169.254")
    policy = policy_of(annotations, METADATA, "allow")
    with serving(tmp_path, guest, cgi="/...", outbound=policy) as one:
        assert case(one) == expected
        one.wait_for_log("request refused")


def test_guest_that_waits_for_a_server_is_ended(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        guest = cgi_outbound.component(f"127.0.0.1:{silent.getsockname()[1]}")
        with serving(tmp_path, guest, cgi="/...", timeout_s=1) as one:
            assert one.get("/").startswith(b"HTTP/1.1 504 ")
            assert one.end() == 0
