"""`tandem`, the command, run as a person or a script runs it: a process, its output, its status."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_MAIN = "import sys; from shim.cli.app import main; sys.exit(main())"


@dataclass(frozen=True)
class Done:
    """What a call left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output, which must be JSON."""
        return json.loads(self.out)


class TandemCommand:
    """The command for a node of its own: configuration, cache, images, docker's configuration."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.images = directory / "images"
        self.cache = directory / "cache"
        self.docker = directory / "docker"
        self.docker.mkdir(parents=True)
        self.config = directory / "config.toml"
        self.config.write_text(
            f'[images]\ndirectory = "{self.images}"\n[cache]\ndirectory = "{self.cache}"\n'
        )
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "DOCKER_CONFIG": str(self.docker),
            "TANDEM_CONFIG": str(self.config),
            "TANDEM_SOCKET": str(directory / "run" / "tandemd.sock"),
        }

    def __call__(self, *words: str | Path, env: Mapping[str, str] | None = None) -> Done:
        """Run a command line; warnings of Python are errors."""
        # -I would take this tree off the path.
        argv = [sys.executable, "-W", "error", "-c", _MAIN, *map(str, words)]
        done = subprocess.run(
            argv,
            cwd=ROOT,
            env={**self.environment, **(env or {})},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def must(self, *words: str | Path) -> Done:
        """Run a command line that has to work."""
        done = self(*words)
        assert done.status == 0, done.err
        assert "Traceback" not in done.err
        return done
