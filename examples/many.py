"""Connect to many targets at a time, at a rate, and sum up what came of them."""

import asyncio
import socket

from aconnect.many import Limits, Statistics, connect_many


async def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as up, socket.socket() as down:
        down.bind(("127.0.0.1", 0))  # and nobody listens
        targets = [f"127.0.0.1:{sock.getsockname()[1]}" for sock in (up, down)] * 20
        statistics = Statistics()
        limits = Limits(concurrency=8, rate=500, burst=5)
        async with connect_many(targets, limits=limits, timeout=3) as results:
            async for result in results:
                statistics.add(result)
    print("outcomes:", dict(sorted(statistics.outcomes.items())))
    print("errors:", dict(statistics.errors))
    slowest = statistics.percentile("connect", 99)
    assert slowest is not None
    print("99 of 100 within a second:", slowest < 1)


if __name__ == "__main__":
    asyncio.run(main())
