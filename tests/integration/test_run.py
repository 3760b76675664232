"""`tandem run` of modules, with a daemon of the test's own: what a guest gets, and how it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.installed import TIMEOUT_S, Installed, installed
from tests.support import guests, leaks
from tests.support.outbound_command import Wanted, component
from tests.support.upstream import answer, upstream

pytestmark = pytest.mark.root

# Says what it was given, copies stdin, exits with the number of its arguments.
ECHO = r"""
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
  for (int i = 0; i < argc; i++) printf("%s|", argv[i]);
  const char *names[] = {"A", "B", "PATH"};
  for (int i = 0; i < 3; i++) printf("%s=%s|", names[i], getenv(names[i]) ? getenv(names[i]) : "");
  for (int c; (c = getchar()) != EOF;) putchar(c);
  fprintf(stderr, "told");
  return argc;
}
"""
# Writes as many MiB as it is told to.
WRITE = r"""
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static char block[1 << 20];
int main(int argc, char **argv) {
  memset(block, 'x', sizeof block);
  for (int i = 0; i < atoi(argv[1]); i++)
    for (size_t at = 0; at < sizeof block;) {
      ssize_t n = write(1, block + at, sizeof block - at);
      if (n < 0) return 9;
      at += n;
    }
  return 0;
}
"""
HOG = r"""
#include <stdlib.h>
#include <string.h>
int main(void) {
  for (;;) { char *volatile p = malloc(1 << 20); if (!p) return 9; memset(p, 1, 1 << 20); }
}
"""


@pytest.fixture(scope="module")
def node() -> Iterator[Installed]:
    with installed() as node:
        leaks.allow_reserve(node.home.socket)
        node.run("tandem", "run", str(node.directory / "none"))
        yield node


def tandem_run(
    node: Installed, *words: str | Path, stdin: bytes = b"", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return node.run("tandem", "run", *map(str, words), stdin=stdin, env=env)


def module(directory: Path, text: str, name: str = "m.wasm") -> Path:
    path = directory / name
    path.write_bytes(text.encode() if name.endswith(".wat") else guests.binary(text))
    return path


@pytest.mark.parametrize("code", [0, 1, 77, 125, 126, 255])
def test_exit_status_is_the_guests(node: Installed, tmp_path: Path, code: int) -> None:
    done = tandem_run(node, module(tmp_path, guests.exit_with(code)))
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


def test_arguments_variables_and_streams(node: Installed) -> None:
    echo = guests.compile_c(ECHO)
    words: list[str | Path] = ["-e", "A=1=2", "--env=B", echo, "--env", "-x", "", "ä"]
    done = tandem_run(node, *words, stdin=b"in\0put", env={"B": "mine", "A": "not this"})
    said = f"{echo.name}|--env|-x||ä|A=1=2|B=mine|PATH=|".encode()
    assert (done.returncode, done.stdout, done.stderr) == (5, said + b"in\0put", b"told")


def test_variable_that_the_caller_has_not_is_left_out(node: Installed) -> None:
    done = tandem_run(node, "--env", "B", guests.compile_c(ECHO))
    assert b"|B=|" in done.stdout


@pytest.mark.parametrize("name", ["hello.wat", "hello", "ä b#c.wasm"])
def test_a_file_is_what_it_holds(node: Installed, tmp_path: Path, name: str) -> None:
    done = tandem_run(node, module(tmp_path, guests.HELLO, name))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hello\n", b"")


@pytest.mark.parametrize(("text", "status"), [(guests.COMPONENT_OK, 0), (guests.COMPONENT_ERR, 1)])
def test_component(node: Installed, tmp_path: Path, text: str, status: int) -> None:
    done = tandem_run(node, module(tmp_path, text))
    assert (done.returncode, done.stderr) == (status, b"")


def test_requests_go_where_they_may(node: Installed, tmp_path: Path) -> None:
    with upstream(lambda connection, _: connection.sendall(answer(b"ok"))) as port:
        done = tandem_run(node, module(tmp_path, component(Wanted(f"127.0.0.1:{port}"))))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"ok", b"")
    done = tandem_run(node, module(tmp_path, component(Wanted("169.254.169.254"))))
    assert done.returncode == 1
    assert b"destination-IP-prohibited: 169.254.169.254 is at 169.254.169.254, whi" in done.stderr


def test_function_of_a_module(node: Installed, tmp_path: Path) -> None:
    path = module(tmp_path, guests.REACTOR)
    assert tandem_run(node, f"{path}#go").returncode == 7
    done = tandem_run(node, f"{path}#gone")
    assert done.returncode == 137
    assert b"exports no function 'gone'" in done.stderr


def test_relative_path_is_from_where_the_caller_stands(node: Installed, tmp_path: Path) -> None:
    module(tmp_path, guests.HELLO)
    done = node.run("tandem", "run", "./m.wasm", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"hello\n")


@pytest.mark.parametrize(
    ("text", "function", "said"),
    [
        (guests.TRAP, "", [b"unreachable", b"inner"]),
        (guests.UNKNOWN_IMPORTS, "", [b"env.foo (func)", b"which nobody provides"]),
        (guests.COMPONENT_TRAP, "", [b"unreachable"]),
        (guests.COMPONENT_UNKNOWN_IMPORT, "#thunk", [b"acme:store/data@1.0.0"]),
    ],
)
def test_guest_that_fails_says_why(
    node: Installed, tmp_path: Path, text: str, function: str, said: list[bytes]
) -> None:
    done = tandem_run(node, f"{module(tmp_path, text)}{function}")
    assert done.returncode == 137
    assert done.stdout == b""
    assert [part for part in said if part not in done.stderr] == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"hello world", "is not Wasm: it begins with 68 65 6c"),
        (b"\x7fELF\x02\x01\x01", "is a Linux program: `tandem run` runs Wasm"),
        (b"#!/bin/sh\n", "is a script for Linux"),
        (b"\0asm\1\0\0\0garbage", "wasmtime refuses the module"),
        (b"(module (func (export", "wasmtime refuses the module"),
    ],
)
def test_file_that_is_none_is_refused(
    node: Installed, tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "app"
    path.write_bytes(content)
    done = tandem_run(node, path)
    assert (done.returncode, done.stdout) == (125, b"")
    text = done.stderr.decode()
    assert text.startswith("tandem: ")
    assert str(path) in text
    assert said in text


def test_what_is_not_there_is_named(node: Installed, tmp_path: Path) -> None:
    done = tandem_run(node, tmp_path / "none.wasm")
    assert done.returncode == 1
    assert b"none.wasm: no such file or directory" in done.stderr
    assert tandem_run(node, "/dev/null").stderr.endswith(b"is neither a file nor a directory\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Missing argument 'MODULE"),
        (("--", ""), "nothing to run"),
        (("--what", "x"), "No such option '--what'"),
        (("--memory", "much", "x"), "--memory 'much' is no size"),
        (("--timeout=0", "x"), "--timeout '0' is no time"),
        (("--dir", "a:b", "x"), "HOST[:GUEST[:ro]]"),
        (("-e", "=1", "x"), "names no variable"),
        (("--user", "root", "x"), "is not UID[:GID]"),
        (("x", "--memory"), "x: no such file"),
    ],
)
def test_wrong_command_lines(node: Installed, words: tuple[str, ...], said: str) -> None:
    done = tandem_run(node, *words)
    assert done.returncode == (1 if words[:1] == ("x",) else 2)
    assert said in done.stderr.decode()
    assert done.stdout == b""


def test_help(node: Installed) -> None:
    done = tandem_run(node, "--help")
    assert (done.returncode, done.stderr) == (0, b"")
    for text in (b"--memory", b"HOST[:GUEST[:ro]]", b"124 when its time was over"):
        assert text in done.stdout


def test_memory_limit(node: Installed) -> None:
    done = tandem_run(node, "--memory", "64Mi", guests.compile_c(HOG))
    assert done.returncode == 137
    assert b"more memory than 67108864 bytes (--memory)" in done.stderr


def test_timeout(node: Installed, tmp_path: Path) -> None:
    done = tandem_run(node, "--timeout", "300ms", module(tmp_path, guests.LOOP))
    assert done.returncode == 124
    assert done.stderr == b"tandem: the guest was killed after 0.3 s (--timeout)\n"
    assert tandem_run(node, "--timeout", "1h", module(tmp_path, guests.HELLO)).returncode == 0


def test_much_output_through_a_pipe(node: Installed) -> None:
    done = tandem_run(node, guests.compile_c(WRITE), "64")
    assert (done.returncode, len(done.stdout)) == (0, 64 << 20)
    assert done.stdout.count(b"x") == 64 << 20


def test_output_that_nobody_reads(node: Installed) -> None:
    process = subprocess.Popen(
        [node.bin / "tandem", "run", guests.compile_c(WRITE), "64"],
        env=node.env(),
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    assert process.stdout
    assert process.stdout.read(1) == b"x"
    process.stdout.close()
    # As for any program that ignores SIGPIPE: the guest's write fails.
    assert process.wait(TIMEOUT_S) == 9


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_streams_are_none_of_the_guests(
    node: Installed, tmp_path: Path, closed: tuple[int, ...]
) -> None:
    redirections = " ".join(f"{fd}>&-" for fd in closed)
    path = module(tmp_path, guests.exit_with(5))
    command = f"exec '{node.bin}/tandem' run '{path}' {redirections}"
    done = subprocess.run(["sh", "-c", command], env=node.env(), check=False, timeout=TIMEOUT_S)
    assert done.returncode == 5


def test_twenty_at_once(node: Installed) -> None:
    echo = guests.compile_c(ECHO)
    processes = [
        subprocess.Popen(
            [node.bin / "tandem", "run", echo, str(number)],
            env=node.env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(20)
    ]
    for number, process in enumerate(processes):
        out, err = process.communicate(timeout=TIMEOUT_S)
        assert (process.returncode, err) == (2, b"told")
        assert out.startswith(f"{echo.name}|{number}|".encode())


def test_users_files_and_mask(node: Installed, tmp_path: Path) -> None:
    make = guests.compile_c('#include <stdio.h>\nint main(void) { return !fopen("/d/f", "w"); }')
    (tmp_path / "d").mkdir(mode=0o777)
    os.chown(tmp_path / "d", 1234, 5678)
    words: list[str | Path] = [
        node.bin / "tandem",
        "run",
        "--user",
        "1234:5678",
        "--dir",
        f"{tmp_path}/d:/d",
        make,
    ]
    done = subprocess.run(words, env=node.env(), check=False, timeout=TIMEOUT_S, umask=0o077)
    assert done.returncode == 0
    status = (tmp_path / "d" / "f").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (1234, 5678, 0o600)


def test_without_root_it_says_what_it_needs(node: Installed, tmp_path: Path) -> None:
    path = module(tmp_path, guests.HELLO)
    code = "import os, sys; from shim.cli.run import command\n"
    code += "os.geteuid = lambda: 65534\n"
    code += "sys.exit(command.main(sys.argv[1:], standalone_mode=False))"
    for words, status, said in (([path], 125, b"run needs root"), (["--help"], 0, b"")):
        argv = [sys.executable, "-c", code, *words]
        done = subprocess.run(argv, env=node.env(), capture_output=True, check=False)
        assert (done.returncode, said in done.stderr) == (status, True)


def test_signal_that_no_shell_has_a_name_for_ends_the_guest(
    node: Installed, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [node.bin / "tandem", "run", module(tmp_path, guests.LOOP)], env=node.env()
    )
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(TIMEOUT_S) == 128 + signal.SIGUSR1
