"""A container's log file, as the kubelet serves it."""

import pytest

from tests.cri.conftest import EVERY_KIND, Case, Home, kinds
from tests.support.containerd import Containerd
from tests.support.probe import probe
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]

# What a container runtime puts into one record of the file at most; what is longer gets the tag P.
RECORD = 16384


@kinds(EVERY_KIND)
def test_each_stream_keeps_its_order(containerd: Containerd, case: Case, home: Home) -> None:
    words = [*probe("both", "3000"), *home.last_words()]
    with case.start(home.pod, *words, volumes=home.volumes) as container:
        container.wait_for_log("out 2999")
        container.wait_for_log("err 2999")
        home.let_go()
        assert container.wait().exit_code == 0
        assert container.stdout.splitlines() == [f"out {number}" for number in range(3000)]
        assert container.stderr.splitlines() == [f"err {number}" for number in range(3000)]


@kinds(EVERY_KIND)
@pytest.mark.parametrize("length", [RECORD - 1, RECORD, RECORD + 1, 100_000])
def test_long_line_is_split_and_whole(
    containerd: Containerd, case: Case, home: Home, length: int
) -> None:
    words = [*probe("long", str(length)), *probe("say", "next"), *home.last_words()]
    with case.start(home.pod, *words, volumes=home.volumes) as container:
        container.wait_for_log("next")
        home.let_go()
        assert container.wait().exit_code == 0
        alphabet = "abcdefghijklmnopqrstuvwxyz"
        assert container.stdout == (alphabet * (length // 26 + 1))[:length] + "\nnext"
        texts = [line.split(" ", 3)[3] for line in container.log_path.read_text().splitlines()]
        assert max(len(text) for text in texts) <= RECORD


@kinds(EVERY_KIND)
def test_last_line_needs_no_end(containerd: Containerd, case: Case, home: Home) -> None:
    words = [*probe("say", "whole"), *probe("print", "half"), *home.last_words()]
    with case.start(home.pod, *words, volumes=home.volumes) as container:
        container.wait_for_log("whole")
        home.let_go()
        assert container.wait().exit_code == 0
        wait_for("the half line", lambda: container.log_path.read_text().endswith(" half\n"))


@kinds(EVERY_KIND)
def test_log_is_rotated(containerd: Containerd, case: Case, home: Home) -> None:
    words = [*probe("say", "before"), *home.last_words(), *probe("say", "after"), "sleep", "60"]
    with case.start(home.pod, *words, volumes=home.volumes) as container:
        container.wait_for_log("before")
        rotated = container.log_path.with_suffix(".1")
        container.log_path.rename(rotated)
        container.reopen_log()
        home.let_go()
        container.wait_for_log("after")
        assert "before" in rotated.read_text()
        assert container.stdout == "after"
