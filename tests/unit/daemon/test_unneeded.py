"""What the daemon does not load: asked of a fresh interpreter, since the import is the act."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
ASK = """
import sys
import shim.daemon.__main__
import asyncio, structlog
loaded = [name for name, module in sys.modules.items() if module is not None]
print([name for name in loaded if name.partition(".")[0] in ("rich", "ssl")])
"""


def test_daemon_loads_neither_rich_nor_ssl() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"


def test_leaf_can_have_them_back() -> None:
    code = (
        "import sys, shim.daemon.__main__; del sys.modules['ssl']; import ssl; print(ssl.HAS_SNI)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout == "True\n"
