"""The test guest `probe`, as an image for Linux and as one for WASI, from images/probe.c.

A third image holds both, and busybox beside them: /bin/probe, /app.wasm, /tools/probe.wasm.

`probe("say", "hello") + probe("exit", "3")` are the arguments of a container that does both.
"""

import subprocess
import tempfile
from pathlib import Path

from tests.support import images
from tests.support.images import ImageConfig

LINUX = "localhost/probe-linux:1"
WASM = "localhost/probe-wasm:1"
BOTH = "localhost/probe-both:1"

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


def both_image(target: Path) -> Path:
    """Write the image named BOTH; its entry point is the Wasm one."""
    with tempfile.TemporaryDirectory(prefix="tandem-probe-") as folder:
        module = compile_probe(WASM, Path(folder, "probe.wasm"))
        module.chmod(0o644)
        files: dict[str, images.Content] = {
            **images.busybox_files(),
            "/bin/probe": compile_probe(LINUX, Path(folder, "probe")),
            "/app.wasm": module,
            "/tools/probe.wasm": module,
            "/etc/motto.txt": b"two under one yoke\n",
        }
        config = ImageConfig(entrypoint=["/app.wasm"], env={"PATH": "/bin"})
        return images.build_image(target, BOTH, files, config)
