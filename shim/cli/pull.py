"""`tandem pull`: an image of a registry comes into the store, verified."""

from pathlib import Path

import click

from shim.cli.group import named
from shim.cli.node import node_store
from shim.cli.output import output_option, print_json, size_text
from shim.cli.progress import progress_bars
from shim.cli.registry_options import registry_of, registry_options
from shim.images.reference import parse_reference
from shim.images.transfer import pull


@named("pull")
@click.argument("reference")
@registry_options
@output_option
def command(reference: str, *, plain_http: bool, ca_file: Path | None, output: str) -> None:
    """Fetch an image from its registry into the node's image store, for `run` and `inspect`.

    Every blob is verified. A pull that was interrupted goes on with the blob that it was at. Of an
    index, the manifest for Wasm is taken, else the one for this machine. containerd has images of
    its own, which this does not touch.

    JSON: reference, digest, moved (bytes that were fetched).
    """
    name = parse_reference(reference)
    store = node_store()
    with (
        progress_bars() as progress,
        registry_of(name, plain_http=plain_http, ca_file=ca_file) as registry,
    ):
        moved = pull(registry, store, name, progress)
    if output == "json":
        print_json(
            {"reference": str(name), "digest": moved.target.digest, "moved": moved.moved_bytes}
        )
    else:
        click.echo(f"{name}@{moved.target.digest}  {size_text(moved.moved_bytes)} fetched")
