"""Commands that import wasi:config and wasi:keyvalue, from their artefact to their exit status."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shim.engine.config import new_engine
from shim.engine.guest import Program
from shim.engine.run import Instance
from shim.stores.options import GuestOptions, SqlitePlace
from tests.support import engine_runs
from tests.support.interface_guests import COUNTING, DRAFT2, keyvalue_imports
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]


def state(folder: Path) -> GuestOptions:
    return GuestOptions(stores=(("state", SqlitePlace(f"{folder}/x.db")),))


def command(body: str = "") -> str:
    return f"""(component {body}
      (core module $m (func (export "run") (result i32) i32.const 0))
      (core instance $i (instantiate $m))
      (func $run (result (result)) (canon lift (core func $i "run")))
      (instance $command (export "run" (func $run)))
      (export "wasi:cli/run@0.2.3" (instance $command)))"""


def load(folder: Path, text: str, options: GuestOptions) -> Program:
    artefact = engine_runs.load(
        engine_runs.write_module(folder, text), engine_runs.new_cache(folder / "cache")
    )
    return Program(artefact.path, artefact.kind, None, ("app",), (), "/", options)


@pytest.mark.parametrize("version", ["0.2.0", "0.2.0-draft3", "0.4.0-draft"])
def test_other_drafts_are_named(tmp_path: Path, version: str) -> None:
    text = command(f'(import "wasi:keyvalue/store@{version}" (instance (export "x" (func))))')
    ended = engine_runs.run(new_engine(), load(tmp_path, text, state(tmp_path)))
    assert ended.status == 137
    assert f"component imports wasi:keyvalue/store@{version}, which nobody provides" in ended.stderr
    assert "drafts of wasi:config and wasi:keyvalue" in ended.stderr


@pytest.mark.parametrize("imports", [True, False])
def test_only_who_imports_stores_pays_for_them(tmp_path: Path, imports: bool) -> None:
    text = command(keyvalue_imports(DRAFT2) if imports else "")
    wanted = load(tmp_path, text, state(tmp_path))
    lines = (
        "import sys, pathlib",
        "from shim.engine.run import Instance, Program",
        "from shim.engine.config import new_engine",
        "from shim.stores.options import GuestOptions, SqlitePlace",
        "from shim.wasm.binary import Kind",
        f"options = GuestOptions(stores=(('s', SqlitePlace('{tmp_path}/x.db')),))",
        f"artefact = pathlib.Path('{wanted.artefact}')",
        "program = Program(artefact, Kind.COMPONENT, None, ('app',), (), '/', options)",
        "instance = Instance.load(new_engine(), program)",
        "instance.prepare()",
        "assert instance.run() == 0",
        f"assert ('sqlite3' in sys.modules) is {imports}",
        "assert 'redis' not in sys.modules",
    )
    command_line = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command_line, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.root
def test_ten_processes_keep_every_increment(tmp_path: Path) -> None:
    """Each is a command in a root of its own, as another user, with one file in common."""
    data = tmp_path / "root" / "data"
    data.mkdir(parents=True)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    for folder in (tmp_path, tmp_path / "root"):
        folder.chmod(0o755)
    data.chmod(0o777)
    options = GuestOptions((("colour", "blue"),), stores=(("state", SqlitePlace("/data/x.db")),))
    wanted = load(tmp_path, COUNTING, options)
    engine = new_engine()

    def instance() -> int:
        made = Instance.load(engine, wanted)
        os.chroot(tmp_path / "root")
        os.chdir("/")
        os.setgid(65534)
        os.setuid(65534)
        made.prepare()
        return made.run()

    pids = [start(instance) for _ in range(10)]
    with contextlib.closing(wait_for_table(data / "x.db")) as file:
        file.execute("INSERT INTO tandem_keyvalue (key, value) VALUES ('end', x'')")
        file.commit()
        statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        found = dict(file.execute("SELECT key, value FROM tandem_keyvalue"))
    assert statuses == [0] * 10
    assert found == {"hits": b"1000", "colour": b"blue", "end": b""}


def start(body: Callable[[], int]) -> int:
    pid = os.fork()
    if pid == 0:
        status = 199
        try:
            status = body()
        finally:
            os._exit(status)
    return pid


def wait_for_table(path: Path) -> sqlite3.Connection:
    """The file, once one of the guests has made its table."""

    def made() -> sqlite3.Connection | None:
        if path.exists():
            file = sqlite3.connect(path, timeout=30)
            with contextlib.suppress(sqlite3.OperationalError):
                file.execute("SELECT 1 FROM tandem_keyvalue")
                return file
            file.close()
        return None

    return wait_for("table of the store", made, 30)
