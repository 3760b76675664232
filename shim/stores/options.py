"""What a pod's annotations say of its guests' configuration and key-value stores.

Rules: pure; decided before any fork, so that whoever creates the container hears of a mistake.
Nothing is opened here: paths are those of the container.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from shim.errdefs import InvalidArgumentError, PermissionDeniedError
from shim.outbound.policy import ANNOTATION, Policy
from shim.outbound.target import REDIS, Target, parse_target

PREFIX = "io.containerd.tandem.v1/"
_VALUE, _DIRECTORIES, _STORE = PREFIX + "config.", PREFIX + "config-directory", PREFIX + "keyvalue."
_PASSWORD_FILE = "password-file"  # noqa: S105 (a parameter's name)


@dataclass(frozen=True, slots=True)
class SqlitePlace:
    """A store in a file of the container."""

    path: str


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """A store in a Redis database; `password_file` is a file of the container, or empty."""

    target: Target
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    password_file: str = ""


Place = SqlitePlace | RedisPlace


@dataclass(frozen=True, slots=True)
class GuestOptions:
    """What one container's guest is given: configuration values, the directories that hold more,
    and its stores by name."""

    values: tuple[tuple[str, str], ...] = ()
    directories: tuple[str, ...] = ()
    stores: tuple[tuple[str, Place], ...] = ()
    max_value_bytes: int = 1 << 20


NOTHING_GIVEN = GuestOptions()


def guest_options(annotations: Mapping[str, str], max_value_bytes: int) -> GuestOptions:
    """Read them.

    Raises:
        InvalidArgumentError: an annotation of ours says what it cannot mean.
    """
    values: list[tuple[str, str]] = []
    stores: list[tuple[str, Place]] = []
    directories: tuple[str, ...] = ()
    for name, value in sorted(annotations.items()):
        if name.startswith(_VALUE):
            values.append((_rest(name, _VALUE), value))
        elif name.startswith(_STORE):
            stores.append((_rest(name, _STORE), parse_place(value, f"annotation {name}")))
        elif name == _DIRECTORIES:
            directories = tuple(value.split(":"))
            for path in directories:
                _check_path(path, f"annotation {name}")
    return GuestOptions(tuple(values), directories, tuple(stores), max_value_bytes)


def check_reach(options: GuestOptions, policy: Policy) -> None:
    """Refuse stores that the pod's or the node's list keeps out of reach, as far as the text tells.

    Raises:
        PermissionDeniedError: which, and by what list.
    """
    for name, place in options.stores:
        if isinstance(place, SqlitePlace):
            continue
        target = place.target
        where = f"annotation {_STORE}{name}: {target.scheme}://{target.authority}"
        if not policy.allows(target):
            raise PermissionDeniedError(f"{where} is not in {ANNOTATION}, where it has to be")
        if target.address is not None and policy.blocks(target.address):
            raise PermissionDeniedError(f"{where} is what the node blocks ([outbound] block)")


def parse_place(text: str, where: str) -> Place:
    """Read `sqlite:/path` or `redis://[user[:password]@]host[:port][/database]`, or the latter with
    TLS, `rediss://`.

    Raises:
        InvalidArgumentError: it is neither; the text does not repeat a password.
    """
    if text.startswith("sqlite:"):
        path = text.removeprefix("sqlite:")
        _check_path(path, where)
        return SqlitePlace(path)
    scheme, separator, _ = text.partition("://")
    if scheme not in REDIS or not separator:
        raise InvalidArgumentError(
            f"{where}: a store is sqlite:/PATH or redis://HOST[:PORT][/N] (rediss:// with TLS)"
        )
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError as error:
        raise InvalidArgumentError(f"{where} is no URL: {error}") from error
    database = url.path.removeprefix("/")
    if database and not (database.isascii() and database.isdigit() and len(database) < 6):
        raise InvalidArgumentError(f"{where}: the database {database[:20]!r} is not a number")
    if not url.hostname or url.fragment:
        raise InvalidArgumentError(f"{where} has no host, or a part behind #")
    try:
        target = parse_target(scheme, url.netloc.rpartition("@")[2].removesuffix(":"), REDIS)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{where}: {error}") from None
    return RedisPlace(
        target=target,
        database=int(database or "0"),
        username=unquote(url.username or ""),
        password=unquote(url.password or ""),
        password_file=_password_file(url, where),
    )


def _password_file(url: SplitResult, where: str) -> str:
    parameters = parse_qsl(url.query, keep_blank_values=True)
    if any(name != _PASSWORD_FILE for name, _ in parameters) or len(parameters) > 1:
        raise InvalidArgumentError(f"{where}: the one parameter is {_PASSWORD_FILE}=/PATH")
    if not parameters:
        return ""
    path = parameters[0][1]
    _check_path(path, where)
    if url.password:
        raise InvalidArgumentError(f"{where} has a password and a {_PASSWORD_FILE}")
    return path


def _rest(name: str, prefix: str) -> str:
    rest = name.removeprefix(prefix)
    if not rest:
        raise InvalidArgumentError(f"annotation {name} lacks a name behind the last dot")
    return rest


def _check_path(path: str, where: str) -> None:
    if not path.startswith("/") or "\0" in path or path.endswith("/"):
        raise InvalidArgumentError(
            f"{where}: {path[:80]!r} is not an absolute path in the container"
        )
