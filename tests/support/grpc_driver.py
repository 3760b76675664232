"""`python -m tests.support.grpc_driver ADDRESS FD`: ttrpc's frames on FD, gRPC to ADDRESS.

It says one byte when the channel is connected, and ends when FD is closed, or when the channel is
lost: a client that sees FD's end has lost its shim, as containerd 1.7 sees it.
"""

import os
import socket
import sys
import threading
import time
from typing import Any

import grpc

from shim.ttrpc.connection import Refused, RequestReceived, ServerConnection

_CONNECT_TIMEOUT_S = 15.0
# What was answered before the channel was lost still has to be told.
_LOSS_DELAY_S = 0.1
# A server that is being stopped cancels what comes late; nothing is cancelled here.
_ENDED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class Driver:
    """One channel."""

    def __init__(self, address: str, connection: socket.socket) -> None:
        self._connection = connection
        self._codec = ServerConnection()
        self._writing = threading.Lock()
        self._channel = grpc.insecure_channel(f"unix:{address}")
        self._lost = threading.Event()

    def run(self) -> None:
        grpc.channel_ready_future(self._channel).result(timeout=_CONNECT_TIMEOUT_S)
        self._channel.subscribe(self._changed)
        self._write(b"\1")
        while data := self._connection.recv(1 << 16):
            for event in self._codec.receive_data(data):
                match event:
                    case Refused(reply=reply):
                        self._write(reply)
                    case RequestReceived():
                        self._call(event)

    def _call(self, request: RequestReceived) -> None:
        call = self._channel.unary_unary(f"/{request.service}/{request.method}")
        timeout_s = request.timeout_ns / 1e9 if request.timeout_ns else None
        future = call.future(request.payload, timeout=timeout_s)
        future.add_done_callback(lambda done: self._answer(request.stream_id, done))

    def _answer(self, stream_id: int, done: Any) -> None:
        code = done.code()
        if code in _ENDED and self._lost.wait(_LOSS_DELAY_S):
            # FD's end is the answer.
            return
        if code is grpc.StatusCode.OK:
            self._write(self._codec.send_response(stream_id, done.result()))
        else:
            self._write(self._codec.send_error(stream_id, code.value[0], done.details() or ""))

    def _write(self, data: bytes) -> None:
        with self._writing:
            self._connection.sendall(data)

    def _changed(self, state: grpc.ChannelConnectivity) -> None:
        if state is not grpc.ChannelConnectivity.READY and not self._lost.is_set():
            self._lost.set()
            threading.Thread(target=self._end).start()

    def _end(self) -> None:
        time.sleep(_LOSS_DELAY_S)
        os._exit(0)


def main() -> None:
    address, fd = sys.argv[1], int(sys.argv[2])
    try:
        Driver(address, socket.socket(fileno=fd)).run()
    except (grpc.FutureTimeoutError, OSError):
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
