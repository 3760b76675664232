"""Programs from their artefact to their exit status, each in a process of its own."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from shim.engine.config import new_engine
from shim.engine.run import Instance, Program
from shim.errdefs import InvalidArgumentError, UnimplementedError
from shim.outbound.policy import ANNOTATION, policy_of
from shim.wasm.binary import Kind
from tests.support import engine_runs, guests
from tests.support.engine_runs import Ended, run_module


def test_hello(tmp_path: Path) -> None:
    assert run_module(tmp_path, guests.HELLO) == Ended(0, "hello\n", "")


def test_text_format(tmp_path: Path) -> None:
    assert run_module(tmp_path, guests.HELLO.encode()) == Ended(0, "hello\n", "")


@pytest.mark.parametrize(
    ("code", "status"), [(0, 0), (3, 3), (125, 125), (126, 126), (255, 255), (256, 0), (-1, 255)]
)
def test_exit_code_is_the_guests(tmp_path: Path, code: int, status: int) -> None:
    assert run_module(tmp_path, guests.exit_with(code)) == Ended(status, "", "")


def test_trap_tells_reason_and_backtrace(tmp_path: Path) -> None:
    ended = run_module(tmp_path, guests.TRAP)
    assert ended.status == 137
    assert ended.stderr.startswith("tandem: ")
    assert "wasm `unreachable` instruction executed" in ended.stderr
    assert "inner" in ended.stderr
    assert "outer" in ended.stderr
    assert ended.stderr.endswith("\n")


def test_trap_of_a_debug_build_gives_no_advice_that_cannot_be_followed(tmp_path: Path) -> None:
    program = "#include <stdlib.h>\nint main(void) { abort(); }"
    ended = run_module(tmp_path, guests.compile_c(program, "-g"))
    assert ended.status == 137
    assert "abort" in ended.stderr
    assert "WASMTIME" not in ended.stderr


def test_unknown_imports_are_all_named(tmp_path: Path) -> None:
    ended = run_module(tmp_path, guests.UNKNOWN_IMPORTS)
    assert ended.status == 137
    assert "module imports env.foo (func), env.memory (memory), which nobody" in ended.stderr
    assert "sched_yield" not in ended.stderr


def test_import_of_a_wrong_type_is_named(tmp_path: Path) -> None:
    text = (
        guests.exit_with(0).replace("(param i32)", "(param i64)").replace("i32.const", "i64.const")
    )
    ended = run_module(tmp_path, text)
    assert ended.status == 137
    assert "incompatible import type for `wasi_snapshot_preview1::proc_exit`" in ended.stderr


def test_named_function_of_a_reactor(tmp_path: Path) -> None:
    assert run_module(tmp_path, guests.REACTOR, function="go") == Ended(7, "", "")


def test_results_are_dropped(tmp_path: Path) -> None:
    assert run_module(tmp_path, guests.REACTOR, function="answers") == Ended(0, "", "")


@pytest.mark.parametrize(
    ("module", "function", "text"),
    [
        (guests.REACTOR, None, "no function '_start'; it exports _initialize, go, add, answers"),
        (guests.REACTOR, "memory", "no function 'memory'"),
        (guests.REACTOR, "add", "'add' takes 2 parameters"),
        (guests.COMPONENT_OK, "nope", "no function 'nope'; it exports wasi:cli/run@0.2.3, thunk"),
        (guests.COMPONENT_HTTP, None, "no command: it exports wasi:http/incoming-handler@0.2.0"),
        (guests.COMPONENT_UNKNOWN_IMPORT, "thunk", "imports acme:store/data@1.0.0, which nobody"),
        (guests.COMPONENT_UNKNOWN_IMPORT, None, "component is no command: it exports thunk"),
        (guests.COMPONENT_TRAP, None, "wasm `unreachable` instruction executed"),
        (guests.COMPONENT_FUTURE, "thunk", "returns a future or stream"),
    ],
)
def test_failure_is_told_on_stderr(
    tmp_path: Path, module: str, function: str | None, text: str
) -> None:
    ended = run_module(tmp_path, module, function=function)
    assert ended.status == 137
    assert ended.stderr.startswith("tandem: ")
    assert text in ended.stderr


@pytest.mark.parametrize(
    ("module", "function", "status"),
    [
        (guests.COMPONENT_OK, None, 0),
        (guests.COMPONENT_OK, "thunk", 0),
        (guests.COMPONENT_ERR, None, 1),
        (guests.COMPONENT_ERR, "thunk", 0),
        (guests.COMPONENT_EXIT, None, 1),
    ],
)
def test_component_status(tmp_path: Path, module: str, function: str | None, status: int) -> None:
    assert run_module(tmp_path, module, function=function) == Ended(status, "", "")


def test_a_function_of_a_component_that_serves(tmp_path: Path) -> None:
    """By name it is an ordinary function, and nothing interrupts it."""
    head, instance, rest = guests.COMPONENT_HTTP.partition("(instance $handler")
    text = f'{head}(export "thunk" (func $handle)){instance}{rest}'
    assert run_module(tmp_path, text, function="thunk") == Ended(0, "", "")


def test_wasi_0_3_is_refused_by_name(tmp_path: Path) -> None:
    module = engine_runs.write_module(tmp_path, guests.COMPONENT_WASI_0_3)
    with pytest.raises(UnimplementedError, match=r"wasi:cli/environment@0\.3\.0: WASI 0\.3"):
        engine_runs.load(module, engine_runs.new_cache(tmp_path / "cache"))


WORLD = r"""
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
extern char **environ;
int main(int count, char **args) {
  char line[64] = "";
  for (int i = 0; i < count; i++) printf("arg %s\n", args[i]);
  for (char **entry = environ; *entry; entry++) printf("env %s\n", *entry);
  FILE *file = fopen("/etc/motto", "r");
  if (file && fgets(line, sizeof line, file)) printf("file %s\n", line);
  file = fopen("/written", "w");
  if (file) { fputs("by the guest", file); fclose(file); }
  if (fgets(line, sizeof line, stdin)) printf("stdin %s\n", line);
  printf("no newline at the end");
  fflush(stdout);
  fputs("on stderr", stderr);
  return 5;
}
"""


@pytest.mark.root
def test_world_is_the_specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments and variables exactly, files of the root only, and no output is lost."""
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "motto").write_text("two under one yoke")
    artefact = engine_runs.load(
        engine_runs.write_module(tmp_path, guests.compile_c(WORLD)),
        engine_runs.new_cache(tmp_path / "cache"),
    )
    wanted = engine_runs.program(artefact, "one", "two words", env=("A=1", "B=ü=2"))
    stdin = os.dup(0)
    reader, writer = os.pipe()
    try:
        os.write(writer, b"typed")
        os.close(writer)
        os.dup2(reader, 0)
        ended = engine_runs.run(new_engine(), wanted, root)
    finally:
        os.dup2(stdin, 0)
        os.close(stdin)
        os.close(reader)
    lines = ["arg app", "arg one", "arg two words", "env A=1", "env B=ü=2"]
    lines += ["file two under one yoke", "stdin typed", "no newline at the end"]
    assert ended == Ended(5, "\n".join(lines), "on stderr")
    assert (root / "written").read_text() == "by the guest"


PATHS = r"""
#include <stdio.h>
int main(int count, char **args) {
  for (int i = 1; i < count; i++) {
    FILE *file = fopen(args[i], "r");
    printf("%s %s\n", args[i], file ? "ok" : "missing");
  }
}
"""


@pytest.mark.root
def test_paths_begin_at_the_root(tmp_path: Path) -> None:
    """WASI has no working directory: absolute paths are right, relative ones begin at `/`."""
    root = tmp_path / "root"
    (root / "srv").mkdir(parents=True)
    (root / "srv" / "data").touch()
    (root / "top").touch()
    artefact = engine_runs.load(
        engine_runs.write_module(tmp_path, guests.compile_c(PATHS)),
        engine_runs.new_cache(tmp_path / "cache"),
    )
    paths = ("/srv/data", "/top", "data", "srv/data", "/../../etc/passwd")
    wanted = engine_runs.program(artefact, *paths, cwd="/srv")
    ended = engine_runs.run(new_engine(), wanted, root)
    assert [line.split()[1] for line in ended.stdout.splitlines()] == [
        "ok",
        "ok",
        "missing",
        "ok",
        "missing",
    ]


def test_texts_with_nul_are_refused_before_the_guest_runs() -> None:
    wanted = Program(Path("/nothing"), Kind.MODULE, None, ("a\0b",), (), "/")
    with pytest.raises(InvalidArgumentError, match="NUL"):
        Instance.load(new_engine(), wanted)


def test_quickjs(tmp_path: Path) -> None:
    ended = run_module(tmp_path, guests.quickjs_wasm(), "-e", "console.log(6*7)")
    assert ended == Ended(0, "42\n", "")


@pytest.mark.slow
def test_component_fetches_over_http(tmp_path: Path) -> None:
    client = guests.build_http_client_component(tmp_path / "client.wasm")
    artefact = engine_runs.load(client, engine_runs.new_cache(tmp_path / "cache"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/page"
        pid = os.fork()
        if pid == 0:
            connection, _ = server.accept()
            seen = connection.recv(4096)
            body = b"found" if seen.startswith(b"GET /page ") else b"wrong"
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)
            os._exit(0)
        try:
            ended = engine_runs.run(new_engine(), engine_runs.program(artefact, url))
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
    assert ended == Ended(0, "found", "")
    refused = engine_runs.run(new_engine(), engine_runs.program(artefact, "http://127.0.0.1:1/"))
    assert refused.status == 1
    assert "ConnectionRefused" in refused.stderr
    program = replace(
        engine_runs.program(artefact, url), outbound=policy_of({ANNOTATION: ""}, (), "allow")
    )
    denied = engine_runs.run(new_engine(), program)
    assert denied.status == 1
    assert "HttpRequestDenied" in denied.stderr
