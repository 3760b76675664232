"""Run `guests/attacker.c`, a hostile guest, through the real shim, and learn how far it got."""

import re
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.support.bundle import Bundle
from tests.support.shim_process import ShimManager
from tests.support.shim_task import Task

SOURCE = Path(__file__).parent / "guests" / "attacker.c"
REFUSED = "refused"
UP = "../" * 30
_ERRNO = re.compile(r"E[A-Z]+")


def attacker(manager: ShimManager, operations: Iterable[str], **fields: Any) -> Bundle:
    """A bundle of the attacker; `mounts` are added to the spec's, other fields replace them."""
    bundle = manager.bundle(["/attacker.wasm", *operations], group=fields.pop("group", ""))
    bundle.spec["mounts"] += fields.pop("mounts", [])
    bundle.spec["process"] |= fields.pop("process", {})
    bundle.spec |= fields
    bundle.write_spec()
    return bundle


def image_of(manager: ShimManager, bundle: Bundle) -> Path:
    """Where to change the image of one container, before it is made."""
    return manager.directory / "snapshots" / bundle.container_id / "upper"


def bind(source: Path, destination: str, *options: str) -> dict[str, Any]:
    kind = {"type": "bind", "options": ["rbind", *options]}
    return {"destination": destination, "source": str(source), **kind}


def said(manager: ShimManager, bundle: Bundle) -> list[str]:
    """Run a container to its end, which must be a good one."""
    task = manager.running(bundle)
    assert bundle.stdout is not None
    assert bundle.stderr is not None
    lines = bundle.stdout.read_to_end().decode().splitlines()
    assert (bundle.stderr.read_to_end(), task.wait().exit_status) == (b"", 0)
    task.delete()
    return lines


def tried(manager: ShimManager, bundle: Bundle) -> dict[str, str]:
    """What became of each operation; `REFUSED` with whichever errno."""
    operations = bundle.spec["process"]["args"][1:]
    answers = [REFUSED if _ERRNO.fullmatch(line) else line for line in said(manager, bundle)]
    return dict(zip(operations, answers, strict=True))


def check(manager: ShimManager, expected: dict[str, str], **fields: Any) -> None:
    assert tried(manager, attacker(manager, expected, **fields)) == expected


def ends_at_once(task: Task) -> None:
    task.kill(signal.SIGTERM)
    assert task.wait(timeout_s=10.0).exit_status == 128 + signal.SIGTERM
