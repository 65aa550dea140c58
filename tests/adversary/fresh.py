"""Opens so many TCP connections a second for so long, says a word over each, and waits for its echo.

    fresh.py ADDRESS PORT RATE SECONDS [SOURCE...]

Each source is used in turn. Who has no echo after three seconds has failed. Prints tried, succeeded and slowest_ms as JSON.
"""

import asyncio
import json
import sys
import time

PATIENCE = 3


async def ask(address, port, source):
    word = b"fresh" * 20
    reader, writer = await asyncio.open_connection(address, port, local_addr=(source, 0) if source else None)
    try:
        writer.write(word)
        if await reader.readexactly(len(word)) != word:
            raise RuntimeError(f"{address}: another echo than what was sent")
    finally:
        writer.close()


async def main(address, port, rate, seconds, sources):
    times, failures = [], []

    async def one(source):
        begin = time.monotonic()
        try:
            await asyncio.wait_for(ask(address, port, source), PATIENCE)
            times.append(time.monotonic() - begin)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
            failures.append(repr(error))

    tasks = []
    count = max(1, int(rate * seconds))
    begin = time.monotonic()
    for i in range(count):
        await asyncio.sleep(max(0, begin + i / rate - time.monotonic()))
        tasks.append(asyncio.create_task(one(sources[i % len(sources)] if sources else None)))
    await asyncio.gather(*tasks)
    slowest = round(1000 * max(times, default=0))
    print(json.dumps({"tried": count, "succeeded": len(times), "slowest_ms": slowest, "failures": sorted(set(failures))[:3]}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), sys.argv[5:]))
