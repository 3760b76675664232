"""A loader compiles outside of the pod's cgroup, wherever the pod's shim is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shim.aot import loader
from shim.cgroup import Cgroup, membership
from shim.errdefs import InvalidArgumentError
from shim.oci.spec import Resources
from tests.security.jailed import new_cgroup, remove_cgroup
from tests.support import guests
from tests.support.engine_runs import forked, load, new_cache, write_module

pytestmark = pytest.mark.root


@pytest.fixture
def pod() -> Iterator[Cgroup]:
    group = new_cgroup("pod", Resources(memory_limit_bytes=64 << 20, pids_limit=77))
    yield group
    remove_cgroup(group)


def test_loader_leaves_the_cgroup_that_the_pods_shim_has_joined(
    tmp_path: Path, pod: Cgroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the option ShimCgroup has the shim do it."""

    def look(_binary: bytes, **_: object) -> None:
        raise InvalidArgumentError(Path("/proc/self/cgroup").read_text())

    def shim() -> int:
        membership.home.cache_clear()
        own = membership.home()
        for file in pod.procs_files():
            file.write_text("0")
        joined = Path("/proc/self/cgroup").read_text()
        monkeypatch.setattr(loader, "compile_module", look)
        try:
            load(write_module(tmp_path, guests.HELLO), new_cache(tmp_path / "cache"))
        except InvalidArgumentError as error:
            return (str(error) == own) + 2 * (joined != own)
        return 9

    ended = forked(shim)
    assert (ended.status, ended.stderr) == (3, "")
