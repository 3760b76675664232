"""What a request to execute something comes down to, by the container's kind."""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from shim.errdefs import (
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    ShimError,
)
from shim.instance.init import WasmInit
from shim.linux.companion import CompanionExec
from shim.linux.exec import LinuxExec
from shim.oci.spec import Spec
from shim.pod import execs
from shim.pod.execs import Execs, linux_execs, wasm_execs
from shim.pod.program import WasmFile
from shim.pod.wasm import WasmInstances
from shim.process.reaper import Reaper
from tests.unit.linux.runtimes import FakeRuntime
from tests.unit.pod.bundles import container_of, exec_request, node, write_bundle
from tests.unit.process.loops import Reader, with_reaper


@dataclass
class Instances:
    """Makes no instance, but remembers what was asked for."""

    made: list[tuple[Spec, int, WasmFile]] = field(default_factory=list)
    error: Exception | None = None

    async def execute(
        self, container: object, spec: Spec, pid: int, wasm: WasmFile, *streams: object
    ) -> str:
        del container, streams
        self.made.append((spec, pid, wasm))
        if self.error is not None:
            raise self.error
        return "an instance"

    async def hold_pids(self, container: object, pid: int) -> "Holder":
        del container
        assert pid == Init.pid
        return Holder()


class Holder:
    """Holds a pid namespace, and does not end."""

    pid = 78

    def __init__(self) -> None:
        self.exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Init:
    pid = 77


def of_wasm(bundle: Path, reaper: Reaper, instances: Instances) -> Execs:
    return wasm_execs(
        node(reaper),
        container_of(bundle),
        cast("WasmInit", Init()),
        cast("WasmInstances", instances),
    )


@pytest.fixture
def nodev(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where devices were forbidden; the bundle here is no mount."""
    forbidden: list[Path] = []
    monkeypatch.setattr(execs, "forbid_devices", forbidden.append)
    return forbidden


@pytest.mark.parametrize(
    ("process", "text"),
    [
        ({}, "args is empty"),
        ({"args": []}, "args is empty"),
        ({"args": [""]}, "begins with nothing to run"),
        ({"args": "sh"}, "process.args is not a list"),
        ([], "process is not an object"),
        ({"args": ["sh"], "user": {"uid": "root"}}, "process.user.uid is not an int"),
    ],
)
def test_request_that_makes_no_process_is_refused(
    tmp_path: Path, process: object, text: str
) -> None:
    bundle = write_bundle(tmp_path)

    async def scenario(reaper: Reaper) -> None:
        runtime = FakeRuntime(tmp_path / "rt").runtime(reaper)
        for made in (
            of_wasm(bundle, reaper, Instances()),
            linux_execs(node(reaper), container_of(bundle), runtime),
        ):
            with pytest.raises(InvalidArgumentError, match=text):
                made.check(exec_request(process))
            made.check(exec_request({"args": ["sh"]}))

    (tmp_path / "rt").mkdir()
    with_reaper(scenario)


@pytest.mark.parametrize(
    ("args", "file", "function"),
    [
        (["/other.wasm", "x"], "/other.wasm", None),
        (["other.wasm"], "/other.wasm", None),
        (["/other.wasm#run", "1"], "/other.wasm", "run"),
        (["#migrate", "1"], "/app.wasm", "migrate"),
    ],
)
def test_wasm_file_or_function_is_an_instance(
    tmp_path: Path, args: list[str], file: str, function: str | None
) -> None:
    bundle, instances = write_bundle(tmp_path), Instances()

    async def scenario(reaper: Reaper) -> None:
        request = exec_request({"args": args, "cwd": "/", "env": ["C=D"], "user": {"uid": 4}})
        executed = await of_wasm(bundle, reaper, instances).build(request)
        assert cast("Any", executed.handle) == "an instance"
        executed.streams.close()

    with_reaper(scenario)
    ((spec, pid, wasm),) = instances.made
    assert (wasm.path, wasm.function, pid) == (file, function, 77)
    # The process is the request's, all else the container's.
    assert (spec.process.args[1:], spec.process.env) == (tuple(args[1:]), ("C=D",))
    assert spec.process.user.uid == 4
    assert spec.namespaces == container_of(bundle).spec.namespaces


def test_instance_that_cannot_be_leaves_no_stream_open(tmp_path: Path) -> None:
    bundle, instances = write_bundle(tmp_path), Instances(error=InternalError("no"))

    async def scenario(reaper: Reaper) -> None:
        out = Reader(tmp_path / "out")
        request = exec_request({"args": ["/app.wasm"]}, stdout=str(out.path))
        with pytest.raises(InternalError, match="no"):
            await of_wasm(bundle, reaper, instances).build(request)
        out.close()

    with_reaper(scenario)


def config_of(process: CompanionExec) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(process._config)
    return config


def test_linux_program_of_the_image_is_a_companion(tmp_path: Path, nodev: list[Path]) -> None:
    bundle = write_bundle(tmp_path)

    async def scenario(reaper: Reaper) -> None:
        process = {"args": ["/script"], "cwd": "/", "terminal": True}
        executed = await of_wasm(bundle, reaper, Instances()).build(exec_request(process))
        assert isinstance(executed.handle, CompanionExec)
        assert executed.handle.pid == 0
        config = config_of(executed.handle)
        assert config["process"] == process | {"terminal": False}
        assert config["root"]["path"] == str(bundle / "rootfs")
        namespaces = {entry["type"]: entry.get("path") for entry in config["linux"]["namespaces"]}
        assert namespaces == {
            "ipc": "/proc/77/ns/ipc",
            "pid": "/proc/78/ns/pid",
            "mount": None,
        }
        assert config["linux"]["cgroupsPath"].startswith("/pod/c")
        assert config["linux"]["cgroupsPath"] != "/pod/c"
        executed.streams.close()

    with_reaper(scenario)
    assert nodev == [bundle / "rootfs"]


def test_companions_are_told_apart(tmp_path: Path, nodev: list[Path]) -> None:
    bundle = write_bundle(tmp_path)

    async def scenario(reaper: Reaper) -> None:
        made = of_wasm(bundle, reaper, Instances())
        groups = set()
        for _ in range(3):
            executed = await made.build(exec_request({"args": ["/script"]}))
            assert isinstance(executed.handle, CompanionExec)
            groups.add(config_of(executed.handle)["linux"]["cgroupsPath"])
            executed.streams.close()
        assert len(groups) == 3

    with_reaper(scenario)
    assert len(nodev) == 3


@pytest.mark.parametrize(
    ("program", "kind", "text"),
    [
        ("/no/such", InvalidArgumentError, "/no/such is not in the image of container c"),
        ("sh", InvalidArgumentError, "sh is not in the image of container c, which runs Wasm"),
        ("/", InvalidArgumentError, "is not in the image"),
        ("/no.wasm", InvalidArgumentError, "entry point /no.wasm is not in the image"),
    ],
)
def test_program_that_is_not_in_the_image_is_refused(
    tmp_path: Path, nodev: list[Path], program: str, kind: type[ShimError], text: str
) -> None:
    bundle = write_bundle(tmp_path)

    async def scenario(reaper: Reaper) -> None:
        with pytest.raises(kind, match=text):
            await of_wasm(bundle, reaper, Instances()).build(exec_request({"args": [program]}))

    with_reaper(scenario)
    assert nodev == []


def test_program_of_an_image_that_is_no_mount_is_refused(tmp_path: Path) -> None:
    """Nothing would keep it from a device node of the image."""
    bundle = write_bundle(tmp_path)

    async def scenario(reaper: Reaper) -> None:
        with pytest.raises(FailedPreconditionError, match="is no mount of its own"):
            await of_wasm(bundle, reaper, Instances()).build(exec_request({"args": ["/script"]}))

    with_reaper(scenario)


@pytest.mark.parametrize("terminal", [True, False])
def test_process_of_a_linux_container_is_the_runtime_s(tmp_path: Path, terminal: bool) -> None:
    """Whether it has a terminal is what the request says, not the process."""
    bundle = write_bundle(tmp_path)
    (tmp_path / "rt").mkdir()
    fake = FakeRuntime(tmp_path / "rt", f'cp "$process" {tmp_path}/got; exit 1')

    async def scenario(reaper: Reaper) -> None:
        made = linux_execs(node(reaper), container_of(bundle), fake.runtime(reaper))
        process = {"args": ["/no/such"], "terminal": not terminal}
        executed = await made.build(exec_request(process, terminal=terminal))
        assert isinstance(executed.handle, LinuxExec)
        assert fake.calls == []
        with pytest.raises(InternalError):
            await executed.handle.start()
        executed.streams.close()

    with_reaper(scenario)
    got = json.loads((tmp_path / "got").read_text())
    assert got == {"args": ["/no/such"], "terminal": terminal}
    assert ("--console-socket" in fake.calls[0]) == terminal
