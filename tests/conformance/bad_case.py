"""One container that is spoiled between its shim's start and its Create, and how that must end."""

import os
import re
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from shim.api import options_pb2, types_pb2
from shim.ttrpc.codes import Code
from tests.support import guests, leaks
from tests.support.bundle import Bundle
from tests.support.shim_process import ShimManager, mounted_below
from tests.support.shim_task import Task
from tests.support.ttrpc_client import RpcError

GOOD = '(module (func (export "_start")))'
OPTIONS = "runtimeoptions.v1.Options"
_UNCLEAR = re.compile(r"^[A-Z][a-z]|Traceback|internal error|Error\(|Error:")


@dataclass
class Case:
    """What a test can spoil; `app` is the entry point's file in the container's own image."""

    bundle: Bundle
    app: Path
    directory: Path
    request: dict[str, Any] = field(default_factory=dict)

    def write(self, content: bytes | str) -> None:
        """Make the entry point's file: a binary, or the text of a module."""
        self.app.write_bytes(guests.binary(content) if isinstance(content, str) else content)

    def run(self, content: str, *args: str) -> None:
        """Make the entry point's file and call it by `args`."""
        self.write(content)
        self.process(args=list(args))

    def process(self, **members: Any) -> None:
        self.bundle.spec["process"].update(members)

    def linux(self, **members: Any) -> None:
        self.bundle.spec["linux"].update(members)

    def top(self, **members: Any) -> None:
        self.bundle.spec.update(members)

    def mount(self, destination: str, source: str, *options: str, kind: str = "bind") -> None:
        mount = {"destination": destination, "source": source, "type": kind}
        self.bundle.spec["mounts"].append({**mount, "options": list(options)})

    def document(self, content: bytes) -> None:
        """Write a config.json that no program would write."""
        self.bundle.spec.clear()
        (self.bundle.path / "config.json").write_bytes(content)

    def ask(self, **fields: Any) -> None:
        """Set fields of the Create request."""
        self.request.update(fields)

    def options(self, value: bytes, type_url: str = OPTIONS) -> None:
        self.request["options"] = AnyMessage(type_url=type_url, value=value)

    def toml(self, text: str) -> None:
        self.options(options_pb2.Options(config_body=text.encode()).SerializeToString())

    def linux_program(self, path: str, runtime: str) -> None:
        self.process(args=[path])
        self.toml(f'[linux]\nruntime = "{runtime}"')

    def rootfs(self, *mounts: types_pb2.Mount) -> None:
        self.request["rootfs"] = mounts

    def own_rootfs(self, path: str) -> None:
        """Let the bundle bring its own root file system."""
        self.rootfs()
        self.top(root={"path": path})

    def device(self) -> None:
        os.mknod(self.app, 0o666 | stat.S_IFCHR, os.makedev(1, 5))

    def listen(self) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.app))


Spoil = Callable[[Case], object]


def started(manager: ShimManager, group: str, args: list[str] | None = None) -> tuple[Task, Case]:
    """A shim that waits for the Create of a container which is good so far, without a module."""
    bundle = manager.bundle(args or ["/app.wasm"], group=group)
    image = manager.directory / "snapshots" / bundle.container_id / "upper"
    return manager.start_task(bundle), Case(bundle, image / "app.wasm", manager.directory)


def create(task: Task, case: Case, spoil: Spoil) -> None:
    spoil(case)
    if case.bundle.spec:
        case.bundle.write_spec()
    task.create(**case.request)


def check_refused(manager: ShimManager, code: Code, text: str, spoil: Spoil) -> None:
    """Create fails with that code and text (DIR is the test's directory), and harms nothing."""
    group = manager.new_id()
    task, case = started(manager, group)
    shim_pid = task.connect().shim_pid
    with pytest.raises(RpcError) as caught:
        create(task, case, spoil)
    message = caught.value.message
    assert re.search(text.replace("DIR", re.escape(str(manager.directory))), message), message
    assert Code(caught.value.code) is code, message
    assert not _UNCLEAR.search(message), message
    assert len(message) < 600
    assert mounted_below(manager.directory) == []
    assert leaks.cgroups(case.bundle.container_id) == set()
    with pytest.raises(RpcError, check=lambda error: error.code == Code.NOT_FOUND):
        task.delete()
    check_still_serves(manager, group, shim_pid)
    assert manager.events.topics(task.id) == []


def check_still_serves(manager: ShimManager, group: str, shim_pid: int) -> None:
    """A good container runs in the same shim."""
    task, case = started(manager, group)
    assert task.connect().shim_pid == shim_pid
    create(task, case, lambda good: good.write(GOOD))
    task.start()
    assert task.wait().exit_status == 0
    task.delete()
