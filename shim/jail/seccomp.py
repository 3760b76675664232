"""System call filters: the OCI profile of a container, and our own deny list.

Rules: compiled before the fork, once per profile; installing one in the child is one system call.
Profile shape: the runtime spec, config-linux.md "Seccomp". A system call name that libseccomp does
not know is skipped, as runc does. Of the architectures only the node's own is ever allowed, since
our deny list kills the others: a second system call table is a second way in.
"""

import errno
import json
import os
import platform
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import pyseccomp as libseccomp

from shim.errdefs import InternalError, InvalidArgumentError, UnimplementedError
from shim.jail.denied import ABSENT, CONDITIONAL, DENIED, SUPERVISOR_CONDITIONAL, Conditions

_ACTIONS = {
    "SCMP_ACT_ALLOW": libseccomp.ALLOW,
    "SCMP_ACT_LOG": libseccomp.LOG,
    "SCMP_ACT_TRAP": libseccomp.TRAP,
    "SCMP_ACT_KILL": libseccomp.KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": libseccomp.KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": libseccomp.KILL_PROCESS,
}
_OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
_OPTIMIZE_BINARY_TREE = 2
_MAX_CACHED = 16


def compile_filters(seccomp: Mapping[str, Any] | None) -> tuple[bytes, ...]:
    """BPF programs to load, in order: our deny list, then the spec's profile if it has one.

    The profile comes last because it may well forbid to load another.

    Raises:
        InvalidArgumentError: the profile names an action or operator that does not exist.
        UnimplementedError: it hands calls to a listener or a tracer.
    """
    own = (_compile_denied(),)
    if seccomp is None:
        return own
    try:
        return (*own, _compile_profile(json.dumps(seccomp, sort_keys=True)))
    except (TypeError, AttributeError, ValueError, KeyError) as error:
        raise InvalidArgumentError(f"linux.seccomp is malformed: {error}") from error


@lru_cache(maxsize=1)
def compile_supervisor_filter() -> bytes:
    """Our deny list for a process that makes others, which load the whole list."""
    return _compile(SUPERVISOR_CONDITIONAL)


@lru_cache(maxsize=1)
def _compile_denied() -> bytes:
    return _compile(CONDITIONAL)


def _compile(conditional: Conditions) -> bytes:
    program = _new_filter(libseccomp.ALLOW)
    for name, error in DENIED.items():
        _add(program, libseccomp.ERRNO(error), name)
    for name, (index, operator, first, second), error in conditional:
        argument = libseccomp.Arg(index, getattr(libseccomp, operator), first, second)
        _add(program, libseccomp.ERRNO(error), name, argument)
    return _export(program)


@lru_cache(maxsize=_MAX_CACHED)
def _compile_profile(document: str) -> bytes:
    profile = json.loads(document)
    default = _action(profile.get("defaultAction", ""), profile.get("defaultErrnoRet"))
    program = _new_filter(default)
    # Of two filters that return an errno the later wins, so ENOSYS must be said here again: a C
    # library that meets EPERM on clone3 starts no thread.
    for name in ABSENT:
        _add(program, libseccomp.ERRNO(errno.ENOSYS), name)
    for rule in profile.get("syscalls") or ():
        action = _action(rule["action"], rule.get("errnoRet"))
        if action == default:
            continue  # libseccomp refuses a rule that changes nothing
        conditions = [_condition(argument) for argument in rule.get("args") or ()]
        for name in set(rule["names"]) - set(ABSENT):
            for arguments in _alternatives(conditions):
                _add(program, action, name, *(libseccomp.Arg(*values) for values in arguments))
    return _export(program)


def _new_filter(default: int) -> Any:
    program = libseccomp.SyscallFilter(default)
    program.set_attr(libseccomp.Attr.ACT_BADARCH, libseccomp.KILL_PROCESS)
    program.set_attr(libseccomp.Attr.CTL_OPTIMIZE, _OPTIMIZE_BINARY_TREE)
    return program


def _add(program: Any, action: int, name: str, *arguments: Any) -> None:
    number = libseccomp.resolve_syscall(libseccomp.Arch.NATIVE, name)
    if number < 0:
        return
    try:
        program.add_rule(action, number, *arguments)
    except OSError as error:
        raise InvalidArgumentError(
            f"linux.seccomp: libseccomp refuses the rule for {name}: {error.strerror}"
        ) from error


def _action(name: str, errno_ret: int | None) -> int:
    if name == "SCMP_ACT_ERRNO":
        return int(libseccomp.ERRNO(errno.EPERM if errno_ret is None else errno_ret))
    if name in {"SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE"}:
        raise UnimplementedError(f"seccomp action {name} is not supported for a wasm container")
    if name not in _ACTIONS:
        raise InvalidArgumentError(f"linux.seccomp: {name!r} is not an action")
    return int(_ACTIONS[name])


def _condition(argument: Mapping[str, Any]) -> tuple[int, int, int, int]:
    operator = argument["op"].removeprefix("SCMP_CMP_")
    if operator not in _OPERATORS:
        raise InvalidArgumentError(f"linux.seccomp: {argument['op']!r} is not an operator")
    values = argument["index"], argument["value"], argument.get("valueTwo", 0)
    index, first, second = (int(value) for value in values)
    return index, int(getattr(libseccomp, operator)), first, second


def _alternatives(
    conditions: list[tuple[int, int, int, int]],
) -> Iterator[list[tuple[int, int, int, int]]]:
    """All conditions together; one by one where two concern the same argument, as runc does."""
    indexes = [condition[0] for condition in conditions]
    if len(set(indexes)) == len(indexes):
        yield conditions
    else:
        yield from ([condition] for condition in conditions)


def _export(program: Any) -> bytes:
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    with os.fdopen(fd, "r+b") as file:
        try:
            program.export_bpf(file)
        except OSError as error:
            raise InternalError(
                f"cannot compile the system call filter on {platform.machine()}: {error.strerror}"
            ) from error
        file.seek(0)
        return file.read()
