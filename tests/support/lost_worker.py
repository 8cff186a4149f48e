"""Runs the example of a fleet, which is to be found as a module, and kills one of its workers.

Prints what came of it as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from importlib import import_module
from typing import Any

from distributed import Client, LocalCluster

from aconnect.many import Statistics


def main() -> None:
    example: Any = import_module("fleet")
    example.BATCH = 100
    with (
        socket.create_server(("127.0.0.1", 0), backlog=4000) as listener,
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        address = "127.0.0.1:{1}".format(*listener.getsockname())
        targets = [(number, address) for number in range(2000)]
        workers = list(client.run(os.getpid).values())
        seen: list[int] = []
        statistics = Statistics()
        for results, part in example.check_all(client, targets, rate=4000):
            if not seen:
                os.kill(workers[0], signal.SIGKILL)
            seen += [result.key for result in results]
            statistics += part
    whole = sorted(seen) == list(range(2000))
    counts = [statistics.count, statistics.latencies().count, statistics.outcomes["connected"]]
    print(json.dumps({"whole": whole, "counts": counts}))


if __name__ == "__main__":
    main()
