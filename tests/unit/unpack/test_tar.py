"""The tar reader against tarfile's writer, and against garbage."""

import contextlib
import io
import tarfile
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError, ShimError
from shim.unpack.streams import Budget
from shim.unpack.tar import Member, TarReader, Type
from tests.unit.unpack.archives import file, tar


def read(data: bytes) -> list[tuple[Member, bytes]]:
    reader = TarReader(io.BytesIO(data), Budget(1 << 20, 100))
    found = []
    for member in reader:
        content = b""
        while piece := reader.read(1000):
            content += piece
        found.append((member, content))
    return found


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 5000])
def test_members_are_what_tarfile_wrote(form: int, size: int) -> None:
    found = read(tar([file("dir/é", b"x" * size), file("next", b"y")], 0o640, form))
    first = Member("dir/é", Type.FILE, size, 0o640, 0, 0, "")
    assert [(member.name, content) for member, content in found] == [
        ("dir/é", b"x" * size),
        ("next", b"y"),
    ]
    assert found[0][0] == first


def test_data_that_nobody_reads_is_skipped() -> None:
    reader = TarReader(io.BytesIO(tar([file("a", b"x" * 999), file("b")])), Budget(1 << 20, 9))
    assert [member.name for member in reader] == ["a", "b"]


def test_large_owners_and_sizes_of_gnu() -> None:
    header = tarfile.TarInfo("x")
    header.uid, header.gid = 1 << 30, 1 << 31
    ((member, _),) = read(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert (member.uid, member.gid) == (1 << 30, 1 << 31)


def test_pax_headers_override_and_global_ones_stay() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", pax_headers={"uid": "7"}) as archive:
        for name in ("a", "b"):
            info = tarfile.TarInfo(name)
            info.pax_headers = {"gid": "9"} if name == "a" else {}
            archive.addfile(info)
    assert [(m.name, m.uid, m.gid) for m, _ in read(out.getvalue())] == [("a", 7, 9), ("b", 7, 0)]


@pytest.mark.parametrize(
    "records",
    [
        b"5 x=1\n",
        b"99 x=1\n",
        b"x=1\n",
        b"0 x=1\n",
        b"6 xx1\n",
        b"6 x=11",
        b"12 size=0x1\n",
        b"11 uid=-1\n",
    ],
)
def test_malformed_pax_records_are_refused(records: bytes) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, len(records)
    data = header.tobuf() + records.ljust(512, b"\0") + tarfile.TarInfo("y").tobuf() + bytes(1024)
    with pytest.raises(InvalidArgumentError, match=r"extended header|for its"):
        read(data)


def test_sparse_file_of_pax_is_refused() -> None:
    header = tarfile.TarInfo("x")
    header.pax_headers = {"GNU.sparse.major": "1"}
    with pytest.raises(InvalidArgumentError, match="sparse"):
        read(header.tobuf(tarfile.PAX_FORMAT) + bytes(1024))


def test_headers_without_a_meaning_do_not_fill_the_memory() -> None:
    def header(number: int) -> bytes:
        record = b" k%06d=%s\n" % (number, b"v" * 1_000_000)
        record = b"%d" % (len(record) + 7) + record
        info = tarfile.TarInfo("x")
        info.type, info.size = tarfile.XGLTYPE, len(record)
        return info.tobuf() + record + bytes(-len(record) % 512)

    class Headers(io.RawIOBase):
        """Sixty of them, one after the other, without holding more than one."""

        def __init__(self) -> None:
            self._number = 0
            self._present = io.BytesIO()

        def read(self, size: int = -1) -> bytes:
            data = self._present.read(size)
            if not data and self._number < 60:
                self._number += 1
                self._present = io.BytesIO(header(self._number))
                data = self._present.read(size)
            return data

    tracemalloc.start()
    try:
        with pytest.raises(InvalidArgumentError, match="cut short"):
            list(TarReader(Headers(), Budget(1 << 30, 100)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20


@given(st.binary(max_size=2048))
def test_any_bytes(data: bytes) -> None:
    with contextlib.suppress(ShimError):
        read(data)


VALID = tar([file("name", b"x" * 600), ("link", tarfile.SYMTYPE, "t" * 200)])


@given(st.integers(0, len(VALID) - 1), st.binary(min_size=1, max_size=8))
def test_damaged_headers(offset: int, patch: bytes) -> None:
    damaged = bytearray(VALID)
    damaged[offset : offset + len(patch)] = patch
    for start in range(0, len(damaged) - 511, 512):
        block = damaged[start : start + 512]
        if any(block):  # a right checksum, so that what is behind it is reached
            total = sum(block) - sum(block[148:156]) + 8 * 32
            damaged[start + 148 : start + 156] = b"%06o\0 " % total
    with contextlib.suppress(ShimError):
        read(bytes(damaged))
