"""Gives a component wasi:config and wasi:keyvalue: links what it imports of them, and holds what
their functions need.

Rules: everything is linked in the type that the component declares, or not at all. One provider
serves all guests of a process, in any number of threads; what belongs to one guest is kept by the
number that its store carries.
"""

import ctypes
import itertools
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import wasmtime
from wasmtime import component

from shim.engine.guest import GuestFailure, Program, environment
from shim.engine.http import native as n
from shim.engine.interfaces.atomics import ATOMICS, CAS, Cas
from shim.engine.interfaces.calls import Call, Function, Interface
from shim.engine.interfaces.config import INTERFACES as CONFIG_INTERFACES
from shim.engine.interfaces.keyvalue import BATCH, STORE
from shim.engine.interfaces.signatures import signature
from shim.stores.configuration import Configuration
from shim.stores.directory import DirectoryError
from shim.stores.options import GuestOptions
from shim.stores.ports import AccessDenied, Backend, NoSuchStore, StoreError

# What one guest may hold; a component that gives none back is broken.
_MAX_HELD = 1024
_KEYVALUE_INTERFACES = {
    f"wasi:keyvalue/{name}@{version}": interface
    for version in ("0.2.0-draft", "0.2.0-draft2")
    for name, interface in (("store", STORE), ("atomics", ATOMICS), ("batch", BATCH))
}
# By the exact names: drafts are not compatible with each other by the rules of versions.
INTERFACES: dict[str, Interface] = {**CONFIG_INTERFACES, **_KEYVALUE_INTERFACES}
_KEYVALUE = frozenset(_KEYVALUE_INTERFACES)


class OpenStores(Protocol):
    """The stores of the pod; see `shim.stores.opened`."""

    def open(self, name: str) -> int:
        """The number of a store, which is open then; raises `StoreError`."""

    def __getitem__(self, number: int) -> Backend: ...


class _NoStores:
    def open(self, name: str) -> int:
        raise NoSuchStore(f"the pod names no store {name[:80]!r}")

    def __getitem__(self, number: int) -> Backend:
        raise NoSuchStore(f"there is no store {number}")


def stores_of(
    program: Program, guest: component.Component, engine: wasmtime.Engine
) -> OpenStores | None:
    """The pod's stores, for a component that imports wasi:keyvalue where the pod names any.

    Called before the jail, because what stores are made of is imported here.
    """
    if not program.given.stores or not _KEYVALUE & guest.type.imports(engine).keys():
        return None
    from shim.stores.opened import Stores  # noqa: PLC0415 (for those who use it)

    return Stores(program.given, program.outbound, environment(program))


class Provider:
    """What the guests of one container are given."""

    def __init__(
        self, options: GuestOptions, env: Iterable[tuple[str, str]], stores: OpenStores | None
    ) -> None:
        self.configuration = Configuration(options, env)
        self.stores: OpenStores = stores or _NoStores()
        self.max_value_bytes = options.max_value_bytes
        self._numbers = itertools.count(1)
        self._held: dict[int, dict[int, Cas]] = {}
        # wasmtime calls these for as long as a linker lives
        self._callbacks: list[Any] = []
        self._drop_cas, self._drop_nothing = n.DESTRUCTOR(self._drop), n.DESTRUCTOR(_keep)

    def link(
        self,
        linker: component.Linker,
        imports: Mapping[str, Any],
        engine: wasmtime.Engine,
    ) -> None:
        """Define what is imported of the interfaces of this room.

        Raises:
            GuestFailure: the component wants a function that we do not have in this type.
        """
        with linker.root() as root:
            for name, extern in imports.items():
                kind = extern.ty if name in INTERFACES else None
                if isinstance(kind, component.ComponentInstanceType):
                    with root.add_instance(name) as instance:
                        self._define(instance, name, kind, engine)

    def add(self, guest: int, cas: Cas) -> int:
        """Keep something for a guest; its number.

        Raises:
            StoreError: the guest has too many already.
        """
        held = self._held.setdefault(guest, {})
        if len(held) >= _MAX_HELD:
            raise StoreError(f"more than {_MAX_HELD} cas handles are open; drop some")
        number = next(self._numbers)
        held[number] = cas
        return number

    def find(self, guest: int, number: int) -> Cas:
        """What was kept under a number."""
        return self._held[guest][number]

    def take(self, guest: int, number: int) -> Cas:
        """What was kept under a number, which ends there."""
        return self._held[guest].pop(number)

    def forget(self, guest: int) -> None:
        """Drop what a guest that has ended has kept."""
        self._held.pop(guest, None)

    def _drop(self, _: int, context: int, number: int) -> None:
        self._held.get(n.context_data(context), {}).pop(number, None)

    def _define(
        self, instance: Any, name: str, kind: component.ComponentInstanceType, engine: Any
    ) -> None:
        interface = INTERFACES[name]
        for member, extern in kind.exports(engine).items():
            declared = extern.ty
            if isinstance(declared, component.FuncType):
                known = interface.functions.get(member, {})
                function = known.get(signature(declared))
                if function is None:
                    raise GuestFailure(_unknown(name, member, signature(declared), known))
                self._add_function(instance, member, function)
            elif member in interface.resources:
                self._add_resource(instance, member, interface.resources[member])

    def _add_function(self, instance: Any, name: str, function: Function) -> None:
        callback = n.FUNCTION(self._callback(function))
        self._callbacks.append(callback)
        encoded, pointer = name.encode(), ctypes.cast(callback, ctypes.c_void_p)
        n.check(n.add_function(n.address(instance), encoded, len(encoded), pointer, None, None))

    def _add_resource(self, instance: Any, name: str, kind: int) -> None:
        resource, encoded = component.ResourceType.host(kind), name.encode()
        destructor = ctypes.cast(
            self._drop_cas if kind == CAS else self._drop_nothing, ctypes.c_void_p
        )
        n.check(
            n.add_resource(
                n.address(instance), encoded, len(encoded), n.address(resource), destructor,
                None, None,
            )
        )  # fmt: skip

    def _callback(self, function: Function) -> Any:
        def call(
            _: int, context: int, __: int, arguments: int, ___: int, results: int, ____: int
        ) -> int | None:
            try:
                made = Call(self, context, arguments, results)
                try:
                    function(made)
                except NoSuchStore:
                    made.fail(b"no-such-store")
                except AccessDenied:
                    made.fail(b"access-denied")
                except StoreError as error:
                    made.fail(b"other", str(error))
                except DirectoryError as error:
                    made.fail(b"io", str(error))
            except Exception as error:  # noqa: BLE001 (the last Python frame: wasmtime gets the text)
                return n.error_new(f"{type(error).__name__}: {error}".encode()) or None
            return None

        return call


def _keep(_: int, __: int, ___: int) -> None:
    """What becomes of a bucket: its number is its store's, which stays open."""


def _unknown(name: str, member: str, declared: str, known: Iterable[str]) -> str:
    ours = " or ".join(known) or "no such function"
    return f"component imports {member} of {name} as {declared}; Tandem has {ours}"
