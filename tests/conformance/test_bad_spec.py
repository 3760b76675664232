"""A config.json that cannot be read or obeyed, and modules that cannot be linked or called.

The first fail Create; the second fail in the container, with the reason on its stderr.
"""

import pytest

from shim.ttrpc.codes import Code
from tests.conformance.bad_case import (
    GOOD,
    Case,
    Spoil,
    check_refused,
    check_still_serves,
    create,
    started,
)
from tests.support import guests
from tests.support.shim_process import ShimManager

INVALID, INTERNAL, UNIMPLEMENTED = Code.INVALID_ARGUMENT, Code.INTERNAL, Code.UNIMPLEMENTED
EXHAUSTED = Code.RESOURCE_EXHAUSTED
Refusals = dict[str, tuple[Code, str, Spoil]]


def refuse_all(action: str) -> dict[str, object]:
    return {"defaultAction": action}


def refuse_one(**rule: object) -> dict[str, object]:
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], **rule}]}


DOCUMENTS: dict[str, tuple[str, bytes]] = {
    "empty": ("config.json is not valid JSON", b""),
    "cut": ("config.json is not valid JSON", b'{"process": {'),
    "no-utf-8": ("config.json is not valid JSON", b'{"\xff\xfe": 1}'),
    "deep": ("config.json is not valid JSON", b"[" * 200_000),
    "long-number": ("config.json is not valid JSON", b'{"a": ' + b"9" * 5000 + b"}"),
    "list": ("config.json: the document is not an object", b"[]"),
    "nothing": (r"config\.json: process\.args is empty", b"{}"),
    "process-list": (r"config\.json: process is not an object", b'{"process": []}'),
    "args-text": (r"config\.json: process\.args is not a list", b'{"process": {"args": "/a"}}'),
    "args-numbers": (r"process\.args holds more than str", b'{"process": {"args": [1]}}'),
    "env-object": (r"process\.env is not a list", b'{"process": {"env": {"A": "b"}}}'),
    "uid-text": (r"process\.user\.uid is not an int", b'{"process": {"user": {"uid": "root"}}}'),
    "uid-true": (r"process\.user\.uid is not an int", b'{"process": {"user": {"uid": true}}}'),
    "uid-nan": (r"process\.user\.uid is not an int", b'{"process": {"user": {"uid": NaN}}}'),
    "mounts-object": (r"config\.json: mounts is not a list", b'{"mounts": {}}'),
    "root-number": (r"config\.json: root\.path is not a str", b'{"root": {"path": 1}}'),
    "annotation-number": (r"annotations\['a'\] is not a str", b'{"annotations": {"a": 1}}'),
    "nul-in-args": (r"process\.args: .* holds a NUL", b'{"process": {"args": ["/a\\u0000b"]}}'),
    "surrogate": (r"process\.args: .* lone surrogate", b'{"process": {"args": ["/\\ud800"]}}'),
    "nul-in-root": (r"root\.path: .* holds a NUL", b'{"root": {"path": "a\\u0000"}}'),
}

PROCESSES: Refusals = {
    "no-args": (INVALID, r"process\.args is empty", lambda case: case.process(args=[])),
    "empty-arg": (INVALID, r"process\.args is empty or", lambda case: case.process(args=[""])),
    "no-function": (
        INVALID, "names no function after the '#'", lambda c: c.process(args=["/app.wasm#"]),
    ),
    "function-alone": (
        INVALID, "'#run' names no file", lambda case: case.process(args=["#run"]),
    ),
    "cwd-file": (INTERNAL, r"'cwd': /app\.wasm: Not a dir", lambda c: c.process(cwd="/app.wasm")),
    "cwd-relative": (INVALID, "cwd 'here' is not an absolute", lambda c: c.process(cwd="here")),
    "cwd-long": (INTERNAL, "/aaa.*: File name too", lambda c: c.process(cwd="/" + "a" * 5000)),
    "uid-huge": (INVALID, "4294967296 is not a user", lambda c: c.process(user={"uid": 2**32})),
    "uid-beyond": (INVALID, "not fit into 64 bits", lambda c: c.process(user={"uid": 2**70})),
    "uid-negative": (INVALID, "-1 is not a user", lambda c: c.process(user={"uid": -1})),
    "gid-last": (INVALID, "4294967295 is not a", lambda c: c.process(user={"gid": 2**32 - 1})),
    "group-huge": (
        INVALID, "4294967296 is not", lambda c: c.process(user={"additionalGids": [2**32]}),
    ),
    "rlimit-unknown": (
        INVALID, "'RLIMIT_FUN' is not a", lambda c: c.process(rlimits=[{"type": "RLIMIT_FUN"}]),
    ),
    "rlimit-order": (
        INVALID,
        "RLIMIT_NOFILE has a soft limit above",
        lambda c: c.process(rlimits=[{"type": "RLIMIT_NOFILE", "soft": 9, "hard": 1}]),
    ),
    "no-descriptors": (
        Code.PERMISSION_DENIED,
        "user 0 cannot open the root directory of the container's rootfs",
        lambda c: c.process(rlimits=[{"type": "RLIMIT_NOFILE", "soft": 0, "hard": 0}]),
    ),
    "oom-score": (INVALID, "oomScoreAdj 5000 is not", lambda c: c.process(oomScoreAdj=5000)),
    "hostname": (INVALID, "hostname 'hhh.* is longer", lambda c: c.top(hostname="h" * 65)),
}  # fmt: skip

LIMITS: Refusals = {
    "memory-of-a-page": (
        EXHAUSTED,
        r"linux\.resources\.memory\.limit\) or of its pod is too small; raise it",
        lambda case: case.linux(resources={"memory": {"limit": 4096}}),
    ),
    "cpu-quota": (
        INVALID,
        "the kernel refuses .*cpu",
        lambda case: case.linux(resources={"cpu": {"quota": 1, "period": 1}}),
    ),
    "cpus": (
        INVALID,
        r"the kernel refuses 9999 in .*cpuset\.cpus",
        lambda case: case.linux(resources={"cpu": {"cpus": "9999"}}),
    ),
    "root-group": (INVALID, "'/' names no group", lambda case: case.linux(cgroupsPath="/")),
}

WALLS: Refusals = {
    "seccomp-action": (
        INVALID, "'SCMP_ACT_FUN' is not an", lambda c: c.linux(seccomp=refuse_all("SCMP_ACT_FUN")),
    ),
    "seccomp-rule": (
        INVALID,
        "'SCMP_ACT_FUN' is not an action",
        lambda case: case.linux(seccomp=refuse_one(action="SCMP_ACT_FUN")),
    ),
    "seccomp-malformed": (
        INVALID, "seccomp is malformed: 'action'", lambda c: c.linux(seccomp=refuse_one()),
    ),
    "seccomp-listener": (
        UNIMPLEMENTED,
        "SCMP_ACT_NOTIFY is not supported",
        lambda case: case.linux(seccomp=refuse_all("SCMP_ACT_NOTIFY")),
    ),
    "seccomp-kills": (
        INVALID,
        r"\(linux\.seccomp\) killed the instance before it was ready",
        lambda case: case.linux(seccomp=refuse_all("SCMP_ACT_KILL_PROCESS")),
    ),
    "netns-missing": (
        INTERNAL,
        "'namespaces': /gone/netns: No such file",
        lambda c: c.linux(namespaces=[{"type": "network", "path": "/gone/netns"}]),
    ),
    "netns-a-file": (
        INTERNAL,
        "'namespaces': /etc/passwd: Invalid argument",
        lambda c: c.linux(namespaces=[{"type": "network", "path": "/etc/passwd"}]),
    ),
    "pidns-missing": (
        INTERNAL,
        "cannot join the pid namespace /gone/pidns: No such file",
        lambda c: c.linux(namespaces=[{"type": "pid", "path": "/gone/pidns"}]),
    ),
    "namespace-unknown": (
        UNIMPLEMENTED, "type 'time' is not", lambda c: c.linux(namespaces=[{"type": "time"}]),
    ),
    "user-namespace": (
        UNIMPLEMENTED, "set hostUsers: true", lambda c: c.linux(namespaces=[{"type": "user"}]),
    ),
    "volume-missing": (
        INTERNAL, "'file tree': /gone: No such file", lambda case: case.mount("/v", "/gone"),
    ),
    "volume-relative": (INVALID, "mount /v: the source 'gone'", lambda c: c.mount("/v", "gone")),
    "volume-below-a-file": (
        INTERNAL, r"/app\.wasm/v: Not a directory", lambda c: c.mount("/app.wasm/v", "/usr"),
    ),
    "volume-type": (
        UNIMPLEMENTED, "type 'nfs' cannot be", lambda c: c.mount("/v", "a:/b", kind="nfs"),
    ),
    "volume-option": (
        INVALID, "no option 'colour=1'", lambda case: case.mount("/v", "/usr", "colour=1"),
    ),
    "tmpfs-option": (
        INTERNAL,
        r"/v \(colour=1\): Invalid argument",
        lambda case: case.mount("/v", "tmpfs", "colour=1", kind="tmpfs"),
    ),
}  # fmt: skip

FAILING: dict[str, tuple[str, Spoil]] = {
    "unknown-function": (
        "module exports no function 'nope'; it exports _start",
        lambda case: case.run(GOOD, "/app.wasm#nope"),
    ),
    "parameters": (
        "function 'add' takes 2 parameters; only functions without",
        lambda case: case.run(guests.REACTOR, "/app.wasm#add"),
    ),
    "unknown-imports": (
        "module imports env.foo (func), env.memory (memory), which nobody provides",
        lambda case: case.write(guests.UNKNOWN_IMPORTS),
    ),
    "no-start": ("module exports no function '_start'", lambda case: case.write("(module)")),
    "trap-in-start": (
        "unreachable",
        lambda case: case.write("(module (func $s unreachable) (start $s))"),
    ),
    "unknown-imports-of-a-component": (
        "component imports acme:store/data@1.0.0, which nobody provides",
        lambda case: case.run(guests.COMPONENT_UNKNOWN_IMPORT, "/app.wasm#thunk"),
    ),
    "unknown-function-of-a-component": (
        "component exports no function 'nope'; it exports wasi:cli/run@0.2.3, thunk",
        lambda case: case.run(guests.COMPONENT_OK, "/app.wasm#nope"),
    ),
    "no-command": (
        "component is no command: it exports thunk",
        lambda case: case.write(guests.COMPONENT_FUTURE),
    ),
    "future": (
        "function 'thunk' returns a future or stream",
        lambda case: case.run(guests.COMPONENT_FUTURE, "/app.wasm#thunk"),
    ),
}

ODD: dict[str, Spoil] = {
    "unknown-user": lambda case: case.process(user={"uid": 54321, "gid": 54321}),
    "last-user": lambda case: case.process(user={"uid": 2**32 - 2}),
    "no-memory-limit": lambda case: case.linux(resources={"memory": {"limit": 0}}),
    "missing-cwd": lambda case: case.process(cwd="/made/for/it"),
    "unknown-members": lambda case: case.top(colour={"blue": [1]}),
}


def check_with_module(manager: ShimManager, code: Code, text: str, spoil: Spoil) -> None:
    def both(case: Case) -> None:
        case.write(GOOD)
        spoil(case)

    check_refused(manager, code, text, both)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_wasm_document_is_refused(manager: ShimManager, name: str) -> None:
    text, content = DOCUMENTS[name]
    check_refused(manager, INVALID, text, lambda case: case.document(content))


@pytest.mark.parametrize("name", PROCESSES)
def test_wasm_process_is_refused(manager: ShimManager, name: str) -> None:
    check_with_module(manager, *PROCESSES[name])


@pytest.mark.parametrize("name", LIMITS)
def test_wasm_limit_is_refused(manager: ShimManager, name: str) -> None:
    check_with_module(manager, *LIMITS[name])


@pytest.mark.parametrize("name", WALLS)
def test_wasm_wall_is_refused(manager: ShimManager, name: str) -> None:
    check_with_module(manager, *WALLS[name])


@pytest.mark.parametrize("name", FAILING)
def test_wasm_failure_is_told_on_stderr(manager: ShimManager, name: str) -> None:
    text, spoil = FAILING[name]
    group = manager.new_id()
    task, case = started(manager, group)
    create(task, case, spoil)
    task.start()
    assert task.wait().exit_status == 137
    assert case.bundle.stderr is not None
    error = case.bundle.stderr.read_to_end().decode()
    assert error.startswith("tandem: ")
    assert text in error
    assert "Traceback" not in error
    task.delete()
    check_still_serves(manager, group, task.connect().shim_pid)


@pytest.mark.parametrize("name", ODD)
def test_wasm_oddity_is_no_error(manager: ShimManager, name: str) -> None:
    task, case = started(manager, "")
    case.write(GOOD)
    create(task, case, ODD[name])
    task.start()
    assert task.wait().exit_status == 0
