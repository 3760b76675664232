"""A root directory with a bundle, a busybox for /bin/sh and nothing else: no C library, no Python.

What would mislead a loader that looks at the node is there, too: a list of libraries to preload, in
file and environment, and files under the names of libraries.
"""

import shutil
import subprocess
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
PLACE = "/opt/tandem/0.1.0"

# What starts a node's programs; all of it ends with the first process of the pid namespace.
_UNSHARE = ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
_ENTER = """
mount -t proc proc "$1/proc"
mount -t tmpfs -o mode=755 tmpfs "$1/run"
mount --bind /dev "$1/dev"
mount --bind "$1$2" "$1$2"
mount -o remount,ro,bind "$1$2"
exec chroot "$1" /bin/sh -c "$3"
"""


class BareRoot:
    """Such a root in a directory; the bundle in it is read-only."""

    def __init__(self, directory: Path, bundle: Path) -> None:
        self.directory = directory
        for name in ("bin", "dev", "proc", "run", "tmp", "etc", "var"):
            (directory / name).mkdir(parents=True)
        shutil.copy(BUSYBOX, directory / "bin/busybox")
        for name in ("cat", "env", "readlink", "sh"):
            (directory / "bin" / name).symlink_to("busybox")
        (directory / "etc/ld.so.preload").write_text("/lib/libdecoy.so.1\n")
        for libraries in ("lib", "usr/lib", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"):
            (directory / libraries).mkdir(parents=True, exist_ok=True)
            for name in ("libdecoy.so.1", "libc.so.6", "libseccomp.so.2"):
                shutil.copy(next(bundle.glob("lib/libz.so.*")), directory / libraries / name)
        shutil.copytree(bundle, directory / PLACE.lstrip("/"))
        (directory / "opt/tandem/current").symlink_to("0.1.0")

    def sh(self, script: str, timeout: float = 60.0) -> "subprocess.CompletedProcess[str]":
        """Run a script in it, in namespaces of its own; the timeout is in seconds."""
        return subprocess.run(
            [*_UNSHARE, "sh", "-euc", _ENTER, "sh", self.directory, PLACE, script],
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "de_DE.ISO-8859-1"},
        )
