"""Documents kept on disk: verified when read, replaced whole, bounded in number."""

import contextlib
import hashlib
import os
from pathlib import Path

import pytest

from shim.aot.cache import Cache
from shim.aot.eviction import clear_debris
from shim.aot.locks import PARTIAL
from shim.content import documents as module
from shim.content.documents import Documents
from shim.errdefs import UnavailableError
from shim.oci.descriptors import Descriptor


def descriptor_of(data: bytes) -> Descriptor:
    return Descriptor("t", f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))


def test_document_is_read_as_it_was_added(tmp_path: Path) -> None:
    Documents(tmp_path).add(descriptor_of(b"{}"), b"{}")
    assert Documents(tmp_path).read(descriptor_of(b"{}")) == b"{}"


def test_document_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Documents(tmp_path).read(descriptor_of(b"{}"))


def test_torn_document_is_missing(tmp_path: Path) -> None:
    documents = Documents(tmp_path)
    documents.add(descriptor_of(b'{"a":1}'), b'{"a":1}')
    (path,) = (tmp_path / "documents").iterdir()
    path.write_bytes(b'{"a":')
    with pytest.raises(FileNotFoundError):
        documents.read(descriptor_of(b'{"a":1}'))


def test_hostile_digest_names_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    with pytest.raises(FileNotFoundError):
        Documents(tmp_path).read(Descriptor("t", "../secret", 1))


def test_oldest_documents_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_ENTRIES", 4)
    documents = Documents(tmp_path)
    texts = [str(number).encode() for number in range(5)]
    for age, text in enumerate(reversed(texts[:4])):
        documents.add(descriptor_of(text), text)
        path = documents._path(descriptor_of(text))
        os.utime(path, ns=(age, age))
    documents.add(descriptor_of(texts[4]), texts[4])
    left = []
    for text in texts:
        with contextlib.suppress(FileNotFoundError):
            left.append(documents.read(descriptor_of(text)))
    assert left == [b"0", b"1", b"4"]


def test_what_a_dead_loader_left_is_no_document_and_in_nobodys_way(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 1 << 30, "key")
    documents = Documents(cache.directory)
    partial = Path(f"{documents._path(descriptor_of(b'{}'))}{PARTIAL}")
    partial.parent.mkdir()
    partial.write_bytes(b"{")
    clear_debris(cache)
    assert list(partial.parent.iterdir()) == []
    partial.write_bytes(b'{"longer": 1}')
    documents.add(descriptor_of(b"{}"), b"{}")
    clear_debris(cache)
    assert documents.read(descriptor_of(b"{}")) == b"{}"
    assert len(list(partial.parent.iterdir())) == 1


def test_disk_that_fails_is_said(tmp_path: Path) -> None:
    (tmp_path / "documents").write_text("in the way")
    with pytest.raises(UnavailableError, match=r"cannot write .*documents.*move \[cache\]"):
        Documents(tmp_path).add(descriptor_of(b"{}"), b"{}")
