import errno
import os
from pathlib import Path

import pytest

from shim.kernel import constants as c
from shim.kernel.libc import LINUX


@pytest.mark.parametrize(
    ("call", "number", "name"),
    [
        (lambda: LINUX.umount("/no/such/place"), errno.ENOENT, "/no/such/place"),
        (lambda: LINUX.open_tree("/no/such/place", 0), errno.ENOENT, "/no/such/place"),
        (lambda: LINUX.setns("/no/such/namespace", 0), errno.ENOENT, "/no/such/namespace"),
        (
            lambda: LINUX.prctl(c.PR_CAPBSET_READ, 99, "capability 99"),
            errno.EINVAL,
            "capability 99",
        ),
        (lambda: LINUX.write(Path("/proc/self/comm/x"), "0"), errno.ENOTDIR, "/proc/self/comm/x"),
    ],
)
def test_a_failure_names_the_object(call: object, number: int, name: str) -> None:
    assert callable(call)
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        call()
    assert (caught.value.errno, str(caught.value.filename)) == (number, name)


def test_a_refused_write_names_the_file() -> None:
    with pytest.raises(OSError, match="/proc/self/oom_score_adj") as caught:
        LINUX.write(Path("/proc/self/oom_score_adj"), "much")
    assert caught.value.errno == errno.EINVAL


def test_a_path_is_resolved_inside_a_root(tmp_path: Path) -> None:
    (tmp_path / "inside").write_text("x")
    (tmp_path / "link").symlink_to("/../../inside")
    root_fd = os.open(tmp_path, os.O_PATH)
    try:
        fd = LINUX.open_in_root(root_fd, "/link", os.O_RDONLY)
        assert os.path.sameopenfile(fd, fd)
        assert os.fstat(fd).st_ino == (tmp_path / "inside").stat().st_ino
        os.close(fd)
        with pytest.raises(FileNotFoundError, match="/etc/passwd"):
            LINUX.open_in_root(root_fd, "/etc/passwd", os.O_RDONLY)
    finally:
        os.close(root_fd)


def test_ranges_of_descriptors_are_closed() -> None:
    fds = [os.dup(0) for _ in range(3)]
    high = 1000
    for offset, fd in enumerate(fds):
        os.dup2(fd, high + offset)
        os.close(fd)
    LINUX.close_range(high, high + 1)
    for fd in (high, high + 1):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    os.close(high + 2)
