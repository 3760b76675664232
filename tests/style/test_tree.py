"""The tree keeps its own rules: tested modules, short files, documents that tell the truth."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

# Modules without a test module of their name, and where they are tested instead.
TESTED_IN = {
    "shim/aot/limits.py": "tests/integration/test_aot_crowd.py",
    "shim/aot/loader.py": "tests/integration/test_aot_loader.py",
    "shim/aot/marks.py": "tests/unit/aot/test_cache.py",
    "shim/aot/waiting.py": "tests/integration/test_tandem_compile.py",
    "shim/aot/priority.py": "tests/integration/test_cgroup_loader.py",
    "shim/cli/main.py": "tests/integration/test_run.py",
    "shim/cli/run.py": "tests/integration/test_run.py",
    "shim/cli/run_alone.py": "tests/integration/test_run_deaths.py",
    "shim/cli/run_fast.py": "tests/integration/test_run.py",
    "shim/cli/run_image.py": "tests/integration/test_run.py",
    "shim/cgroup/directories.py": "tests/unit/cgroup/test_group.py",
    "shim/cgroup/files.py": "tests/unit/cgroup/test_group.py",
    "shim/cgroup/oom.py": "tests/integration/test_cgroup_oom.py",
    "shim/cgroup/settings.py": "tests/unit/cgroup/test_update.py",
    "shim/cli/cache.py": "tests/integration/test_tandem_cache.py",
    "shim/cli/cached.py": "tests/integration/test_tandem_compile.py",
    "shim/cli/compile.py": "tests/integration/test_tandem_compile.py",
    "shim/cli/doctor.py": "tests/cri/test_tandem_command.py",
    "shim/cli/images.py": "tests/integration/test_tandem_images.py",
    "shim/cli/inspect.py": "tests/integration/test_tandem_images.py",
    "shim/cli/loader.py": "tests/integration/test_tandem_compile.py",
    "shim/cli/node.py": "tests/integration/test_tandem_images.py",
    "shim/cli/pack.py": "tests/integration/test_tandem_images.py",
    "shim/cli/pods.py": "tests/cri/test_tandem_command.py",
    "shim/cli/ps.py": "tests/cri/test_tandem_command.py",
    "shim/cli/pull.py": "tests/integration/test_tandem_images.py",
    "shim/cli/push.py": "tests/integration/test_tandem_images.py",
    "shim/cli/registry_options.py": "tests/integration/test_tandem_images.py",
    "shim/cli/rm.py": "tests/integration/test_tandem_images.py",
    "shim/cli/warming.py": "tests/cri/test_tandem_command.py",
    "shim/cli/version.py": "tests/unit/cli/test_group.py",
    "shim/content/alive.py": "tests/cri/test_compile.py",
    "shim/content/named.py": "tests/artifacts/test_warm.py",
    "shim/content/survey.py": "tests/artifacts/test_warm.py",
    "shim/content/client.py": "tests/artifacts/test_content.py",
    "shim/daemon/__main__.py": "tests/integration/test_daemon.py",
    "shim/daemon/gateway.py": "tests/integration/test_gateway.py",
    "shim/daemon/run.py": "tests/integration/test_run.py",
    "shim/daemon/serving.py": "tests/integration/test_daemon.py",
    "shim/daemon/starting.py": "tests/integration/test_launchers.py",
    "shim/daemon/zygote.py": "tests/integration/test_daemon.py",
    "shim/engine/cgi/guests.py": "tests/integration/test_cgi.py",
    "shim/engine/cgi/handlers.py": "tests/integration/test_cgi_modules.py",
    "shim/engine/cgi/service.py": "tests/integration/test_cgi.py",
    "shim/engine/compile.py": "tests/integration/test_engine.py",
    "shim/engine/component.py": "tests/integration/test_engine.py",
    "shim/engine/interfaces/atomics.py": "tests/integration/test_interfaces.py",
    "shim/engine/interfaces/calls.py": "tests/integration/test_interfaces.py",
    "shim/engine/interfaces/config.py": "tests/integration/test_interfaces.py",
    "shim/engine/interfaces/keyvalue.py": "tests/integration/test_interfaces.py",
    "shim/engine/interfaces/provider.py": "tests/integration/test_interfaces.py",
    "shim/engine/interfaces/signatures.py": "tests/integration/test_interfaces.py",
    "shim/engine/http/client.py": "tests/integration/test_http_commands.py",
    "shim/engine/http/contract.py": "tests/integration/test_http_contract.py",
    "shim/engine/http/calls.py": "tests/integration/test_http_outgoing.py",
    "shim/engine/http/conduit.py": "tests/integration/test_http_outgoing.py",
    "shim/engine/http/exchange.py": "tests/integration/test_http.py",
    "shim/engine/http/helper.py": "tests/integration/test_http.py",
    "shim/engine/http/linker.py": "tests/integration/test_http.py",
    "shim/engine/http/wasi.py": "tests/integration/test_cgi.py",
    "shim/engine/http/native.py": "tests/integration/test_http.py",
    "shim/engine/http/outgoing.py": "tests/integration/test_http_outgoing.py",
    "shim/engine/http/pool.py": "tests/integration/test_http_reuse.py",
    "shim/engine/http/service.py": "tests/integration/test_http.py",
    "shim/engine/http/types.py": "tests/integration/test_http.py",
    "shim/engine/linkers.py": "tests/integration/test_engine.py",
    "shim/engine/module.py": "tests/integration/test_engine.py",
    "shim/engine/run.py": "tests/integration/test_engine.py",
    "shim/daemon/poststop.py": "tests/conformance/test_docker.py",
    "shim/gateway/server.py": "tests/integration/test_gateway.py",
    "shim/images/blob_writer.py": "tests/unit/images/test_store.py",
    "shim/images/oras_client.py": "tests/integration/test_tandem_hostile.py",
    "shim/images/registry.py": "tests/integration/test_tandem_hostile.py",
    "shim/images/source.py": "tests/integration/test_tandem_compile.py",
    "shim/images/transfer.py": "tests/integration/test_tandem_hostile.py",
    "shim/instance/init.py": "tests/integration/test_instance.py",
    "shim/instance/process.py": "tests/integration/test_instance.py",
    "shim/jail/denied.py": "tests/unit/jail/test_seccomp.py",
    "shim/jail/guard.py": "tests/integration/test_jail.py",
    "shim/jail/names.py": "tests/cri/test_interfaces.py",
    "shim/jail/tree.py": "tests/integration/test_jail.py",
    "shim/launcher/fallback.py": "tests/integration/test_launchers.py",
    "shim/launcher/install.py": "tests/integration/test_launchers.py",
    "shim/pod/loading.py": "tests/integration/test_loading.py",
    "shim/pod/wasm.py": "tests/security/test_exec_jail.py",
    "shim/oci/layers.py": "tests/unit/oci/test_artifact.py",
    "shim/runner/group.py": "tests/integration/test_run_deaths.py",
    "shim/runner/main.py": "tests/integration/test_run.py",
    "shim/runner/root.py": "tests/integration/test_run_files.py",
    "shim/serve/cgi_download.py": "tests/integration/test_cgi.py",
    "shim/serve/channels.py": "tests/integration/test_http_clients.py",
    "shim/serve/connection.py": "tests/integration/test_http_clients.py",
    "shim/serve/download.py": "tests/integration/test_http.py",
    "shim/serve/listener.py": "tests/integration/test_http.py",
    "shim/serve/report.py": "tests/integration/test_http_metrics.py",
    "shim/serve/scrapes.py": "tests/integration/test_http_metrics.py",
    "shim/serve/server.py": "tests/integration/test_http.py",
    "shim/serve/shared.py": "tests/integration/test_http.py",
    "shim/serve/transaction.py": "tests/integration/test_http_bodies.py",
    "shim/serve/upload.py": "tests/integration/test_http_bodies.py",
    "shim/process/stdio.py": "tests/integration/test_stdio.py",
    "shim/unpack/place.py": "tests/unit/unpack/test_tree.py",
    "shim/watcher/listener.py": "tests/artifacts/test_warm.py",
    "shim/watcher/main.py": "tests/artifacts/test_warm.py",
    "shim/stores/opened.py": "tests/integration/test_stores.py",
    "shim/stores/redis.py": "tests/integration/test_stores.py",
}
# Modules that no test of this repository's machine part can ask alone, with the reason.
UNTESTED_ALONE = {
    "shim/instance/child.py": "a forked child: the conformance and security tests run it",
    "shim/kernel/constants.py": "numbers of the kernel's headers",
    "shim/pod/builder.py": "joins all rooms: the conformance tests run it",
    "shim/pod/main.py": "the composition root: the daemon's and conformance tests run it",
    "shim/pod/node.py": "data only",
    "shim/pod/params.py": "data only",
    "shim/pod/rehearsal.py": "costs time or saves it, nothing else: every daemon runs it",
    "shim/process/child_streams.py": "a Protocol only",
    "shim/stores/ports.py": "a Protocol and its errors",
    "shim/task/ports.py": "Protocols only",
    "shim/ttrpc/codes.py": "numbers only",
}
MAX_LINES = 400
GENERATED = ("shim/api/", "runtimeclass/api/", "tests/support/api/")

TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split("\n")[:-1]
PRESENT = [name for name in TRACKED if (ROOT / name).is_file()]
WRITTEN = [name for name in PRESENT if not name.startswith(GENERATED)]
PYTHON = [name for name in WRITTEN if name.endswith(".py")]
MODULES = [name for name in PYTHON if name.startswith("shim/") and not name.endswith("__init__.py")]
DOCUMENTS = [name for name in WRITTEN if name.endswith(".md")]


def read(name: str) -> str:
    return (ROOT / name).read_text()


def unit_test_of(name: str) -> str:
    path = Path(name).relative_to("shim")
    return str(Path("tests/unit") / path.parent / f"test_{path.name}")


def test_modules_say_what_they_are_for() -> None:
    assert [name for name in MODULES if not ast.get_docstring(ast.parse(read(name)))] == []


def test_modules_have_a_test_or_are_named_with_a_reason() -> None:
    tested = {name for name in MODULES if (ROOT / unit_test_of(name)).exists()}
    listed = {*TESTED_IN, *UNTESTED_ALONE}
    assert sorted(set(MODULES) - tested - listed) == [], "write a test or name it above"
    assert sorted(tested & listed) == [], "these have a test module: take them off the lists"
    assert sorted(TESTED_IN.keys() & UNTESTED_ALONE.keys()) == []
    assert [test for test in TESTED_IN.values() if not (ROOT / test).exists()] == []


def test_lists_name_modules_that_exist() -> None:
    assert sorted({*TESTED_IN, *UNTESTED_ALONE} - set(MODULES)) == []


def test_unit_tests_are_named_after_a_module() -> None:
    """`test_service_refusals.py` is one of `service.py`'s, too."""
    rooms = {"", *(name.split("/")[1] for name in MODULES if name.count("/") == 2)}
    stems = {unit_test_of(name).removesuffix(".py") for name in MODULES}
    lost = []
    for name in PYTHON:
        path = Path(name)
        if not name.startswith("tests/unit/") or not path.name.startswith("test_"):
            continue
        room = "" if name.count("/") == 2 else name.split("/")[2]
        words = path.stem.split("_")
        names = {str(path.with_name("_".join(words[:n]))) for n in range(2, len(words) + 1)}
        if room in rooms and not names & stems:
            lost.append(name)
    assert lost == []


def test_files_are_short() -> None:
    endings = (".py", ".c", ".sh", ".rs", "Makefile")
    lengths = {name: len(read(name).splitlines()) for name in WRITTEN if name.endswith(endings)}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_nothing_is_left_for_later() -> None:
    later = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    found = []
    for name in WRITTEN:
        if (ROOT / name).suffix in {".py", ".c", ".sh", ".md", ".toml", ".proto", ".rs", ""}:
            found += [
                f"{name}:{number}"
                for number, line in enumerate(read(name).splitlines(), 1)
                if later.search(line)
            ]
    assert found == []


def paths_in(text: str) -> set[str]:
    """What a document calls a file of this tree, in backticks: from its top, or from `shim/`."""
    folders = {name.split("/")[0]: "" for name in PRESENT if "/" in name}
    folders |= {name.split("/")[1]: "shim/" for name in MODULES if name.count("/") == 2}
    ticked = re.findall(r"`([\w.-]+/[\w./-]*)`", text)
    return {folders[path.split("/")[0]] + path for path in ticked if path.split("/")[0] in folders}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document_names_paths_that_exist(name: str) -> None:
    text = read(name)
    assert sorted(path for path in paths_in(text) if not (ROOT / path).exists()) == []
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
    assert sorted(link for link in links if not (ROOT / name).parent.joinpath(link).exists()) == []


def test_changelog_has_its_form() -> None:
    lines = read("CHANGELOG.md").splitlines()
    assert lines[0] == "# Changelog"
    headings = [line for line in lines if line.startswith("## ")]
    form = r"## (\[Unreleased\]|\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2})"
    assert headings
    assert [line for line in headings if not re.fullmatch(form, line)] == []
    versions = re.findall(r"## \[(\d+)\.(\d+)\.(\d+)\]", "\n".join(lines))
    numbers = [tuple(map(int, version)) for version in versions]
    assert numbers == sorted(set(numbers), reverse=True)
    allowed = {"### Added", "### Changed", "### Fixed", "### Removed", "### Security"}
    assert {line for line in lines if line.startswith("### ")} <= allowed


def test_decisions_are_numbered_without_a_gap() -> None:
    names = sorted(Path(name).name for name in DOCUMENTS if name.startswith("docs/decisions/"))
    numbered = [name for name in names if re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", name)]
    assert [int(name[:4]) for name in numbered] == list(range(1, len(numbered) + 1))
