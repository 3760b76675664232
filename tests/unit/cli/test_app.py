import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from shim.cli import app
from shim.errdefs import NotFoundError

ROOT = Path(__file__).parents[3]
SLOW = {"rich", "oras", "requests", "grpc", "wasmtime", "psutil", "google", "asyncio", "structlog"}


def python(code: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("words", [["--help"], ["pack", "--help"], ["nonsense"]])
def test_help_is_quick_since_it_imports_nothing_slow(words: list[str]) -> None:
    code = (
        "import json, sys; from shim.cli.app import main; main(sys.argv[1:] or"
        f" {words!r}); print(json.dumps(sorted(sys.modules)))"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert SLOW & set(json.loads(done.stdout.splitlines()[-1])) == set()


def test_completion_of_a_name_is_quick_and_knows_all() -> None:
    code = (
        "import os, sys; os.environ.update(_TANDEM_COMPLETE='bash_complete', COMP_WORDS='tandem p',"
        " COMP_CWORD='1')\n"
        "import atexit; atexit.register(lambda: print(sorted(sys.modules), file=sys.stderr))\n"
        "from shim.cli.app import main; main([])"
    )
    done = python(code)
    assert {line.split(",")[1] for line in done.stdout.split()} == {"pack", "push", "pull", "ps"}
    assert not any(f"'{name}'" in done.stderr for name in SLOW)


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException | None], int]:
    """Run a command that ends with this."""

    def run(error: BaseException | None) -> int:
        @click.command()
        def command() -> int:
            if error:
                raise error
            return 7

        monkeypatch.setattr(app.group, "get_command", lambda _ctx, _name: command)
        return app.main(["version"])

    return run


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (None, 7, ""),
        (NotFoundError("x is not there"), 1, "tandem: x is not there\n"),
        (OSError(28, "No space left on device"), 1, "tandem: [Errno 28] No space left on device\n"),
        (ValueError("x"), 1, "tandem: a fault of its own, please report it: ValueError('x')\n"),
        (KeyboardInterrupt(), 130, ""),
        (click.UsageError("wrong"), 2, "Error: wrong\n"),
    ],
)
def test_end_of_a_command(
    fails: Callable[[BaseException | None], int],
    capfd: pytest.CaptureFixture[str],
    error: BaseException | None,
    status: int,
    text: str,
) -> None:
    assert fails(error) == status
    assert text in capfd.readouterr().err


def test_reader_that_leaves_is_no_fault() -> None:
    argv = [sys.executable, "-c", "import sys; from shim.cli.app import main; sys.exit(main())"]
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [*argv, "version"], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(write)
    assert done.returncode == 1
    assert done.stderr == b""
