"""What the README says of the configuration: every key, with the value that it has by default."""

import re
from dataclasses import fields, replace
from pathlib import Path

from shim.config import Config, Http, parse_config

README = Path(__file__).parents[2] / "README.md"
# Without one, they are off, or the node's processors say; `parallel` is half of those.
WITHOUT_DEFAULT = {"workers", "health", "metrics", "fuel"}


def documented() -> str:
    blocks: list[str] = re.findall(r"```toml\n(.*?)```", README.read_text(), re.DOTALL)
    (block,) = [block for block in blocks if "[http]" in block]
    return block


def test_values_are_the_defaults() -> None:
    config = parse_config(documented(), name="README.md")
    known = Config()
    assert (
        replace(config, compile=replace(config.compile, parallel=known.compile.parallel)) == known
    )


def test_every_key_is_there() -> None:
    text = documented()
    for section in fields(Config):
        assert f"[{section.name}]" in text
        for key in fields(getattr(Config(), section.name)):
            assert re.search(rf"^(# )?{key.name} = ", text, re.MULTILINE), key.name


def test_keys_without_a_default_can_be_set() -> None:
    lines = re.findall(r"^# ((?:workers|health|metrics|fuel) = .*)$", documented(), re.MULTILINE)
    assert {line.partition(" ")[0] for line in lines} == WITHOUT_DEFAULT
    changed = parse_config("[http]\n" + "\n".join(lines), name="README.md").http
    assert all(getattr(changed, key) != getattr(Http(), key) for key in WITHOUT_DEFAULT)
