"""Both launchers, the C one and the Python one, answer the same tests."""

import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import shim
from shim.api import info_pb2, task_pb2
from shim.daemon.request import (
    REQUEST_HEAD_BYTES,
    Answer,
    Request,
    body_bytes,
    decode_request,
    encode_answer,
)
from shim.launcher.install import install
from tests.integration.installed import (
    LAUNCHERS,
    TIMEOUT_S,
    Installed,
    executables,
    installed,
)

pytestmark = pytest.mark.root

C_LAUNCHER, PYTHON_LAUNCHER = LAUNCHERS


@pytest.fixture
def node() -> Iterator[Installed]:
    with installed() as node:
        yield node


@pytest.fixture(params=LAUNCHERS)
def launcher(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("flag", ["-v", "-version"])
def test_launcher_says_its_version(node: Installed, launcher: str, flag: str) -> None:
    done = node.run(launcher, flag)
    assert (done.returncode, done.stderr) == (0, b"")
    assert shim.__version__ in done.stdout.decode()


def test_launcher_says_what_it_is_whatever_comes_in(node: Installed, launcher: str) -> None:
    for stdin in (b"", b"options" * 100_000):
        done = node.run(launcher, "-info", stdin=stdin)
        assert (done.returncode, done.stderr) == (0, b"")
        assert info_pb2.RuntimeInfo.FromString(done.stdout).name == "io.containerd.tandem.v1"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "nothing to do"),
        (("-frobnicate", "start"), "unknown flag -frobnicate"),
        (("-namespace", "n", "-id", "../x", "start"), "-id is missing or malformed"),
        (("-namespace", "n", "-id", "x", "stop"), "unknown action 'stop'"),
    ],
)
def test_launcher_refuses_by_name(
    node: Installed, launcher: str, words: tuple[str, ...], text: str
) -> None:
    done = node.run(launcher, *words)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().startswith("tandem: ")
    assert text in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_launcher_deletes_nothing_as_often_as_it_is_asked(node: Installed, launcher: str) -> None:
    bundle = node.bundle("c")
    for _ in range(2):
        done = node.run(launcher, *node.arguments("c", "delete"), cwd=bundle)
        assert (done.returncode, done.stderr) == (0, b"")
        assert task_pb2.DeleteResponse.FromString(done.stdout).exit_status == 137


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ("{", "config.json is not valid JSON"),
        ("[]", "config.json: the document is not an object"),
        ({"process": {"args": 1}}, "config.json: process.args is not a list"),
    ],
)
def test_launcher_says_what_is_wrong_with_a_bundle(
    node: Installed, launcher: str, document: object, text: str
) -> None:
    bundle = node.bundle("c", document)
    done = node.run(launcher, *node.arguments("c", "start"), cwd=bundle)
    assert (done.returncode, done.stdout) == (1, b"")
    assert text in done.stderr.decode()


def test_launcher_says_what_is_wrong_with_the_configuration(node: Installed, launcher: str) -> None:
    node.home.config.write_text("[caches]")
    done = node.start(launcher, "c")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().endswith("has an unknown key 'caches'\n")


def test_launcher_starts_a_shim_and_is_silent(node: Installed, launcher: str) -> None:
    done = node.start(launcher, "c")
    assert (done.returncode, done.stderr) == (0, b"")
    assert node.connect(done.stdout.decode()) > 1
    assert (node.directory / "c" / "address").read_bytes() == done.stdout


def test_launchers_find_each_others_shims(node: Installed) -> None:
    first = node.start(C_LAUNCHER, "sandbox", group="pod")
    second = node.start(PYTHON_LAUNCHER, "container", group="pod")
    other = node.start(PYTHON_LAUNCHER, "other", group="another pod")
    assert first.stdout == second.stdout != other.stdout
    assert node.connect(first.stdout.decode()) != node.connect(other.stdout.decode())


class FakeDaemon:
    """Takes one launcher's call and answers as a test wants."""

    def __init__(self, node: Installed) -> None:
        self.node = node
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(node.home.socket))
        self.listener.listen()
        self.listener.settimeout(TIMEOUT_S)

    def serve(
        self, process: subprocess.Popen[bytes], stdin: bytes, answer: bytes
    ) -> tuple[Request, bytes, bytes]:
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
        process.stdin = None
        connection, _ = self.listener.accept()
        with connection, connection.makefile("rb") as stream:
            head = stream.read(REQUEST_HEAD_BYTES)
            request = decode_request(head, stream.read(body_bytes(head)))
            connection.sendall(answer)
        self.listener.close()
        out, err = process.communicate(timeout=TIMEOUT_S)
        return request, out, err


@pytest.fixture
def fake(node: Installed) -> Iterator[FakeDaemon]:
    fake = FakeDaemon(node)
    yield fake
    fake.listener.close()
    node.home.socket.unlink()


def spawn(
    node: Installed, launcher: Path | str, *words: str, env: dict[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [node.bin / launcher, *words],
        cwd=node.directory,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize(
    ("action", "stdin"),
    [("start", b"\0opt\xff" * 200), ("-info", b"x" * (1 << 20)), ("start", b"")],
)
def test_launcher_hands_everything_over(
    node: Installed, fake: FakeDaemon, launcher: str, action: str, stdin: bytes
) -> None:
    env = node.env({"ODD": os.fsdecode(b"\xff="), "EMPTY": "", "LONG": "x" * 100_000})
    process = spawn(node, launcher, "-id", "a b", "", action, env=env)
    request, _, _ = fake.serve(process, stdin, encode_answer(Answer()))
    assert request.argv == (str(node.bin / launcher), "-id", "a b", "", action)
    assert request.env_map() == env
    assert (request.cwd, request.stdin) == (str(node.directory), stdin)


def test_launcher_does_not_read_the_stdin_of_delete(
    node: Installed, fake: FakeDaemon, launcher: str
) -> None:
    process = spawn(node, launcher, "delete", env=node.env())
    request, _, _ = fake.serve(process, b"x", encode_answer(Answer()))
    assert request.stdin == b""


@pytest.mark.parametrize(
    "answer", [Answer(0, b"out", b"err"), Answer(77), Answer(1, b"x" * 50_000)]
)
def test_launcher_copies_the_answer(
    node: Installed, fake: FakeDaemon, launcher: str, answer: Answer
) -> None:
    process = spawn(node, launcher, "-v", env=node.env())
    _, out, err = fake.serve(process, b"", encode_answer(answer))
    assert Answer(process.returncode, out, err) == answer


@pytest.mark.parametrize(
    "half",
    [b"", struct.pack("<2I", 0, 5), struct.pack("<3I", 0, 5, 0) + b"unix"],
    ids=["nothing", "half a head", "half a text"],
)
def test_launcher_prints_no_half_answer(
    node: Installed, fake: FakeDaemon, launcher: str, half: bytes
) -> None:
    """It asks again, through a daemon of its own."""
    process = spawn(node, launcher, "-v", env=node.env())
    _, out, err = fake.serve(process, b"", half)
    assert (process.returncode, err) == (0, b"")
    assert out.startswith(b"containerd-shim-tandem-v1:")


# What the C launcher executes where no daemon answers.
_DUMP = """#!/bin/sh
pwd; echo "$0" "$@"; echo "$A"; cat
exit 9
"""


@pytest.mark.parametrize("stdin", [b"", b"opt\0ions" * 10_000])
def test_c_launcher_hands_everything_on_where_no_daemon_answers(
    tmp_path: Path, stdin: bytes
) -> None:
    copy = executables(tmp_path)
    (copy / PYTHON_LAUNCHER).write_text(_DUMP)
    with installed(copy) as node:
        done = node.run(C_LAUNCHER, "-id", "a b", "start", stdin=stdin, env={"A": "value"})
        head = f"{node.directory}\n{copy}/{PYTHON_LAUNCHER} -id a b start\nvalue\n"
    assert (done.returncode, done.stderr) == (9, b"")
    assert done.stdout == head.encode() + stdin


def test_c_launcher_without_a_fallback_says_so(tmp_path: Path) -> None:
    copy = executables(tmp_path)
    (copy / PYTHON_LAUNCHER).unlink()
    with installed(copy) as node:
        done = node.run(C_LAUNCHER, "-v")
    assert (done.returncode, done.stdout) == (1, b"")
    assert f"{copy}/{PYTHON_LAUNCHER} cannot be executed: No such file" in done.stderr.decode()


@pytest.mark.parametrize("daemon", [None, "#!/bin/false\n", "#!/no/such/interpreter\n"])
def test_launcher_does_the_work_itself_where_no_daemon_can_start(
    tmp_path: Path, launcher: str, daemon: str | None
) -> None:
    copy = executables(tmp_path)
    if daemon is None:
        (copy / "tandemd").unlink()
    else:
        (copy / "tandemd").write_text(daemon)
    with installed(copy) as node:
        started = node.start(launcher, "sandbox", group="pod")
        assert (started.returncode, started.stderr) == (0, b"")
        joined = node.start(launcher, "container", group="pod")
        assert joined.stdout == started.stdout
        assert node.connect(started.stdout.decode()) > 1
        assert node.home.daemon_pid is None
        broken = node.run(launcher, *node.arguments("x", "start"), cwd=node.bundle("x", "not json"))
        assert (broken.returncode, broken.stdout) == (1, b"")
        assert broken.stderr.startswith(b"tandem: config.json is not valid JSON")


@pytest.mark.parametrize("path", ["relative.sock", "/" + "x" * 200])
def test_launcher_refuses_a_socket_path_that_is_none(
    node: Installed, launcher: str, path: str
) -> None:
    done = node.run(launcher, "-v", env={"TANDEM_SOCKET": path})
    assert done.returncode == 1
    assert b"TANDEM_SOCKET" in done.stderr


def test_install_makes_a_static_launcher_and_nothing_else(tmp_path: Path) -> None:
    install(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*LAUNCHERS, "tandem", "tandemd"]
    )
    assert (tmp_path / C_LAUNCHER).read_bytes().startswith(b"\x7fELF")
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o777 == 0o755


def test_install_without_a_c_compiler_makes_a_python_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        install(tmp_path)
    assert (tmp_path / C_LAUNCHER).read_bytes().startswith(b"#!")
    with installed(tmp_path) as node:
        done = node.start(C_LAUNCHER, "c")
        assert (done.returncode, done.stderr) == (0, b"")
        assert node.connect(done.stdout.decode()) > 1


def test_install_over_a_running_executable(tmp_path: Path) -> None:
    install(tmp_path)
    with installed(tmp_path) as node:
        assert node.run(C_LAUNCHER, "-v").returncode == 0
        install(tmp_path)
        assert node.run(C_LAUNCHER, "-v").returncode == 0
