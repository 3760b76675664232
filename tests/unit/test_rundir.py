"""Paths of the run directory, and that they fit a socket's address."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError
from shim.rundir import DEFAULT_SOCKET, MAX_SOCKET_PATH_BYTES, RunDir, gateway_socket

RUN_DIR = RunDir(Path("/run/t/tandemd.sock"))


@pytest.mark.parametrize("env", [{}, {"TANDEM_SOCKET": ""}])
def test_rundir_without_a_variable_is_the_default(env: dict[str, str]) -> None:
    assert RunDir.from_env(env).socket == Path(DEFAULT_SOCKET)


def test_rundir_takes_the_variable() -> None:
    run_dir = RunDir.from_env({"TANDEM_SOCKET": "/run/x/y.sock"})
    assert run_dir.directory == Path("/run/x")
    assert {
        run_dir.daemon_lock.parent,
        run_dir.daemon_pid.parent,
        run_dir.daemon_log.parent,
        run_dir.task_sockets.parent,
    } == {Path("/run/x")}


@pytest.mark.parametrize("path", ["x.sock", "./x.sock", "/" + "x" * MAX_SOCKET_PATH_BYTES])
def test_rundir_refuses_paths_that_are_no_sockets_address(path: str) -> None:
    with pytest.raises(InvalidArgumentError, match="TANDEM_SOCKET"):
        RunDir.from_env({"TANDEM_SOCKET": path})


def test_rundir_accepts_the_longest_path() -> None:
    path = "/" + "x" * (MAX_SOCKET_PATH_BYTES - 1)
    assert RunDir.from_env({"TANDEM_SOCKET": path}).socket == Path(path)


texts = st.text(max_size=300)


@given(texts, texts, texts)
def test_task_socket_always_fits_and_stays_inside(address: str, namespace: str, group: str) -> None:
    path = RUN_DIR.task_socket(address, namespace, group)
    assert path.parent == RUN_DIR.task_sockets
    assert len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES
    assert path == RUN_DIR.task_socket(address, namespace, group)
    assert gateway_socket(path).parent == RUN_DIR.task_sockets
    assert len(os.fsencode(gateway_socket(path))) <= MAX_SOCKET_PATH_BYTES


def test_task_socket_differs_by_each_part() -> None:
    names = [("a", "b", "c"), ("x", "b", "c"), ("a", "x", "c"), ("a", "b", "x"), ("ab", "", "c")]
    assert len({RUN_DIR.task_socket(*name) for name in names}) == len(names)


def test_task_socket_below_too_long_a_directory_is_refused() -> None:
    fitting = RunDir(Path("/" + "x" * 66 + "/d.sock")).task_socket("a", "b", "c")
    assert len(os.fsencode(gateway_socket(fitting))) == MAX_SOCKET_PATH_BYTES
    run_dir = RunDir(Path("/" + "x" * 67 + "/d.sock"))
    with pytest.raises(InvalidArgumentError, match="too long"):
        run_dir.task_socket("a", "b", "c")


def test_create_makes_directories_for_root_alone(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "a" / "b" / "d.sock")
    run_dir.create()
    run_dir.create()
    modes = [path.stat().st_mode & 0o777 for path in (run_dir.directory, run_dir.task_sockets)]
    assert modes == [0o700, 0o700]
