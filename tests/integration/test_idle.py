"""A pod shim that containerd has lost ends by itself; one that is wanted does not."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from shim import sockets
from shim.config import Cache, Config
from shim.pod import main
from shim.pod.params import Pod
from shim.rundir import RunDir, gateway_socket

IDLE_S = 0.2


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pod:
    monkeypatch.setattr(main, "_IDLE_S", IDLE_S)
    run_dir = RunDir(tmp_path / "d.sock")
    run_dir.create()
    path = run_dir.task_socket("a", "n", "g")
    return Pod(
        listener=sockets.listen(path),
        socket_path=path,
        address="c.sock",
        namespace="n",
        group="g",
        bundle=tmp_path,
        ttrpc_address=str(tmp_path / "none"),
        env={},
        run_dir=run_dir,
        config=Config(cache=Cache(directory=str(tmp_path / "cache"))),
    )


async def _ends(shim: main.PodShim, within_s: float) -> bool:
    running = asyncio.get_running_loop().create_task(shim.run())
    done, _ = await asyncio.wait({running}, timeout=within_s)
    for task in (running, *shim._tasks):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return bool(done)


def _run(pod: Pod, within_s: float, *, connect: bool = False) -> bool:
    """Run a shim on a loop of its own, with or without somebody connected; says whether it
    ended."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        host = main.Host(engine=None, compatibility_key="none")

        async def scenario() -> bool:
            shim = main.PodShim(pod, host, loop)
            if not connect:
                return await _ends(shim, within_s)
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.connect(str(pod.socket_path))
                return await _ends(shim, within_s)

        ended = runner.run(scenario())
        pod.listener.close()
        return ended


def test_shim_that_nobody_needs_ends_and_takes_its_socket_along(pod: Pod) -> None:
    assert _run(pod, 10 * IDLE_S)
    assert not pod.socket_path.exists()


def test_shim_that_somebody_is_connected_to_stays(pod: Pod) -> None:
    assert not _run(pod, 5 * IDLE_S, connect=True)
    assert pod.socket_path.exists()


def test_shim_that_ends_takes_the_socket_of_a_gateway_that_died_along(pod: Pod) -> None:
    sockets.listen(gateway_socket(pod.socket_path)).close()
    assert _run(pod, 10 * IDLE_S)
    assert not gateway_socket(pod.socket_path).exists()
