"""The executables of a bundle: the C launcher, and scripts that find the bundle around them.

Rules: a script is a program for /bin/sh, which every node has, and for the bundle's own Python at
once: as no interpreter may be named by where it lies, sh finds the directory, without a program of
the node's unless the script is reached by a link, and executes the loader with Python and the
script itself. sh is not on the path of a pod's start: the launcher speaks to the daemon that runs.
"""

from pathlib import Path

from runtimeclass.bundle.arch import Arch
from runtimeclass.bundle.cpython import INTERPRETER
from runtimeclass.bundle.libraries import LOADER, tool
from shim.launcher import install

# LD_PRELOAD and LD_AUDIT name libraries of the node, made for its C library. Links are followed to
# the end: a daemon started through /opt/tandem/current stays with the version that it began with.
_FIND = """\
self=$0
while [ -L "$self" ]; do
  link=$(readlink "$self")
  case $link in /*) self=$link ;; *) self=${{self%/*}}/$link ;; esac
done
root=$(CDPATH= cd -P -- "${{self%/*}}/{up}" && pwd -P) || exit 127
unset LD_PRELOAD LD_AUDIT
"""
_RUN = """\
exec "$root/{loader}" --inhibit-cache --library-path "$root/lib" \\
  --argv0 "$root/python/bin/python3" "$root/{interpreter}" """
_PROGRAM = (
    """\
#!/bin/sh
''':'
"""
    + _FIND
    + _RUN
    + """{flags} "$root/bin/{name}" "$@"
'''
import sys
with open("/proc/self/comm", "w") as comm:
    comm.write("{name}")
sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/site")
from {module} import main
sys.exit(main())
"""
)
# As a script's that the kernel executes, the process's name is the program's, not the loader's.
# What Python takes for its own name: who executes sys.executable comes out where it should.
_PYTHON = "#!/bin/sh\n" + _FIND + _RUN + '"$@"\n'

_INSTALLER = install.Program(
    "tandem-installer", "runtimeclass.installer.__main__", install.FLAGS_FOR_PEOPLE
)


def write(arch: Arch, root: Path) -> None:
    """Put them into `bin`, and `python3` beside the interpreter.

    Raises:
        BuildError: there is no C compiler for this processor.
        subprocess.CalledProcessError: it fails.
    """
    (root / "bin").mkdir()
    install.compile_launcher(tool(arch, "gcc"), root / "bin")
    common = {"loader": LOADER, "interpreter": INTERPRETER}
    for program in (*install.PROGRAMS, _INSTALLER):
        if not (root / "site" / program.module.replace(".", "/")).with_suffix(".py").exists():
            continue
        # -B: what is not compiled already stays so, for bundles are checked file by file.
        text = _PROGRAM.format(
            **common, up="..", name=program.name, module=program.module, flags=f"{program.flags} -B"
        )
        _write(root / "bin" / program.name, text)
    _write(root / "python/bin/python3", _PYTHON.format(**common, up="../.."))


def entry_point(root: str) -> tuple[str, ...]:
    """How the installer is executed where there is no sh: in an image that is nothing but a bundle.

    Args:
        root: where the bundle lies, an absolute path.
    """
    loader = (f"{root}/{LOADER}", "--inhibit-cache", "--library-path", f"{root}/lib")
    python = ("--argv0", f"{root}/python/bin/python3", f"{root}/{INTERPRETER}")
    return (*loader, *python, _INSTALLER.flags, "-B", f"{root}/bin/{_INSTALLER.name}")


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
