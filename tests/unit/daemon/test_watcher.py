"""When the daemon makes a watcher, and when another; what it does, tests/artifacts shows."""

import os
from collections.abc import Callable

import pytest

from shim.config import Cache, Config
from shim.daemon import watcher
from shim.daemon.watcher import WatcherKeeper

WANTED = Config(cache=Cache(warm_on_pull=True))


@pytest.fixture(name="clock")
def _clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """No fork, and a clock that is set by hand."""
    now = [1000.0]
    monkeypatch.setattr(watcher, "fork", lambda: 1)
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def advance(seconds: float) -> None:
        now[0] += seconds

    return advance


@pytest.mark.parametrize("config", [None, Config()])
def test_no_watcher_where_nobody_asked_for_one(config: Config | None) -> None:
    keeper = WatcherKeeper(config, "key")
    assert keeper.start_if_due() is None
    assert timeout_ms(keeper) is None


def timeout_ms(keeper: WatcherKeeper) -> int | None:
    return keeper.timeout_ms


def end(keeper: WatcherKeeper) -> None:
    assert keeper.fd is not None
    os.close(keeper.fd)
    keeper.ended()


def test_watcher_that_dies_at_once_is_made_less_and_less_often(
    clock: Callable[[float], None],
) -> None:
    keeper = WatcherKeeper(WANTED, "key")
    for pause_s in (1, 2, 4, 8, 16, 32, 60, 60):
        fd = keeper.start_if_due()
        assert fd is not None
        assert fd == keeper.fd
        assert keeper.start_if_due() is None
        assert timeout_ms(keeper) is None
        end(keeper)
        assert keeper.start_if_due() is None
        assert timeout_ms(keeper) == pause_s * 1000 + 1
        clock(pause_s)
    assert keeper.start_if_due() is not None
    clock(61)
    end(keeper)
    assert timeout_ms(keeper) == 1001


def test_fork_that_fails_is_tried_again_later(
    clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    keeper = WatcherKeeper(WANTED, "key")
    with monkeypatch.context() as patch:
        patch.setattr(watcher, "fork", fail)
        with pytest.raises(BlockingIOError):
            keeper.start_if_due()
    assert keeper.start_if_due() is None
    clock(1)
    assert keeper.start_if_due() is not None
    end(keeper)
