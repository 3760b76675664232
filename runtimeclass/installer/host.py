"""The node's root directory, wherever it is seen.

Rules: reads only. Every path of the node is resolved inside the root, links included: an absolute
link of the node's must not lead into the installer's own container, nor `..` out of the root.
"""

import os
import stat
from pathlib import Path

from runtimeclass.installer.errors import NodeError

_MAX_LINKS = 40


class Host:
    """A node below `root`; paths in arguments and answers of type str are the node's."""

    def __init__(self, root: Path) -> None:
        """Describe it; `root` is / on the node itself."""
        self.root = root.resolve()

    def path(self, name: str) -> Path:
        """Where the installer sees this path; the last part is not followed where it is a link.

        Raises:
            NodeError: its directories are links in a circle.
        """
        directory, last = os.path.split(os.path.normpath(f"/{name}"))
        return self._resolve(directory) / last

    def real(self, name: str) -> str:
        """The node's path behind `name`, with every link followed; it need not exist.

        Raises:
            NodeError: there are links in a circle.
        """
        return f"/{self._resolve(name).relative_to(self.root)}"

    def _resolve(self, name: str) -> Path:
        todo = [part for part in name.split("/") if part not in {"", "."}][::-1]
        done: list[str] = []
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                done = done[:-1]
                continue
            try:
                target = os.readlink(self.root.joinpath(*done, part))  # noqa: PTH115 (keeps ./)
            except OSError:
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise NodeError(f"{name} has too many links: remove the circle")
            if target.startswith("/"):
                done = []
            todo += [each for each in target.split("/") if each not in {"", "."}][::-1]
        return self.root.joinpath(*done)

    def exists(self, name: str) -> bool:
        """Whether something is there, links followed."""
        return self._resolve(name).exists()

    def is_directory(self, name: str) -> bool:
        """Whether it is a directory, links followed."""
        return self._resolve(name).is_dir()

    def is_socket(self, name: str) -> bool:
        """Whether it is a socket, links followed."""
        return self._resolve(name).is_socket()

    def read(self, name: str) -> str | None:
        """A text file of the node's, or None where there is none.

        Raises:
            NodeError: it cannot be read, or is no text.
        """
        try:
            return self._resolve(name).read_bytes().decode()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise NodeError(f"{name} cannot be read: {error}") from error

    def glob(self, pattern: str) -> list[str]:
        """The node's files of this pattern, whose directory has no wildcard, sorted by name."""
        directory, last = os.path.split(pattern)
        found = self._resolve(directory).glob(last) if last else ()
        return sorted(f"{directory.rstrip('/')}/{each.name}" for each in found)

    def writable(self, directory: str) -> str:
        """Why nothing can be made in this directory, or in the nearest one that is there.

        Empty where it can.
        """
        path = self._resolve(directory)
        while not path.exists():
            path = path.parent
        if not stat.S_ISDIR(path.stat().st_mode):
            return f"{path} is not a directory"
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            return f"{path} is on a read-only file system"
        if not os.access(path, os.W_OK | os.X_OK):
            return f"{path} cannot be written by user {os.geteuid()}"
        return ""
