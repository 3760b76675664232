"""A tar layer of files and directories, whose bytes depend on nothing but names and contents.

Rules: no times, no owners, names in order, uncompressed: what gzip makes of it would depend on
the zlib at hand. What no guest could use (devices, sockets, FIFOs) is refused.
"""

import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from shim.errdefs import InvalidArgumentError, NotFoundError


@dataclass(frozen=True, slots=True)
class Addition:
    """Something to put at `destination`, an absolute path: a file or tree of ours, or bytes."""

    destination: str
    source: Path | bytes


def parse_addition(text: str) -> Addition:
    """Read `PATH[:DESTINATION]`; without a destination it lies at the top, under its name.

    Raises:
        NotFoundError: there is no such file.
        InvalidArgumentError: the destination is no absolute path inside the image.
    """
    name, _, destination = text.partition(":")
    source = Path(name)
    if not os.path.lexists(source):
        raise NotFoundError(f"{name!r} does not exist: nothing to add")
    destination = destination or f"/{source.resolve().name}"
    parts = destination.split("/")
    if parts[0] or {".", ".."} & set(parts) or "\0" in destination:
        raise InvalidArgumentError(
            f"destination {destination[:200]!r} must be absolute, and no part of it . or .. itself"
        )
    return Addition("/" + "/".join(filter(None, parts)), source)


def write_tar(additions: Sequence[Addition], output: IO[bytes]) -> None:
    """Write the archive.

    Raises:
        InvalidArgumentError: two things have one name, or one is nothing for a guest.
        NotFoundError: a file vanished.
    """
    entries: dict[str, Path | bytes | None] = {}
    for addition in additions:
        for name, source in _walk(addition):
            if name in entries and not _both_directories(entries[name], source):
                raise InvalidArgumentError(f"file /{name} is added twice")
            entries[name] = source
    for name in list(entries):
        for parent in Path(name).parents:
            if parent != Path() and not _both_directories(entries.setdefault(str(parent), None)):
                raise InvalidArgumentError(f"path /{parent} is added as a file and as a directory")
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(entries):
            _write(archive, name, entries[name])


def _walk(addition: Addition) -> Iterator[tuple[str, Path | bytes | None]]:
    name = addition.destination.lstrip("/")
    if isinstance(addition.source, bytes):
        yield name, addition.source
        return
    if not addition.source.is_dir():
        if not name:
            raise InvalidArgumentError(f"{addition.source} is a file: give it a name in the image")
        # What is named itself is followed; links inside a tree stay links.
        yield name, addition.source.resolve()
        return
    if name:
        yield name, None
    for directory, names, files in os.walk(addition.source):
        base = Path(name, os.path.relpath(directory, addition.source))
        for each in names + files:
            path = Path(directory, each)
            is_directory = path.is_dir() and not path.is_symlink()
            yield str(base / each), None if is_directory else path


def _both_directories(*sources: Path | bytes | None) -> bool:
    return all(source is None for source in sources)


def _write(archive: tarfile.TarFile, name: str, source: Path | bytes | None) -> None:
    info = tarfile.TarInfo(name)
    info.mode = 0o755
    if source is None:
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
        return
    if isinstance(source, bytes):
        info.size = len(source)
        archive.addfile(info, BytesIO(source))
        return
    try:
        status = source.lstat()
        if stat.S_ISLNK(status.st_mode):
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, str(source.readlink()), 0o777
            archive.addfile(info)
        elif stat.S_ISREG(status.st_mode):
            info.mode = 0o755 if status.st_mode & 0o111 else 0o644
            with source.open("rb") as file:
                info.size = os.fstat(file.fileno()).st_size
                archive.addfile(info, file)
        else:
            raise InvalidArgumentError(f"{source} is neither a file, a directory nor a link")
    except FileNotFoundError:
        raise NotFoundError(f"{source} vanished while it was packed") from None
    except OSError as error:
        raise InvalidArgumentError(
            f"{source} cannot be packed: {error.strerror or error}"
        ) from error
