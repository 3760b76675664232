"""A bundle on a node that has a shell, and no C library."""

import json
from pathlib import Path

import pytest

import shim
from runtimeclass.bundle.programs import entry_point
from tests.bundle.bare_root import PLACE, BareRoot

pytestmark = pytest.mark.root

PYTHON = f"{PLACE}/python/bin/python3"
CURRENT = "/opt/tandem/current/bin"

# What the daemon keeps out of itself (shim/daemon/unneeded.py), others import.
IMPORT_ALL = f"""
import importlib, pathlib, sys
site = pathlib.Path("{PLACE}/site")
sys.path.insert(0, str(site))
for path in sorted([*site.glob("shim/**/*.py"), *site.glob("runtimeclass/**/*.py")]):
    name = ".".join(path.relative_to(site).with_suffix("").parts).removesuffix(".__init__")
    if not name.endswith("__main__"):
        importlib.import_module(name)
    for name in [name for name, module in sys.modules.items() if module is None]:
        del sys.modules[name]
print(len(sys.modules))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> BareRoot:
    return BareRoot(tmp_path_factory.mktemp("bare") / "root", bundle)


def output(root: BareRoot, script: str) -> str:
    """What a script prints, which must end well and have no complaints."""
    done = root.sh(script)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_command_runs_through_a_link(root: BareRoot) -> None:
    versions = json.loads(output(root, f"{CURRENT}/tandem version --output json"))
    assert versions["python"].startswith("3.13.")


def test_preloaded_libraries_are_the_nodes_own_business(root: BareRoot) -> None:
    command = f"LD_PRELOAD=/lib/libdecoy.so.1 {CURRENT}/tandem version"
    assert "wasmtime" in output(root, command)


def test_the_launcher_starts_a_daemon_of_the_version_that_it_belongs_to(root: BareRoot) -> None:
    said = output(
        root,
        f"{CURRENT}/containerd-shim-tandem-v1 -v;"
        "read pid < /run/tandem/tandemd.pid; cat /proc/$pid/comm /proc/$pid/maps",
    )
    lines = said.splitlines()
    assert lines[:2] == ["containerd-shim-tandem-v1:", f"  Version: {shim.__version__}"]
    assert lines[2] == "tandemd"
    mapped = {line.split(maxsplit=5)[5] for line in lines[3:] if len(line.split()) > 5}
    files = {name for name in mapped if name.startswith("/")}
    assert f"{PLACE}/lib/libc.so.6" in files
    assert sorted(name for name in files if not name.startswith(f"{PLACE}/")) == []


def test_python_knows_where_it_is_and_can_be_executed_anew(root: BareRoot) -> None:
    code = "import sys; print(sys.executable, sys.prefix, sys.flags.utf8_mode)"
    again = "import subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]], check=True)"
    said = output(root, f"{PYTHON} -IS -c '{again}' -IS -c '{code}'")
    assert said == f"{PYTHON} {PLACE}/python 1\n"


def test_libraries_are_found_by_name_and_only_in_the_bundle(root: BareRoot) -> None:
    code = 'import ctypes.util as u; print(u.find_library("seccomp"), u.find_library("decoy"))'
    assert output(root, f"{PYTHON} -IS -c '{code}'") == "libseccomp.so.2 None\n"
    code = 'import ctypes; ctypes.CDLL("libdecoy.so.1")'
    assert "cannot open shared object file" in root.sh(f"{PYTHON} -IS -c '{code}'").stderr


@pytest.mark.parametrize("flags", ["-ISB", "-ISBOO"])
def test_every_module_of_ours_finds_what_it_imports(root: BareRoot, flags: str) -> None:
    assert int(output(root, f"{PYTHON} {flags} -c '{IMPORT_ALL}'")) > 500


def test_names_and_certificates_need_nothing_of_the_node(root: BareRoot) -> None:
    code = (
        f'import sys; sys.path.insert(0, "{PLACE}/site");'
        "import certifi, socket, ssl; ssl.create_default_context(cadata=certifi.contents());"
        'print(socket.getaddrinfo("node.test", 443)[0][4][0], "ä".encode("idna"))'
    )
    said = output(root, f"echo 192.0.2.7 node.test > /etc/hosts; {PYTHON} -ISB -c '{code}'")
    assert said == "192.0.2.7 b'xn--4ca'\n"


def test_the_entry_point_of_the_image_needs_no_shell(root: BareRoot) -> None:
    *python, _ = entry_point(PLACE)
    assert "python" in output(root, f"exec {' '.join(python)} {PLACE}/bin/tandem version")
