"""The command line, read: what the stages may be told.

Rules: no I/O but the environment that is handed in; every path but `bundle` and `config` is one of
the node's, that is below `root`.
"""

import argparse
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

STAGES = ("check", "install", "verify", "uninstall", "stay")
RESTARTS = ("systemd", "signal")


@dataclass(frozen=True, slots=True)
class Options:
    """One call of the installer. Times are in seconds."""

    stage: str
    root: Path = Path("/")
    bundle: Path | None = None
    config: Path | None = None
    containerd_config: str = ""
    containerd_socket: str = ""
    restart: str = "systemd"
    restart_command: tuple[str, ...] = ()
    timeout_s: float = 120.0
    wait_s: float = 0.0
    node: str = ""


def parse_options(arguments: Sequence[str], env: Mapping[str, str]) -> Options:
    """Read a command line.

    Raises:
        SystemExit: it is wrong (2), or asks for help (0).
    """
    parser = argparse.ArgumentParser(
        prog="tandem-installer", description="Put Tandem on a Kubernetes node, or take it off."
    )
    stages = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")
    helps = {
        "check": "say what install would do and what is in its way",
        "install": "install or upgrade, prove that a guest runs, label the node",
        "verify": "prove that a guest runs",
        "uninstall": "take everything back",
        "stay": "do nothing until SIGTERM, for a container that stays",
    }
    for name in STAGES:
        stage = stages.add_parser(name, help=helps[name], description=f"{helps[name]}.")
        if name != "stay":
            _add(stage, name, env)
    given = vars(parser.parse_args(arguments))
    given["restart_command"] = tuple(shlex.split(given.get("restart_command") or ""))
    return Options(**given)


def _add(stage: argparse.ArgumentParser, name: str, env: Mapping[str, str]) -> None:
    stage.add_argument(
        "--root", type=Path, default=Path("/"), metavar="DIR", help="where the node's root is seen"
    )
    containerd = stage.add_argument_group("the node's containerd, if it is not found")
    containerd.add_argument("--containerd-config", default="", metavar="PATH")
    containerd.add_argument("--containerd-socket", default="", metavar="PATH")
    stage.add_argument(
        "--timeout", dest="timeout_s", type=float, default=120.0, metavar="SECONDS",
        help="for containerd to be back, and for the guest to run (default: 120)",
    )  # fmt: skip
    if name in {"check", "install"}:
        stage.add_argument(
            "--bundle", type=Path, metavar="DIR",
            help="the bundle to install (default: the one that this program is in)",
        )  # fmt: skip
    if name != "verify":
        stage.add_argument(
            "--restart", choices=RESTARTS, default="systemd",
            help="how containerd is restarted: by systemd, or by SIGTERM to it, if whoever started"
            " it starts it anew (default: systemd)",
        )  # fmt: skip
        stage.add_argument(
            "--restart-command", default="", metavar="COMMAND",
            help="restart containerd by this command instead (no shell)",
        )  # fmt: skip
    if name in {"install", "uninstall"}:
        stage.add_argument(
            "--node", default=env.get("NODE_NAME", ""), metavar="NAME",
            help="the node to label; none, or no API server: no label (default: $NODE_NAME)",
        )  # fmt: skip
    if name == "install":
        stage.add_argument(
            "--config", type=Path, metavar="FILE",
            help="a configuration of Tandem's for a node that has no /etc/tandem/config.toml",
        )  # fmt: skip
    if name == "uninstall":
        stage.add_argument(
            "--wait", dest="wait_s", type=float, default=0.0, metavar="SECONDS",
            help="for pods of Tandem's to end (default: do not wait)",
        )  # fmt: skip
