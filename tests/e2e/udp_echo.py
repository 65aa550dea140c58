"""UDP requests from ports of their own, and servers that say their name.

    udp_echo.py server ADDRESS PORT NAME
    udp_echo.py client ADDRESS PORT REQUESTS [SIZE]     prints who answered how often, as JSON
"""

import collections
import json
import socket
import sys


def datagram_socket(address):
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)


def serve(address, port, name):
    listener = datagram_socket(address)
    listener.bind((address, port))
    while True:
        data, peer = listener.recvfrom(65536)
        listener.sendto(f"{name}|".encode() + data, peer)


def ask(address, port, requests, size):
    answers = collections.Counter()
    for i in range(requests):
        with datagram_socket(address) as client:
            client.settimeout(30)
            client.bind(("", 20000 + i))
            client.connect((address, port))  # answers from anybody else are not heard
            question = f"question {i} {'x' * (i % size)}"
            client.send(question.encode())
            try:
                name, _, echo = client.recv(65536).decode().partition("|")
                answers[name if echo == question else "garbled"] += 1
            except TimeoutError:
                answers["nobody"] += 1
    print(json.dumps(answers))


if sys.argv[1] == "server":
    serve(sys.argv[2], int(sys.argv[3]), sys.argv[4])
else:
    ask(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]) if len(sys.argv) > 5 else 1000)
