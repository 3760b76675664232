"""Components with configuration from a mounted ConfigMap, and stores on a volume and in Redis."""

import contextlib
import sqlite3
import subprocess
from pathlib import Path

import pytest
import redis

from tests.cri.test_volumes import publish
from tests.support import guests, images
from tests.support.containerd import Containerd
from tests.support.interface_guests import COUNTING
from tests.support.pods import Container, ContainerSpec, Volume
from tests.support.redis_server import redis_server
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]

IMAGE = "localhost/counting:1"
# the node, as pods see it
GATEWAY = "10.231.0.1"
PREFIX = "io.containerd.tandem.v1/"
USER = 1234


# A library that an image names for looking up hosts; whoever loads it ends.
PLUGIN = """
#include <unistd.h>
__attribute__((constructor)) static void run(void) { _exit(66); }
"""


@pytest.fixture(scope="module")
def image(containerd: Containerd) -> str:
    plugin = containerd.folder / "plugin.so"
    command = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(plugin)]
    subprocess.run(command, input=PLUGIN, text=True, check=True)
    files: dict[str, images.Content] = {
        "/etc/nsswitch.conf": b"hosts: evil files dns\n",
        "/lib/libnss_evil.so.2": plugin,
    }
    archive = containerd.folder / "counting.tar"
    containerd.import_image(images.wasm_image(archive, IMAGE, guests.binary(COUNTING), files))
    return IMAGE


def counting(name: str, image: str, annotations: dict[str, str], *volumes: Volume) -> ContainerSpec:
    named = {PREFIX + key: value for key, value in annotations.items()}
    return ContainerSpec(
        name, image, user=USER, readonly_rootfs=True, volumes=volumes, annotations=named
    )


def finish(*containers: Container) -> None:
    for container in containers:
        assert container.wait().exit_code == 0, container.stderr
        assert container.stderr == ""


def test_two_containers_share_a_store_and_see_the_config_map_change(
    containerd: Containerd, image: str
) -> None:
    with containerd.pod("stores", "tandem") as pod:
        data, config = pod.volume("data"), pod.volume("config")
        publish(config, "2026_01", {"colour": "blue"})
        annotations = {
            "keyvalue.state": "sqlite:/data/x.db",
            "config-directory": "/etc/config",
            "config.size": "9",
        }
        mounts = Volume(data, "/data"), Volume(config, "/etc/config", readonly=True)
        one = pod.start(counting("one", image, annotations, *mounts))
        two = pod.start(counting("two", image, annotations, *mounts))
        with contextlib.closing(opened_file(data / "x.db")) as file:
            wait_until(file, "colour", b"blue")
            publish(config, "2026_02", {"colour": "green"})
            wait_until(file, "colour", b"green")
            wait_until(file, "hits", b"200")
            with file:
                file.execute("INSERT INTO tandem_keyvalue (key, value) VALUES ('end', x'')")
            finish(one, two)
        made = (data / "x.db").stat()
        assert made.st_uid == USER


def opened_file(path: Path) -> sqlite3.Connection:
    def made() -> sqlite3.Connection | None:
        if path.exists():
            file = sqlite3.connect(path, timeout=30)
            with contextlib.suppress(sqlite3.OperationalError):
                file.execute("SELECT 1 FROM tandem_keyvalue")
                return file
            file.close()
        return None

    return wait_for("table of the store", made)


def wait_until(file: sqlite3.Connection, key: str, value: bytes) -> None:
    question = "SELECT 1 FROM tandem_keyvalue WHERE key = ? AND value = ?"
    wait_for(f"{key} to be {value!r}", lambda: file.execute(question, (key, value)).fetchone())


def test_store_in_redis_by_a_name_of_the_pod(
    containerd: Containerd, image: str, tmp_path: Path
) -> None:
    """And no code of the image runs, whatever it says about looking up names."""
    (tmp_path / "hosts").write_text(f"{GATEWAY} cache\n")
    (tmp_path / "password").write_text("of the pod\n")
    options = ("--protected-mode", "no", "--requirepass", "of the pod")
    network = containerd.room.network
    with (
        redis_server(tmp_path, *options, network=network) as server,
        containerd.pod("redis", "tandem") as pod,
    ):
        (tmp_path / "password").chmod(0o644)
        annotations = {
            "keyvalue.state": f"redis://cache:{server.port}?password-file=/run/password",
            "config.colour": "blue",
        }
        hosts = Volume(tmp_path / "hosts", "/etc/hosts", readonly=True)
        secret = Volume(tmp_path / "password", "/run/password", readonly=True)
        containers = [
            pod.start(counting(name, image, annotations, hosts, secret)) for name in ("one", "two")
        ]
        with redis.Redis(unix_socket_path=str(server.socket), password="of the pod") as client:
            wait_for("200 hits", lambda: client.get("hits") == b"200")
            client.set("end", b"")
            finish(*containers)
            assert client.get("colour") == b"blue"


@pytest.mark.parametrize(
    ("annotation", "value", "reason"),
    [
        ("allowed-outbound-hosts", "redis://10.0.0.1:6380", "redis://10.0.0.1 is not in"),
        ("keyvalue.state", "rediss://169.254.169.254", "is what the node blocks"),
    ],
)
def test_store_out_of_reach_is_told_when_the_container_is_created(
    containerd: Containerd, image: str, annotation: str, value: str, reason: str
) -> None:
    with containerd.pod("unreachable", "tandem") as pod:
        annotations = {"keyvalue.state": "redis://10.0.0.1", annotation: value}
        refused = pod.create(counting("one", image, annotations))
        with pytest.raises(Exception, match=reason):
            refused.start()


@pytest.mark.parametrize(
    ("annotation", "value", "reason"),
    [
        ("keyvalue.state", "sqlite:x.db", "'x.db' is not an absolute path"),
        ("config-directory", "config", "'config' is not an absolute path"),
    ],
)
def test_mistake_in_an_annotation_is_told_when_the_container_is_created(
    containerd: Containerd, image: str, annotation: str, value: str, reason: str
) -> None:
    with containerd.pod("mistaken", "tandem") as pod:
        refused = pod.create(counting("one", image, {annotation: value}))
        with pytest.raises(Exception, match=reason):
            refused.start()


def test_store_that_cannot_be_opened_is_told_in_the_log(containerd: Containerd, image: str) -> None:
    with containerd.pod("readonly", "tandem") as pod:
        closed = pod.volume("closed", mode=0o755)
        state = {"keyvalue.state": "sqlite:/data/x.db"}
        for annotations, told in (
            ({}, "tandem: store 'state': the pod names no store 'state'"),
            (state, "tandem: store 'state': /data/x.db: unable to open database file"),
        ):
            container = pod.start(counting("one", image, annotations, Volume(closed, "/data")))
            assert container.wait().exit_code == 1
            assert container.stderr == told
