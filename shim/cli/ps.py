"""`tandem ps`: the pods of this node, and what `tandem run` runs."""

import os
from dataclasses import asdict
from typing import Any

from shim.cli.group import named
from shim.cli.output import duration_text, output_option, print_json, print_table, size_text
from shim.rundir import RunDir

_ID = 13


@named("ps")
@output_option
def command(output: str) -> None:
    """List the pods that this node's daemon serves, their containers, and runs of `tandem run`.

    Memory is PSS: what a process has alone, and its share of what it has with others. TANDEM_SOCKET
    names another daemon.

    JSON: pods, a list of: name, group, namespace, pid (of the shim), socket, uptime_s, pss,
    containers (id, name, kind: wasm, linux or unknown, pid, pss); runs, a list of: pid, uptime_s,
    pss.
    """
    from shim.cli.pods import pods, runs

    found, guests = pods(RunDir.from_env(os.environ)), runs()
    if output == "json":
        listed: list[dict[str, Any]] = []
        for pod in found:
            members = asdict(pod)
            listed.append({**members, "socket": str(pod.socket)})
        print_json({"pods": listed, "runs": [asdict(run) for run in guests]})
        return
    rows = []
    for pod in found:
        who = (pod.group[:_ID] or "-", pod.name, pod.namespace or "-", "shim", str(pod.pid))
        rows.append((*who, size_text(pod.pss), duration_text(pod.uptime_s)))
        rows += [
            (f"  {each.id[:_ID]}", each.name, "", each.kind, str(each.pid), size_text(each.pss), "")
            for each in pod.containers
        ]
    rows += [
        ("-", "", "", "run", str(run.pid), size_text(run.pss), duration_text(run.uptime_s))
        for run in guests
    ]
    print_table(("ID", "NAME", "NAMESPACE", "KIND", "PID", "MEMORY", "UP"), rows)
