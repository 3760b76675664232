"""Tars of an artifact made to harm: what they aim at is unharmed, and the pod carries on."""

import gzip
import tarfile
from pathlib import Path

import pytest

from tests.artifacts import guests
from tests.artifacts.artifact_packings import FILES
from tests.artifacts.conftest import Node, expect_run
from tests.artifacts.test_hostile import artifact, configured, files_below, refusal, runs_another
from tests.support.packing import WASM
from tests.support.pods import ContainerSpec, Pod
from tests.support.registry import Blob

pytestmark = [pytest.mark.root, pytest.mark.containerd]

MEBIBYTE = 1 << 20
DATA = b"x" * 511 + b"\n"


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> bytes:
    """One member of a tar, without the tar's end."""
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = link
    member.size = size
    member.devmajor, member.devminor = 1, 3
    return member.tobuf(tarfile.GNU_FORMAT) + DATA * (size // 512)


def escaping(target: Path) -> dict[str, bytes]:
    """Tars that would write to a path outside of their own tree."""
    up = "../" * 20 + str(target).removeprefix("/")
    return {
        "parents": entry(up, size=512),
        "absolute": entry(str(target), size=512),
        "symlink": entry("link", tarfile.SYMTYPE, str(target.parent))
        + entry(f"link/{target.name}", size=512),
        "relative-symlink": entry("link", tarfile.SYMTYPE, str(Path(up).parent))
        + entry(f"link/{target.name}", size=512),
        "hard-link": entry("link", tarfile.LNKTYPE, str(target)) + entry("link", size=512),
    }


# What the error says; nothing where the entry lands inside of the guest's own tree.
REFUSED = {
    "parents": "..",
    "absolute": "",
    "symlink": "link",
    "relative-symlink": "link",
    "hard-link": "link",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_tar_writes_nothing_outside(node: Node, pod: Pod, tmp_path: Path, kind: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("unharmed")
    before = files_below(node.containerd)
    bad = Blob(FILES, ended(escaping(victim)[kind]))
    if REFUSED[kind]:
        assert REFUSED[kind] in starts(node, pod, f"tar-{kind}", bad)
        assert files_below(node.containerd) <= before
    else:
        sound = artifact(Blob(WASM, guests.reader(f"tar-{kind}")), bad)
        with node.pushed(f"hostile/tar-{kind}", sound) as image:
            node.pull(image)
            words = ["app", "cat", str(victim), "--", "exit", "7"]
            expect_run(pod, ContainerSpec(kind, image, words), DATA.decode(), 7)
    assert victim.read_text() == "unharmed"
    assert [path.name for path in tmp_path.iterdir()] == ["victim"]
    runs_another(node, pod)


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE], ids=["character", "block"])
def test_tar_makes_no_device(node: Node, pod: Pod, kind: bytes) -> None:
    before = files_below(node.containerd)
    text = starts(node, pod, f"device-{kind.decode()}", Blob(FILES, ended(entry("null", kind))))
    assert "null" in text
    assert files_below(node.containerd) <= before
    runs_another(node, pod)


def test_tar_that_decompresses_without_end(node: Node) -> None:
    """64 GiB of zeros in 64 MB; one artifact may take a quarter of the cache."""
    before = files_below(node.containerd)
    header = tarfile.TarInfo("zeros")
    header.size = 64 << 30
    head = gzip.compress(header.tobuf(tarfile.GNU_FORMAT))
    member = gzip.compress(bytes(64 * MEBIBYTE), 1)
    bomb = Blob(f"{FILES}+gzip", head + member * 1024)
    with (
        configured(node.containerd, "", max_bytes=256 * MEBIBYTE),
        node.containerd.pod("bomb", "tandem") as pod,
    ):
        text = starts(node, pod, "bomb", bomb)
        runs_another(node, pod)
    assert f"more than {64 * MEBIBYTE} bytes" in text
    assert "[cache] max_bytes" in text
    assert files_below(node.containerd) <= before


def ended(members: bytes) -> bytes:
    """A whole tar."""
    return members + bytes(1024)


def starts(node: Node, pod: Pod, name: str, tar: Blob) -> str:
    """The error of starting a container whose artifact has this tar beside its module."""
    module = Blob(WASM, guests.module(name))
    with node.pushed(f"hostile/{name}", artifact(module, tar)) as image:
        node.pull(image)
        return refusal(pod, image)
