"""Images that try to lead the jail's own mounts and files out of the root file system."""

import os
from pathlib import Path

import pytest

from tests.security.jailed import bind, document, run_jailed

pytestmark = pytest.mark.root


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    directory = tmp_path / "volume"
    directory.mkdir()
    (directory / "mine").write_text("of the volume")
    return directory


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A directory of the node that must stay as it is."""
    directory = tmp_path / "node"
    directory.mkdir()
    (directory / "file").write_text("of the node")
    return directory


def test_an_absolute_symlink_is_followed_inside(image: Path, volume: Path, node: Path) -> None:
    (image / "link").symlink_to(node)
    outcome = run_jailed(
        image,
        lambda: [os.listdir("/link"), os.listdir(str(node))],
        document(mounts=[bind(volume, "/link")]),
    )
    assert outcome.value == [["mine"], ["mine"]]
    assert os.listdir(node) == ["file"]


def test_dots_do_not_climb_out(image: Path, volume: Path, node: Path) -> None:
    up = "../" * 20
    (image / "link").symlink_to(f"{up}{node}")
    config = document(mounts=[bind(volume, "/link/deep"), bind(volume, f"/data/{up}etc/climbed")])
    outcome = run_jailed(
        image, lambda: [os.listdir(f"{node}/deep"), os.listdir("/etc/climbed")], config
    )
    assert outcome.value == [["mine"], ["mine"]]
    assert os.listdir(node) == ["file"]


def test_a_file_bind_through_a_symlink_leaves_the_node_alone(
    image: Path, volume: Path, node: Path
) -> None:
    (image / "etc" / "hosts").symlink_to(node / "file")
    (image / "etc" / "resolv.conf").symlink_to(node / "made")
    config = document(
        mounts=[
            bind(volume / "mine", "/etc/hosts"),
            bind(volume / "mine", "/etc/resolv.conf"),
        ]
    )

    def read() -> list[str]:
        return [Path("/etc/hosts").read_text(), Path("/etc/resolv.conf").read_text()]

    assert run_jailed(image, read, config).value == ["of the volume"] * 2
    assert sorted(os.listdir(node)) == ["file"]
    assert (node / "file").read_text() == "of the node"


def test_a_dangling_symlink_is_completed_inside(image: Path, volume: Path) -> None:
    (image / "var").mkdir()
    (image / "var" / "run").symlink_to("../run/./now")
    outcome = run_jailed(
        image,
        lambda: os.listdir("/run/now/secrets/token"),
        document(mounts=[bind(volume, "/var/run/secrets/token")]),
    )
    assert outcome.value == ["mine"]


def test_a_symlink_loop_is_an_error_that_names_the_destination(image: Path, volume: Path) -> None:
    (image / "a").symlink_to("b")
    (image / "b").symlink_to("a")
    outcome = run_jailed(image, list, document(mounts=[bind(volume, "/a/b")]))
    assert outcome.error.startswith("JailError: jail step 'file tree': /a/b: Too many levels")


def test_a_volume_does_not_hide_behind_a_symlink_of_another(
    image: Path, volume: Path, node: Path
) -> None:
    (volume / "out").symlink_to(node)
    config = document(mounts=[bind(volume, "/data"), bind(volume, "/data/out/there")])
    outcome = run_jailed(image, lambda: os.listdir(f"{node}/there"), config)
    assert outcome.value == ["mine", "out"] or outcome.value == ["out", "mine"]
    assert os.listdir(node) == ["file"]


def test_a_symlinked_cwd_stays_inside(image: Path, node: Path) -> None:
    (image / "app").symlink_to(node)
    outcome = run_jailed(
        image, lambda: [os.getcwd(), os.listdir(".")], document(process={"cwd": "/app"})
    )
    assert outcome.value == [str(node), []]
    assert os.listdir(node) == ["file"]


def test_a_cwd_through_a_descriptor_of_the_node_finds_nothing(image: Path) -> None:
    fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        outcome = run_jailed(
            image,
            lambda: [os.getcwd(), os.listdir("."), os.listdir("/")],
            document(process={"cwd": f"/proc/self/fd/{fd}"}),
            keep_fds=[fd],
        )
    finally:
        os.close(fd)
    cwd, here, root = outcome.value
    assert (cwd, here) == (f"/proc/self/fd/{fd}", [])
    assert "etc" in root
    assert "boot" not in root


def test_a_cwd_that_is_a_file_is_an_error_that_names_it(image: Path) -> None:
    outcome = run_jailed(image, list, document(process={"cwd": "/etc/image"}))
    assert outcome.error == "JailError: jail step 'cwd': /etc/image: Not a directory"


def test_a_missing_cwd_is_made(image: Path) -> None:
    outcome = run_jailed(image, os.getcwd, document(process={"cwd": "/made/for/you"}))
    assert outcome.value == "/made/for/you"
    assert (image / "made/for/you").is_dir()
