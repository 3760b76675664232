"""CPython out of Debian's packages: interpreter and standard library, without what nobody needs.

Rules: the layout is the one that CPython finds by itself from the name it was started by
(Modules/getpath.py): `python/bin/python3` and `python/lib/python3.X/` below one directory.
"""

import re
import shutil
from pathlib import Path

from runtimeclass.bundle.arch import PYTHON

PACKAGES = (f"python{PYTHON}", "libseccomp2", "libstdc++6")
"""pyseccomp opens libseccomp by its name; some wheels are C++."""

INTERPRETER = Path("python/bin") / f"python{PYTHON}"
STDLIB = Path("python/lib") / f"python{PYTHON}"

# Paths below the standard library: programs, documentation, tests; what is for other systems, or is
# Python for what is there in C; what asks for a display, a terminal's library, a database or memory
# shared by processes; protocols that nothing here speaks; tables of the world before Unicode.
_DROPPED = re.compile(
    r"""(?x) (
        __phello__ | _pyrepl | config-.* | curses | dbm | ensurepip | idlelib | lib2to3
        | multiprocessing | pydoc_data | test | tkinter | turtledemo | unittest | venv
        | xmlrpc | xml/(dom|sax)
        | ctypes/(macholib|_aix\.py) | asyncio/windows_.* | concurrent/futures/process\.py
        | EXTERNALLY-MANAGED | sitecustomize\.py | _sysconfigdata_.*
        | _(aix|android|apple|ios|osx)_support\.py | _py(datetime|decimal|io)\.py
        | (antigravity|cProfile|doctest|ftplib|imaplib|mailbox|modulefinder|pdb|pickletools|plistlib
          |poplib|profile|pstats|pyclbr|pydoc|rlcompleter|shelve|smtplib|tabnanny|this|trace
          |turtle|wave|webbrowser|zipapp)\.py
        | encodings/(big5.*|cp(?!437|1252).*|euc_.*|gb.*|hp_roman8|hz|iso2022.*|iso8859_(?!1\b|15).*
          |johab|koi8.*|kz1048|mac_.*|mbcs|oem|palmos|ptcp154|shift_jis.*|tis_620)\.py
        | lib-dynload/(_?xx.*|.*test.*|readline\..*
          |_(codecs_|curses|dbm|gdbm|lsprof|multi|posixshmem).*)
    )"""
)


def take(tree: Path, root: Path) -> None:
    """Copy the interpreter and the standard library from unpacked packages into a bundle."""
    (root / INTERPRETER).parent.mkdir(parents=True)
    shutil.copyfile(tree / "usr/bin" / INTERPRETER.name, root / INTERPRETER)
    (root / INTERPRETER).chmod(0o755)
    source = tree / "usr/lib" / STDLIB.name

    def dropped(directory: str, names: list[str]) -> list[str]:
        below = Path(directory).relative_to(source)
        return [name for name in names if _DROPPED.fullmatch(str(below / name))]

    shutil.copytree(source, root / STDLIB, ignore=dropped)
    shutil.copyfile(Path(__file__).with_name("ctypes_util.py"), root / STDLIB / "ctypes/util.py")
