"""What a module asks of its host, and whether this host has it: for people who ask beforehand.

Rules: pure, looks at names alone, and decides nothing: linking does, when the guest is started.
What is provided is what `shim.engine` defines.
"""

from dataclasses import dataclass
from enum import StrEnum

from shim.wasm.binary import Kind, component_names, sniff
from shim.wasm.core import module_names

WASI_P1 = "wasi_snapshot_preview1"
# The functions of WASI 0.1 (witx, wasi_snapshot_preview1).
_P1_FUNCTIONS = (
    "args_get args_sizes_get environ_get environ_sizes_get clock_res_get clock_time_get fd_advise"
    " fd_allocate fd_close fd_datasync fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights"
    " fd_filestat_get fd_filestat_set_size fd_filestat_set_times fd_pread fd_prestat_get"
    " fd_prestat_dir_name fd_pwrite fd_read fd_readdir fd_renumber fd_seek fd_sync fd_tell fd_write"
    " path_create_directory path_filestat_get path_filestat_set_times path_link path_open"
    " path_readlink path_remove_directory path_rename path_symlink path_unlink_file poll_oneoff"
    " proc_exit proc_raise sched_yield random_get sock_accept sock_recv sock_send"
    " sock_shutdown"
)
_P1_NAMES = frozenset(_P1_FUNCTIONS.split())
_PROVIDED_PACKAGES = frozenset({"cli", "clocks", "filesystem", "http", "io", "random", "sockets"})
DRAFTS = frozenset(
    {
        *(f"wasi:config/store@0.2.0-{draft}" for draft in ("draft", "draft-2024-09-27", "rc.1")),
        "wasi:config/runtime@0.2.0-draft",
        *(
            f"wasi:keyvalue/{interface}@0.2.0-{draft}"
            for interface in ("store", "atomics", "batch")
            for draft in ("draft", "draft2")
        ),
    }
)
"""The interfaces of drafts that `shim.engine.interfaces` has, if with the types that it knows."""


class World(StrEnum):
    """What kind of program it is."""

    COMMAND = "command"  # starts by itself
    HTTP = "http-proxy"  # answers requests
    REACTOR = "reactor"  # is initialized, and then called by name
    LIBRARY = "library"  # is called by name
    UNKNOWN = "unknown"  # text, which nobody has parsed


@dataclass(frozen=True, slots=True)
class Need:
    """A feature that a module uses, whether Tandem has it, and what to know about it."""

    feature: str
    provided: bool
    note: str


@dataclass(frozen=True, slots=True)
class Outside:
    """A module from outside. `wasi` is a version such as 0.2.3, or empty where it uses none.

    `refusal` says why it will not run, as far as names can tell; empty where nothing speaks
    against it.
    """

    kind: Kind
    world: World
    wasi: str
    imports: tuple[str, ...]
    exports: tuple[str, ...]
    needs: tuple[Need, ...]
    refusal: str


_OUTGOING = Need("outgoing-http", provided=True, note="requests to other servers")
_SERVING = Need("serving-http", provided=True, note="a fresh instance answers each request")
_SOCKETS = Need("sockets", provided=False, note="wasmtime 50's C API denies every socket")
_THREADS = Need("threads", provided=False, note="there is no way to start a thread")
_WASI_0_3 = Need("wasi-0.3", provided=False, note="build it for WASI 0.2")
_OLD_WASI = Need("wasi-0.0", provided=False, note="built for wasi_unstable: use a newer toolchain")
_KEYVALUE = Need("keyvalue", provided=True, note="annotations of the pod name its stores")
_CONFIG = Need("config", provided=True, note="from annotations, directories and variables")
_HOST = "nobody provides it"
# By the beginning of an import's name, in the words that people use.
_FEATURES = {
    "wasi:keyvalue/": "keyvalue",
    "wasi:config/": "config",
    "wasi:runtime-config/": "config",
    "wasi:nn/": "wasi-nn",
    "wasi_nn": "wasi-nn",
    "wasi_ephemeral_nn": "wasi-nn",
    "wasi:logging/": "logging",
    "wasi:messaging/": "messaging",
    "wasi:blobstore/": "blobstore",
    "fermyon:spin/": "spin",
    "spin:": "spin",
    "wasmcloud:": "wasmcloud",
}


def look_at(binary: bytes) -> Outside | None:
    """Look at a file; None where it is no Wasm.

    Raises:
        InvalidArgumentError: it is malformed.
    """
    match sniff(binary[:4096]):
        case Kind.MODULE:
            return _module(binary)
        case Kind.COMPONENT | Kind.SERVICE:
            return _component(binary)
        case Kind.TEXT:
            return Outside(Kind.TEXT, World.UNKNOWN, "", (), (), (), "")
        case None:
            return None


def _module(binary: bytes) -> Outside:
    names = module_names(binary)
    functions = {export.name for export in names.exports if export.sort == "func"}
    world = World.LIBRARY
    if "_start" in functions:
        world = World.COMMAND
    elif "_initialize" in functions:
        world = World.REACTOR
    needs: list[Need] = []
    unknown = []
    for each in names.imports:
        if each.module == WASI_P1 and each.name in _P1_NAMES:
            if each.name.startswith("sock_"):
                _add(needs, _SOCKETS)
            continue
        unknown.append(f"{each.module}.{each.name}")
        if each.module == "wasi" and each.name == "thread-spawn":
            _add(needs, _THREADS)
        elif each.module == "wasi_unstable":
            _add(needs, _OLD_WASI)
        elif not names.shared_memory or each.sort != "memory":
            _add(needs, Need(_feature(each.module), provided=False, note=_HOST))
    if names.shared_memory:
        _add(needs, _THREADS)
    has_wasi = any(each.module == WASI_P1 for each in names.imports)
    imports = tuple(f"{each.module}.{each.name}" for each in names.imports)
    exports = tuple(each.name for each in names.exports)
    return Outside(
        Kind.MODULE,
        world,
        "0.1" if has_wasi else "",
        imports,
        exports,
        tuple(needs),
        _refusal(unknown),
    )


def _component(binary: bytes) -> Outside:
    names = component_names(binary)
    world = World.LIBRARY
    if any(name.startswith("wasi:cli/run@") for name in names.exports):
        world = World.COMMAND
    elif any(
        name.startswith(("wasi:http/incoming-handler@", "wasi:http/handler@"))
        for name in names.exports
    ):
        world = World.HTTP
    needs: list[Need] = [_SERVING] if world is World.HTTP else []
    unknown = []
    for name in names.imports:
        if name.startswith("wasi:http/outgoing-handler@0.2"):
            _add(needs, _OUTGOING)
        elif name.startswith("wasi:sockets/"):
            _add(needs, _SOCKETS)
        elif name in DRAFTS:
            _add(needs, _KEYVALUE if name.startswith("wasi:keyvalue/") else _CONFIG)
        # A name without a package may be a type, which needs nobody.
        if ":" in name and not _is_provided(name) and "@0.3" not in name:
            unknown.append(name)
            _add(needs, Need(_feature(name), provided=False, note=_HOST))
    refusal = _refusal(unknown)
    later = [name for name in (*names.imports, *names.exports) if _version(name)[:4] == "0.3."]
    if later:
        _add(needs, _WASI_0_3)
        refusal = f"it is made for WASI 0.3 ({later[0]}), which Tandem does not have"
    versions = sorted({_version(n) for n in (*names.imports, *names.exports)} - {""}, key=_order)
    wasi = versions[-1] if versions else ""
    return Outside(Kind.COMPONENT, world, wasi, names.imports, names.exports, tuple(needs), refusal)


def _add(needs: list[Need], need: Need) -> None:
    if need not in needs:
        needs.append(need)


def _feature(name: str) -> str:
    for prefix, feature in _FEATURES.items():
        if name.startswith(prefix):
            return feature
    return name.partition("/")[0].partition("@")[0]


def _is_provided(name: str) -> bool:
    if name in DRAFTS:
        return True
    package, _, version = name.removeprefix("wasi:").partition("@")
    return (
        name.startswith("wasi:")
        and package.partition("/")[0] in _PROVIDED_PACKAGES
        and version.startswith("0.2.")
    )


def _version(name: str) -> str:
    """The version of WASI in an interface's name."""
    return name.partition("@")[2] if name.startswith("wasi:") else ""


def _order(version: str) -> list[int]:
    return [int(part) if part.isdecimal() else -1 for part in version.split(".")]


def _refusal(unknown: list[str]) -> str:
    if not unknown:
        return ""
    more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
    return f"it imports {unknown[0]}{more}, which nobody provides"
