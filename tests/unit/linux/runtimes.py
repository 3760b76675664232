"""An OCI runtime that is a shell script, and a loop in which its children are reaped."""

import os
from pathlib import Path

from shim.linux.runtime import OciRuntime, RuntimeOptions
from shim.process.reaper import Reaper

_HEAD = """#!/bin/sh
echo "$*" >> "{calls}"
while [ $# -gt 0 ]; do
  case $1 in
    --log) log=$2; shift;;
    --pid-file) pid_file=$2; shift;;
    create|start|kill|delete) verb=$1;;
  esac
  shift
done
"""


class FakeRuntime:
    """`body` sees $verb, $log and $pid_file; every call's arguments are kept."""

    def __init__(self, directory: Path, body: str = "exit 0") -> None:
        self.bundle = directory / "bundle"
        self.root = directory / "root"
        self.bundle.mkdir()
        self.root.mkdir()
        self.path = directory / "fake-runc"
        self._calls = directory / "calls"
        self.path.write_text(_HEAD.format(calls=self._calls) + body + "\n")
        self.path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []

    def runtime(self, reaper: Reaper, **options: bool) -> OciRuntime:
        env = {"PATH": os.environ["PATH"]}
        chosen = RuntimeOptions(str(self.path), self.root, **options)
        return OciRuntime(chosen, self.bundle, env, reaper)
