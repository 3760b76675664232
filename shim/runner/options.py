"""The command line of `tandem run`, as data, and back.

Rules: pure; what the client got is what the runner parses, and the client's help describes the
same options (`shim.cli.run_command`). Options end at the first word that is none; what follows it
is the guest's.
"""

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shim.errdefs import InvalidArgumentError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)([kmgt]?)(?:i?b?)", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}
_ID = re.compile(r"\d{1,10}", re.ASCII)
_MAX_ID = 2**32 - 2
# A guest that has less dies in the jail's last steps, with no word about it.
_MIN_MEMORY_BYTES = 1 << 20


class UsageError(InvalidArgumentError):
    """The command line is none of `tandem run`."""


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory or file of this machine at `host`, that the guest sees at `guest`."""

    host: str
    guest: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What to run, and how.

    `target` is a module or a directory of this machine, and may be empty where `layers` hold the
    entry point. `layers` are directories, the lowest first, that make the guest's root together.
    `env` holds `NAME=value`, or a `NAME` of the caller's environment. `name` is the guest's first
    argument, where that is not the target's; `function` the one to call, where the target does not
    name it.
    """

    target: str = ""
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    dirs: tuple[Directory, ...] = ()
    memory_bytes: int | None = None
    timeout_s: float | None = None
    entrypoint: str = ""
    workdir: str = "/"
    user: tuple[int, int] = (0, 0)
    read_only: bool = False
    layers: tuple[str, ...] = ()
    name: str = ""
    function: str = ""

    def words(self) -> list[str]:
        """The command line that `parse_words` reads as this."""
        words = ["--read-only"] if self.read_only else []
        for directory in self.dirs:
            mode = ":ro" if directory.read_only else ""
            words += ["--dir", f"{directory.host}:{directory.guest}{mode}"]
        for flag, values in (("--env", self.env), ("--layer", self.layers)):
            for value in values:
                words += [flag, value]
        if self.memory_bytes is not None:
            words += ["--memory", str(self.memory_bytes)]
        if self.timeout_s is not None:
            words += ["--timeout", f"{self.timeout_s * 1000:.3f}ms"]
        if self.user != (0, 0):
            words += ["--user", f"{self.user[0]}:{self.user[1]}"]
        for name, text in (
            ("--entrypoint", self.entrypoint),
            ("--workdir", self.workdir if self.workdir != "/" else ""),
            ("--name", self.name),
            ("--function", self.function),
        ):
            words += [name, text] if text else []
        return [*words, "--", self.target, *self.args]


def parse_words(words: Sequence[str]) -> RunOptions:
    """Read a command line without its `tandem run`.

    Raises:
        UsageError: it has an unknown option, a value that is none, or nothing to run.
    """
    options = RunOptions()
    rest = iter(words)
    for word in rest:
        if word == "--" or not word.startswith("-") or word == "-":
            break
        if word == "--read-only":
            options = replace(options, read_only=True)
            continue
        options = _with_option(options, *_option(word, rest))
    else:
        raise UsageError("nothing to run: name a module, a directory or an image")
    target = next(rest, None) if word == "--" else word
    if target is None or not (target or options.layers):
        raise UsageError("nothing to run: name a module, a directory or an image")
    return replace(options, target=target, args=tuple(rest))


def _option(word: str, rest: Iterator[str]) -> tuple[str, str]:
    """Name and value of an option, in any of the forms `--env A=B`, `--env=A=B`, `-e A=B` and
    `-eA=B`."""
    if word.startswith("--"):
        name, separator, value = word.partition("=")
    else:
        name, value = _SHORT.get(word[:2], word), word[2:]
        separator = value
    if name not in _LONG:
        raise UsageError(f"no such option: {name}")
    if separator:
        return name, value
    following = next(rest, None)
    if following is None:
        raise UsageError(f"option {word} needs a value")
    return name, following


_SHORT = {
    "-e": "--env",
    "-v": "--dir",
    "-m": "--memory",
    "-t": "--timeout",
    "-u": "--user",
    "-w": "--workdir",
}
_LONG = frozenset(
    (
        *_SHORT.values(),
        "--entrypoint",
        "--layer",
        "--name",
        "--function",
    )
)


def _with_option(options: RunOptions, name: str, value: str) -> RunOptions:
    match name:
        case "--env":
            return replace(options, env=(*options.env, parse_variable(value)))
        case "--dir":
            return replace(options, dirs=(*options.dirs, parse_directory(value)))
        case "--layer":
            return replace(options, layers=(*options.layers, value))
        case "--memory":
            return replace(options, memory_bytes=parse_size(value))
        case "--timeout":
            return replace(options, timeout_s=parse_duration(value))
        case "--user":
            return replace(options, user=parse_user(value))
        case "--workdir":
            return replace(options, workdir=parse_workdir(value))
        case "--entrypoint":
            return replace(options, entrypoint=value)
        case "--name":
            return replace(options, name=value)
        case _:
            return replace(options, function=value)


def parse_variable(text: str) -> str:
    """Check `NAME=VALUE`, or the `NAME` of one of the caller's.

    Raises:
        UsageError: it names none.
    """
    if not text.partition("=")[0]:
        raise UsageError(f"--env {text!r} names no variable: write NAME=VALUE, or NAME")
    return text


def parse_workdir(text: str) -> str:
    """Read a directory of the guest's.

    Raises:
        UsageError: it is not absolute.
    """
    if not text.startswith("/"):
        raise UsageError(f"--workdir {text!r} is not an absolute path of the guest's")
    return posixpath.normpath("/" + text.lstrip("/"))


def parse_directory(text: str) -> Directory:
    """Read `HOST[:GUEST[:ro|rw]]`.

    Without GUEST, the guest finds the directory under the path that it has here; since a guest's
    working directory is `/`, that makes `data` to `/data`, and `.` to `/`.

    Raises:
        UsageError: it has another form, or a relative HOST leads upwards and GUEST is missing.
    """
    host, separator, rest = text.partition(":")
    guest, _, mode = rest.partition(":")
    if not host or (separator and not guest.startswith("/")) or mode not in {"", "ro", "rw"}:
        raise UsageError(f"--dir {text!r} is not of the form HOST[:GUEST[:ro]], GUEST absolute")
    if not separator:
        guest = posixpath.normpath(host)
        if guest.startswith(".."):
            raise UsageError(f"--dir {text!r} leads upwards: name the guest's path, {text}:/PATH")
    return Directory(host, posixpath.normpath("/" + guest.lstrip("/")), mode == "ro")


def parse_size(text: str) -> int:
    """Read a number of bytes: `64Mi`, `64m` and `67108864` are the same, as they are for docker.

    Raises:
        UsageError: it is none, or less than 1 MiB.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"--memory {text!r} is no size: write 64Mi, 1Gi or a number of bytes")
    size = int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))
    if size < _MIN_MEMORY_BYTES:
        raise UsageError(f"--memory {text} is less than 1Mi, which no guest can live on")
    return size


def parse_duration(text: str) -> float:
    """Read a time in seconds: `5s`, `500ms`, `2m`, `1h` or `5`.

    Raises:
        UsageError: it is none, or zero.
    """
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if seconds <= 0:
        raise UsageError(f"--timeout {text!r} is no time: write 5s, 500ms, 2m or 1h")
    return seconds


def parse_user(text: str) -> tuple[int, int]:
    """Read `UID[:GID]`; without GID, the group has the user's number.

    Raises:
        UsageError: one of them is no number of a user or group.
    """
    uid, _, gid = text.partition(":")
    gid = gid or uid
    if not (_ID.fullmatch(uid) and _ID.fullmatch(gid) and max(int(uid), int(gid)) <= _MAX_ID):
        raise UsageError(
            f"--user {text!r} is not UID[:GID]: names are not looked up, a guest has"
            " no user database"
        )
    return int(uid), int(gid)
