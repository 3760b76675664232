"""What an image comes down to for `tandem run`: a module's file, and directories below it."""

from dataclasses import replace

from shim.runner.options import RunOptions


def image_options(options: RunOptions) -> RunOptions | None:
    """The options with the image that `target` names resolved: in its place the file of its module
    with `name` and `function`, or nothing and an `entrypoint` in `layers`; its variables before
    those of the command line, its arguments where the command line has none.

    Returns:
        None where no image here has that name.
    """
    from shim.cli.runnable import find_runnable

    found = find_runnable(options.target, options.args, options.entrypoint)
    if found is None:
        return None
    function, entrypoint = options.function, found.entrypoint
    if entrypoint and function:
        entrypoint, function = f"{entrypoint}#{function}", ""
    return replace(
        options,
        target=found.module,
        name=found.name,
        function=function,
        entrypoint=entrypoint,
        args=found.args,
        env=(*found.env, *options.env),
        layers=found.layers,
        workdir=options.workdir if options.workdir != "/" else found.workdir or "/",
    )
