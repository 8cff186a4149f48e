"""Check a long list with a fleet of workers, over dask.distributed.

It needs distributed: pip install distributed

Each worker connects from its own machine, at its share of the rate.  Whom it may connect to, and
how fast, is for whoever runs it to say; and a scheduler takes work from anybody who reaches it.
"""

import asyncio
import socket
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from distributed import Client, LocalCluster, as_completed

from aconnect.many import Limits, Result, Statistics, connect_many

BATCH = 500
"""Targets: about a second of work, which is what a lost worker costs."""


def check_batch(targets: list[Any], rate: float) -> tuple[list[Result], Statistics]:
    """What a worker does."""

    async def check() -> tuple[list[Result], Statistics]:
        found, statistics = [], Statistics()
        limits = Limits(concurrency=200, rate=rate, burst=20)
        async with connect_many(targets, limits=limits, timeout=3) as results:
            async for result in results:
                found.append(result)
                statistics.add(result)
        return found, statistics

    return asyncio.run(check())


def check_all(
    client: Client, targets: Iterable[Any], rate: float
) -> Iterator[tuple[list[Result], Statistics]]:
    """Results and their statistics, batch by batch as they end; each target is in one batch.

    A batch that a worker was lost with is done again by another.
    """
    share = rate / max(1, len(client.scheduler_info()["workers"]))
    remaining = iter(targets)
    batches = list(iter(lambda: list(islice(remaining, BATCH)), []))
    futures = client.map(check_batch, batches, rate=share, pure=False, retries=2)
    for _, batch in as_completed(futures, with_results=True):
        yield batch


def main() -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=4000) as listener,
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        targets = [f"127.0.0.1:{listener.getsockname()[1]}"] * 2000
        statistics = Statistics()
        for _results, part in check_all(client, targets, rate=100_000):
            statistics += part
        print("fleet:", dict(statistics.outcomes))


if __name__ == "__main__":
    main()
