"""CGI: a real program in C, one instance per request, through sockets."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import cgi_guest, guests, http_guest
from tests.support.http_server import Serving, body_of, read_all, read_until, serving

pytestmark = pytest.mark.root

POST = b"POST /app/echo HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One server for tests that leave it as it was."""
    with serving(
        tmp_path_factory.mktemp("cgi"),
        cgi_guest.program(),
        cgi="/app/...",
        args=("own",),
        env=("OWN=yes", "HTTP_OWN=ours"),
        timeout_s=2,
        memory_bytes=8 << 20,
        max_response_bytes=9 << 20,
    ) as one:
        yield one
        assert body_of(one.get("/app/count")) == b"10\n", "the next request is served"
        assert one.end() == 0


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def variables_of(answer: bytes) -> dict[str, str]:
    lines = body_of(answer).decode().splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def test_the_environment(server: Serving) -> None:
    found = variables_of(
        server.get("/app/env?a=1&b", "X-One: 1", "x-one: 2", "Proxy: evil", "Own: evil")
    )
    assert found["REQUEST_METHOD"] == "GET"
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/app", "/env")
    assert found["QUERY_STRING"] == "a=1&b"
    assert found["REMOTE_ADDR"] == "127.0.0.1"
    assert found["SERVER_PORT"] == str(server.port)
    assert found["X_FULL_URL"] == "http://test/app/env?a=1&b"
    assert found["HTTP_X_ONE"] == "1, 2"
    assert (found["OWN"], found["HTTP_OWN"]) == ("yes", "ours")
    assert "HTTP_PROXY" not in found


def test_arguments(server: Serving) -> None:
    assert body_of(server.get("/app/args?a=1&-c&b")) == b"/app\nown\na=1\nb\n"


def test_every_request_has_an_instance_of_its_own(server: Serving) -> None:
    for _ in range(10):
        assert body_of(server.get("/app/count")) == b"10\n"


def test_other_paths(server: Serving) -> None:
    assert status_of(server.get("/other")) == 404
    assert status_of(server.get("/app/a%00b")) == 400
    body = b"POST /other HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc"
    assert status_of(server.ask(body)) == 404


def test_a_path_that_climbs_is_a_text(server: Serving) -> None:
    answer = server.get("/app/../../etc/%2e%2e/passwd")
    assert body_of(answer) == b"path /../../etc/../passwd\n"


def test_a_large_body_both_ways(server: Serving) -> None:
    body = os.urandom(8 << 20)
    with server.connect() as connection:
        sending = threading.Thread(target=connection.sendall, args=(POST % len(body) + body,))
        sending.start()
        answer = read_all(connection)
        sending.join()
    assert status_of(answer) == 200
    assert body_of(answer) == body


def test_a_chunked_body(server: Serving) -> None:
    answer = server.ask(
        b"POST /app/echo HTTP/1.1\r\nhost: h\r\nconnection: close\r\n"
        b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert body_of(answer) == b"abcde"


def test_a_client_that_waits_to_be_told(server: Serving) -> None:
    with server.connect() as connection:
        connection.sendall(
            b"POST /app/echo HTTP/1.1\r\nhost: h\r\nconnection: close\r\n"
            b"content-length: 3\r\nexpect: 100-continue\r\n\r\n"
        )
        begun = read_until(connection, b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(b"abc")
        answer = begun.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n") + read_all(connection)
        assert body_of(answer) == b"abc"


def begin(connection: socket.socket, path: str) -> None:
    """Ask for something that waits for the body in the middle of its answer."""
    head = f"POST {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 1\r\n\r\n"
    connection.sendall(head.encode())
    read_until(connection, b"first\n")


def test_the_first_byte_leaves_before_the_last_is_there(server: Serving) -> None:
    with server.connect() as connection:
        begin(connection, "/app/stream")
        connection.sendall(b"x")
        assert read_all(connection).endswith(b"last\n\r\n0\r\n\r\n")


def test_more_than_a_pipe_holds(server: Serving) -> None:
    lines = body_of(server.get("/app/large")).splitlines()
    assert lines == [b"line %057d" % number for number in range(131072)]


def test_status_header_and_duplicates(server: Serving) -> None:
    header = "Status:%20201%20Made%0aSet-Cookie:%20a%0aX-B:%201%0d%0aSet-Cookie:%20b%0a%0abody"
    answer = server.get(f"/app/query?{header}")
    assert answer.startswith(
        b"HTTP/1.1 201 Created\r\nset-cookie: a\r\nx-b: 1\r\nset-cookie: b\r\ncontent-length: 4\r\n"
    )
    assert body_of(answer) == b"body"


def test_redirects(server: Serving) -> None:
    answer = server.get("/app/query?Location:%20/there%0a%0a")
    assert answer.startswith(b"HTTP/1.1 302 Found\r\nlocation: /there\r\n")
    answer = server.get("/app/query?Location:%20/there%0aStatus:%20307%0a%0a")
    assert status_of(answer) == 307


def test_head(server: Serving) -> None:
    answer = server.ask(b"HEAD /app/count HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
    assert status_of(answer) == 200
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/query?hello", 500, "500: the program ended before its header was whole"),
        ("/query", 500, "500: the program ended before its header was whole"),
        ("/query?hello%0a%0a", 500, "500: the program's header has the line 'hello' without"),
        ("/query?X-A:%201%0a%0a", 500, "500: the program's header has neither Content-Type nor"),
        ("/query?Status:%20x%0a%0a", 500, "500: the program's header has the status 'x'"),
        ("/query?X:%20a%0dSet-Cookie:%20b%0a%0a", 500, "500: the program's header has the bad"),
        ("/header", 500, "500: the program's header is larger than 65536 bytes"),
        ("/exit?3", 500, "the program ended with exit status 3"),
        ("/exit?200", 500, "exit with invalid exit status outside of [0..126)"),
        ("/trap", 500, "error while executing at wasm backtrace"),
        ("/loop", 504, "504: it took longer than 2 s (timeout_s)"),
        ("/sleep", 504, "504: it took longer than 2 s (timeout_s)"),
    ],
)
def test_programs_that_fail(server: Serving, path: str, status: int, said: str) -> None:
    answer = server.get(f"/app{path}")
    assert status_of(answer) == status
    assert body_of(answer).startswith(str(status).encode())
    server.wait_for_log(said)


def test_exit_0_is_no_failure(server: Serving) -> None:
    assert status_of(server.get("/app/exit?0")) == 200


def test_memory_has_a_limit(server: Serving) -> None:
    assert status_of(server.get("/app/memory")) == 507


def test_a_failure_in_the_middle_breaks_the_answer_off(server: Serving) -> None:
    with server.connect() as connection:
        begin(connection, "/app/late-exit")
        connection.sendall(b"x")
        assert not read_all(connection).endswith(b"0\r\n\r\n")
    server.wait_for_log("answer broken off: the program failed before the end of its answer")


def test_an_answer_without_end(server: Serving) -> None:
    answer = server.get("/app/endless")
    assert status_of(answer) == 200
    assert not answer.endswith(b"0\r\n\r\n")
    server.wait_for_log("answer broken off: the answer is larger than 9437184 bytes")


def test_errors_are_printed_to_the_log(server: Serving) -> None:
    assert body_of(server.get("/app/printed")) == b"path /printed\n"
    server.wait_for_log("\nasked for /printed\n")


def test_a_program_that_closes_its_output(server: Serving) -> None:
    """While it goes on, nobody spins."""
    before = sum(map(int, Path(f"/proc/{server.pid}/stat").read_text().split()[13:15]))
    assert body_of(server.get("/app/close")) == b"all\n"
    after = sum(map(int, Path(f"/proc/{server.pid}/stat").read_text().split()[13:15]))
    assert after - before < os.sysconf("SC_CLK_TCK") * 0.7


def test_fifty_connections(server: Serving) -> None:
    wrong: list[str] = []

    def client(number: int) -> None:
        for count in range(10):
            body = os.urandom(100 + 37 * number)
            if body_of(server.ask(POST % len(body) + body)) != body:
                wrong.append(f"{number}.{count}")

    threads = [threading.Thread(target=client, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_function_by_its_name(tmp_path: Path) -> None:
    with serving(tmp_path, cgi_guest.program(), cgi="/...", function="other") as one:
        assert body_of(one.get("/")) == b"other\n"


@pytest.mark.parametrize(
    ("module", "function", "said"),
    [
        (guests.UNKNOWN_IMPORTS, None, "module imports env.foo, env.memory, which nobody provides"),
        (guests.REACTOR, None, "module exports no function '_start'; it exports _initialize, go"),
        (guests.REACTOR, "add", "function 'add' has parameters or results"),
        (guests.COMPONENT_UNKNOWN_IMPORT, None, "exports wasi:cli/run@0.2.x"),
        (guests.COMPONENT_OK, "thunk", "is started by it alone"),
    ],
)
def test_what_is_no_program(tmp_path: Path, module: str, function: str | None, said: str) -> None:
    with serving(tmp_path, module, cgi="/...", function=function) as one:
        assert one.status == 137
        assert said in one.log


@pytest.mark.parametrize(
    ("component", "said"),
    [
        (guests.COMPONENT_OK, "500: the program ended before its header was whole"),
        (guests.COMPONENT_ERR, "the program failed: its run returned an error"),
        (guests.COMPONENT_EXIT, "the program ended with exit status 1"),
        (guests.COMPONENT_TRAP, "wasm trap: wasm `unreachable` instruction executed"),
    ],
)
def test_components_that_say_nothing(tmp_path: Path, component: str, said: str) -> None:
    with serving(tmp_path, component, cgi="/...") as one:
        assert status_of(one.get("/")) == 500
        one.wait_for_log(said)


def test_a_component(tmp_path: Path) -> None:
    with serving(tmp_path, cgi_guest.component(), cgi="/...") as one:
        for _ in range(3):
            assert body_of(one.get("/")) == b"hello\n"


@pytest.mark.parametrize("end", ["i32.const 1", "unreachable", "(loop $l (br $l)) i32.const 0"])
def test_a_component_that_fails_when_it_has_answered(tmp_path: Path, end: str) -> None:
    """Its answer is an error, or where its header has left already, not whole."""
    with serving(tmp_path, cgi_guest.component(end), cgi="/...", timeout_s=1) as one:
        answer = one.get("/")
        cut_short = b"transfer-encoding: chunked" in answer and not answer.endswith(b"0\r\n\r\n")
        assert status_of(answer) == 500 or cut_short


def test_what_no_program_gets(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component(), cgi="/...") as one:
        assert one.status == 137
        assert "a component that is a CGI program exports wasi:cli/run@0.2.x" in one.log
