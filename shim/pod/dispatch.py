"""From a service's and method's name to a verb of the task service: by the descriptors, no list
kept by hand.

Rules: transport-free: bytes in, bytes out, errors as exceptions; serves Task v2 and v3 from one
implementation, since their messages are the same.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from shim.api import task_pb2
from shim.errdefs import InvalidArgumentError, UnimplementedError
from shim.task.service import TaskService

SERVICES = frozenset({"containerd.task.v2.Task", "containerd.task.v3.Task"})

_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")

_Verb = Callable[[Any], Awaitable[Message]]

# Built on import, in the daemon: pod shims inherit it.
_REQUESTS: dict[str, tuple[str, type[Message]]] = {
    method.name: (_WORD.sub("_", method.name).lower(), GetMessageClass(method.input_type))
    for method in task_pb2.DESCRIPTOR.services_by_name["Task"].methods
}


class Dispatcher:
    """Calls the verbs of one task service."""

    def __init__(self, service: TaskService) -> None:
        self._verbs: dict[str, tuple[_Verb, type[Message]]] = {
            method: (getattr(service, verb), request)
            for method, (verb, request) in _REQUESTS.items()
        }

    async def call(self, service: str, method: str, payload: bytes) -> bytes:
        """Decode, call, encode.

        Raises:
            ShimError: what the verb raised; UnimplementedError for names that are not served.
        """
        if service not in SERVICES:
            raise UnimplementedError(f"service {service[:100]} is not served")
        if method not in self._verbs:
            raise UnimplementedError(f"method {method[:100]} of {service} is not served")
        verb, request_class = self._verbs[method]
        try:
            request = request_class.FromString(payload)
        except DecodeError as error:
            raise InvalidArgumentError(f"{method}: the request cannot be decoded") from error
        return (await verb(request)).SerializeToString()
