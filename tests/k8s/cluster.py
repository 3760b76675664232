"""A cluster of one node in the room of a private containerd: the real programs of Kubernetes.

`with Cluster(containerd, programs) as cluster` has an API server with etcd, a controller manager, a
scheduler, kube-proxy and a kubelet when the block begins, and its node is ready. Everything that
they write is below containerd's folder, or in mounts of the room: it goes with them.
"""

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support import network
from tests.support.containerd import Containerd
from tests.support.node import Service
from tests.support.waiting import wait_for

KUBECTL = Path(sys.executable).parent / "kubectl"
NODE = "walk"
NODE_IP = "10.230.0.1"
SERVICES = "10.96.0.0/16"
PODS = "10.231.0.0/16"
PATIENCE_S = 120

# Each has the rights that Kubernetes itself gives to such a user, or group.
_USERS = {
    "admin": ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
}
# What an installer writes stays in the room, and so do the kubelet's links to logs.
_OVERLAID = ("opt", "etc", "var", "usr/local/bin")
_SETUP = f"""
ip link add node0 type bridge
ip addr add {NODE_IP}/24 dev node0
ip link set node0 up
echo 1 >/proc/sys/net/ipv4/ip_forward
for place in {" ".join(_OVERLAID)}; do
  over=$1/$place
  mkdir -p "$over/upper" "$over/work"
  mount -t overlay -o "lowerdir=/$place,upperdir=$over/upper,workdir=$over/work" overlay "/$place"
done
mount -t tmpfs tmpfs /var/log
"""


class Cluster:
    """Not started until the with statement."""

    def __init__(self, containerd: Containerd, programs: Path) -> None:
        """Of a started containerd, and of the programs that `provision.sh cluster` makes."""
        self._containerd = containerd
        self._programs = programs
        self._folder = containerd.folder / "k8s"
        self._services: list[tuple[str, Service]] = []

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self._folder / "admin.json"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException as error:
            error.add_note(self.logs())
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            error.add_note(self.logs())
        self.stop()

    def stop(self) -> None:
        """Kill the programs, since nothing they keep is wanted; pods are containerd's to remove."""
        while self._services:
            _, service = self._services.pop()
            if service.is_running():
                service.end(signal.SIGKILL)

    def logs(self, lines: int = 15) -> str:
        """The end of each program's log."""
        found = []
        for path in sorted(self._folder.glob("*.log")):
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            found.append(f"--- {path.name}\n" + "\n".join(tail))
        return "\n".join(found)

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl in the room.

        Raises:
            RuntimeError: it failed; the text is its standard error.
        """
        done = subprocess.run(
            self._containerd.room.command([KUBECTL, "--request-timeout=10s", *words]),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env=dict(os.environ, KUBECONFIG=str(self.kubeconfig)),
        )
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def request(self, method: str, path: str, token: str, body: object) -> tuple[int, Any]:
        """Ask the API server as whoever a token stands for: the status, and the answer."""
        context = ssl.create_default_context(cafile=str(self._certificate))
        plain = network.connect(self._containerd.room.network, NODE_IP, 6443)
        connection = http.client.HTTPSConnection(NODE_IP, 6443)
        connection.sock = context.wrap_socket(plain, server_hostname=NODE_IP)
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/merge-patch+json",
        }
        try:
            connection.request(method, path, json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def _start(self) -> None:
        self._folder.mkdir(mode=0o700)
        self._in_room("sh", "-euc", _SETUP, "sh", str(self._folder / "over"))
        self._write_users()
        key = self._folder / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        self._start_etcd()
        self._start_api_server(key)
        self._spawn(
            "kube-controller-manager",
            f"--service-account-private-key-file={key}",
            f"--root-ca-file={self._certificate}",
            "--use-service-account-credentials",
            "--authentication-skip-lookup",
            "--authorization-always-allow-paths=/healthz",
            "--leader-elect=false",
        )
        self._spawn("kube-scheduler", "--authentication-skip-lookup", "--leader-elect=false")
        self._spawn(
            "kube-proxy",
            "--proxy-mode=iptables",
            f"--cluster-cidr={PODS}",
            f"--hostname-override={NODE}",
            "--conntrack-max-per-core=0",
        )
        self._start_kubelet()
        wait_for("a node that is ready", self._is_node_ready, PATIENCE_S, pause=0.5)
        # The controller manager makes it, without which no pod is admitted.
        account = ("get", "serviceaccount", "default", "--ignore-not-found", "-o", "name")
        wait_for("a service account", lambda: self.kubectl(*account), PATIENCE_S, pause=0.5)

    @property
    def _certificate(self) -> Path:
        """The API server's, which it makes for itself."""
        return self._folder / "certificates" / "apiserver.crt"

    def _write_users(self) -> None:
        lines = []
        for name, (user, group) in _USERS.items():
            token = os.urandom(16).hex()
            lines.append(
                ",".join([token, user, name, f'"{group}"'] if group else [token, user, name])
            )
            # YAML's subset: the certificate is not there yet, its path is.
            config = {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "walk",
                "contexts": [{"name": "walk", "context": {"cluster": "walk", "user": name}}],
                "users": [{"name": name, "user": {"token": token}}],
                "clusters": [
                    {
                        "name": "walk",
                        "cluster": {
                            "server": f"https://{NODE_IP}:6443",
                            "certificate-authority": str(self._certificate),
                        },
                    }
                ],
            }
            (self._folder / f"{name}.json").write_text(json.dumps(config))
        (self._folder / "tokens.csv").write_text("\n".join(lines) + "\n")

    def _start_etcd(self) -> None:
        self._spawn(
            "etcd",
            f"--data-dir={self._folder / 'etcd'}",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--unsafe-no-fsync",
            config=False,
        )

    def _start_api_server(self, key: Path) -> None:
        self._spawn(
            "kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            f"--cert-dir={self._certificate.parent}",
            f"--advertise-address={NODE_IP}",
            f"--service-cluster-ip-range={SERVICES}",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--token-auth-file={self._folder / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--kubelet-preferred-address-types=InternalIP",
            "--allow-privileged=false",
            config=False,
        )
        wait_for("an API server", self._is_api_ready, PATIENCE_S, pause=0.3)

    def _start_kubelet(self) -> None:
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": f"unix://{self._containerd.address}",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._containerd.name}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": [],
            "podLogsDir": str(self._folder / "logs"),
            "volumePluginDir": str(self._folder / "plugins"),
            "clusterDomain": "cluster.local",
            # A machine that is nearly full runs the tests all the same.
            "evictionHard": {"memory.available": "1Mi", "nodefs.available": "1Mi"},
            "imageGCHighThresholdPercent": 100,
            "protectKernelDefaults": False,
            "oomScoreAdj": 0,
        }
        path = self._folder / "kubelet-config.json"
        path.write_text(json.dumps(config))
        self._make_cgroup()
        self._spawn(
            "kubelet",
            f"--config={path}",
            f"--root-dir={self._folder / 'kubelet'}",
            f"--cert-dir={self._folder / 'kubelet-certificates'}",
            f"--hostname-override={NODE}",
            f"--node-ip={NODE_IP}",
        )

    def _make_cgroup(self) -> None:
        """The kubelet wants its root group to be there, in every hierarchy."""
        for top in Path("/sys/fs/cgroup").iterdir():
            if top.is_dir() and not top.is_symlink() and top.name != "unified":
                (top / self._containerd.name).mkdir(exist_ok=True)

    def _spawn(self, program: str, *words: str, config: bool = True) -> None:
        given = [f"--kubeconfig={self._folder / program}.json"] if config else []
        log = self._folder / f"{program}.log"
        argv: Sequence[str | Path] = [self._programs / program, *given, *words]
        self._services.append((program, self._containerd.room.spawn(argv, dict(os.environ), log)))

    def _in_room(self, *argv: str) -> None:
        done = self._containerd.run(list(argv))
        if done.returncode:
            raise RuntimeError(f"{argv}: {done.stderr.strip()}")

    def _is_api_ready(self) -> bool:
        self._check_running()
        try:
            return self.kubectl("get", "--raw", "/readyz") == "ok"
        except RuntimeError:
            return False

    def _is_node_ready(self) -> bool:
        self._check_running()
        path = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
        return self.kubectl("get", "nodes", "-o", f"jsonpath={path}") == "True"

    def _check_running(self) -> None:
        for name, service in self._services:
            if not service.is_running():
                raise RuntimeError(f"{name} has ended")
