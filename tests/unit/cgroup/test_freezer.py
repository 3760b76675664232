"""The freezer where the kernel is slow, or never gets there."""

import asyncio
from pathlib import Path

import pytest

from shim.cgroup import Cgroup, freezer
from shim.cgroup.freezer import freeze, is_frozen, thaw
from shim.errdefs import FailedPreconditionError, InternalError, NotFoundError


class Kernel:
    """A group whose state follows what is written only after that many writes."""

    def __init__(self, path: Path, *, unified: bool, writes: int) -> None:
        path.mkdir()
        self.file = path / ("cgroup.freeze" if unified else "freezer.state")
        self.state = path / ("cgroup.events" if unified else "freezer.state")
        self.words = ("frozen 0", "frozen 1") if unified else ("FREEZING", "FROZEN")
        self.file.write_text("")
        self.state.write_text(self.words[0])
        self.writes = writes
        self.written: list[str] = []
        self.group = Cgroup([path], unified=unified)

    def write(self, file: Path, text: str) -> None:
        assert file == self.file
        self.written.append(text)
        if text in {"0", "THAWED"}:
            self.state.write_text("populated 1\nfrozen 0\n" if text == "0" else "THAWED\n")
        else:
            self.state.write_text(self.words[len(self.written) >= self.writes] + "\n")


def kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, unified: bool, writes: int
) -> Kernel:
    kernel = Kernel(tmp_path / "c", unified=unified, writes=writes)
    monkeypatch.setattr(freezer, "write", kernel.write)
    monkeypatch.setattr(freezer, "try_write", kernel.write)
    monkeypatch.setattr(freezer, "_LONGEST_PAUSE_S", 0.001)
    monkeypatch.setattr(freezer, "_TIMEOUT_S", 0.5)
    return kernel


@pytest.mark.parametrize("unified", [True, False])
def test_it_waits_until_all_processes_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unified: bool
) -> None:
    slow = kernel(tmp_path, monkeypatch, unified=unified, writes=5)
    asyncio.run(freeze(slow.group))
    assert slow.written == ["1" if unified else "FROZEN"] * 5
    assert is_frozen(slow.group)
    asyncio.run(thaw(slow.group))
    assert not is_frozen(slow.group)


def test_v1_that_stays_half_frozen_is_thawed_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = kernel(tmp_path, monkeypatch, unified=False, writes=30)
    asyncio.run(freeze(slow.group))
    assert slow.written == [*["FROZEN"] * 20, "THAWED", *["FROZEN"] * 9]


@pytest.mark.parametrize("unified", [True, False])
def test_what_never_freezes_is_named_and_thawed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unified: bool
) -> None:
    stuck = kernel(tmp_path, monkeypatch, unified=unified, writes=1_000_000)
    with pytest.raises(InternalError, match=r"cgroup .*/c does not freeze within 0.5 s"):
        asyncio.run(freeze(stuck.group))
    assert stuck.written[-1] == ("0" if unified else "THAWED")


def test_a_caller_that_gives_up_leaves_nothing_frozen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = kernel(tmp_path, monkeypatch, unified=True, writes=1_000_000)

    async def run() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await freeze(stuck.group)

    asyncio.run(run())
    assert stuck.written[-1] == "0"


def test_a_group_below_a_frozen_one_cannot_be_thawed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = kernel(tmp_path, monkeypatch, unified=False, writes=1)
    asyncio.run(freeze(slow.group))
    monkeypatch.setattr(freezer, "write", lambda *_: None)
    with pytest.raises(InternalError, match=r"/c is still frozen: one above it is"):
        asyncio.run(thaw(slow.group))


def test_a_node_without_a_freezer_says_so(tmp_path: Path) -> None:
    with pytest.raises(FailedPreconditionError, match="have no freezer"):
        asyncio.run(freeze(Cgroup([tmp_path], unified=False)))


def test_a_group_that_goes_meanwhile_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = kernel(tmp_path, monkeypatch, unified=True, writes=1_000_000)

    async def run() -> None:
        task = asyncio.create_task(freeze(slow.group))
        await asyncio.sleep(0.01)
        (tmp_path / "c").rename(tmp_path / "gone")
        monkeypatch.undo()
        with pytest.raises(NotFoundError, match="/c is gone"):
            await task

    asyncio.run(run())
