"""The pod shim's side of a loader, in a fresh process: pytest has a thread, a forker has not."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

_HEAD = """
import asyncio, os, signal, sys, time
from pathlib import Path
import shim.pod.loading as loading
from shim.aot.cache import Cache
from shim.aot.limits import CompileLimits
from shim.aot.source import FileSource
from shim.engine.config import compatibility_key
from shim.pod import logs
from shim.process.reaper import Reaper

logs.configure()

MODULE = bytes([0, 97, 115, 109, 1, 0, 0, 0])

async def load(content, timeout_s=20.0):
    path = Path(sys.argv[1], "module")
    path.write_bytes(content)
    cache = Cache(Path(sys.argv[1], "cache"), 1 << 30, compatibility_key())
    reaper = Reaper()
    loop = asyncio.get_running_loop()
    reaper.install(loop)
    fd = os.open(path, os.O_RDONLY)
    before = len(os.listdir("/proc/self/fd"))
    limits = CompileLimits(4 << 30, timeout_s, wait_s=timeout_s)
    try:
        loaded = await loading.load_artefact(FileSource(fd, "image"), cache, limits, reaper)
        artefact = loaded.artefact
        print("artefact", artefact.kind, artefact.path.exists())
    except Exception as error:
        print(type(error).__name__, error)
    await asyncio.sleep(0.05)
    print(len(os.listdir("/proc/self/fd")) - before, "fds", end=" ")
    try:
        os.waitpid(-1, os.WNOHANG)
        print("a child")
    except ChildProcessError:
        print("no child")
    os.close(fd)
"""


def play(tmp_path: Path, body: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _HEAD + body, tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *said, left = done.stdout.splitlines()
    assert left == "0 fds no child"
    return said


def test_loading_of_a_module_compiles_it(tmp_path: Path) -> None:
    assert play(tmp_path, "asyncio.run(load(MODULE))") == ["artefact module True"]


def test_loading_again_forks_nobody(tmp_path: Path) -> None:
    (tmp_path / "module").write_bytes(b"\0asm\1\0\0\0")
    # A file that was changed just now is not remembered: it might change again unnoticed.
    time.sleep(2.1)
    body = (
        "Path.write_bytes = lambda *_: None\n"
        "asyncio.run(load(MODULE))\n"
        "loading.fork = None\n"
        "asyncio.run(load(MODULE))\n"
    )
    said = play(tmp_path, body)
    assert [line for line in said if "fds" not in line] == ["artefact module True"] * 2


def test_loading_of_nonsense_is_the_modules_error(tmp_path: Path) -> None:
    said = play(tmp_path, "asyncio.run(load(MODULE + b'nonsense'))")
    assert said[0].startswith("InvalidArgumentError ")


@pytest.mark.parametrize(
    ("loader", "expected"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "UnavailableError"),
        ("os._exit(3)", "InternalError"),
        ("os.write(a[3], b'not a report'); os._exit(0)", "InternalError"),
        ("time.sleep(100)", "DeadlineExceededError"),
        ("os.close(a[3]); time.sleep(100)", "DeadlineExceededError"),
    ],
)
def test_loading_outlives_its_loader(tmp_path: Path, loader: str, expected: str) -> None:
    body = (
        f"def run_loader(*a):\n    {loader}\n"
        "loading.run_loader = run_loader\n"
        "asyncio.run(load(MODULE, 0.2))\n"
    )
    (said,) = play(tmp_path, body)
    assert said.split()[0] == expected


def test_loading_where_no_process_can_be_made_leaks_nothing(tmp_path: Path) -> None:
    body = (
        "def fork():\n    raise BlockingIOError(11, 'Resource temporarily unavailable')\n"
        "loading.fork = fork\n"
        "asyncio.run(load(MODULE))\n"
    )
    (said,) = play(tmp_path, body)
    assert said.startswith("BlockingIOError")
