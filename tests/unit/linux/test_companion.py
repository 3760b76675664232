"""A companion: in the Wasm container's group before it runs, and gone with all it has made."""

import json
from pathlib import Path

import pytest

from shim.errdefs import InternalError, NotFoundError
from shim.linux.companion import CompanionExec, companion_id
from shim.linux.runtime import OciRuntime, RuntimeOptions
from shim.process.reaper import Reaper
from shim.process.stdio import Stdio
from shim.record import COMPANION
from tests.unit.linux.runtimes import LIVES, FakeCgroup, FakeRuntime
from tests.unit.process.loops import with_reaper

CONFIG = json.dumps({"process": {"args": ["/bin/sh"]}})


def companion(
    fake: FakeRuntime, reaper: Reaper, cgroup: FakeCgroup, streams: Stdio
) -> CompanionExec:
    runtime = OciRuntime(
        RuntimeOptions(str(fake.path), fake.root), fake.bundle / "c.exec-7", {}, reaper
    )

    async def after() -> None:
        assert not runtime.bundle.exists()
        (fake.root / "after").touch()

    return CompanionExec(runtime, "c.exec-7", CONFIG, cgroup.real(), streams, None, after)


def test_companion_names_begin_with_the_container_s_and_differ() -> None:
    names = [companion_id("c") for _ in range(3)]
    assert len(set(names)) == 3
    assert all(name.startswith(f"c{COMPANION}") for name in names)
    assert all(name.removeprefix(f"c{COMPANION}").isdecimal() for name in names)


def test_companion_is_moved_before_it_runs(tmp_path: Path) -> None:
    """Its start would otherwise be outside the container's limits."""
    fake = FakeRuntime(tmp_path, f'cp "$bundle/config.json" {tmp_path}/got; {LIVES}')
    cgroup = FakeCgroup()

    async def scenario(reaper: Reaper) -> None:
        streams = Stdio.open("", "", "")
        process = companion(fake, reaper, cgroup, streams)
        assert (process.pid, fake.calls, list(fake.bundle.iterdir())) == (0, [], [])
        await process.start()
        assert cgroup.adopted == [process.pid]
        await process.kill(15, everything=True)
        assert (await process.exited).status == 143
        with pytest.raises(NotFoundError, match="has ended"):
            await process.kill(9, everything=False)
        (fake.root / "c.exec-7").mkdir()
        await process.release()
        assert (fake.root / "after").exists()
        streams.close()

    with_reaper(scenario)
    assert (tmp_path / "got").read_text() == CONFIG
    assert fake.verbs == ["create", "start", "delete"]
    assert list(fake.bundle.iterdir()) == []


@pytest.mark.parametrize("verb", ["create", "adopt", "start"])
def test_companion_that_cannot_be_leaves_nothing_after_its_release(
    tmp_path: Path, verb: str
) -> None:
    kills = "for f in $(find $(dirname $0) -name init.pid); do kill -9 $(cat $f); done"
    fake = FakeRuntime(
        tmp_path,
        f'[ "$verb" != {verb} ] || exit 1\n[ "$verb" != delete ] || {{ {kills}; }}\n{LIVES}',
    )

    async def scenario(reaper: Reaper) -> None:
        streams = Stdio.open("", "", "")
        process = companion(fake, reaper, FakeCgroup(adopts=verb != "adopt"), streams)
        with pytest.raises((InternalError, NotFoundError)):
            await process.start()
        (fake.root / "c.exec-7").mkdir()
        await process.release()
        assert (fake.root / "after").exists()
        if verb != "create":
            assert (await process.exited).status == 137
        streams.close()

    with_reaper(scenario)
    assert list(fake.bundle.iterdir()) == []
    assert ("start" in fake.verbs) == (verb == "start")
    assert fake.verbs[-1] == "delete"
