"""What an image comes down to for `tandem run`: a module's file, and directories below it."""

from shim.runner.options import RunOptions


def image_options(options: RunOptions) -> RunOptions | None:
    """The options with the image that `target` names resolved: in its place the file of its module
    with `name` and `function`, or nothing and an `entrypoint` in `layers`; its variables before
    those of the command line, its arguments where the command line has none.

    Returns:
        None where no image here has that name.
    """
    del options
    return None
