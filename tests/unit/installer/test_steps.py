"""A row of steps: done, stopped, or taken back in reverse."""

import pytest

from runtimeclass.installer.errors import (
    HostError,
    InstallerError,
    RollbackError,
    StoppedError,
)
from runtimeclass.installer.steps import Runner, Step, Stop


class Row:
    """Steps a, b and c, which note what is done."""

    def __init__(self, fails: str = "", error: Exception | None = None, stuck: str = "") -> None:
        self.log: list[str] = []
        self.steps = [self._step(name, fails, error, stuck) for name in "abc"]

    def _step(self, name: str, fails: str, error: Exception | None, stuck: str) -> Step:
        def do() -> str:
            self.log.append(f"do {name}")
            if name == fails and error is not None:
                raise error
            return name

        def undo() -> list[str]:
            if name == stuck:
                raise HostError("stuck")
            self.log.append(f"undo {name}")
            return [f"remark on {name}"]

        return Step(name, do, undo)

    def finish(self) -> None:
        self.log.append("finish")


def test_all_are_done_in_order() -> None:
    row = Row()
    watched: list[str] = []
    Runner(Stop(), lambda act, name: watched.append(f"{act} {name}")).run(row.steps, row.finish)
    assert row.log == watched == ["do a", "do b", "do c"]


def test_failed_step_and_those_before_are_taken_back_last_first() -> None:
    row = Row("b", HostError("no room"))
    with pytest.raises(HostError, match=r"^no room$"):
        Runner(Stop()).run(row.steps, row.finish)
    assert row.log == ["do a", "do b", "undo b", "undo a", "finish"]


def test_fault_of_the_installers_is_one_of_its_errors() -> None:
    row = Row("c", ZeroDivisionError("x"))
    with pytest.raises(InstallerError, match=r"step c: ZeroDivisionError\('x'\)") as caught:
        Runner(Stop()).run(row.steps, row.finish)
    assert caught.value.status == 1
    assert row.log[-1] == "finish"


def test_step_that_cannot_be_taken_back_keeps_what_it_needs() -> None:
    row = Row("c", HostError("no room"), stuck="b")
    with pytest.raises(RollbackError, match=r"no room; and then the step b .* stuck; .*journal"):
        Runner(Stop()).run(row.steps, row.finish)
    assert row.log == ["do a", "do b", "do c", "undo c"]


def test_sigterm_is_heeded_between_steps_and_takes_nothing_back() -> None:
    row = Row()
    stop = Stop()

    def watch(act: str, name: str) -> None:
        if name == "b":
            stop.request(15, None)

    with pytest.raises(StoppedError):
        Runner(stop, watch).run(row.steps, row.finish)
    assert row.log == ["do a", "do b"]


def test_sigterm_that_a_step_heeds_takes_nothing_back() -> None:
    row = Row("b", StoppedError("now"))
    with pytest.raises(StoppedError):
        Runner(Stop()).run(row.steps, row.finish)
    assert row.log == ["do a", "do b"]
