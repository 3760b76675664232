"""The options of commands that speak to a registry."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from shim.images.credentials import config_path, find_credentials
from shim.images.reference import Reference

if TYPE_CHECKING:
    from shim.images.registry import Registry

F = TypeVar("F", bound=Callable[..., Any])


def registry_options(function: F) -> F:
    """`--plain-http` and `--ca-file`."""
    function = click.option(
        "--ca-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Trust this authority (PEM), and no other, for the registry's certificate.",
    )(function)
    return click.option(
        "--plain-http",
        is_flag=True,
        help="Speak HTTP without TLS; registries on loopback do so unless --ca-file is given.",
    )(function)


@contextmanager
def registry_of(
    reference: Reference, *, plain_http: bool, ca_file: Path | None
) -> Iterator["Registry"]:
    """The registry of an image, with the credentials of docker's configuration."""
    from shim.images.oras_client import Access
    from shim.images.registry import Registry

    if plain_http and ca_file:
        raise click.UsageError("--plain-http has no use for --ca-file.")
    credentials = find_credentials(reference.registry, config_path(os.environ))
    registry = Registry(
        reference, Access(plain_http=plain_http, ca_file=ca_file, credentials=credentials)
    )
    try:
        yield registry
    finally:
        registry.close()
