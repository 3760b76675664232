"""`tandem run` of images in the node's own store, however they were packed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.installed import Installed, installed
from tests.support import guests, leaks

pytestmark = pytest.mark.root

# Says what it was given, and what the file that it is told of holds.
SAY = r"""
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) printf("%s|", argv[i]);
  printf("%s|", getenv("A") ? getenv("A") : "");
  FILE *file = fopen("/data/file", "r");
  char text[99] = "";
  if (file && fgets(text, sizeof text, file)) printf("%s", text);
  return 6;
}
"""


@pytest.fixture
def node() -> Iterator[Installed]:
    with installed() as node:
        leaks.allow_reserve(node.home.socket)
        with node.home.config.open("a") as config:
            config.write(f'[images]\ndirectory = "{node.directory}/images"\n')
        yield node


def pack(node: Installed, directory: Path, *options: str) -> None:
    (directory / "file").write_text("text")
    added = ["--add", f"{directory}/file:/data/file"]
    words = ["pack", str(guests.compile_c(SAY)), "-t", "localhost/say:1", *added, *options]
    done = node.run("tandem", *words)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr


@pytest.mark.parametrize("options", [(), ("--compat",), ("--compat", "--env", "A=image")])
def test_image(node: Installed, tmp_path: Path, options: tuple[str, ...]) -> None:
    pack(node, tmp_path, *options)
    for words, variable in (([], "image" if "--env" in options else ""), (["-e", "A=own"], "own")):
        done = node.run("tandem", "run", *words, "localhost/say:1", "a", "--env")
        said = f"a|--env|{variable}|text".encode()
        assert (done.returncode, done.stdout, done.stderr) == (6, said, b"")


def test_function_of_an_image(node: Installed, tmp_path: Path) -> None:
    path = tmp_path / "m.wasm"
    path.write_bytes(guests.binary(guests.REACTOR))
    for form in ((), ("--compat",)):
        assert node.run("tandem", "pack", str(path), "-t", "localhost/m:1", *form).returncode == 0
        assert node.run("tandem", "run", "localhost/m:1#go").returncode == 7


def test_image_that_is_not_there(node: Installed) -> None:
    done = node.run("tandem", "run", "localhost/none:1")
    assert done.returncode == 1
    assert b"localhost/none:1: no such file or directory, and no image here" in done.stderr
