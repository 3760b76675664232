"""One call of the installer: finds the node, and does the stage.

Rules: imports everything that the installer is made of, so `__main__` imports it last.
"""

from collections.abc import Mapping

from runtimeclass.installer import install as installing
from runtimeclass.installer import uninstall as uninstalling
from runtimeclass.installer.bundle import STATE
from runtimeclass.installer.files import Files
from runtimeclass.installer.node import Node, State
from runtimeclass.installer.options import Options
from runtimeclass.installer.steps import Runner, Stop


def run(options: Options, env: Mapping[str, str], files: Files, stop: Stop, runner: Runner) -> str:
    """Do one stage; how it ended, in words.

    Raises:
        InstallerError: it failed.
    """
    node = Node.find(options, files, stop, env)
    with node.cri:
        match options.stage:
            case "check":
                return installing.check(node)
            case "install":
                with State(node.host, files) as state:
                    return installing.install(node, state, runner)
            case "verify":
                if not node.host.exists(STATE):
                    return installing.verify(node)
                with State(node.host, files):
                    return installing.verify(node)
            case _:
                with State(node.host, files) as state:
                    return uninstalling.uninstall(node, state, runner)
