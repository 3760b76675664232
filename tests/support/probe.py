"""The test guest `probe`, as an image for Linux and as one for WASI, from images/probe.c.

`probe("say", "hello") + probe("exit", "3")` are the arguments of a container that does both.
"""

import subprocess
import tempfile
from pathlib import Path

from tests.support import images
from tests.support.images import ImageConfig

LINUX = "localhost/probe-linux:1"
WASM = "localhost/probe-wasm:1"

SOURCE = Path(__file__).parent / "images" / "probe.c"

COMPILERS = {
    LINUX: ["gcc", "-static"],
    WASM: ["clang", "--target=wasm32-wasi"],
}


def probe(*words: str) -> list[str]:
    """One command of the probe; several are added up to be done in order."""
    return [*words, "--"]


def compile_probe(name: str, target: Path) -> Path:
    """Compile the probe for the kind of container that an image name stands for."""
    options = ["-std=gnu11", "-Os", "-s", "-Wall", "-Werror"]
    subprocess.run([*COMPILERS[name], *options, "-o", target, SOURCE], check=True)
    return target


def probe_image(target: Path, name: str) -> Path:
    """Write the probe's image named LINUX or WASM; its entry point is the probe."""
    with tempfile.TemporaryDirectory(prefix="tandem-probe-") as folder:
        binary = compile_probe(name, Path(folder, "probe"))
        if name == WASM:
            binary.chmod(0o644)
        files: dict[str, images.Content] = {
            "/app": binary,
            "/tmp": images.Directory(0o1777),
            "/etc/motto.txt": b"two under one yoke\n",
        }
        return images.build_image(target, name, files, ImageConfig(entrypoint=["/app"]))
