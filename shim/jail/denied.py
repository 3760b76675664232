"""The system calls that no instance may make, whatever its spec allows.

Rules: data only. What is left over must let CPython, wasmtime and its tokio threads live. An
instance shares the node's pid namespace and often its uid, so what reaches another process is
denied as strictly as what reaches the kernel's configuration. Names that libseccomp does not know
are skipped; calls newer than this list are refused by number (`shim.jail.guard`).
"""

import errno
import socket

# (argument, comparison, value) with the comparisons of libseccomp: NE, EQ, GT, or a mask.
Condition = tuple[int, str, int, int]
Conditions = tuple[tuple[str, Condition, int], ...]

PROGRAMS = ("execve", "execveat", "fork", "vfork", "uselib")

NAMESPACES_AND_MOUNTS = (
    "unshare", "setns", "mount", "umount", "umount2", "pivot_root", "chroot", "open_tree",
    "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "swapon", "swapoff",
    "quotactl", "quotactl_fd", "mknod", "mknodat", "name_to_handle_at", "open_by_handle_at",
    "fanotify_init", "fanotify_mark",
)  # fmt: skip

OTHER_PROCESSES = (
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease",
    "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "kcmp", "kill", "tkill", "rt_sigqueueinfo",
    "rt_tgsigqueueinfo", "setpriority", "ioprio_set", "migrate_pages", "move_pages",
    "get_robust_list",
)  # fmt: skip

# No WASI call needs them, and an instance holds descriptors of files that are not its own: the
# artefact above all.
OWNERSHIP = (
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchown", "fchownat",
    "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr",
)  # fmt: skip

KERNEL = (
    "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key", "init_module",
    "finit_module", "delete_module", "create_module", "query_module", "get_kernel_syms",
    "kexec_load", "kexec_file_load", "reboot", "syslog", "acct", "settimeofday", "stime",
    "clock_settime", "clock_adjtime", "clock_adjtime64", "clock_settime64", "adjtimex",
    "sethostname", "setdomainname", "iopl", "ioperm", "modify_ldt", "vm86", "vm86old",
    "personality", "lookup_dcookie", "nfsservctl", "vhangup", "ustat", "sysfs", "_sysctl",
    "vmsplice", "memfd_secret", "set_mempolicy", "mbind", "set_mempolicy_home_node",
)  # fmt: skip

SYSTEM_V_IPC = (
    "shmget", "shmat", "shmctl", "msgget", "msgctl", "msgsnd", "msgrcv", "semget", "semctl",
    "semop", "semtimedop", "mq_open", "mq_unlink", "mq_notify",
)  # fmt: skip

# Callers of these fall back to the older call on ENOSYS, and give up on EPERM.
ABSENT = ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register")

_CLONE_THREAD = 0x00010000
# CLONE_NEWNS, and CLONE_NEWCGROUP to CLONE_NEWNET
_CLONE_NAMESPACES = (0x20000, *(0x2000000 << bit for bit in range(6)))
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_LOW_32_BITS = 0xFFFFFFFF
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_PTRACER = 1, 4, 0x59616D61

# Denied only where the argument meets the condition.
CONDITIONAL: Conditions = (
    ("clone", (0, "MASKED_EQ", _CLONE_THREAD, 0), errno.EPERM),
    *(
        ("ioctl", (1, "MASKED_EQ", _LOW_32_BITS, request), errno.EPERM)
        for request in (_TIOCSTI, _TIOCLINUX)
    ),
    *(
        ("prctl", (0, "EQ", option, 0), errno.EPERM)
        for option in (_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_PTRACER)
    ),
    # A pid of 0 is the caller's own.
    *(
        (name, (0, "NE", 0, 0), errno.EPERM)
        for name in (
            "prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam",
            "sched_setscheduler",
        )
    ),
    # Only unix, IPv4 and IPv6 sockets: the families between and above are kernel attack surface.
    *(
        ("socket", (0, "EQ", family, 0), errno.EAFNOSUPPORT)
        for family in range(socket.AF_INET + 1, socket.AF_INET6)
    ),
    ("socket", (0, "GT", socket.AF_INET6, 0), errno.EAFNOSUPPORT),
)  # fmt: skip

# Of a process that makes others: these may be no more than processes, and die with it.
_OF_A_CHILD = (
    ("clone", (0, "MASKED_EQ", _CLONE_THREAD, 0), errno.EPERM),
    ("prctl", (0, "EQ", _PR_SET_PDEATHSIG, 0), errno.EPERM),
)
SUPERVISOR_CONDITIONAL: Conditions = (
    *(rule for rule in CONDITIONAL if rule not in _OF_A_CHILD),
    *(("clone", (0, "MASKED_EQ", flag, flag), errno.EPERM) for flag in _CLONE_NAMESPACES),
)

DENIED: dict[str, int] = {
    **dict.fromkeys(
        PROGRAMS + NAMESPACES_AND_MOUNTS + OTHER_PROCESSES + OWNERSHIP + KERNEL + SYSTEM_V_IPC,
        errno.EPERM,
    ),
    **dict.fromkeys(ABSENT, errno.ENOSYS),
}
