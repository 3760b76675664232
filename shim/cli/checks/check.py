"""One line of `tandem doctor`."""

import re
from dataclasses import dataclass
from enum import StrEnum

_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+)+")


class Level(StrEnum):
    """How it is."""

    OK = "ok"
    WARN = "warn"  # something does not work, and most pods do
    FAIL = "fail"  # pods do not work before it is mended
    SKIP = "not checked"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, what was found, and how to mend it (empty where it need not be)."""

    name: str
    level: Level
    found: str
    mend: str = ""


def ok(name: str, found: str) -> Check:
    """It is as it must be."""
    return Check(name, Level.OK, found)


def warn(name: str, found: str, mend: str) -> Check:
    """Something does not work."""
    return Check(name, Level.WARN, found, mend)


def fail(name: str, found: str, mend: str) -> Check:
    """Nothing works."""
    return Check(name, Level.FAIL, found, mend)


def skip(name: str, found: str) -> Check:
    """It cannot be told from here."""
    return Check(name, Level.SKIP, found)


def version_of(text: str) -> tuple[int, ...]:
    """The first version in a text: (1, 6, 20); empty where there is none."""
    found = _VERSION.search(text)
    return tuple(map(int, found[0].split("."))) if found else ()
