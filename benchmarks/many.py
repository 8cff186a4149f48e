"""Many connects: `connect_many` beside a plain loop, a bare asyncio program, and nmap.

    python benchmarks/many.py [--targets N] [--check]

Everything compared is measured in one run, in turns, and the least of each is taken, against a
listener that does not accept while the time is taken: that of the processor, for nobody waits.
nmap's is that of the clock.  For that and for the memory, a listener in a process of its own
accepts and closes.

With ``--check``, a ratio that is missed is an error.  ``--targets 1000000`` takes three minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from aconnect import Dialer
from aconnect.cli.formats import as_json
from aconnect.cli.source import Item
from aconnect.many import Limits, Result, Statistics, connect_many

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 15
COUNT = 3000
LISTENER = """
import socket
listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
print(listener.getsockname()[1], flush=True)
while True:
    listener.accept()[0].close()
"""


@contextmanager
def listener() -> Iterator[tuple[str, int]]:
    with subprocess.Popen(
        [sys.executable, "-c", LISTENER], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield "127.0.0.1", int(process.stdout.readline())
        finally:
            process.kill()


async def many(address: Any, count: int, concurrency: int) -> None:
    limits = Limits(concurrency=concurrency)
    async with connect_many((address for _ in range(count)), limits=limits) as results:
        async for result in results:
            assert result.connected, result


async def plain(address: Any, count: int, _: int) -> None:
    dialer = Dialer()
    for _ in range(count):
        (await dialer.connect(address)).close()


async def bare(address: Any, count: int, concurrency: int) -> None:
    """What one writes without a library: a semaphore, and the loop's own call."""
    loop, semaphore = asyncio.get_running_loop(), asyncio.Semaphore(concurrency)

    async def one() -> None:
        async with semaphore:
            with socket.socket() as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, address)

    await asyncio.gather(*(one() for _ in range(count)))


def microseconds(function: Any, listener: socket.socket, concurrency: int) -> float:
    begun = time.process_time()
    asyncio.run(function(listener.getsockname(), COUNT, concurrency))
    taken = (time.process_time() - begun) / COUNT * 1e6
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
    return taken


def throughput(listener: socket.socket) -> dict[str, float]:
    measured: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, function, concurrency in (
            ("plain loop", plain, 1),
            ("connect_many, 32", many, 32),
            ("connect_many, 200", many, 200),
            ("bare asyncio, 32", bare, 32),
            ("bare asyncio, 200", bare, 200),
        ):
            measured.setdefault(name, []).append(microseconds(function, listener, concurrency))
    return {name: min(times) for name, times in measured.items()}


def memory(address: Any, count: int) -> list[int]:
    """Kilobytes that the process has, after each tenth of so many connects."""
    sizes: list[int] = []

    async def main() -> None:
        seen, statistics = 0, Statistics()
        targets = ((f"127.0.0.{1 + number % 250}", address[1]) for number in range(count))
        async with connect_many(targets) as results:
            async for result in results:
                statistics.add(result)
                seen += 1
                if seen % (count // 10) == 0:
                    sizes.append(resident())

    asyncio.run(main())
    return sizes


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def pending(count: int) -> dict[str, float]:
    """Dials that get no answer: what they take while they wait, and how long their end takes."""
    found: dict[str, float] = {}

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
            address = silent.getsockname()
            full = []
            for _ in range(3):
                full.append(socket.socket())
                full[-1].setblocking(False)
                full[-1].connect_ex(address)
            limits = Limits(concurrency=count, rate=2000, burst=50, raise_nofile=True)
            targets = (address for _ in range(count))
            begun, used = time.perf_counter(), time.process_time()
            async with connect_many(targets, limits=limits):
                await asyncio.sleep(5)
                found["part of a core"] = (time.process_time() - used) / 5
                begun = time.perf_counter()
            found["seconds to cancel"] = time.perf_counter() - begun
            for sock in full:
                sock.close()

    asyncio.run(main())
    return found


def each(function: Any, count: int = 20_000) -> float:
    """Microseconds of a call."""
    begun = time.perf_counter()
    for _ in range(count):
        function()
    return (time.perf_counter() - begun) / count * 1e6


def nmap(port: int, count: int) -> float | None:
    """Microseconds a target of ``nmap -sT``."""
    program = shutil.which("nmap")
    if program is None:
        return None
    begun = time.perf_counter()
    targets = [f"127.0.{number // 250}.{1 + number % 250}" for number in range(count)]
    subprocess.run(
        [program, "-sT", "-n", "-Pn", "-p", str(port), "-iL", "-", "-oG", os.devnull],
        input="\n".join(targets),
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return (time.perf_counter() - begun) / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure connects to many targets.")
    parser.add_argument("--targets", type=int, default=100_000, help="for the memory")
    parser.add_argument("--check", action="store_true", help="fail if a ratio is missed")
    options = parser.parse_args()
    result = Result(
        "127.0.0.1:1", 0, "connected", "127.0.0.1:1", 1e-4, {"connect": 1e-4}, None, None,
        Item(0, 1, "127.0.0.1:1"), 1.7e9,
    )  # fmt: skip
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as idle:
        idle.setblocking(False)
        times = throughput(idle)
    with listener() as address:
        sizes = memory(address, options.targets)
        scanned = nmap(address[1], COUNT)
    statistics = Statistics()
    ratios = {
        "connect_many, 32 / plain loop": (
            times["connect_many, 32"] / times["plain loop"], 1.15,
        ),
        "connect_many, 32 / bare asyncio": (
            times["connect_many, 32"] / times["bare asyncio, 32"], 0.7,
        ),
        "connect_many, 200 / bare asyncio": (
            times["connect_many, 200"] / times["bare asyncio, 200"], 0.7,
        ),
        "memory, last tenth / second": (sizes[-1] / sizes[1], 1.05),
        "JSON of a result, us": (each(lambda: as_json(result)), 20.0),
        "statistics of a result, us": (each(lambda: statistics.add(result)), 1.0),
    }  # fmt: skip
    waiting = pending(8000)
    ratios["seconds to cancel 8000 pending"] = (waiting["seconds to cancel"], 0.5)
    for name, least in times.items():
        print(f"{name:<34} {least:8.1f} us a target")
    print(
        f"{'nmap -sT':<34} {'is not here' if scanned is None else f'{scanned:8.1f} us a target'}"
    )
    print(f"{'pending':<34} {waiting['part of a core']:8.2f} of a core, at 2000 starts a second")
    missed = False
    for name, (value, goal) in ratios.items():
        missed |= value > goal
        print(f"{name:<34} {value:8.2f}  at most {goal:g}  {'missed' if value > goal else 'met'}")
    print(json.dumps({"resident": sizes, "most": resource.getrusage(resource.RUSAGE_SELF)[2]}))
    if options.check and missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
