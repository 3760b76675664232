"""The jail of a Wasm instance: what the process that runs a guest may see, use and do.

Rules: every refusal is made by `build_plan`, before any fork; `enter` only carries the plan out.
"""

from shim.jail.inherited import drop_inherited
from shim.jail.plan import JailPlan, build_exec_plan, build_plan, with_workers
from shim.jail.seccomp import compile_filters
from shim.jail.steps import JailError, confine_worker, enter

__all__ = [
    "JailError",
    "JailPlan",
    "build_exec_plan",
    "build_plan",
    "compile_filters",
    "confine_worker",
    "drop_inherited",
    "enter",
    "with_workers",
]
