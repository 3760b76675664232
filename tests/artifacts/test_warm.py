"""Images that are compiled when they are pulled, before any pod wants them, and cleared again.

containerd 1.6 pulls artifacts and then says that it cannot unpack them: nobody asks what it says.
"""

import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.artifacts import guests, image_packings
from tests.artifacts.artifact_packings import CNCF_CONFIG
from tests.artifacts.conftest import Node
from tests.cri.conftest import Stack, start_daemon
from tests.support import images, packing
from tests.support.packing import WASM, Artifact, json_blob
from tests.support.pods import ContainerSpec
from tests.support.registry import Blob, Registry
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]

PATIENCE_S = 30.0


@contextmanager
def warm_node(stack: Stack) -> Iterator[Node]:
    """A containerd whose daemon has a watcher."""
    with stack.containerd() as containerd:
        config = containerd.folder / "tandem.toml"
        text = config.read_text().replace("[cache]\n", "[cache]\nwarm_on_pull = true\n")
        config.write_text(f'{text}[containerd]\naddress = "{containerd.address}"\n')
        start_daemon(containerd)
        with Registry(room=containerd.room) as registry:
            yield Node(containerd, registry, stack.release)


@pytest.fixture(name="warm", scope="module")
def _warm(stack: Stack) -> Iterator[Node]:
    with warm_node(stack) as node:
        yield node


def artifact(*names: str) -> Artifact:
    layers = [Blob(WASM, guests.module(name, 3)) for name in names]
    config = {"os": "wasip1", "layerDigests": [layer.digest for layer in layers]}
    titles = packing.titled(*(f"{name}.wasm" for name in names))
    return packing.manifest(json_blob(CNCF_CONFIG, config), layers, annotated=titles)


def artefacts_of(node: Node, name: str, status: int = 3) -> list[Path]:
    digest = hashlib.sha256(guests.module(name, status)).hexdigest()
    return list((node.containerd.folder / "cache").rglob(f"{digest}.module"))


@contextmanager
def pulled(node: Node, name: str, made: Artifact) -> Iterator[str]:
    """An image that is there for the length of the block, whatever containerd says of it."""
    with node.pushed(f"warm/{name}", made) as image:
        node.pull(image)
        yield image
        remove_image(node, image)


def remove_image(node: Node, image: str) -> None:
    """With the names that CRI has given it."""
    lines = [line.split() for line in node.containerd.ctr("images", "ls").splitlines()[1:]]
    digests = {words[0]: words[2] for words in lines}
    names = [name for name in digests if digests[name] == digests[image]]
    node.containerd.ctr("images", "rm", "--sync", *names)


def wait_until_compiled(node: Node, *names: str) -> None:
    wait_for(f"artefacts of {names}", lambda: all(artefacts_of(node, n) for n in names), PATIENCE_S)


def wait_until_gone(node: Node, name: str) -> None:
    wait_for(f"end of the entry of {name}", lambda: not artefacts_of(node, name), PATIENCE_S)


def compilations(node: Node) -> int:
    """Those of pods, whose shims log to containerd."""
    return node.containerd.log_path.read_text(errors="replace").count("module compiled")


def watchers_log(node: Node) -> str:
    return node.containerd.tandem_socket.with_name("tandemd.log").read_text()


def watcher(node: Node) -> psutil.Process:
    """The child of the daemon's that has a child, the listener."""
    daemon = node.containerd.daemon()
    assert daemon is not None

    def find() -> psutil.Process | None:
        for child in psutil.Process(daemon.host_pid).children():
            with suppress(psutil.NoSuchProcess):
                if child.children():
                    return child
        return None

    return wait_for("watcher", find)


def test_pulled_modules_are_compiled_before_any_pod(warm: Node) -> None:
    with pulled(warm, "two", artifact("warm-1", "warm-2")) as image:
        wait_until_compiled(warm, "warm-1", "warm-2")
        before = compilations(warm)
        with (
            warm.containerd.pod("warm", "tandem") as pod,
            pod.create(ContainerSpec("warm", image, ["warm-2.wasm"])) as container,
        ):
            assert container.start().wait().exit_code == 3
            assert container.stdout == "warm-2"
        assert compilations(warm) == before
        wait_for("two lines", lambda: watchers_log(warm).count("module compiled") == 2)
    # the image is gone now
    wait_until_gone(warm, "warm-1")
    wait_until_gone(warm, "warm-2")


@pytest.mark.parametrize("build", [image_packings.scratch, image_packings.scratch_docker])
def test_file_of_a_pulled_image_is_compiled_before_any_pod(
    warm: Node, build: Callable[[str], Artifact]
) -> None:
    name = build.__name__
    with pulled(warm, name, build(name)) as image:
        wait_for("artefact", lambda: artefacts_of(warm, name, guests.STATUS), PATIENCE_S)
        before = compilations(warm)
        with (
            warm.containerd.pod(name.replace("_", "-"), "tandem") as pod,
            pod.create(ContainerSpec("warm", image)) as container,
        ):
            assert container.start().wait().exit_code == guests.STATUS
            assert container.stdout == name
        assert compilations(warm) == before
    wait_for("end of the entry", lambda: not artefacts_of(warm, name, guests.STATUS), PATIENCE_S)


def test_image_with_two_names_keeps_its_entry_until_the_last_is_gone(warm: Node) -> None:
    with pulled(warm, "named", artifact("named")) as image:
        wait_until_compiled(warm, "named")
        warm.containerd.ctr("images", "tag", image, "localhost/second:1")
        warm.remove(image)
        with pulled(warm, "marker", artifact("marker")):
            # whoever sees the marker has seen the first name go
            wait_until_compiled(warm, "marker")
            assert artefacts_of(warm, "named")
        warm.containerd.ctr("images", "tag", "localhost/second:1", image)
    wait_until_gone(warm, "named")


@pytest.mark.parametrize("kill", ["watcher", "listener", "containerd"])
def test_what_was_pulled_meanwhile_is_caught_up_with(stack: Stack, kill: str) -> None:
    with warm_node(stack) as node:
        old = watcher(node)
        victim: dict[str, Callable[[], None]] = {
            "watcher": lambda: os.kill(old.pid, signal.SIGKILL),
            "listener": lambda: os.kill(old.children()[0].pid, signal.SIGKILL),
            "containerd": lambda: node.containerd.restart(signal.SIGKILL),
        }
        victim[kill]()
        with pulled(node, "after", artifact("after")):
            wait_until_compiled(node, "after")
        wait_until_gone(node, "after")


def test_module_that_is_none_is_logged_and_tried_once(warm: Node) -> None:
    bad = packing.manifest(
        json_blob(CNCF_CONFIG, {"os": "wasip1", "a": "bad"}), [Blob(WASM, b"\0asm nonsense")]
    )
    with pulled(warm, "bad", bad) as image, pulled(warm, "good", artifact("beside-bad")):
        wait_until_compiled(warm, "beside-bad")
        said = [line for line in watchers_log(warm).splitlines() if image in line]
        assert len(said) == 1
        assert "image not compiled" in said[0]


def test_watcher_dies_with_the_daemon(stack: Stack) -> None:
    with warm_node(stack) as node:
        daemon = node.containerd.daemon()
        assert daemon is not None
        first = watcher(node)
        family = [first, *first.children()]
        os.kill(daemon.host_pid, signal.SIGKILL)
        assert psutil.wait_procs(family, 10)[1] == []


def table(*names: str) -> bytes:
    """A wagi table with a route for each module."""
    entries = (f'[[module]]\nroute = "/{name}"\nmodule = "{name}.wasm"\n' for name in names)
    return "".join(entries).encode()


def image_with_table(*names: str) -> Artifact:
    files: dict[str, images.Content] = {f"/{n}.wasm": guests.module(n, 3) for n in names}
    layer = packing.tar_layer({**files, "/modules.toml": table(*names)})
    config = packing.image_config(
        "linux/amd64", [packing.diff_id(layer)], Entrypoint=["/modules.toml"]
    )
    return packing.manifest(config, [layer])


def artifact_with_table(*names: str) -> Artifact:
    layers = [Blob(WASM, guests.module(name, 3)) for name in names]
    config = {"os": "wasip1", "layerDigests": [layer.digest for layer in layers]}
    titles = packing.titled(*(f"{name}.wasm" for name in names), "modules.toml")
    blobs = [*layers, Blob("application/toml", table(*names))]
    return packing.manifest(json_blob(CNCF_CONFIG, config), blobs, annotated=titles)


@pytest.mark.parametrize("build", [image_with_table, artifact_with_table])
def test_modules_of_a_table_are_compiled_as_the_cgi_programs_that_they_are(
    warm: Node, build: Callable[..., Artifact]
) -> None:
    name = build.__name__.replace("_", "-")
    modules = [f"{name}-{number}" for number in range(3)]
    with pulled(warm, name, build(*modules)) as image:
        wait_until_compiled(warm, *modules)
        made = [path for module in modules for path in artefacts_of(warm, module)]
        assert [path.parent.suffix for path in made] == [".interruptible"] * 3
        before = compilations(warm)
        with warm.containerd.pod(name, "tandem") as pod:
            server = pod.start(ContainerSpec("server", image, ["/modules.toml"]))
            server.wait_for_log("serving HTTP on 0.0.0.0:8080")
            assert warm.containerd.http_get(f"http://{pod.ip}:8080/none").status == 404
            assert server.stop().exit_code == 0
        assert compilations(warm) == before
    for module in modules:
        wait_until_gone(warm, module)


def test_table_that_is_wrong_is_logged(warm: Node) -> None:
    layer = packing.tar_layer({"/modules.toml": table("nowhere")})
    config = packing.image_config(
        "linux/amd64", [packing.diff_id(layer)], Entrypoint=["/modules.toml"]
    )
    with (
        pulled(warm, "bad-table", packing.manifest(config, [layer])) as image,
        pulled(warm, "beside", artifact("beside-bad-table")),
    ):
        wait_until_compiled(warm, "beside-bad-table")
        [said] = [line for line in watchers_log(warm).splitlines() if image in line]
        assert "/nowhere.wasm is in no layer of the image" in said
