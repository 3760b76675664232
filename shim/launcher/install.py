"""Installs the executables: `python -m shim.launcher.install DIRECTORY`.

`containerd-shim-tandem-v1` is the C launcher where a C compiler is, and the Python one in its
place where none is; `tandem-launcher` and `tandemd` lie beside it, since the launchers and `tandem`
look for them there. Rules: each file appears whole, under its name, by rename: a running containerd
may execute it at any moment.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import shim

_SHIM = "containerd-shim-tandem-v1"
_SOURCE = Path(__file__).with_name("launcher.c")
_SUBSTITUTE = "tandem-launcher"
_COMPILERS = ("cc", "gcc", "clang")
_FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-Os", "-static", "-s")

# -I: nothing of the environment or the working directory, which are containerd's; -S: no site hooks
# on the start path; -W ignore: containerd takes every byte on stderr for a part of the answer; -OO:
# without docstrings between them, the objects that a forked process writes to lie on fewer pages
# (docs/performance.md); the help of a command for people is made of them.
_FLAGS_FOR_PODS, FLAGS_FOR_PEOPLE = "-ISOOWignore", "-ISWignore"


@dataclass(frozen=True, slots=True)
class Program:
    """A script that runs `main` of a module, under Python with these flags."""

    name: str
    module: str
    flags: str


PROGRAMS = (
    Program(_SUBSTITUTE, "shim.launcher.fallback", _FLAGS_FOR_PODS),
    Program("tandemd", "shim.daemon.__main__", _FLAGS_FOR_PODS),
    Program("tandem", "shim.cli.main", FLAGS_FOR_PEOPLE),
)

_SCRIPT = """#!{python} {flags}
import sys
sys.path[:0] = {path!r}
from {module} import main
sys.exit(main())
"""


def install(directory: Path) -> None:
    """Put the executables into `directory`.

    Raises:
        subprocess.CalledProcessError: there is a C compiler, and it fails.
    """
    path = _import_path()
    # Not the virtual environment's, whose site directories the import path names: it looks for
    # them at each start, which takes 1 ms.
    python = Path(sys.executable).resolve()
    scripts: dict[str, str] = {}
    for program in PROGRAMS:
        script = _SCRIPT.format(
            python=python, flags=program.flags, path=path, module=program.module
        )
        scripts[program.name] = script
        _write(directory / program.name, script)
        # Compiled now, and not by the first pod's start.
        code = f"import sys; sys.path[:0] = {path!r}; import {program.module}"
        subprocess.run([python, program.flags, "-c", code], check=True)
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        _write(directory / _SHIM, scripts[_SUBSTITUTE])
        return
    compile_launcher(compiler, directory)


def compile_launcher(compiler: str, directory: Path) -> None:
    """Put the C launcher into `directory`.

    Raises:
        subprocess.CalledProcessError: the compiler fails.
    """
    new = directory / f".{_SHIM}.new"
    subprocess.run([compiler, *_FLAGS, "-o", new, _SOURCE], check=True)
    new.rename(directory / _SHIM)


def _import_path() -> list[str]:
    """Where this package and its dependencies are."""
    here = str(Path(shim.__file__).parent.parent)
    return [here, *(entry for entry in sys.path if entry.endswith("-packages") and entry != here)]


def _write(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(0o755)
    new.rename(path)


if __name__ == "__main__":
    install(Path(sys.argv[1]).resolve())
