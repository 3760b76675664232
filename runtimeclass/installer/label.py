"""The node's label, which the RuntimeClass selects: set after the proof, removed before all else.

Rules: one request, PATCH of one label of one node, with the pod's service account, whose token is
read when it is used, since it changes. Interface: Kubernetes API, strategic merge patch of v1 Node.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path

import requests

from runtimeclass.installer.errors import LabelError

LABEL = "io.containerd.tandem.v1/ready"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT_S = 10.0
_TRIES = 5
_PAUSE_S = 1.0


class Labels:
    """Labels one node; does nothing, and says so, where no API server or no node is named."""

    def __init__(self, node: str, env: Mapping[str, str], account: Path = _ACCOUNT) -> None:
        """`env` is a pod's: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT."""
        self._node = node
        host, port = env.get("KUBERNETES_SERVICE_HOST"), env.get("KUBERNETES_SERVICE_PORT", "443")
        self._server = "" if not host else f"https://{f'[{host}]' if ':' in host else host}:{port}"
        self._account = account

    @property
    def why_not(self) -> str:
        """Why no label is set; empty where one is."""
        if not self._node:
            return "no node is named (--node)"
        return "" if self._server else "there is no API server here"

    def set(self) -> None:
        """Say that pods may come.

        Raises:
            LabelError: the API server refuses, or does not answer.
        """
        self._patch("true")

    def remove(self) -> None:
        """Say that no pods may come any more.

        Raises:
            LabelError: as above.
        """
        self._patch(None)

    def _patch(self, value: str | None) -> None:
        if self.why_not:
            return
        reason = ""
        for _ in range(_TRIES):
            try:
                answer = self._send(value)
            except (requests.RequestException, OSError) as error:
                # A restart of k3s is one of the API server, too.
                reason = str(error)
                time.sleep(_PAUSE_S)
                continue
            if answer.ok or (value is None and answer.status_code == requests.codes.not_found):
                return
            reason = f"{answer.status_code} {answer.text[:200]}"
            if answer.status_code < requests.codes.internal_server_error:
                break
            time.sleep(_PAUSE_S)
        act = "labelled" if value else "unlabelled"
        raise LabelError(
            f"node {self._node} cannot be {act} at {self._server}: {reason}; the service account"
            " needs the verb patch on nodes"
        )

    def _send(self, value: str | None) -> requests.Response:
        token = (self._account / "token").read_text().strip()
        return requests.patch(
            f"{self._server}/api/v1/nodes/{self._node}",
            data=json.dumps({"metadata": {"labels": {LABEL: value}}}),
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/strategic-merge-patch+json",
            },
            verify=str(self._account / "ca.crt"),
            timeout=_TIMEOUT_S,
        )
