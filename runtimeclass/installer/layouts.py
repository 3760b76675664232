"""The kinds of node: where each keeps containerd's configuration, socket and service.

Rules: a table and what is told by it; reads the node, changes nothing. Which row holds is told by
the configuration that the running containerd was given (its command line), else by whose socket is
there; where both leave two rows, a person must say. kubeadm, kind, EKS, AKS, GKE (Ubuntu), Flatcar
and minikube are the row `default`: they differ in what is writable, which is looked at, not
guessed. Sources: the distributions' documentation; containerd's of `imports`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from runtimeclass.installer.errors import NodeError
from runtimeclass.installer.host import Host
from runtimeclass.installer.options import Options

# How the handler gets in: into the file that containerd reads; into a template that containerd's
# file is made of and that is TOML, too; into a template in Go's language, or beside it; into a
# directory that k0s merges.
Method = Literal["file", "template", "go-template", "k0s"]


@dataclass(frozen=True, slots=True)
class Layout:
    """A row. `config` is what containerd is started with, `source` what it is made of."""

    name: str
    config: str
    socket: str
    services: tuple[str, ...]
    method: Method = "file"
    source: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """The containerd of this node; `pid` is 0 where its process was not seen."""

    layout: Layout
    config: str
    socket: str
    pid: int = 0


_RANCHER = "/var/lib/rancher/{}/agent/etc/containerd"
_MICROK8S = "/var/snap/microk8s/current/args"
LAYOUTS = (
    Layout(
        "k3s",
        f"{_RANCHER.format('k3s')}/config.toml",
        "/run/k3s/containerd/containerd.sock",
        ("k3s.service", "k3s-agent.service"),
        "go-template",
        _RANCHER.format("k3s"),
    ),
    Layout(
        "rke2",
        f"{_RANCHER.format('rke2')}/config.toml",
        "/run/k3s/containerd/containerd.sock",
        ("rke2-server.service", "rke2-agent.service"),
        "go-template",
        _RANCHER.format("rke2"),
    ),
    Layout(
        "k0s",
        "/etc/k0s/containerd.toml",
        "/run/k0s/containerd.sock",
        ("k0sworker.service", "k0scontroller.service"),
        "k0s",
        "/etc/k0s/containerd.d",
    ),
    Layout(
        "microk8s",
        f"{_MICROK8S}/containerd.toml",
        "/var/snap/microk8s/common/run/containerd.sock",
        ("snap.microk8s.daemon-containerd.service",),
        "template",
        f"{_MICROK8S}/containerd-template.toml",
    ),
    Layout(
        "default",
        "/etc/containerd/config.toml",
        "/run/containerd/containerd.sock",
        ("containerd.service",),
    ),
)
_DEFAULT = LAYOUTS[-1]
# Those of systemd's units and most others: systemd.exec(5), "PATH".
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Never a distribution's own directories, if it can be helped.
_PREFERRED = ("/usr/local/bin", "/usr/local/sbin", "/opt/bin")


def find_place(host: Host, options: Options) -> Place:
    """The node's containerd.

    Raises:
        NodeError: there is none, or more than one.
    """
    if options.containerd_config or options.containerd_socket:
        return _named(host, options)
    running = list(_running(host))
    # Docker's own, say, is not kubelet's where there is one in a place of the table.
    running = [each for each in running if each.config == each.layout.config] or running
    if len({(place.config, place.socket) for place in running}) > 1:
        _refuse_many(running)
    if running:
        return running[0]
    # No /proc of the node's, or a containerd that is down, which an earlier call may have to mend.
    alive = [Place(row, row.config, row.socket) for row in LAYOUTS if _is_there(host, row)]
    if not alive:
        known = [row for row in LAYOUTS if host.exists(row.source or row.config)]
        alive = [Place(row, row.config, row.socket) for row in known]
    if len(alive) > 1:
        _refuse_many(alive)
    if not alive:
        sockets = ", ".join(dict.fromkeys(row.socket for row in LAYOUTS))
        raise NodeError(
            f"no containerd runs here: looked for a process of that name and for {sockets}; start"
            " it, or name its socket (--containerd-socket)"
        )
    return alive[0]


def running_pid(host: Host, place: Place) -> int:
    """The process of this containerd now; 0 where it is not to be seen."""
    for each in _running(host):
        if (each.config, each.socket) == (place.config, place.socket):
            return each.pid
    return 0


def _named(host: Host, options: Options) -> Place:
    config, socket = options.containerd_config, options.containerd_socket
    for row in LAYOUTS:
        if row.config == config or (not config and row.socket == socket and _is_there(host, row)):
            return Place(row, config or row.config, socket or row.socket)
    return Place(_DEFAULT, config or _DEFAULT.config, socket or _DEFAULT.socket)


def _is_there(host: Host, row: Layout) -> bool:
    # k3s and rke2 share a socket: what they are made of tells them apart.
    return host.is_socket(row.socket) and (
        row.name == "default" or host.exists(row.source) or host.exists(row.config)
    )


def _refuse_many(places: list[Place]) -> None:
    found = ", ".join(f"{place.config} at {place.socket}" for place in places)
    raise NodeError(
        f"more than one containerd: {found}; say which is kubelet's (--containerd-config and"
        " --containerd-socket)"
    )


def _running(host: Host) -> Iterator[Place]:
    """The containerds of the node's /proc. A command line may be read of every user's process."""
    for path in sorted(host.path("/proc").glob("[0-9]*/cmdline")):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")[:-1]
        except OSError:
            continue
        if not words or words[0].rpartition("/")[2] != "containerd":
            continue
        config = option(words, "config", "c")
        row = next((row for row in LAYOUTS if row.config == config), _DEFAULT)
        socket = option(words, "address", "a") or row.socket
        # One in a container has paths that are not the node's.
        if host.is_socket(socket):
            yield Place(row, config or row.config, socket, int(path.parent.name))


def option(words: list[str], name: str, letter: str) -> str:
    """The value of an option of containerd's command line, or nothing."""
    for index, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in {f"--{name}", f"-{name}", f"-{letter}"}:
            return value if equals else "".join(words[index + 1 : index + 2])
    return ""


def search_path(host: Host, place: Place) -> list[str]:
    """Where this containerd looks for its shims; its environment is only told to the mighty."""
    try:
        environment = host.path(f"/proc/{place.pid}/environ").read_bytes().split(b"\0")
    except OSError:
        environment = []
    given = [entry[5:].decode() for entry in environment if entry.startswith(b"PATH=")]
    return [*given, DEFAULT_PATH][0].split(":")


def link_directory(host: Host, place: Place) -> str:
    """Where to put a link to the shim so that containerd finds it; empty where nothing is writable.

    Then the handler names the binary by its path, which every containerd since 1.6 takes.
    """
    directories = search_path(host, place)
    for directory in _PREFERRED:
        known = directory in directories and host.is_directory(directory)
        if known and not host.writable(directory):
            return directory
    return ""
