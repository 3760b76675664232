"""`tandem pack`: modules and files become an image, whose bytes depend on them alone."""

import contextlib
import os
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from shim.cli.group import named
from shim.cli.node import node_store
from shim.cli.output import output_option, print_json, size_text
from shim.errdefs import InvalidArgumentError
from shim.images.archive import write_archive
from shim.images.closure import closure
from shim.images.pack import (
    COMPAT_PLATFORM,
    Settings,
    pack_artifact,
    pack_image,
    read_module,
    warnings,
)
from shim.images.reference import parse_reference
from shim.images.store import Store
from shim.images.tar_layer import parse_addition

_PATH = click.Path(dir_okay=False, path_type=Path)


@named("pack")
@click.argument("modules", nargs=-1, required=True, type=_PATH, metavar="MODULE...")
@click.option("-t", "--tag", required=True, help="The image's name: registry/repository:tag.")
@click.option("--compat", is_flag=True, help="An ordinary image, which every containerd pulls.")
@click.option("--add", "add", multiple=True, metavar="PATH[:DEST]", help="Files the guest sees.")
@click.option("-o", "--archive", type=_PATH, help="Write an OCI archive, and nothing else.")
@click.option("--entrypoint", default="", help="With --compat: such as '/app.wasm --verbose'.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="With --compat.")
@click.option("--label", multiple=True, metavar="NAME=VALUE", help="With --compat.")
@click.option("--platform", help=f"With --compat: instead of {COMPAT_PLATFORM}.")
@click.option("--annotation", multiple=True, metavar="NAME=VALUE", help="Of the manifest.")
@output_option
def command(  # noqa: PLR0913 - an option each
    modules: tuple[Path, ...],
    tag: str,
    *,
    compat: bool,
    add: tuple[str, ...],
    archive: Path | None,
    entrypoint: str,
    env: tuple[str, ...],
    label: tuple[str, ...],
    platform: str | None,
    annotation: tuple[str, ...],
    output: str,
) -> None:
    """Pack modules and files as an image.

    Without --compat it is a Wasm artifact of the CNCF's layout, for containerd 1.7 and later and
    for other Wasm tools. With --compat it is an image FROM scratch, for everything that pulls
    images. The same input gives the same digest; SOURCE_DATE_EPOCH is the time that it says.

    The image goes to the node's image store, or, with -o, to a file for `ctr image import`.

    JSON: reference, digest, size (all blobs, in bytes), packing (artifact or image), warnings,
    archive.
    """
    if platform and not compat:
        raise click.UsageError("--platform is for --compat: a Wasm artifact is for Wasm.")
    reference = parse_reference(tag)
    if reference.digest:
        raise click.UsageError("--tag cannot say a digest: packing finds it.")
    settings = Settings(
        created_s=_source_date(),
        annotations=_pairs("--annotation", annotation),
        entrypoint=tuple(shlex.split(entrypoint)),
        env=tuple(f"{k}={v}" for k, v in _pairs("--env", env).items()),
        labels=_pairs("--label", label),
        platform=platform or COMPAT_PLATFORM,
    )
    sources = [read_module(path) for path in modules]
    additions = [parse_addition(text) for text in add]
    with _destination(archive) as store, store.adding():
        pack = pack_image if compat else pack_artifact
        target = pack(store, sources, additions, settings)
        manifests, blobs = closure(store, target)
        if archive:
            write_archive(store, reference, target, [*manifests, *blobs], archive)
        else:
            store.tag(reference, target)
    size = sum(blob.size for blob in (*manifests, *blobs))
    found = warnings(sources)
    for warning in found:
        click.echo(f"tandem: warning: {warning}", err=True)
    if output == "json":
        print_json(
            {
                "reference": str(reference),
                "digest": target.digest,
                "size": size,
                "packing": "image" if compat else "artifact",
                "warnings": found,
                "archive": str(archive) if archive else None,
            }
        )
    else:
        click.echo(f"{reference}@{target.digest}  {size_text(size)}")


@contextlib.contextmanager
def _destination(archive: Path | None) -> Iterator[Store]:
    """The node's store, or for an archive one that nobody sees."""
    if archive is None:
        yield node_store()
        return
    with tempfile.TemporaryDirectory(prefix="tandem-pack-") as directory:
        yield Store(Path(directory))


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.UsageError(f"{option} {text!r} is not NAME=VALUE.")
        pairs[name] = value
    return pairs


def _source_date() -> int:
    text = os.environ.get("SOURCE_DATE_EPOCH") or "0"
    if not text.isdecimal():
        raise InvalidArgumentError(f"SOURCE_DATE_EPOCH={text[:80]!r} is no number of seconds")
    return int(text)
