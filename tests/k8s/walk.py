"""The walk of a cluster's owner and an author: install, run the examples, ask them, uninstall.

Rules: what is applied are the files of runtimeclass/, with other names of images and, since the
guest of the tests answers under /a, that path. Each step prints its seconds. Whatever happens, at
the end the cluster is as before; a step that failed prints what the cluster has to say first.
"""

import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shim import __version__
from tests.k8s.kubectl import Kubectl, KubectlError
from tests.manifests.documents import INSTALL, RUNTIMECLASS, UNINSTALL
from tests.support import guests, http_guest

SPACE = "tandem-walk"
READY = "io.containerd.tandem.v1/ready=true"
SYSTEM = ("-n", "tandem-system")
_NODE_IMAGE = f"localhost/tandem-node:{__version__}"
_HELLO = "registry.example/hello:1"
# Pods must be good enough for the strictest level.
_NAMESPACE = f"""
apiVersion: v1
kind: Namespace
metadata:
  name: {SPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""


@dataclass(frozen=True)
class Settings:
    """What the person said; see `tests.k8s.__main__`."""

    image: str = ""
    registry: str = ""
    importer: str = ""
    linux_image: str = ""
    restart: str = ""

    @property
    def hello(self) -> str:
        """The name of the guest's image."""
        return f"{self.registry or 'localhost'}/tandem-walk-hello:1"


def walk(kubectl: Kubectl, settings: Settings) -> int:
    """Take all steps; return the exit status."""
    run = _Walk(kubectl, settings)
    began = time.monotonic()
    steps: list[tuple[str, Callable[[], object]]] = [
        ("pack the guest and bring it to the cluster", run.bring_guest),
        ("kubectl apply -f tandem.yaml", run.install),
        ("wait for the nodes' label", run.wait_for_label),
        ("a pod with a Wasm and a Linux container, ready by its probes", run.mixed_pod),
        ("its logs, of both containers", run.logs),
        ("exec into both", run.execute),
        ("a Deployment with Service and HorizontalPodAutoscaler", run.function),
        ("a request through the Service", run.request),
    ]
    status = 0
    try:
        for name, step in steps:
            _timed(name, step)
        print(f"  from nothing to a served request  {time.monotonic() - began:.1f} s")
    except (KubectlError, subprocess.CalledProcessError, AssertionError) as error:
        print(f"FAILED: {error}")
        run.explain()
        status = 1
    for name, step in (
        ("delete the pods", run.remove_examples),
        ("kubectl apply -f uninstall.yaml, until every node is clean", run.uninstall),
        ("kubectl delete -f tandem.yaml", run.remove),
        ("nothing is left in the cluster", run.check_gone),
    ):
        try:
            _timed(name, step)
        except (KubectlError, AssertionError) as error:
            print(f"FAILED: {error}")
            status = 1
    return status


def _timed(name: str, step: Callable[[], object]) -> None:
    began = time.monotonic()
    print(f"  {name}", end="", flush=True)
    try:
        step()
    finally:
        print(f"  {time.monotonic() - began:.1f} s", flush=True)


class _Walk:
    def __init__(self, kubectl: Kubectl, settings: Settings) -> None:
        self._kubectl = kubectl
        self._settings = settings

    def bring_guest(self) -> None:
        tandem = Path(sys.executable).parent / "tandem"
        with tempfile.TemporaryDirectory(prefix="tandem-walk-") as folder:
            module, archive = Path(folder, "hello.wasm"), Path(folder, "hello.tar")
            module.write_bytes(guests.binary(http_guest.component()))
            pack: list[str | Path] = [
                tandem,
                "pack",
                module,
                "--compat",
                "-t",
                self._settings.hello,
            ]
            if self._settings.registry:
                subprocess.run(pack, check=True, stdout=subprocess.DEVNULL)
                push: list[str | Path] = [tandem, "push", self._settings.hello]
                subprocess.run(push, check=True, stdout=subprocess.DEVNULL)
            elif self._settings.importer:
                subprocess.run([*pack, "-o", archive], check=True, stdout=subprocess.DEVNULL)
                importer = [*shlex.split(self._settings.importer), str(archive)]
                subprocess.run(importer, check=True, stdout=subprocess.DEVNULL)

    def install(self) -> None:
        self._kubectl.apply(self._manifest(INSTALL))
        self._kubectl.waits(*SYSTEM, "rollout", "status", "daemonset/tandem")

    def wait_for_label(self) -> None:
        self._kubectl.until("a node that is ready for Tandem", self._ready_nodes)

    def mixed_pod(self) -> None:
        self._kubectl.apply(_NAMESPACE)
        self._kubectl.apply(self._example("mixed-pod"), "-n", SPACE)
        self._kubectl.waits("-n", SPACE, "wait", "--for=condition=Ready", "pod/mixed")
        pod = self._kubectl.get("-n", SPACE, "pod", "mixed")
        assert pod["spec"]["overhead"]["memory"] == "16Mi", pod["spec"]

    def logs(self) -> None:
        for container, text in (("wasm", "serving HTTP on 0.0.0.0:8080"), ("linux", "ok")):
            self._kubectl.until(
                f"{text!r} in the log of {container}",
                lambda container=container, text=text: (  # type: ignore[misc]
                    text in self._kubectl("-n", SPACE, "logs", "mixed", "-c", container)
                ),
            )

    def execute(self) -> None:
        execute = ("-n", SPACE, "exec", "mixed", "-c")
        answer = self._kubectl(*execute, "linux", "--", "wget", "-qO-", "http://localhost:8080/a")
        assert answer.strip() == "ok", answer
        # The guest has no function of that name, and says so: its jail was entered.
        try:
            self._kubectl(*execute, "wasm", "--", "#no-such-function")
        except KubectlError as error:
            said = str(error)
        else:
            said = "it was executed"
        assert "no-such-function" in said, said

    def function(self) -> None:
        self._kubectl.apply(self._example("http-function"), "-n", SPACE)
        self._kubectl.waits("-n", SPACE, "wait", "--for=condition=Available", "deployment/hello")

    def request(self) -> None:
        path = f"/api/v1/namespaces/{SPACE}/services/hello:http/proxy/a"
        answer = self._kubectl.until("an answer", lambda: self._kubectl("get", "--raw", path))
        assert answer.strip() == "ok", answer

    def explain(self) -> None:
        for words in (
            ("get", "nodes", "-L", READY.partition("=")[0]),
            (*SYSTEM, "get", "pods", "-o", "wide"),
            (*SYSTEM, "logs", "daemonset/tandem", "--all-containers", "--tail=50"),
            (*SYSTEM, "get", "events"),
            ("-n", SPACE, "describe", "pods"),
        ):
            try:
                print(f"--- kubectl {' '.join(words)}\n{self._kubectl(*words)}")
            except KubectlError as error:
                print(f"--- {error}")

    def remove_examples(self) -> None:
        self._kubectl.delete(_NAMESPACE)

    def uninstall(self) -> None:
        self._kubectl.apply(self._manifest(UNINSTALL))
        self._kubectl.waits(*SYSTEM, "rollout", "status", "daemonset/tandem")
        assert not self._ready_nodes(), "a node kept its label"

    def remove(self) -> None:
        self._kubectl.delete(self._manifest(INSTALL))

    def check_gone(self) -> None:
        kinds = "namespace,clusterrole,clusterrolebinding,runtimeclass,validatingadmissionpolicy"
        left = [
            each["metadata"]["name"]
            for each in self._kubectl.get(kinds)["items"]
            if each["metadata"].get("labels", {}).get("app.kubernetes.io/name") == "tandem"
            or each["metadata"]["name"] == SPACE
        ]
        assert left == [], left

    def _ready_nodes(self) -> list[str]:
        nodes = self._kubectl.get("nodes", "-l", READY)["items"]
        return [node["metadata"]["name"] for node in nodes]

    def _manifest(self, path: Path) -> str:
        text = path.read_text().replace(_NODE_IMAGE, self._settings.image or _NODE_IMAGE)
        if self._settings.restart:
            words = f"- --restart\n            - {self._settings.restart}\n"
            text = text.replace("- /host\n", f"- /host\n            {words}")
            text = text.replace("hostPID: false", "hostPID: true")
        return text

    def _example(self, name: str) -> str:
        text = (RUNTIMECLASS / "examples" / f"{name}.yaml").read_text()
        changes = {
            _HELLO: self._settings.hello,
            "path: /\n": "path: /a\n",
            "localhost:8080/": "localhost:8080/a",
            "busybox:stable": self._settings.linux_image or "busybox:stable",
        }
        for old, new in changes.items():
            text = text.replace(old, new)
        return text
