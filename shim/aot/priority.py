"""Makes a compilation less important than whatever runs on the node.

Rules: for a loader, before it has threads. What the kernel refuses is passed over: it makes the
loader more favoured, not wrong.
"""

import contextlib
import os
from pathlib import Path

from shim.cgroup import membership
from shim.kernel.calls import set_io_priority
from shim.kernel.constants import IOPRIO_BEST_EFFORT_LOWEST

# A tenth of the weight of others (sched(7)): what they lose is little, and a pod waits for the
# loader, which at 19 is still at it on a busy node when its time is over.
_NICE = 10
# of 1000 (proc_pid_oom_score_adj(5)): rather this than whatever runs already
_OOM_SCORE_ADJ = "1000"


def step_back() -> None:
    """Take the lowest priorities, and leave the cgroup of a pod."""
    with contextlib.suppress(OSError):
        membership.go_home()
    with contextlib.suppress(OSError):
        # a session of its own is a group of its own where the kernel groups by session (sched(7),
        # "The autogroup feature"), and would have the weight of all others together
        os.setsid()
        Path("/proc/self/autogroup").write_text(str(_NICE))
    os.nice(_NICE)
    with contextlib.suppress(OSError):
        # woken, it takes the processor from nobody
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with contextlib.suppress(OSError):
        # not the class "idle", which a busy disk never serves
        set_io_priority(IOPRIO_BEST_EFFORT_LOWEST)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE_ADJ)
