"""`tandem compile`: the node's cache has a module before the first pod wants it."""

import time
from typing import Any

import click

from shim.cli.group import named
from shim.cli.node import node_config, node_store
from shim.cli.output import duration_text, output_option, print_json, size_text
from shim.cli.progress import waiting
from shim.cli.subject import load_subject
from shim.errdefs import InvalidArgumentError


@named("compile")
@click.argument("subject")
@output_option
def command(subject: str, output: str) -> None:
    """Compile SUBJECT into the node's cache, where every pod finds it.

    SUBJECT is what `inspect` takes: a file, a directory, an archive, or the name of an image; all
    of its modules are compiled. What is compiled already is not compiled again.

    JSON, a list of: name, digest (of the module), kind, seconds, size (of the artefact, in bytes),
    compiled (false where it was in the cache).
    """
    from shim.aot.waiting import load_waiting
    from shim.cli.loader import compile_limits, node_cache
    from shim.images.source import BytesSource

    found = load_subject(subject, node_store)
    if not found.modules:
        raise InvalidArgumentError(f"{subject}: {found.problem}")
    config = node_config()
    cache, limits = node_cache(config), compile_limits(config)
    done: list[dict[str, Any]] = []
    for module in found.modules:
        source = BytesSource(module.binary, module.digest.removeprefix("sha256:"))
        began = time.monotonic()
        with waiting(f"compile {module.name}") as tick:
            loaded = load_waiting(source, cache, limits, tick=tick)
        done.append(
            {
                "name": module.name,
                "digest": module.digest,
                "kind": loaded.artefact.kind.value,
                "seconds": round(time.monotonic() - began, 3),
                "size": loaded.artefact.path.stat().st_size,
                "compiled": loaded.is_new,
            }
        )
    if output == "json":
        print_json(done)
        return
    for each in done:
        how = f"in {duration_text(each['seconds'])}" if each["compiled"] else "before"
        click.echo(
            f"{each['name']}  {each['digest']}  {size_text(each['size'])} of native code,"
            f" compiled {how}"
        )
