"""HTTP requests, each over a new connection, N at a time; prints what came back as JSON.

    http_load.py ADDRESS PORT REQUESTS CONCURRENT [SECONDS]

With SECONDS it goes on for so long, REQUESTS or not.
"""

import asyncio
import collections
import json
import sys
import time

PATIENCE = 10  # seconds for one request


async def fetch(address, port):
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(f"GET / HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise ValueError(f"answer {answer[:80]!r}")
    return body.decode().strip()


async def main(address, port, requests, concurrent, seconds):
    answers = collections.Counter()
    failures = collections.Counter()
    slowest = 0.0
    end = time.monotonic() + seconds
    left = requests

    async def work():
        nonlocal left, slowest
        while left > 0 or time.monotonic() < end:
            left -= 1
            begin = time.monotonic()
            try:
                answers[await asyncio.wait_for(fetch(address, port), PATIENCE)] += 1
            except Exception as error:  # every failure is counted by what it was
                failures[f"{type(error).__name__}: {error}"] += 1
            slowest = max(slowest, time.monotonic() - begin)

    begin = time.monotonic()
    await asyncio.gather(*(work() for _ in range(concurrent)))
    took = time.monotonic() - begin
    print(json.dumps({"answers": answers, "failures": failures, "slowest_seconds": slowest, "seconds": took}))


arguments = sys.argv[1:]
asyncio.run(main(arguments[0], int(arguments[1]), int(arguments[2]), int(arguments[3]), float(arguments[4]) if len(arguments) > 4 else 0))
