"""Compiles the Python files of a bundle, for the two levels of optimization that its programs use.

Rules: the files are believed without a look at their sources' time or hash (PEP 552, unchecked):
times are not kept, and what changes a bundle changes its manifest. Each level is compiled in one
process, in order, with a fixed hash seed, so that the same sources have the same bytes. The names
in tracebacks are set when a file is imported.
"""

import os
import subprocess
from pathlib import Path

from runtimeclass.bundle.cpython import INTERPRETER
from runtimeclass.bundle.failure import BuildError
from runtimeclass.bundle.libraries import LOADER

# Each level, and what is not imported there: Redis is asked by pods alone, and what is for people
# stays out of pods (.importlinter). It would still work, compiled at each start.
_LEVELS = {
    "0": r"/site/redis/",
    "2": r"/site/(attrs?|charset_normalizer|click|idna|jeepney|jsonschema\w*|oras|referencing"
    r"|requests|rich|rpds|runtimeclass|shim/cli/(?!main|run)|shim/images|tomlkit|urllib3)/",
}


def compile_all(python: Path, root: Path) -> None:
    """Compile what lies in a bundle.

    Args:
        python: a directory with the same CPython, its loader and libraries, that runs here.
        root: the bundle.

    Raises:
        BuildError: a file does not compile.
    """
    command: list[str | Path] = [python / LOADER, "--library-path", python / "lib"]
    command += ["--argv0", python / "python/bin/python3", python / INTERPRETER, "-ESsB", "-Wignore"]
    command += ["-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash", "-s", root]
    # Two processes, of which each does the same whatever the other does.
    running = [
        subprocess.Popen(
            [*command, "-o", level, "-x", unused, root / "python", root / "site"],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for level, unused in _LEVELS.items()
    ]
    for process in running:
        said, _ = process.communicate()
        if process.returncode:
            raise BuildError(f"a file of the bundle does not compile: {said.strip()}")
