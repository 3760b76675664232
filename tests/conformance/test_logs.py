"""Log URIs in stdout's place: `file://`, and `binary://` with a logger of ours."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.workloads import Workload
from tests.support.leaks import wait_until
from tests.support.shim_process import NAMESPACE, ShimManager, mounted_below
from tests.support.shim_task import Task
from tests.support.ttrpc_client import RpcError

SOURCE = Path(__file__).with_name("logger.py")


class Logger:
    """The directory of one logger, and the URI that starts it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.binary = Path(shutil.copy2(SOURCE, directory / "logger"))
        self.uri = f"binary://{self.binary}?dir={directory}"

    def file(self, name: str) -> Path:
        return self.directory / name

    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.file("start.json").read_text())
        return told

    def wrote(self, name: str, data: bytes) -> bool:
        return wait_until(lambda: self.file(name).exists() and self.file(name).read_bytes() == data)


@pytest.fixture
def logger(manager: ShimManager) -> Logger:
    return Logger(manager.directory / "logger")


def created(manager: ShimManager, args: list[str], uri: str, **bundle: Any) -> Task:
    """Create a task as nerdctl does: the URI is the name of both streams."""
    task = manager.start_task(manager.bundle(args, **bundle))
    task.create(stdout=uri, stderr="" if task.bundle.terminal else uri)
    return task


def test_file_is_made_with_its_directory(manager: ShimManager, workload: Workload) -> None:
    path = manager.directory / "made/for/it/out.log"
    task = created(manager, workload.say("out", "err"), f"file://{path}")
    assert path.exists()
    task.start()
    task.wait()
    assert wait_until(lambda: path.read_bytes() in {b"outerr", b"errout"})
    assert (task.state().stdout, task.state().stderr) == (f"file://{path}", f"file://{path}")
    again = created(manager, workload.say("more", ""), f"file://{path}")
    again.start()
    again.wait()
    assert wait_until(lambda: path.read_bytes()[6:] == b"more")


def test_file_behind_a_terminal(manager: ShimManager, workload: Workload) -> None:
    path = manager.directory / "tty.log"
    task = created(manager, workload.say("out", "err"), f"file://{path}", terminal=True)
    task.start()
    assert task.wait().exit_status == 0
    task.delete()
    assert path.read_bytes() == b"outerr"


def test_unknown_scheme_fails_create(manager: ShimManager, workload: Workload) -> None:
    task = manager.start_task(manager.bundle(workload.exit(0)))
    with pytest.raises(RpcError, match="carrier"):
        task.create(stdout="carrier-pigeon:///tmp", stderr="carrier-pigeon:///tmp")
    assert mounted_below(manager.directory) == []
    task.create()


def test_logger_gets_both_streams(manager: ShimManager, logger: Logger, workload: Workload) -> None:
    task = created(manager, workload.say("out", "err"), logger.uri)
    assert task.state().stdout == logger.uri
    task.start()
    assert task.wait().exit_status == 0
    assert logger.wrote("out", b"out")
    assert logger.wrote("err", b"err")
    task.delete()


def test_logger_gets_a_large_output_whole(
    manager: ShimManager, logger: Logger, workload: Workload
) -> None:
    task = created(manager, workload.flood(1024), logger.uri)
    task.start()
    assert task.wait(timeout_s=30).exit_status == 0
    task.delete()
    assert wait_until(lambda: logger.file("out").stat().st_size == 1 << 20)


def test_logger_is_given_what_the_protocol_says(
    manager: ShimManager, logger: Logger, workload: Workload
) -> None:
    task = created(manager, workload.exit(0), logger.uri)
    told = logger.told()
    assert told["argv"] == [str(logger.binary), "dir", str(logger.directory)]
    # Python adds LC_CTYPE to an environment without a locale.
    told["env"].pop("LC_CTYPE", None)
    assert told["env"] == {"CONTAINER_ID": task.id, "CONTAINER_NAMESPACE": NAMESPACE}
    assert told["fds"] == [0, 1, 2, 3, 4, 5]


def test_logger_hears_sigterm_at_the_end(
    manager: ShimManager, logger: Logger, workload: Workload
) -> None:
    logger.file("stays").touch()
    task = created(manager, workload.say("out", ""), logger.uri)
    task.start()
    task.wait()
    assert logger.wrote("out", b"out")
    task.delete()
    assert wait_until(lambda: logger.file("ended").exists())


def test_create_waits_for_a_late_logger(
    manager: ShimManager, logger: Logger, workload: Workload
) -> None:
    logger.file("late").touch()
    task = manager.start_task(manager.bundle(workload.exit(0)))
    stream_id = task.begin_create(stdout=logger.uri, stderr=logger.uri)
    assert not task.client.answered(stream_id, within_s=0.3)
    logger.file("late").unlink()
    assert task.client.answered(stream_id, within_s=10)
    task.start()
    assert task.wait().exit_status == 0


def test_late_logger_holds_up_no_other_container(
    manager: ShimManager, logger: Logger, workload: Workload
) -> None:
    group = manager.new_id()
    logger.file("late").touch()
    late = manager.start_task(manager.bundle(workload.exit(0), group=group))
    stream_id = late.begin_create(stdout=logger.uri, stderr=logger.uri)
    task = manager.running(manager.bundle(workload.exit(6), group=group))
    assert task.wait().exit_status == 6
    assert not late.client.answered(stream_id)
    logger.file("late").unlink()
    assert late.client.answered(stream_id, within_s=10)


def test_logger_that_ends_early_harms_nobody(
    manager: ShimManager, logger: Logger, workload: Workload
) -> None:
    logger.file("broken").touch()
    task = manager.start_task(manager.bundle(workload.say("out", "err")))
    try:
        task.create(stdout=logger.uri, stderr=logger.uri)
    except RpcError:
        task.create()
    task.start()
    task.wait()


def test_missing_logger_fails_create_and_is_named(manager: ShimManager, workload: Workload) -> None:
    task = manager.start_task(manager.bundle(workload.exit(0)))
    uri = f"binary://{manager.directory}/no-logger?a=b"
    with pytest.raises(RpcError, match="no-logger"):
        task.create(stdout=uri, stderr=uri)
    assert mounted_below(manager.directory) == []
    task.create()


def test_logger_behind_a_terminal(manager: ShimManager, logger: Logger, workload: Workload) -> None:
    task = created(manager, workload.say("out", "err"), logger.uri, terminal=True)
    task.start()
    assert task.wait().exit_status == 0
    task.delete()
    assert logger.wrote("out", b"outerr")


def test_logger_of_an_exec(manager: ShimManager, logger: Logger, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.sleep()))
    process = task.exec(workload.exit(0))
    process.delete()
    spec = task.bundle.spec["process"] | {"args": workload.say("out", "err")}
    process.register(spec, stdout=logger.uri, stderr=logger.uri)
    process.start()
    assert process.wait().exit_status == 0
    assert logger.wrote("out", b"out")
    assert logger.wrote("err", b"err")
    process.delete()


def test_stdin_beside_a_logger(manager: ShimManager, logger: Logger, workload: Workload) -> None:
    task = created(manager, workload.cat(), logger.uri, stdin=True)
    task.start()
    task.bundle.input.open()
    task.bundle.input.write(b"typed")
    assert logger.wrote("out", b"typed")
    task.bundle.input.close()
    task.close_io()
    assert task.wait().exit_status == 0
