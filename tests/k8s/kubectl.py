"""kubectl, as the walk uses it: the real program, each call with an end."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CALL_S = 30


class KubectlError(Exception):
    """kubectl failed, or what it was to wait for did not come; the text is its last words."""


class Kubectl:
    """The cluster of the current kubeconfig."""

    def __init__(self, program: Path, timeout_s: float) -> None:
        """Waits take up to `timeout_s` seconds."""
        self._program = program
        self._timeout_s = timeout_s

    def __call__(self, *words: str, stdin: str | None = None, timeout: float = _CALL_S) -> str:
        """Run it and return what it printed.

        Raises:
            KubectlError: it failed, or took too long.
        """
        try:
            done = subprocess.run(
                [self._program, *words],
                input=stdin,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise KubectlError(f"kubectl {' '.join(words)}: no answer in {timeout:g} s") from None
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise KubectlError(f"kubectl {' '.join(words)}: {said[-1] if said else 'no reason'}")
        return done.stdout

    def server_version(self) -> str:
        """The API server's version, such as v1.37.2."""
        answer = self("version", "-o", "json", "--request-timeout=10s")
        version: str = json.loads(answer)["serverVersion"]["gitVersion"]
        return version

    def get(self, *words: str) -> Any:
        """An object, or a list of them, as data."""
        return json.loads(self("get", *words, "-o", "json"))

    def apply(self, text: str, *words: str) -> str:
        """Apply a stream of YAML, on the server's side, every field checked by it."""
        checked = ("--server-side", "--validate=strict", "--force-conflicts")
        return self("apply", *checked, *words, "-f", "-", stdin=text, timeout=self._timeout_s)

    def delete(self, text: str, *words: str) -> None:
        """Delete what a stream of YAML names, and wait until it is gone."""
        options = ("--ignore-not-found", "--wait", f"--timeout={self._timeout_s:g}s")
        self("delete", *options, *words, "-f", "-", stdin=text, timeout=self._timeout_s + _CALL_S)

    def waits(self, *words: str) -> None:
        """A command that waits by itself: `rollout status`, `wait`."""
        self(*words, f"--timeout={self._timeout_s:g}s", timeout=self._timeout_s + _CALL_S)

    def until(self, what: str, found: Callable[[], Any]) -> Any:
        """Ask until there is an answer.

        Raises:
            KubectlError: there is none in time.
        """
        end = time.monotonic() + self._timeout_s
        reason = ""
        while time.monotonic() < end:
            try:
                if answer := found():
                    return answer
            except KubectlError as error:
                reason = f": {error}"
            time.sleep(0.5)
        raise KubectlError(f"waited {self._timeout_s:g} s for {what}{reason}")
