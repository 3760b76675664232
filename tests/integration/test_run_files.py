"""`tandem run`: directories as the root, and directories that are handed to a guest."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.installed import Installed, installed
from tests.support import guests, leaks

pytestmark = pytest.mark.root

# `r FILE` prints a file, `w FILE` writes one, `l DIRECTORY` lists one; exits with errno.
FILES = r"""
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) {
  for (int i = 1; i + 1 < argc; i += 2) {
    if (*argv[i] == 'l') {
      DIR *directory = opendir(argv[i + 1]);
      if (!directory) return errno;
      for (struct dirent *entry; (entry = readdir(directory));)
        if (*entry->d_name != '.') printf("%s ", entry->d_name);
      continue;
    }
    FILE *file = fopen(argv[i + 1], argv[i]);
    if (!file) return errno;
    if (*argv[i] == 'w') {
      if (fputs("written", file) < 0 || fclose(file)) return errno;
    } else {
      char text[99] = "";
      fgets(text, sizeof text, file);
      printf("%s", text);
    }
  }
  return 0;
}
"""
# wasi-libc's numbers; of a file system that cannot be written wasmtime says EIO.
ENOENT, EPERM, EIO = 44, 63, 29


@pytest.fixture(scope="module")
def shared() -> Iterator[Installed]:
    with installed() as node:
        leaks.allow_reserve(node.home.socket)
        node.run("tandem", "run", str(node.directory / "none"))
        yield node


@pytest.fixture
def node(shared: Installed) -> Installed:
    return shared


@pytest.fixture
def files() -> Path:
    return guests.compile_c(FILES)


def tandem_run(
    node: Installed, *words: str | Path, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    return node.run("tandem", "run", *map(str, words), cwd=cwd)


def outcome(done: subprocess.CompletedProcess[bytes]) -> tuple[int, bytes, bytes]:
    return done.returncode, done.stdout, done.stderr


def test_guest_sees_nothing_of_this_machine(node: Installed, files: Path) -> None:
    assert outcome(tandem_run(node, files, "l", "/")) == (0, b"", b"")
    for path in ("/etc/passwd", "/proc/self/status", "../../../../etc/passwd", files):
        assert tandem_run(node, files, "r", path).returncode in {ENOENT, EPERM}


def test_what_it_writes_elsewhere_is_gone(node: Installed, files: Path) -> None:
    done = tandem_run(node, files, "w", "/f", "r", "/f", "l", "/")
    assert outcome(done) == (0, b"writtenf ", b"")
    assert outcome(tandem_run(node, files, "l", "/")) == (0, b"", b"")
    assert tandem_run(node, "--read-only", files, "w", "/f").returncode == EIO


def test_directory_is_handed_over(node: Installed, files: Path, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("text")
    for words in (["--dir", f"{tmp_path}:/d"], [f"-v{tmp_path}:/d/:rw"], [f"--dir={tmp_path}:/d"]):
        done = tandem_run(node, *words, files, "r", "/d/in", "w", "/d/out")
        assert outcome(done) == (0, b"text", b"")
        assert (tmp_path / "out").read_text() == "written"
        (tmp_path / "out").unlink()
    done = tandem_run(node, "--dir", f"{tmp_path}:/d:ro", files, "r", "/d/in", "w", "/d/out")
    assert outcome(done) == (EIO, b"text", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_path_of_the_guests_is_the_hosts_unless_named(
    node: Installed, files: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "in").write_text("text")
    assert tandem_run(node, "--dir", tmp_path, files, "r", tmp_path / "data/in").stdout == b"text"
    for words, path in ((["--dir", "data"], "data/in"), (["--dir", "."], "data/in")):
        done = tandem_run(node, *words, files, "r", path, "r", f"/{path}", cwd=tmp_path)
        assert outcome(done) == (0, b"texttext", b"")
    done = tandem_run(node, "--dir", "..", files, cwd=tmp_path / "data")
    assert done.returncode == 2
    assert b"leads upwards" in done.stderr


def test_root_that_is_the_callers(node: Installed, files: Path, tmp_path: Path) -> None:
    assert tandem_run(node, "--dir", f"{tmp_path}:/", files, "w", "/f").returncode == 0
    assert (tmp_path / "f").read_text() == "written"
    assert tandem_run(node, "--dir", f"{tmp_path}:/:ro", files, "w", "/g").returncode == EIO
    # Nothing is made in it that the guest has not made.
    for words in (["--dir", "/usr:/x/usr:ro"], ["--workdir", "/x"]):
        done = tandem_run(node, "--dir", f"{tmp_path}:/", *words, files, "l", "/")
        assert done.returncode == 125
        assert b"is not there in the directory that is the guest's root" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_directories_below_each_other_and_files(
    node: Installed, files: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    (tmp_path / "a" / "below").mkdir()
    words = ["--dir", f"{tmp_path}/b:/d/below:ro", "--dir", f"{tmp_path}/a:/d"]
    words += ["--dir", f"{tmp_path}/b/b:/etc/one:ro"]
    done = tandem_run(node, *words, files, "r", "/d/a", "r", "/d/below/b", "r", "/etc/one")
    assert outcome(done) == (0, b"abb", b"")


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "/proc/self/root/etc/passwd"])
def test_symlink_leads_nowhere_else(
    node: Installed, files: Path, tmp_path: Path, target: str
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "d" / "link").symlink_to(target)
    done = tandem_run(node, "--dir", f"{tmp_path}/d:/d", files, "r", "/d/link", "w", "/d/link")
    assert (done.returncode, done.stdout) in {(ENOENT, b""), (EPERM, b"")}
    assert (tmp_path / "secret").read_text() == "secret"


def test_directory_that_is_not_there(node: Installed, files: Path) -> None:
    done = tandem_run(node, "--dir", "/nowhere:/d", files)
    assert outcome(done) == (125, b"", b"tandem: --dir /nowhere: no such file or directory\n")


def test_directory_with_one_module(node: Installed, files: Path, tmp_path: Path) -> None:
    (tmp_path / "app.wasm").write_bytes(files.read_bytes())
    (tmp_path / "data").write_text("text")
    done = tandem_run(node, tmp_path, "r", "data", "w", "data", "r", "data", "w", "/new")
    assert outcome(done) == (0, b"textwritten", b"")
    assert (tmp_path / "data").read_text() == "text"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.wasm", "data"]
    done = tandem_run(node, "--read-only", tmp_path, "w", "/new")
    assert done.returncode == EIO
    assert tandem_run(node, ".", "r", "data", cwd=tmp_path).stdout == b"text"


def test_directory_with_an_entry_point(node: Installed, files: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "a").write_bytes(files.read_bytes())
    (tmp_path / "b.wasm").write_bytes(guests.binary(guests.REACTOR))
    done = tandem_run(node, "--entrypoint", "/bin/a", tmp_path, "l", "/")
    assert sorted(done.stdout.split()) == [b"b.wasm", b"bin"]
    assert tandem_run(node, "--entrypoint", "b.wasm#go", tmp_path).returncode == 7
    (tmp_path / "c.wat").write_text(guests.HELLO)
    done = tandem_run(node, tmp_path)
    assert done.returncode == 125
    assert b"several (b.wasm, c.wat): choose with --entrypoint" in done.stderr
    (tmp_path / "sh").write_bytes(b"\x7fELF")
    done = tandem_run(node, "--entrypoint", "/sh", tmp_path)
    assert done.returncode == 125
    assert b"is no Wasm file: `tandem run` runs Wasm" in done.stderr
    done = tandem_run(node, "--entrypoint", "/none.wasm", tmp_path)
    assert b"entry point /none.wasm is not in the image or a volume" in done.stderr


def test_entry_point_of_a_directory_stays_inside(node: Installed, tmp_path: Path) -> None:
    outside = tmp_path / "outside.wasm"
    outside.write_bytes(guests.binary(guests.HELLO))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "app.wasm").symlink_to(outside)
    done = tandem_run(node, tmp_path / "d")
    assert (done.returncode, done.stdout) == (125, b"")


def test_layers_lie_above_each_other(node: Installed, files: Path, tmp_path: Path) -> None:
    for name in ("low:er", "up,per"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)
        (tmp_path / name / name).touch()
    layers: list[str | Path] = ["--layer", tmp_path / "low:er", "--layer", tmp_path / "up,per"]
    done = tandem_run(node, *layers, "--name", "app", files, "r", "/f")
    assert outcome(done) == (0, b"up,per", b"")
    done = tandem_run(node, *layers, files, "l", "/")
    assert sorted(done.stdout.split()) == [b"f", b"low:er", b"up,per"]
    (tmp_path / "up,per" / "app.wasm").write_bytes(files.read_bytes())
    done = tandem_run(node, *layers, "--entrypoint", "app.wasm", "--", "", "r", "/f")
    assert outcome(done) == (0, b"up,per", b"")
    done = tandem_run(node, *layers, "--dir", f"{tmp_path}:/", files)
    assert b"the guest's root (/) is made of" in done.stderr


def test_nothing_is_mounted_where_others_see_it(node: Installed, files: Path) -> None:
    before = leaks.mounts()
    assert tandem_run(node, "--dir", "/usr:/d:ro", files, "l", "/d").returncode == 0
    assert leaks.mounts() == before
    assert list((node.run_dir / "r").iterdir()) == []


def test_many_directories(node: Installed, files: Path, tmp_path: Path) -> None:
    words: list[str] = []
    for number in range(60):
        (tmp_path / f"{number}").write_text(f"{number}")
        words += ["--dir", f"{tmp_path}/{number}:/d/{number}:ro"]
    done = tandem_run(node, *words, files, "r", "/d/0", "r", "/d/59")
    assert outcome(done) == (0, b"059", b"")
    assert os.listdir(tmp_path)
