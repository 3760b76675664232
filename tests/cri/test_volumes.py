"""Volumes that both kinds of container of a pod share, as a kubelet prepares them."""

import os
from pathlib import Path

import pytest

from tests.cri.conftest import EVERY_KIND, Case, Home, kinds
from tests.support.containerd import Containerd
from tests.support.pods import Volume
from tests.support.probe import probe

pytestmark = [pytest.mark.root, pytest.mark.containerd]


def publish(folder: Path, generation: str, files: dict[str, str]) -> None:
    """Put files into a volume as a kubelet does for a ConfigMap: all at once.

    A key is a link to ..data/KEY, ..data a link to the generation, which is exchanged by a rename.
    """
    made = folder / f"..{generation}"
    made.mkdir()
    for name, text in files.items():
        (made / name).write_text(text)
    link = folder / "..data_tmp"
    link.symlink_to(made.name)
    link.rename(folder / "..data")
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


@kinds(EVERY_KIND)
def test_config_map_is_read_and_exchanged(containerd: Containerd, case: Case, home: Home) -> None:
    folder = home.pod.volume(f"config-{os.urandom(4).hex()}")
    publish(folder, "2026_01", {"colour": "blue", "size": "9"})
    words = [*probe("cat", "/config/colour"), *probe("say", ""), *probe("ls", "/config")]
    words += [*probe("write", "/config/size", "x"), *probe("until", "/config/more")]
    words += [*probe("cat", "/config/colour"), *probe("say", "")]
    config = Volume(folder, "/config", readonly=True)
    with case.start(home.pod, *words, volumes=[config]) as container:
        container.wait_for_log("cannot write")
        publish(folder, "2026_02", {"colour": "green", "size": "9", "more": ""})
        assert container.wait().exit_code == 0
        first, *names, refusal, last = container.stdout.splitlines()
        assert (first, last) == ("blue", "green")
        assert names == ["..2026_01", "..data", "colour", "size"]
        assert refusal.startswith("cannot write /config/size: ")


@kinds(EVERY_KIND)
def test_both_kinds_write_to_one_empty_dir(containerd: Containerd, case: Case, home: Home) -> None:
    words = [*probe("write", "/shared/a", "of the probe"), *probe("until", "/shared/b")]
    with case.start(home.pod, *words, "cat", "/shared/b", volumes=home.volumes) as container:
        command = "until test -e /shared/a; do sleep 0.05; done; cat /shared/a"
        assert home.shell.exec("sh", "-c", command).stdout == "of the probe"
        home.shell.exec("sh", "-c", "echo of the shell >/shared/.b; mv /shared/.b /shared/b")
        assert container.wait().exit_code == 0
        assert container.stdout.splitlines() == ["wrote /shared/a", "of the shell"]
    (home.shared / "b").unlink()


@kinds(EVERY_KIND)
@pytest.mark.parametrize("member", [True, False])
def test_volume_of_a_supplemental_group(
    containerd: Containerd, case: Case, home: Home, member: bool
) -> None:
    folder = home.pod.volume(f"group-{os.urandom(4).hex()}")
    os.chown(folder, 0, 5000)
    folder.chmod(0o2770)
    with case.start(
        home.pod,
        *("write", "/data/file", "x"),
        user=1234,
        group=4321,
        groups=[5000] if member else [],
        volumes=[Volume(folder, "/data")],
    ) as container:
        container.wait()
        if member:
            assert container.stdout == "wrote /data/file"
            made = (folder / "file").stat()
            assert (made.st_uid, made.st_gid) == (1234, 5000)
        else:
            assert container.stdout.startswith("cannot write /data/file: ")


@kinds(EVERY_KIND)
def test_readonly_root_with_a_volume_for_a_user(
    containerd: Containerd, case: Case, home: Home
) -> None:
    work = [*probe("write", "/x", "x"), *probe("write", "/shared/by-user", "x")]
    with case.start(
        home.pod, *work, user=65534, readonly_rootfs=True, volumes=home.volumes
    ) as container:
        container.wait()
        refused, written = container.stdout.splitlines()
        assert refused.startswith("cannot write /x: ")
        assert written == "wrote /shared/by-user"
        assert (home.shared / "by-user").stat().st_uid == 65534
