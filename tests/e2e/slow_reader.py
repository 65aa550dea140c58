"""A client of the API that asks for much and then stops itself: slow_reader.py GENERATED TARGET STREAMS. Runs with Debian's own Python."""

import os
import signal
import sys

sys.path.insert(0, sys.argv[1])

import grpc  # noqa: E402
from sluice.v1 import sluice_pb2, sluice_pb2_grpc  # noqa: E402


def main():
    channels, streams = [], []
    for _ in range(int(sys.argv[3])):
        channels.append(grpc.insecure_channel(sys.argv[2], [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]))
        streams.append(sluice_pb2_grpc.SluiceStub(channels[-1]).WatchStatistics(sluice_pb2.WatchStatisticsRequest(interval_ms=100)))
    for stream in streams:
        next(stream)
    print("reading", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    main()
