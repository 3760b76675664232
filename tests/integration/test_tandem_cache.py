"""`tandem cache ls` and `prune` on a node of their own."""

from pathlib import Path

import pytest

from tests.support import guests
from tests.support.tandem_command import TandemCommand

pytestmark = pytest.mark.root

NAME = "registry.example/hello:1"


@pytest.fixture
def tandem(tmp_path: Path) -> TandemCommand:
    return TandemCommand(tmp_path / "node")


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    path = tmp_path / "hello.wasm"
    path.write_bytes(guests.binary(guests.HELLO))
    return path


def listed(tandem: TandemCommand) -> set[str]:
    return {each["digest"] for each in tandem.must("cache", "ls", "--output", "json").json}


def test_empty_cache_is_an_empty_list(tandem: TandemCommand) -> None:
    assert tandem.must("cache", "ls", "--output", "json").json == []
    assert tandem.must("cache", "ls").out.split()[:3] == ["DIGEST", "KIND", "SIZE"]


def test_what_was_compiled_is_listed(tandem: TandemCommand, hello: Path) -> None:
    """Without its image: those that entries follow are containerd's."""
    tandem.must("pack", hello, "-t", NAME)
    [compiled] = tandem.must("compile", NAME, "--output", "json").json
    [entry] = tandem.must("cache", "ls", "--output", "json").json
    assert entry["digest"] == compiled["digest"]
    assert entry["images"] == []
    assert entry["module_size"] == hello.stat().st_size
    assert entry["current"] is True


def test_all_is_all(tandem: TandemCommand, hello: Path) -> None:
    tandem.must("compile", hello)
    done = tandem.must("cache", "prune", "--all", "--output", "json").json
    assert len(done["removed"]) == 1
    assert done["freed"] > 0
    assert listed(tandem) == set()


def test_code_of_another_engine_goes(tandem: TandemCommand, hello: Path) -> None:
    tandem.must("compile", hello)
    [key] = [path for path in tandem.cache.iterdir() if list(path.glob("*.module"))]
    key.rename(key.with_name("0" * 16))
    tandem.must("compile", hello)
    entries = tandem.must("cache", "ls", "--output", "json").json
    assert sorted(each["current"] for each in entries) == [False, True]
    done = tandem.must("cache", "prune", "--output", "json")
    assert [each["current"] for each in done.json["removed"]] == [False]
    assert len(listed(tandem)) == 1


def test_without_containerd_no_image_is_gone(tandem: TandemCommand, hello: Path) -> None:
    tandem.must("pack", hello, "-t", NAME)
    tandem.must("compile", NAME)
    tandem.must("rm", NAME)
    done = tandem.must("cache", "prune", "--address", "/nowhere/c.sock", "--output", "json")
    assert done.json["removed"] == []
    assert "no image counts as gone" in done.err
    assert len(listed(tandem)) == 1
