"""The limit of instructions: a guest over it ends, and its client and the log hear of it."""

from pathlib import Path

import pytest

from tests.support import cgi_guest, http_guest
from tests.support.http_server import body_of, serving

pytestmark = pytest.mark.root

FUEL = 1_000_000
SAID = f"504: the guest took more than {FUEL} instructions ([http] fuel, annotation http-fuel)"


def test_a_guest_without_end(tmp_path: Path) -> None:
    """Each request has the whole of it."""
    with serving(tmp_path, http_guest.component(), fuel=FUEL, timeout_s=60) as server:
        for _ in range(3):
            assert server.get("/l").startswith(b"HTTP/1.1 504 ")
            assert body_of(server.get("/c")) == b"10"
        assert server.log.count(f"tandem: GET /l: {SAID}") == 3
        server.wait_for_log("wasm trap: all fuel consumed by WebAssembly")


def test_the_time_limit_holds_besides(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component(), fuel=1 << 40, timeout_s=1) as server:
        assert server.get("/l").startswith(b"HTTP/1.1 504 ")
        server.wait_for_log("GET /l: 504: it took longer than 1 s (timeout_s)")
        assert server.get("/t").startswith(b"HTTP/1.1 500 ")
        assert "fuel" not in server.log


def test_the_limit_is_the_same_each_time(tmp_path: Path) -> None:
    """Some number of instructions is enough for an answer, and one less never is."""

    def is_enough(fuel: int) -> bool:
        folder = tmp_path / str(fuel)
        folder.mkdir()
        with serving(folder, http_guest.component(), fuel=2_000) as server:
            answers = {server.get("/a")[:12] for _ in range(5)}
        (answer,) = answers
        assert answer in {b"HTTP/1.1 200", b"HTTP/1.1 504"}
        return answer.endswith(b"200")

    low, high = 1, 1 << 8
    assert is_enough(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    assert 1 < high < 1 << 8


def test_a_body_that_breaks_off(tmp_path: Path) -> None:
    """Of a guest that writes without end, by a limit that lets it begin."""
    with serving(tmp_path, http_guest.component(), fuel=2_000) as server:
        answer = server.get("/b")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n")
        assert not answer.endswith(b"0\r\n\r\n")
        server.wait_for_log("GET /b: answer broken off: the guest took more than 2000 instructions")


def test_a_program(tmp_path: Path) -> None:
    """CGI, as a module."""
    with serving(tmp_path, cgi_guest.program(), cgi="/...", fuel=FUEL) as server:
        assert server.get("/loop").startswith(b"HTTP/1.1 504 ")
        server.wait_for_log(f"tandem: GET /loop: {SAID}")
        assert body_of(server.get("/count")) == b"10\n"
        assert server.get("/trap").startswith(b"HTTP/1.1 500 ")
        assert server.log.count("instructions") == 1
