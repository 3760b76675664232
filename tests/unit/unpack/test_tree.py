"""Unpacking on the real kernel: honest layers, and every shape of dishonest ones."""

import contextlib
import errno
import io
import os
import signal
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import (
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    ShimError,
)
from shim.oci.artifact import Contents, File
from shim.unpack.tree import TEMPORARY_PREFIX, Limits, unpack
from tests.unit.unpack.archives import Entry, Store, directory, file, hardlink, packed, symlink, tar

Unpack = Callable[..., Path]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def run(tmp_path: Path, store: Store) -> Iterator[Unpack]:
    """Unpack contents, or layers of entries; whatever happens, nothing half done is left."""
    place = tmp_path / "place"
    place.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    (tmp_path / "precious").write_text("mine")

    def go(*layers: Sequence[Entry], contents: Contents | None = None, **limits: int) -> Path:
        contents = contents or store.layers(*(tar(layer) for layer in layers))
        before = len(os.listdir("/proc/self/fd"))
        try:
            unpack(contents, store.open_blob, place / "files", Limits(**limits))
        except ShimError:
            assert os.listdir(place) == [], "something is left of a failure"
            raise
        finally:
            assert len(os.listdir("/proc/self/fd")) == before, "a descriptor is left"
            assert store.open == 0, "a blob is left open"
        assert os.listdir(place) == ["files"]
        return place / "files"

    yield go
    assert os.listdir(outside) == ["precious"]
    assert (outside / "precious").read_text() == (tmp_path / "precious").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["outside", "place", "precious"]


def tree(root: Path) -> dict[str, str]:
    """Every path, with a file's content, a symlink's target, or a slash for a directory."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        else:
            found[name] = "/" if path.is_dir() else path.read_text()
    return found


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(
    "compress", [bytes, packed, zstandard.compress], ids=["plain", "gzip", "zstd"]
)
def test_layer_of_every_form(
    run: Unpack, store: Store, form: int, compress: Callable[[bytes], bytes]
) -> None:
    long = "/".join(["d" * 40] * 3)
    entries = [
        directory("./"),
        directory("a/"),
        file("a/b", b"hello"),
        file("/absolute/c", b"x" * 100_000),
        file(f"{long}/e", b""),
        symlink("a/link", "../../etc/passwd"),
        hardlink("hard", "a/b"),
    ]
    got = tree(run(contents=store.layers(compress(tar(entries, form=form)))))
    assert got["a/b"] == got["hard"] == "hello"
    assert got["absolute/c"] == "x" * 100_000
    assert got[f"{long}/e"] == ""
    assert got["a/link"] == "-> ../../etc/passwd"


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names(run: Unpack, store: Store, form: int) -> None:
    name, target = "n" * 200 + "/" + "m" * 200, "t/" * 150
    got = tree(run(contents=store.layers(tar([file(name), symlink("link", target)], form=form))))
    assert got == {"n" * 200: "/", name: "data", "link": f"-> {target}"}


def test_modes_and_owners(run: Unpack, store: Store) -> None:
    header = tarfile.TarInfo("program")
    header.mode, header.uid, header.gid = 0o6755, 1234, 5678
    place = run(contents=store.layers(header.tobuf() + b"\0" * 1024))
    status = (place / "program").stat()
    assert stat.S_IMODE(status.st_mode) == 0o755
    assert (status.st_uid, status.st_gid) == (1234, 5678)
    assert stat.S_IMODE(place.stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ([file("../precious")], "upwards"),
        ([file("a/../../precious")], "upwards"),
        ([symlink("out", "../../outside"), file("out/precious")], "symlink"),
        ([symlink("out", "/"), file("out/tmp/precious")], "symlink"),
        ([symlink("here", "."), file("here/x")], "symlink"),
        ([symlink("out", "../../outside"), hardlink("x", "out/precious")], "symlink"),
        ([hardlink("x", "../../precious")], "upwards"),
        ([hardlink("x", "/etc/passwd")], "not there"),
        ([hardlink("x", "missing")], "no file here"),
        ([symlink("s", "/etc/passwd"), hardlink("x", "s")], "no file here"),
        ([directory("d"), hardlink("x", "d")], "no file here"),
        ([file("a"), file("a/b")], "a file or not there"),
        ([("dev", tarfile.CHRTYPE, b"")], "device node"),
        ([("dev", tarfile.BLKTYPE, b"")], "device node"),
        ([("pipe", tarfile.FIFOTYPE, b"")], "named pipe"),
        ([("sparse", tarfile.GNUTYPE_SPARSE, b"")], "sparse"),
        ([("odd", b"Z", b"")], "unknown type 'Z'"),
        ([file("n" * 256)], "too long"),
        ([file("d/" * 2500 + "x")], "too long"),
        ([file("d/" * 200 + "x")], "deep"),
        ([file(".wh...")], "whiteout of nothing"),
        ([file("d/.wh.")], "whiteout of nothing"),
        ([symlink("s", "")], "symlink to nothing"),
        ([symlink("s", "t/" * 2050)], "symlink to nothing"),
    ],
)
def test_hostile_member_is_refused(run: Unpack, entries: list[Entry], problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        run([file("innocent"), *entries])


def test_symlink_is_replaced_and_not_written_through(run: Unpack) -> None:
    got = run(
        [symlink("x", "../../precious"), symlink("d", "../../outside")],
        [file("x", b"new"), directory("d"), file("d/precious", b"new")],
    )
    assert tree(got) == {"x": "new", "d": "/", "d/precious": "new"}


def test_hard_link_to_itself_keeps_the_file(run: Unpack) -> None:
    got = run([file("a"), hardlink("b", "a"), hardlink("a", "b"), hardlink("a", "a")])
    assert tree(got) == {"a": "data", "b": "data"}


@pytest.mark.parametrize(
    ("upper", "left"),
    [
        ([file("d/.wh.a")], {"d": "/", "d/b": "data", "d/s": "/", "d/s/c": "data"}),
        ([file("d/.wh.s")], {"d": "/", "d/a": "data", "d/b": "data"}),
        ([file(".wh.d")], {}),
        ([file("d/.wh..wh..opq"), file("d/n")], {"d": "/", "d/n": "data"}),
        ([file("d/n"), file("d/.wh..wh..opq")], {"d": "/", "d/n": "data"}),
        ([file("d/s/n"), file("d/.wh..wh..opq")], {"d": "/", "d/s": "/", "d/s/n": "data"}),
        ([file(".wh..wh..opq"), file("n")], {"n": "data"}),
        ([file("d"), file(".wh.missing"), file("no/.wh.x")], {"d": "data"}),
        (
            [file("d/a", b"new"), file("d/.wh.a")],
            {"d": "/", "d/a": "new", "d/b": "data", "d/s": "/", "d/s/c": "data"},
        ),
        (
            [file(".wh..wh.plnk")],
            {"d": "/", "d/a": "data", "d/b": "data", "d/s": "/", "d/s/c": "data"},
        ),
    ],
)
def test_whiteouts(run: Unpack, upper: list[Entry], left: dict[str, str]) -> None:
    lower = [file("d/a"), file("d/b"), file("d/s/c")]
    assert tree(run(lower, upper)) == left


def test_bomb_is_stopped_while_it_unfolds(run: Unpack, store: Store) -> None:
    zeros = tar([file("zeros", bytes(50 << 20))])
    for bomb in (packed(zeros), zstandard.compress(zeros), packed(zeros) * 3):
        with pytest.raises(ResourceExhaustedError, match="unpack to more than 1048576 bytes"):
            run(contents=store.layers(bomb), max_bytes=1 << 20)


def test_bomb_behind_the_end_is_stopped_too(run: Unpack, store: Store) -> None:
    with pytest.raises(ResourceExhaustedError):
        run(contents=store.layers(packed(tar([]) + bytes(50 << 20))), max_bytes=1 << 20)


def test_entries_are_counted(run: Unpack, store: Store) -> None:
    with pytest.raises(ResourceExhaustedError, match="more than 10 entries"):
        run([file(f"f{number}") for number in range(11)], max_entries=10)
    many = Contents(files=tuple(File(f"f{n}", "", content=b"") for n in range(11)))
    with pytest.raises(ResourceExhaustedError):
        run(contents=many, max_entries=10)


def test_extended_headers_are_bounded(run: Unpack, store: Store) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 40
    with pytest.raises(InvalidArgumentError, match="extended header of 1099511627776 bytes"):
        run(contents=store.layers(header.tobuf(tarfile.GNU_FORMAT)))


WHOLE = tar([file("a", b"x" * 3000), symlink("b", "a")])


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (WHOLE[:700], "middle of a member"),
        (WHOLE[:300], "middle of a header"),
        (packed(WHOLE)[:-10], "middle of its gzip data"),
        (packed(WHOLE) + b"garbage", "no valid gzip"),
        (zstandard.compress(WHOLE) + b"garbage!", "zstd"),
        (zstandard.compress(WHOLE)[:-20], "cut short"),
        (WHOLE[: 512 + 3072 + 512], "cut short"),
        (b"", "cut short"),
        (WHOLE + b"garbage", "followed by something else"),
        (b"\x7fELF" + bytes(1000), "checksum"),
        (b"text", "middle of a header"),
        (packed(b"\0asm\1\0\0\0"), "middle of a header"),
        (WHOLE.replace(b"ustar\x0000", b"ustar\x0001", 1), "checksum"),
    ],
)
def test_damaged_layer_is_refused(run: Unpack, store: Store, data: bytes, problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        run(contents=store.layers(data))


def test_blob_is_verified(run: Unpack, store: Store) -> None:
    contents = store.layers(WHOLE)
    (layer,) = contents.layers
    with pytest.raises(InvalidArgumentError, match="has more than the 100 bytes"):
        run(contents=Contents(layers=(replace(layer, size=100),)))
    with pytest.raises(InvalidArgumentError, match="not what its digest says"):
        run(contents=Contents(layers=(replace(layer, size=len(WHOLE) + 1),)))
    # the last bytes of a tar are padding that no member needs
    store.blobs[layer.digest] = WHOLE[:-1] + b"\1"
    with pytest.raises(InvalidArgumentError):
        run(contents=contents)
    store.blobs[layer.digest] = tar([file("other", b"x" * 3000), symlink("b", "a")])
    with pytest.raises(InvalidArgumentError, match="not what its digest says"):
        run(contents=contents)
    del store.blobs[layer.digest]
    with pytest.raises(NotFoundError):
        run(contents=contents)


def test_single_files(run: Unpack, store: Store) -> None:
    blob = store.add(b"from a blob")
    contents = Contents(
        layers=store.layers(tar([file("site/old")])).layers,
        files=(
            File("site/index.html", blob.digest, blob),
            File("inline.txt", "", content=b"small"),
        ),
    )
    place = run(contents=contents)
    assert tree(place) == {
        "inline.txt": "small",
        "site": "/",
        "site/index.html": "from a blob",
        "site/old": "data",
    }
    assert stat.S_IMODE((place / "inline.txt").stat().st_mode) == 0o644


def test_files_out_of_archives(run: Unpack, store: Store) -> None:
    wanted = {"a/one": b"1", "a/again": b"1", "two": b"2"}
    boxes = [
        packed(tar([directory("x"), file("x/y", b"1"), file("z", b"unwanted"), symlink("l", "z")])),
        tar([file("../up", b"2")]),
    ]
    assert tree(run(contents=store.files(wanted, *boxes))) == {
        "a": "/",
        "a/again": "1",
        "a/one": "1",
        "two": "2",
    }


def test_file_that_no_archive_has(run: Unpack, store: Store) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'lost' with the digest .* in none"):
        run(contents=store.files({"lost": b"3"}, tar([file("x", b"1")])))


def test_what_is_there_is_left(run: Unpack, store: Store) -> None:
    place = run([file("first")])
    assert run([file("second")]) == place
    assert tree(place) == {"first": "data"}


def test_kill_leaves_nothing_that_looks_whole(tmp_path: Path, store: Store) -> None:
    contents = store.layers(tar([file("first"), file("second", b"x" * 200_000)]))

    class Deadly(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 100_000:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().read(size)

    (blob,) = store.blobs.values()
    pid = os.fork()
    if pid == 0:
        try:
            unpack(contents, lambda _: Deadly(blob), tmp_path / "files")
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    (left,) = os.listdir(tmp_path)
    assert left.startswith(TEMPORARY_PREFIX)
    unpack(contents, store.open_blob, tmp_path / "files")
    assert (tmp_path / "files" / "first").read_text() == "data"


def test_full_disk_is_told(run: Unpack, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ResourceExhaustedError, match="no space is left"):
        run([file("x")])


def test_missing_parent(tmp_path: Path, store: Store) -> None:
    with pytest.raises(InternalError, match="missing"):
        unpack(store.layers(), store.open_blob, tmp_path / "missing" / "x")


NAMES = st.lists(st.sampled_from(["a", "b", ".wh.a", ".wh..wh..opq", "..", ".", ""]), max_size=4)
PATHS = NAMES.map("/".join)
ENTRIES = st.one_of(
    st.builds(file, PATHS),
    st.builds(directory, PATHS),
    st.builds(symlink, PATHS, PATHS.map(lambda path: f"../../{path}")),
    st.builds(hardlink, PATHS, PATHS),
)


@given(st.lists(st.lists(ENTRIES, max_size=6), max_size=3))
def test_any_layers_stay_inside(layers: list[list[Entry]]) -> None:
    store = Store()
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        (top / "a").mkdir()
        (top / "b").write_text("mine")
        (top / "place").mkdir()
        with contextlib.suppress(InvalidArgumentError):
            contents = store.layers(*(tar(layer) for layer in layers))
            unpack(contents, store.open_blob, top / "place" / "files")
        assert sorted(os.listdir(top)) == ["a", "b", "place"]
        assert os.listdir(top / "a") == []
        assert (top / "b").read_text() == "mine"
        assert os.listdir(top / "place") in ([], ["files"])
