"""`tandem rm`: images leave the node's image store."""

import click

from shim.cli.group import named
from shim.cli.node import node_store
from shim.cli.output import output_option, print_json, size_text
from shim.images.reference import parse_reference


@named("rm")
@click.argument("references", nargs=-1, required=True, metavar="REFERENCE...")
@output_option
def command(references: tuple[str, ...], output: str) -> None:
    """Remove images from the node's image store, and the blobs that no other image needs.

    Compiled code stays in the cache until `cache prune`, or until it is the least recently used.

    JSON, a list of: reference, freed (bytes).
    """
    names = [parse_reference(text) for text in references]
    store = node_store()
    freed = {str(name): store.remove(name) for name in names}
    if output == "json":
        print_json([{"reference": name, "freed": size} for name, size in freed.items()])
        return
    for name, size in freed.items():
        click.echo(f"{name}  {size_text(size)} freed")
