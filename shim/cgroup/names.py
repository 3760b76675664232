"""From an OCI `cgroupsPath` to the directory below a hierarchy's mount point.

Rules: pure. Source: the runtime spec, config-linux.md "Cgroups path", and systemd.slice(5): a slice
`a-b.slice` lies in `a.slice`, and `-.slice` is the root.
"""

import posixpath

from shim.errdefs import InvalidArgumentError


def cgroupfs_path(cgroups_path: str) -> str:
    """The relative directory of a cgroupfs name such as `/kubepods/podX/ID`.

    Raises:
        InvalidArgumentError: the name leads to the root of the hierarchy.
    """
    return _checked(posixpath.normpath("/" + cgroups_path.lstrip("/")).lstrip("/"), cgroups_path)


def systemd_path(cgroups_path: str) -> str:
    """The relative directory of a systemd name, `slice:prefix:name`.

    Raises:
        InvalidArgumentError: it has not three parts, or one of them is no unit name.
    """
    parts = cgroups_path.split(":")
    if len(parts) != 3 or not parts[2]:
        raise InvalidArgumentError(
            f"cgroups path {cgroups_path!r} is not of the form slice:prefix:name that systemd uses"
        )
    slice_name, prefix, name = parts
    if name.endswith(".slice"):
        unit = name
    else:
        unit = f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    return _checked(posixpath.join(_expand_slice(slice_name or "system.slice"), unit), cgroups_path)


def beside(cgroups_path: str, suffix: str) -> str:
    """The name of a group beside another one, for whichever driver the name is."""
    return f"{cgroups_path}-{suffix}"


def _expand_slice(name: str) -> str:
    if name == "-.slice":
        return ""
    stem = name.removesuffix(".slice")
    parts = stem.split("-")
    if stem == name or not all(parts):
        raise InvalidArgumentError(f"{name!r} is not the name of a systemd slice")
    return "/".join("-".join(parts[: end + 1]) + ".slice" for end in range(len(parts)))


def _checked(relative: str, cgroups_path: str) -> str:
    parts = relative.split("/")
    if relative in {"", "."} or ".." in parts or "\0" in relative:
        raise InvalidArgumentError(f"cgroups path {cgroups_path!r} names no group of its own")
    return relative
