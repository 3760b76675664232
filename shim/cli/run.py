"""`tandem run`, as click sees it: help, completion, the words for what is wrong, and images.

Rules: what the short way (`shim.cli.run_fast`) has understood never comes here. The command line
is read by the same code as there, so that both mean the same.
"""

import os
from dataclasses import replace
from pathlib import Path

import click

from shim.cli.group import named
from shim.cli.run_fast import complain, run_words
from shim.cli.run_image import image_options
from shim.errdefs import NotFoundError
from shim.runner import wire
from shim.runner.options import RunOptions, UsageError, parse_words
from shim.runner.target import split_function


@named("run")
@click.option(
    "-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="A variable, maybe one of yours."
)
@click.option(
    "-v",
    "--dir",
    multiple=True,
    metavar="HOST[:GUEST[:ro]]",
    help="A directory of this machine for the guest.",
)
@click.option("-m", "--memory", metavar="SIZE", help="A limit, such as 64Mi.")
@click.option("-t", "--timeout", metavar="TIME", help="Kill the guest after 5s, 500ms, 2m.")
@click.option("--entrypoint", metavar="PATH", help="Which file of a directory or image to run.")
@click.option(
    "-w", "--workdir", metavar="PATH", help="PWD for the guest, which Go's guests follow."
)
@click.option("-u", "--user", metavar="UID[:GID]", help="Whom the guest runs as; default: root.")
@click.option("--read-only", is_flag=True, help="Let the guest write to no place but its --dir.")
@click.argument("target", metavar="MODULE|DIRECTORY|IMAGE[#FUNCTION]", required=True)
@click.argument("args", nargs=-1, metavar="[ARG]...", type=click.UNPROCESSED)
def command(
    target: str, args: tuple[str, ...], **options: str | bool | tuple[str, ...] | None
) -> int:
    """Run a module, a directory or an image on this machine, in the jail of a pod's container.

    No containerd is needed. The guest sees your stdin, stdout and stderr, and of your files what
    --dir hands to it; what it writes elsewhere is gone afterwards. `--dir data` makes it /data in
    the guest, and `--dir .` the guest's root, since a guest's working directory is /. Its network
    is yours. A directory becomes the guest's root, and stays as it is, whatever the guest writes.

    Exit status: the guest's own; 137 also for a trap and where the kernel killed it for memory,
    with the reason on stderr; 124 when its time was over, 125 when Tandem could not run it, 128 and
    the signal's number after a signal.
    """
    words: list[str] = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif isinstance(value, tuple):
            words += (word for each in value for word in (flag, each))
        elif value:
            words += [flag, value]
    try:
        parsed = parse_words([*words, "--", target, *args])
    except UsageError as error:
        raise click.UsageError(str(error)) from error
    if os.geteuid() != 0:
        complain("run needs root, which its jail of mounts and control groups is made by: use sudo")
        return wire.STATUS_FAILED
    return run_words(_with_image(parsed).words())


# Options end at the first word that is none; what follows is the guest's, whatever it looks like.
command.context_settings["allow_interspersed_args"] = False


def _with_image(options: RunOptions) -> RunOptions:
    """An image in the target's place as what it comes down to.

    Raises:
        NotFoundError: the target is neither here nor an image's name.
    """
    path, function = split_function(options.target)
    if Path(path).exists():
        return options
    found = image_options(replace(options, target=path, function=options.function or function))
    if found is None:
        raise NotFoundError(
            f"{path[:200]}: no such file or directory, and no image here has that name;"
            " `tandem pull` fetches one"
        )
    return found
