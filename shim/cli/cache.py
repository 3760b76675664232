"""`tandem cache`: what is in the node's cache of compiled modules; shrinking and warming it."""

import time
from functools import partial
from typing import Any

import click

from shim.cli.group import COMMANDS
from shim.cli.node import node_config
from shim.cli.output import duration_text, output_option, print_json, print_table, size_text
from shim.cli.progress import waiting
from shim.errdefs import ShimError

_DIGEST = 12


@click.group(name="cache", short_help=COMMANDS["cache"])
def command() -> None:
    """List, shrink and warm the node's cache of compiled modules.

    The cache keeps within [cache] max_bytes by itself; the least recently used goes first.
    """


@command.command("ls")
@output_option
def ls(output: str) -> None:
    """List the compiled modules and unpacked layers.

    JSON, a list of: digest (of the module or layer), kind (module, component, layer), size,
    module_size (bytes; 0 where it is not known), images (manifests' digests), used (seconds since
    1970), current (whether this engine and processor can use it).
    """
    from shim.aot.inventory import list_entries
    from shim.cli.loader import node_cache

    entries = sorted(list_entries(node_cache(node_config())), key=lambda entry: -entry.used_ns)
    if output == "json":
        print_json([_members(entry) for entry in entries])
        return
    now_ns = time.time_ns()
    rows = [
        (
            entry.digest[:_DIGEST],
            entry.kind if entry.is_current else f"{entry.kind}, stale",
            size_text(entry.size),
            size_text(entry.module_size) if entry.module_size else "-",
            str(len(entry.images) or "-"),
            duration_text(max(0, now_ns - entry.used_ns) / 1e9) + " ago",
        )
        for entry in entries
    ]
    print_table(("DIGEST", "KIND", "SIZE", "MODULE", "IMAGES", "USED"), rows)


@command.command("prune")
@click.option("--all", "everything", is_flag=True, help="Remove everything.")
@click.option("--address", help="containerd's socket, instead of [containerd] address.")
@output_option
def prune(*, everything: bool, address: str | None, output: str) -> None:
    """Remove what is of no use any more: other engines' code, and what gone images left.

    An image is gone when containerd has it no more; what `compile` and `run` made of files and of
    this node's own images is not gone with any. Where containerd cannot be asked, nothing counts as
    gone. Pods that run are not disturbed.

    JSON: removed (as `ls` lists them), freed (bytes).
    """
    from shim.aot.inventory import Which
    from shim.aot.inventory import prune as remove
    from shim.cli.loader import node_cache

    config = node_config()
    cache = node_cache(config)
    if everything:
        removed = list(remove(cache, Which.ALL))
    else:
        alive = _alive_images(address or config.containerd.address)
        removed = [*remove(cache, Which.STALE), *remove(cache, Which.GONE, alive)]
    freed = sum(entry.size for entry in removed)
    if output == "json":
        print_json({"removed": [_members(entry) for entry in removed], "freed": freed})
    else:
        click.echo(f"{len(removed)} removed, {size_text(freed)} freed")


@command.command("warm")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--cgi", is_flag=True, help="For pods with the annotation cgi.")
@click.option("--namespace", default="k8s.io", show_default=True, help="containerd's.")
@click.option("--address", help="containerd's socket, instead of [containerd] address.")
@output_option
def warm(
    images: tuple[str, ...], *, cgi: bool, namespace: str, address: str | None, output: str
) -> None:
    """Compile every module of images that containerd has, before their first pod.

    CGI programs are compiled in another way than others. Of those that a modules.toml names, which
    is their image's entry point, this is known; of others, only a pod's annotation says it.

    For a file, or an image of this node's own store, say `compile`. For every image that is pulled
    from now on, say warm_on_pull in [cache].

    JSON, a list of: image, digest (of the module), kind, seconds, size, compiled.
    """
    from shim.cli.loader import compile_limits, load_module, node_cache
    from shim.cli.warming import warm_image

    config = node_config()
    cache, limits = node_cache(config), compile_limits(config)
    if cgi:
        from shim.engine.code import Code

        cache = cache.of(Code.INTERRUPTIBLE)
    where = address or config.containerd.address
    done: list[dict[str, Any]] = []
    for image in images:
        with waiting(f"compile {image}") as tick:
            began = time.monotonic()
            load = partial(load_module, cache=cache, limits=limits, tick=tick)
            for loaded in warm_image(where, namespace, image, cache, load):
                artefact = loaded.artefact
                done.append(
                    {
                        "image": image,
                        "digest": f"sha256:{artefact.digest}",
                        "kind": artefact.kind.value,
                        "seconds": round(time.monotonic() - began, 3),
                        "size": artefact.path.stat().st_size,
                        "compiled": loaded.is_new,
                    }
                )
                began = time.monotonic()
    if output == "json":
        print_json(done)
        return
    for each in done:
        how = f"in {duration_text(each['seconds'])}" if each["compiled"] else "before"
        click.echo(f"{each['image']}  {each['digest']}  {size_text(each['size'])}, compiled {how}")


def _members(entry: Any) -> dict[str, Any]:
    return {
        "digest": f"sha256:{entry.digest}",
        "kind": entry.kind,
        "size": entry.size,
        "module_size": entry.module_size,
        "images": list(entry.images),
        "used": entry.used_ns / 1e9,
        "current": entry.is_current,
    }


def _alive_images(address: str) -> frozenset[str] | None:
    """The digests of all images of containerd's; None where it does not say."""
    from shim.content.survey import Surveyor

    try:
        return Surveyor(address).look().alive
    except ShimError as error:
        click.echo(f"tandem: warning: no image counts as gone: {error}", err=True)
        return None
