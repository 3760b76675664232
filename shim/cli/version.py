"""`tandem version`: ours, and the engine's."""

import importlib.metadata
import platform

import shim
from shim.cli.group import named
from shim.cli.output import output_option, print_facts, print_json


@named("version")
@output_option
def command(output: str) -> None:
    """Print the versions of Tandem, wasmtime and Python.

    JSON: tandem, wasmtime, python.
    """
    found = {
        "tandem": shim.__version__,
        "wasmtime": importlib.metadata.version("wasmtime"),
        "python": platform.python_version(),
    }
    if output == "json":
        print_json(found)
    else:
        print_facts(found)
