"""A client of the API made from the schema by stock tools: tls_client.py GENERATED TARGET [CA CERTIFICATE KEY]. Adds a
service, lists it, is refused once, zeroes, and prints what it saw as JSON. Runs with Debian's own Python."""

import json
import sys

sys.path.insert(0, sys.argv[1])

import grpc  # noqa: E402
from sluice.v1 import config_pb2, sluice_pb2, sluice_pb2_grpc  # noqa: E402


def main():
    if len(sys.argv) > 3:
        ca, certificate, key = (open(path, "rb").read() for path in sys.argv[3:6])
        credentials = grpc.ssl_channel_credentials(ca, key or None, certificate or None)
        channel = grpc.secure_channel(sys.argv[2], credentials)
    else:
        channel = grpc.insecure_channel(sys.argv[2])
    stub = sluice_pb2_grpc.SluiceStub(channel)
    seen = {}
    try:
        key = config_pb2.ServiceKey(protocol=config_pb2.TCP, address="10.99.0.7", port=80)
        service = config_pb2.Service(key=key, scheduler="rr")
        service.destinations.add(address="10.65.0.11", port=80, method=config_pb2.NAT)
        change = sluice_pb2.Change(put_service=sluice_pb2.PutService(service=service, replace_destinations=True))
        seen["changed"] = list(stub.Apply(sluice_pb2.ApplyRequest(changes=[change]), timeout=60).changed)
        seen["services"] = len(stub.ListServices(sluice_pb2.ListServicesRequest(), timeout=60).services)
        seen["workers"] = stub.GetInfo(sluice_pb2.GetInfoRequest(), timeout=60).workers
        seen["connections"] = sum(len(chunk.connections) for chunk in stub.ListConnections(sluice_pb2.ListConnectionsRequest(), timeout=60))
        stub.ZeroStatistics(sluice_pb2.ZeroStatisticsRequest(), timeout=60)
        service.scheduler = "best"
        try:
            stub.Apply(sluice_pb2.ApplyRequest(changes=[change.__class__(put_service=sluice_pb2.PutService(service=service))]), timeout=60)
        except grpc.RpcError as refused:
            seen["refused"] = refused.code().name
    except grpc.RpcError as failed:
        seen["failed"] = failed.code().name
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
