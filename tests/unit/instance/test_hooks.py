"""Hooks as real programs: what they are given, in which order they run, and when one fails."""

import json
from pathlib import Path

import pytest

from shim.errdefs import InternalError, UnimplementedError
from shim.instance.hooks import Hooks, check_hooks, state_document
from shim.oci.spec import Hook, Spec
from shim.process.reaper import Reaper
from tests.unit.process.loops import children, with_reaper


def script(directory: Path, name: str, body: str) -> str:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def hooks(reaper: Reaper, **stages: tuple[Hook, ...]) -> Hooks:
    return Hooks(Spec(hooks=stages, annotations={"a": "b"}), "c", "/bundle", reaper)


@pytest.mark.parametrize("stage", ["createContainer", "startContainer"])
def test_hooks_that_would_run_inside_are_refused(stage: str) -> None:
    with pytest.raises(UnimplementedError, match=f"hooks.{stage} .*use createRuntime"):
        check_hooks(Spec(hooks={stage: (Hook("/x"),)}))


def test_other_hooks_are_taken() -> None:
    stages = ("prestart", "createRuntime", "poststart", "poststop")
    check_hooks(Spec(hooks={stage: (Hook("/x"),) for stage in stages}))


@pytest.mark.parametrize("pid", [0, 7])
def test_state_is_what_the_specification_says(pid: int) -> None:
    state = json.loads(state_document(Spec(annotations={"a": "b"}), "c", "/bundle", "created", pid))
    assert state == {
        "ociVersion": "1.0.2",
        "id": "c",
        "status": "created",
        **({"pid": 7} if pid else {}),
        "bundle": "/bundle",
        "annotations": {"a": "b"},
    }


def test_hooks_before_the_start_run_in_order_with_the_state(tmp_path: Path) -> None:
    body = f'echo "$1 $A" >> {tmp_path}/ran; cat > {tmp_path}/state.$1'
    path = script(tmp_path, "hook", body)

    async def scenario(reaper: Reaper) -> None:
        made = hooks(
            reaper,
            createRuntime=(Hook(path, ("hook", "third"), ("A=3",)),),
            prestart=(
                Hook(path, ("hook", "first"), ("A=1", "PATH=/bin")),
                Hook(path, ("hook", "second"), ("A=2=2", "PATH=/bin")),
            ),
            poststart=(Hook("/no/such"),),
        )
        await made.created(7)

    with_reaper(scenario)
    assert (tmp_path / "ran").read_text() == "first 1\nsecond 2=2\nthird 3\n"
    states = [json.loads((tmp_path / f"state.{name}").read_text()) for name in ("first", "third")]
    assert [(state["status"], state["pid"]) for state in states] == [("created", 7)] * 2


@pytest.mark.parametrize(
    ("body", "text"),
    [("exit 3", "failed: exit status 3"), ("kill -9 $$", "failed: exit status 137")],
)
def test_hook_before_the_start_that_fails_is_an_error(tmp_path: Path, body: str, text: str) -> None:
    failing, after = script(tmp_path, "bad", body), script(tmp_path, "after", f"> {tmp_path}/ran")

    async def scenario(reaper: Reaper) -> None:
        made = hooks(reaper, prestart=(Hook(failing), Hook(after)))
        with pytest.raises(InternalError, match=rf"hook prestart {failing} {text}"):
            await made.created(7)

    with_reaper(scenario)
    assert not (tmp_path / "ran").exists()


def test_hook_that_is_missing_is_an_error() -> None:
    async def scenario(reaper: Reaper) -> None:
        made = hooks(reaper, createRuntime=(Hook("/no/such"),))
        with pytest.raises(InternalError, match="/no/such cannot be executed: No such file"):
            await made.created(7)

    with_reaper(scenario)


def test_hook_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    path = script(tmp_path, "slow", "exec sleep 100")

    async def scenario(reaper: Reaper) -> None:
        made = hooks(reaper, prestart=(Hook(path, timeout_s=1),))
        with pytest.raises(InternalError, match="took longer than 1 s"):
            await made.created(7)
        (pid,) = children()
        assert (await reaper.watch(pid)).status == 137

    with_reaper(scenario)


@pytest.mark.parametrize("stage", ["poststart", "poststop"])
def test_later_hook_that_fails_holds_up_no_other(tmp_path: Path, stage: str) -> None:
    path = script(tmp_path, "hook", f"/bin/cat > {tmp_path}/state")

    async def scenario(reaper: Reaper) -> None:
        made = hooks(reaper, **{stage: (Hook("/no/such"), Hook("/bin/false"), Hook(path))})
        await (made.started(7) if stage == "poststart" else made.stopped())

    with_reaper(scenario)
    state = json.loads((tmp_path / "state").read_text())
    expected = ("running", 7) if stage == "poststart" else ("stopped", None)
    assert (state["status"], state.get("pid")) == expected


def test_hook_that_does_not_read_holds_up_nobody() -> None:
    async def scenario(reaper: Reaper) -> None:
        await hooks(reaper, prestart=(Hook("/bin/true"),)).created(7)

    with_reaper(scenario)


def test_state_that_is_too_long_to_be_given_is_an_error() -> None:
    async def scenario(reaper: Reaper) -> None:
        spec = Spec(hooks={"prestart": (Hook("/bin/true"),)}, annotations={"a": "b" * (1 << 17)})
        with pytest.raises(InternalError, match="annotations are too long"):
            await Hooks(spec, "c", "/bundle", reaper).created(7)

    with_reaper(scenario)
