"""Compiles every Python file of a bundle, for the two levels of optimization that its programs use.

Rules: the files are believed without a look at their sources' time or hash (PEP 552, unchecked): times are
not kept, and what changes a bundle changes its manifest. Compiled in one process, in order, with a
fixed hash seed, so that the same sources have the same bytes. Names in tracebacks are set when a
file is imported: inside are those below the bundle.
"""

import os
import subprocess
from pathlib import Path

from runtimeclass.bundle.arch import Arch
from runtimeclass.bundle.cpython import INTERPRETER
from runtimeclass.bundle.failure import BuildError

_LEVELS = ("0", "2")


def compile_all(own: Arch, python: Path, root: Path) -> None:
    """Compile what lies in a bundle.

    Args:
        own: this machine's processor.
        python: a directory with the same CPython for it, and its loader and libraries.
        root: the bundle.

    Raises:
        BuildError: a file does not compile.
    """
    command = [python / "lib" / own.loader, "--library-path", python / "lib"]
    command += ["--argv0", python / "python/bin/python3", python / INTERPRETER, "-ESsB", "-Wignore"]
    command += ["-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash", "-s", root]
    # Two processes, of which each does the same whatever the other does.
    running = [
        subprocess.Popen(
            [*command, "-o", level, root / "python", root / "site"],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for level in _LEVELS
    ]
    for process in running:
        said, _ = process.communicate()
        if process.returncode:
            raise BuildError(f"a file of the bundle does not compile: {said.strip()}")
