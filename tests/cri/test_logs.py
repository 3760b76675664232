"""A container's log file, as the kubelet serves it."""

import pytest

from tests.cri.conftest import EVERY_KIND, Case, Home, kinds
from tests.support.containerd import Containerd
from tests.support.pods import Container
from tests.support.probe import probe
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]

# What a container runtime puts into one record of the file at most; what is longer gets the tag P.
RECORD = 16384


def last_words(home: Home) -> list[str]:
    """Commands that keep a probe alive until `let_go`.

    containerd 1.6 drops what it has not read by the time it hears of the exit, and runc's shim
    tells it at once.
    """
    (home.shared / "go").unlink(missing_ok=True)
    return probe("until", "/shared/go")


def let_go(home: Home, container: Container) -> None:
    (home.shared / "go").touch()
    assert container.wait().exit_code == 0


@kinds(EVERY_KIND)
def test_each_stream_keeps_its_order(containerd: Containerd, case: Case, home: Home) -> None:
    words = [*probe("both", "3000"), *last_words(home)]
    with case.start(home.pod, *words, volumes=home.volumes) as container:
        container.wait_for_log("out 2999")
        container.wait_for_log("err 2999")
        let_go(home, container)
        assert container.stdout.splitlines() == [f"out {number}" for number in range(3000)]
        assert container.stderr.splitlines() == [f"err {number}" for number in range(3000)]


@kinds(EVERY_KIND)
@pytest.mark.parametrize("length", [RECORD - 1, RECORD, RECORD + 1, 100_000])
def test_long_line_is_split_and_whole(
    containerd: Containerd, case: Case, home: Home, length: int
) -> None:
    words = [*probe("long", str(length)), *probe("say", "next"), *last_words(home)]
    with case.start(home.pod, *words, volumes=home.volumes) as container:
        container.wait_for_log("next")
        let_go(home, container)
        alphabet = "abcdefghijklmnopqrstuvwxyz"
        assert container.stdout == (alphabet * (length // 26 + 1))[:length] + "\nnext"
        texts = [line.split(" ", 3)[3] for line in container.log_path.read_text().splitlines()]
        assert max(len(text) for text in texts) <= RECORD


@kinds(EVERY_KIND)
def test_last_line_needs_no_end(containerd: Containerd, case: Case, home: Home) -> None:
    words = [*probe("say", "whole"), *probe("print", "half"), *last_words(home)]
    with case.start(home.pod, *words, volumes=home.volumes) as container:
        container.wait_for_log("whole")
        let_go(home, container)
        wait_for("the half line", lambda: container.log_path.read_text().endswith(" half\n"))


@kinds(EVERY_KIND)
def test_log_is_rotated(containerd: Containerd, case: Case, home: Home) -> None:
    words = [*probe("say", "before"), *last_words(home), *probe("say", "after"), "sleep", "60"]
    with case.start(home.pod, *words, volumes=home.volumes) as container:
        container.wait_for_log("before")
        rotated = container.log_path.with_suffix(".1")
        container.log_path.rename(rotated)
        container.reopen_log()
        (home.shared / "go").touch()
        container.wait_for_log("after")
        assert "before" in rotated.read_text()
        assert container.stdout == "after"
