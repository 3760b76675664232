"""The system call filter of an instance that depends on its own pid.

Rules: pure. It is small enough to be written by hand, in the child: `tgkill` reaches the own
process alone (abort(3) and raise(3) need that), and calls with numbers above those that the deny
list was written against do not exist. Source: the kernel's userspace-api/seccomp_filter.rst.
"""

import errno
import struct

import pyseccomp as libseccomp

# set_mempolicy_home_node, Linux 5.17; the numbers from 424 on are the same on every architecture.
LAST_KNOWN_CALL = 450

_LOAD_WORD, _JUMP_EQUAL, _JUMP_GREATER, _RETURN = 0x20, 0x15, 0x25, 0x06
_OFFSET_NUMBER, _OFFSET_ARGUMENT_0 = 0, 16
_TGKILL = int(libseccomp.resolve_syscall(libseccomp.Arch.NATIVE, "tgkill"))


def guard_program(pid: int | None) -> bytes:
    """The BPF program for the process that knows itself as `pid`; None for one whose children are
    to have guards of their own."""
    if pid is None:
        return _packed(
            (_LOAD_WORD, 0, 0, _OFFSET_NUMBER),
            (_JUMP_GREATER, 1, 0, LAST_KNOWN_CALL),
            (_RETURN, 0, 0, int(libseccomp.ALLOW)),
            (_RETURN, 0, 0, int(libseccomp.ERRNO(errno.ENOSYS))),
        )
    return _packed(
        (_LOAD_WORD, 0, 0, _OFFSET_NUMBER),
        (_JUMP_GREATER, 5, 0, LAST_KNOWN_CALL),
        (_JUMP_EQUAL, 0, 2, _TGKILL),
        (_LOAD_WORD, 0, 0, _OFFSET_ARGUMENT_0),
        (_JUMP_EQUAL, 0, 1, pid),
        (_RETURN, 0, 0, int(libseccomp.ALLOW)),
        (_RETURN, 0, 0, int(libseccomp.ERRNO(errno.EPERM))),
        (_RETURN, 0, 0, int(libseccomp.ERRNO(errno.ENOSYS))),
    )


def _packed(*instructions: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
