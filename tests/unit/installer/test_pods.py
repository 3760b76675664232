"""Whose pods run: by CRI, and by the shims' sockets."""

import socket
from pathlib import Path

from runtimeclass.installer.cri import Cri, Sandbox
from runtimeclass.installer.errors import NodeError
from runtimeclass.installer.host import Host
from runtimeclass.installer.pods import Pods, find_pods


class SilentCri(Cri):
    """A containerd that does not answer, without gRPC, whose threads other tests cannot have."""

    def __init__(self) -> None:
        pass

    def sandboxes(self) -> list[Sandbox]:
        raise NodeError("containerd does not answer")


def test_shims_are_those_that_answer(short_path: Path) -> None:
    root = short_path.parent
    directory = root / "run/tandem/s"
    cri = SilentCri()
    assert not find_pods(Host(root), cri)
    directory.mkdir(parents=True)
    (directory / "lock").touch()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(directory / "dead"))
    assert not find_pods(Host(root), cri)
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(directory / "alive"))
        alive.listen()
        assert find_pods(Host(root), cri) == Pods((), 1)


def test_pods_are_named() -> None:
    assert str(Pods(("a/b",), 1)) == "a/b"
    assert str(Pods(tuple(f"n/{i}" for i in range(7)), 7)).endswith("n/4 and 2 more")
    assert "not Kubernetes'" in str(Pods((), 2))
    assert Pods(("a/b",), 0)
    assert not Pods((), 0)
