"""HTTP requests, each over a new connection, N at a time; prints what came back as JSON.

    http_load.py ADDRESS PORT REQUESTS CONCURRENT             so many requests
    http_load.py ADDRESS PORT until-told CONCURRENT PATIENCE  until stdin ends; that many seconds for a step of a request

The second kind prints "going" after a hundred answers, and each answer when it comes for the first time. The last line is
the JSON.
"""

import collections
import json
import socket
import sys
import threading
import time

# Generous if it is not said: the machine may be busy with other things.
PATIENCE = float(sys.argv[5]) if len(sys.argv) > 5 else 60
address, port, until_told, concurrent = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "until-told", int(sys.argv[4])
left = 0 if until_told else int(sys.argv[3])
is_over = threading.Event()
lock = threading.Lock()
answers = collections.Counter()
failures = collections.Counter()
slowest = 0.0


def fetch():
    answer = b""
    with socket.create_connection((address, port), PATIENCE) as connection:
        connection.sendall(f"GET / HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
        while data := connection.recv(65536):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise ValueError(f"answer {answer[:80]!r}")
    return body.decode().strip()


def is_wanted():
    """Whether there is another request to make."""
    global left
    if until_told:
        return not is_over.is_set()
    with lock:
        left -= 1
        return left >= 0


def work():
    global slowest
    while is_wanted():
        begin = time.monotonic()
        try:
            answer, failure = fetch(), None
        except Exception as error:  # every failure is counted by what it was
            answer, failure = None, f"{type(error).__name__}: {error}"
        with lock:
            if failure:
                failures[failure] += 1
            else:
                answers[answer] += 1
                if until_told and answers[answer] == 1:
                    print(answer, flush=True)
                if until_told and answers.total() == 100:
                    print("going", flush=True)
            slowest = max(slowest, time.monotonic() - begin)


begin = time.monotonic()
threads = [threading.Thread(target=work) for _ in range(concurrent)]
for thread in threads:
    thread.start()
if until_told:
    sys.stdin.read()
    is_over.set()
for thread in threads:
    thread.join()
print(json.dumps({"answers": answers, "failures": failures, "slowest_seconds": slowest, "seconds": time.monotonic() - begin}))
