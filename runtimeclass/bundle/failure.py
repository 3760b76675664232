"""The one error of the builder: what it cannot do, for the person who builds."""


class BuildError(Exception):
    """A bundle or image cannot be made; the text names the object and the way out."""
