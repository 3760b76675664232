"""What `delete` has to know of a container whose pod shim has died: a small file in the bundle.

It is written before the first mount or fork of Create, and removed by Delete: a bundle without it
needs no cleaning. Rules: stdlib only; data only; the file is replaced whole.
"""

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from shim.errdefs import InternalError

_NAME = "tandem.json"
_PID_NAME = "init.pid"

COMPANION = ".exec-"
"""Between a Wasm container's id and a number, in the ids of the OCI runtime's containers that
execute Linux programs in it."""


@dataclass(frozen=True, slots=True)
class Record:
    """Everything outside the bundle that a container holds."""

    rootfs: str
    cgroup_paths: tuple[str, ...] = ()
    oci_runtime: str = ""
    oci_runtime_root: str = ""


def write_record(bundle: Path, record: Record) -> None:
    """Write the record of a container."""
    temporary = bundle / (_NAME + ".new")
    temporary.write_text(json.dumps(asdict(record)))
    temporary.rename(bundle / _NAME)


def read_record(bundle: Path) -> Record | None:
    """The record, or None where there is nothing to clean.

    Raises:
        InternalError: it is not one that this version wrote.
    """
    path = bundle / _NAME
    try:
        values = json.loads(path.read_bytes())
        values["cgroup_paths"] = tuple(values["cgroup_paths"])
        return Record(**values)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise InternalError(f"record {path} is unusable, remove it: {error!r}") from error


def remove_record(bundle: Path) -> None:
    """Say that nothing is left to clean."""
    for name in (_NAME, _PID_NAME):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            (bundle / name).unlink()


def pid_file(bundle: Path) -> Path:
    """Where the init process's pid is kept, as text."""
    return bundle / _PID_NAME


def read_pid(bundle: Path) -> int:
    """The init process's pid, or 0 where none was recorded."""
    try:
        return int(os.fsencode(pid_file(bundle).read_text()))
    except (OSError, ValueError):
        return 0
