"""`python -m tests.support.grpc_explore ADDRESS`: what a stranger learns of a gRPC server.

One JSON document on stdout: the services that reflection lists, the fields of each Task method's
request, and the health of each service that is asked for. A process of its own, since gRPC's core
runs threads.
"""

import json
import sys

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

_SERVICES = ("", "containerd.task.v2.Task", "containerd.task.v3.Task", "no.such.Service")


def main() -> None:
    with grpc.insecure_channel(f"unix:{sys.argv[1]}") as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        requests = {
            f"{name}/{method.name}": [field.name for field in method.input_type.fields]
            for name in _SERVICES[1:3]
            for method in pool.FindServiceByName(name).methods
        }
        stub = health_pb2_grpc.HealthStub(channel)
        health = {}
        for name in _SERVICES:
            try:
                reply = stub.Check(health_pb2.HealthCheckRequest(service=name))
                health[name] = health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)
            except grpc.RpcError as error:
                health[name] = error.code().name
        services = sorted(database.get_services())
    json.dump({"services": services, "requests": requests, "health": health}, sys.stdout)


if __name__ == "__main__":
    main()
