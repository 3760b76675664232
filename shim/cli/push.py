"""`tandem push`: an image of the store goes to its registry, or under another name."""

from pathlib import Path

import click

from shim.cli.group import named
from shim.cli.node import node_store
from shim.cli.output import output_option, print_json, size_text
from shim.cli.progress import progress_bars
from shim.cli.registry_options import registry_of, registry_options
from shim.images.reference import parse_reference
from shim.images.transfer import push


@named("push")
@click.argument("reference")
@click.argument("destination", required=False)
@registry_options
@output_option
def command(
    reference: str,
    destination: str | None,
    *,
    plain_http: bool,
    ca_file: Path | None,
    output: str,
) -> None:
    """Send an image to its registry, or to DESTINATION, another full name.

    Blobs that the registry has are not sent again. Credentials are docker's: auths, credsStore and
    credHelpers of ~/.docker/config.json (or of DOCKER_CONFIG).

    JSON: reference (the destination), digest, moved (bytes that were sent).
    """
    source = parse_reference(reference)
    to = parse_reference(destination) if destination else source
    store = node_store()
    with (
        progress_bars() as progress,
        registry_of(to, plain_http=plain_http, ca_file=ca_file) as registry,
    ):
        moved = push(registry, store, source, to, progress)
    if output == "json":
        print_json(
            {"reference": str(to), "digest": moved.target.digest, "moved": moved.moved_bytes}
        )
    else:
        click.echo(f"{to}@{moved.target.digest}  {size_text(moved.moved_bytes)} sent")
