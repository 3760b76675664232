"""`tandem ps`: the pods of this node, and what `tandem run` runs."""

import os
from dataclasses import asdict
from typing import Any

from shim.cli.group import named
from shim.cli.output import duration_text, output_option, print_json, print_table, size_text
from shim.rundir import RunDir


@named("ps")
@output_option
def command(output: str) -> None:
    """List the pods that this node's daemon serves, their containers, and runs of `tandem run`.

    Memory is PSS: what a process has alone, and its share of what it has with others. TANDEM_SOCKET
    names another daemon.

    JSON: pods, a list of: group, namespace, pid (of the shim), socket, uptime_s, pss, containers
    (id, kind: wasm, linux or unknown, pid, pss); runs, a list of: pid, uptime_s, pss.
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
        up = duration_text(pod.uptime_s)
        rows.append((pod.group, pod.namespace, "shim", str(pod.pid), size_text(pod.pss), up))
        rows += [
            (f"  {each.id}", "", each.kind, str(each.pid or "-"), size_text(each.pss), "")
            for each in pod.containers
        ]
    rows += [
        ("tandem run", "", "wasm", str(run.pid), size_text(run.pss), duration_text(run.uptime_s))
        for run in guests
    ]
    print_table(("POD / CONTAINER", "NAMESPACE", "KIND", "PID", "MEMORY", "UP"), rows)
