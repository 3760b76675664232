import shutil
import subprocess

import pytest
from click.testing import CliRunner

from shim.cli.app import group


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_is_for_our_name(shell: str) -> None:
    done = CliRunner().invoke(group, ["completion", shell])
    assert done.exit_code == 0
    assert f"_TANDEM_COMPLETE={shell}_complete" in done.output
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.output, text=True, check=True)


def test_other_shells_are_refused() -> None:
    assert CliRunner().invoke(group, ["completion", "tcsh"]).exit_code == 2
