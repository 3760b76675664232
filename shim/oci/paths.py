"""Paths that a foreign document gives to files.

Rules: pure; a path is made of normal names only, so that it stays below whatever it is joined to.
"""

from shim.errdefs import InvalidArgumentError

MAX_PATH_BYTES = 4095
MAX_NAME_BYTES = 255
MAX_DEPTH = 128


def safe_path(text: str, where: str) -> str:
    """The path relative to its root, without empty parts and dots.

    Args:
        text: the path as it is written; a slash at its beginning means the same root.
        where: what the error says the path belongs to.

    Raises:
        InvalidArgumentError: it names nothing, goes up, or is more than Linux takes.
    """
    parts = [part for part in text.split("/") if part not in {"", "."}]
    try:
        sizes = [len(part.encode("utf-8", "surrogateescape")) for part in parts]
    except UnicodeEncodeError:
        sizes = []
    problem = ""
    if not sizes or "\0" in text:
        problem = "names no file"
    elif ".." in parts:
        problem = "leads upwards"
    elif max(sizes) > MAX_NAME_BYTES or sum(sizes) + len(sizes) > MAX_PATH_BYTES:
        problem = "is too long"
    elif len(parts) > MAX_DEPTH:
        problem = f"is more than {MAX_DEPTH} directories deep"
    if problem:
        raise InvalidArgumentError(f"{where}: path {text[:200]!r} {problem}")
    return "/".join(parts)
