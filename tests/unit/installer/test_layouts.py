"""Which containerd is the node's, told by its process or by what is there."""

from pathlib import Path

import pytest

from runtimeclass.installer.errors import NodeError
from runtimeclass.installer.host import Host
from runtimeclass.installer.layouts import (
    LAYOUTS,
    Place,
    find_place,
    link_directory,
    option,
    running_pid,
)
from runtimeclass.installer.options import Options
from tests.node.roots import ROOTS, Root, make_socket

INSTALL = Options("install")


def process(root: Path, pid: int, *words: str, environment: str = "") -> None:
    folder = root / "proc" / str(pid)
    folder.mkdir(parents=True)
    (folder / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
    if environment:
        (folder / "environ").write_bytes(environment.encode() + b"\0")


@pytest.mark.parametrize("root", ROOTS.values(), ids=ROOTS)
def test_kind_is_told_by_what_is_there(root: Root, tmp_path: Path) -> None:
    place = find_place(Host(root.make(tmp_path)), INSTALL)
    assert (place.layout.name, place.config, place.socket) == (
        root.layout, root.config, root.socket,
    )  # fmt: skip


@pytest.mark.parametrize("root", ROOTS.values(), ids=ROOTS)
def test_kind_is_told_by_the_process(root: Root, tmp_path: Path) -> None:
    root.make(tmp_path)
    words = ["/x/bin/containerd", "-c", root.config, f"--address={root.socket}", "--root", "/r"]
    process(tmp_path, 7, *words)
    process(tmp_path, 8, "/usr/bin/containerd-shim-runc-v2", "-address", root.socket)
    process(tmp_path, 9)
    place = find_place(Host(tmp_path), INSTALL)
    assert (place.layout.name, place.config, place.socket, place.pid) == (
        root.layout, root.config, root.socket, 7,
    )  # fmt: skip
    assert running_pid(Host(tmp_path), place) == 7


def test_process_without_options_is_the_default(tmp_path: Path) -> None:
    ROOTS["kubeadm"].make(tmp_path)
    process(tmp_path, 7, "containerd")
    assert find_place(Host(tmp_path), INSTALL).layout.name == "default"


def test_configuration_elsewhere_is_taken_from_the_process(tmp_path: Path) -> None:
    ROOTS["kubeadm"].make(tmp_path)
    process(tmp_path, 7, "containerd", "--config", "/srv/c.toml")
    place = find_place(Host(tmp_path), INSTALL)
    assert (place.layout.name, place.config) == ("default", "/srv/c.toml")


def test_containerd_of_docker_is_not_kubelets(tmp_path: Path) -> None:
    ROOTS["k3s"].make(tmp_path)
    make_socket(tmp_path / "run/docker/containerd.sock")
    docker = ["--config", "/run/docker/containerd.toml", "-a", "/run/docker/containerd.sock"]
    process(tmp_path, 7, "containerd", *docker)
    k3s = ROOTS["k3s"]
    process(tmp_path, 8, "containerd", "-c", k3s.config, "-a", k3s.socket)
    assert find_place(Host(tmp_path), INSTALL).pid == 8


def test_process_whose_socket_is_not_here_is_passed_over(tmp_path: Path) -> None:
    ROOTS["kubeadm"].make(tmp_path)
    process(tmp_path, 7, "containerd", "--config", "/in/a/container", "-a", "/not/here.sock")
    place = find_place(Host(tmp_path), INSTALL)
    assert (place.pid, place.config) == (0, "/etc/containerd/config.toml")


def test_two_containerds_are_refused_with_both_names(tmp_path: Path) -> None:
    ROOTS["kubeadm"].make(tmp_path)
    ROOTS["k3s"].make(tmp_path)
    with pytest.raises(NodeError, match=r"k3s.*and /run|/run/k3s.*/run/containerd.*--containerd-"):
        find_place(Host(tmp_path), INSTALL)


def test_two_processes_are_refused(tmp_path: Path) -> None:
    for name in ("kubeadm", "k0s"):
        root = ROOTS[name]
        root.make(tmp_path)
        process(tmp_path, len(name), "containerd", "-c", root.config, "-a", root.socket)
    with pytest.raises(NodeError, match="more than one containerd"):
        find_place(Host(tmp_path), INSTALL)


def test_no_containerd_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="no containerd runs here"):
        find_place(Host(tmp_path), INSTALL)


def test_containerd_that_is_down_is_known_by_its_files(tmp_path: Path) -> None:
    k0s = ROOTS["k0s-by-hand"]
    (k0s.make(tmp_path) / k0s.socket.lstrip("/")).unlink()
    (tmp_path / "etc/k0s/containerd.d").mkdir()
    assert find_place(Host(tmp_path), INSTALL).layout.name == "k0s"


def test_what_is_named_wins(tmp_path: Path) -> None:
    host = Host(ROOTS["kubeadm"].make(tmp_path))
    k3s = LAYOUTS[0]
    place = find_place(host, Options("install", containerd_config=k3s.config))
    assert place == Place(k3s, k3s.config, k3s.socket)
    own = Options("install", containerd_config="/c.toml", containerd_socket="/c.sock")
    place = find_place(host, own)
    assert (place.layout.name, place.config, place.socket) == ("default", "/c.toml", "/c.sock")
    assert running_pid(host, place) == 0


def test_link_goes_where_containerd_looks(tmp_path: Path) -> None:
    host = Host(ROOTS["kubeadm"].make(tmp_path))
    process(tmp_path, 7, "containerd", environment="PATH=/usr/bin:/opt/bin")
    place = find_place(host, INSTALL)
    assert link_directory(host, place) == ""
    (tmp_path / "opt/bin").mkdir()
    assert link_directory(host, place) == "/opt/bin"


def test_link_goes_to_usr_local_where_the_path_is_not_told(tmp_path: Path) -> None:
    host = Host(ROOTS["kubeadm"].make(tmp_path))
    assert link_directory(host, find_place(host, INSTALL)) == "/usr/local/bin"
    (tmp_path / "usr/local/bin").rmdir()
    assert link_directory(host, find_place(host, INSTALL)) == ""


@pytest.mark.parametrize(
    "words",
    [["--config", "/c"], ["--config=/c"], ["-c", "/c"], ["-c=/c"], ["x", "-config", "/c", "y"]],
)
def test_option_in_every_form(words: list[str]) -> None:
    assert option(words, "config", "c") == "/c"


def test_option_that_is_not_there_is_nothing() -> None:
    assert option(["--configuration", "/c"], "config", "c") == ""
    assert option(["--config"], "config", "c") == ""
