"""What a connect costs, next to its peers: ``python connect.py [--check]``.

Rules:

* Everything is measured in one run, and only ratios within it count: the floor, a blocking
  connect, is measured anew in every process.
* The contenders of a loop take turns, a batch each, so that whatever else the machine does
  hits all of them alike.  The loops take turns as well, each in a process of its own.
* Noise only adds, so the best batch is what counts, as with timeit.  The median is shown.
* Where a choice has to be made, it is made in favour of the peers.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import socket
import struct
import subprocess
import sys
from importlib.metadata import version
from operator import ge, le
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import aiohappyeyeballs
import anyio
import uvloop
from rich import box
from rich.console import Console
from rich.table import Table

from aconnect import Dialer, Report, aconnect
from aconnect.policy import allow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Connect = Callable[[tuple[str, int]], Awaitable[None]]

BATCH = 100
TURNS = 6  # of each loop
ROUNDS = 10  # of each contender, in each turn
IMPORTS = 31  # of each kind
BACKLOG = 4096
LINGER_NOT = struct.pack("ii", 1, 0)  # close(2) resets the connection

FLOOR = "blocking socket.connect"
OURS = "aconnect"
DIALER = "Dialer().connect"
WITH_OPTION = "Dialer(tos=8).connect"
WITH_POLICY = "Dialer(permit=...).connect"
WITH_REPORT = "Dialer(trace=Report()).connect"


class Target(NamedTuple):
    """How a contender's time must compare with that of another."""

    compare: Callable[[float, float], bool]
    factor: float
    of: str

    def __str__(self) -> str:
        sign = "≤" if self.compare is le else "≥"
        return f"{sign} {self.factor} × {'blocking' if self.of == FLOOR else self.of}"

    def holds(self, ratios: dict[str, float]) -> bool:
        return self.compare(ratios[self.of], self.factor)


TARGETS = {
    ("asyncio", OURS): Target(le, 1.25, FLOOR),
    ("asyncio", DIALER): Target(le, 1.3, FLOOR),
    ("asyncio", WITH_POLICY): Target(le, 2.0, FLOOR),
    ("asyncio", WITH_REPORT): Target(le, 2.5, FLOOR),
    ("asyncio", "loop.sock_connect"): Target(ge, 1.6, OURS),
    ("asyncio", "asyncio.open_connection *"): Target(ge, 2.5, OURS),
    ("trio", "trio.open_tcp_stream *"): Target(ge, 1.5, OURS),
}
LONGEST_IMPORT = 15.0  # milliseconds, on top of asyncio's


# The contenders: connect and close, once.


def connect_blocking(address: tuple[str, int]) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.connect(address)
    sock.close()


async def connect_aconnect(address: tuple[str, int]) -> None:
    sock = await aconnect(address)
    sock.close()


def connect_with(dialer: Dialer) -> Connect:
    async def connect(address: tuple[str, int]) -> None:
        sock = await dialer.connect(address)
        sock.close()

    return connect


async def connect_reporting(address: tuple[str, int]) -> None:
    sock = await Dialer(trace=Report()).connect(address)  # a report holds one dial
    sock.close()


async def connect_sock_connect(address: tuple[str, int]) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, address)
    sock.close()


async def connect_create_connection(address: tuple[str, int]) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, *address)
    transport.close()


async def connect_open_connection(address: tuple[str, int]) -> None:
    _, writer = await asyncio.open_connection(*address)
    writer.close()


async def connect_aiohappyeyeballs(address: tuple[str, int]) -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
    sock = await aiohappyeyeballs.start_connection([info])
    sock.close()


async def connect_anyio(address: tuple[str, int]) -> None:
    stream = await anyio.connect_tcp(*address)
    await stream.aclose()


async def connect_trio(address: tuple[str, int]) -> None:
    stream = await trio.open_tcp_stream(*address)
    stream.socket.close()


async def connect_trio_socket(address: tuple[str, int]) -> None:
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    await sock.connect(address)
    sock.close()


# Rows with a * have built more than a connected socket.
ON_ASYNCIO: dict[str, Connect] = {
    OURS: connect_aconnect,
    DIALER: connect_with(Dialer()),
    WITH_OPTION: connect_with(Dialer(tos=8)),
    WITH_POLICY: connect_with(Dialer(permit=allow("127.0.0.0/8"))),
    WITH_REPORT: connect_reporting,
    "loop.sock_connect": connect_sock_connect,
    "aiohappyeyeballs.start_connection": connect_aiohappyeyeballs,
    "loop.create_connection *": connect_create_connection,
    "asyncio.open_connection *": connect_open_connection,
    "anyio.connect_tcp *": connect_anyio,
}
CONTENDERS: dict[str, dict[str, Connect]] = {
    "asyncio": ON_ASYNCIO,
    "uvloop": ON_ASYNCIO,
    "trio": {
        OURS: connect_aconnect,
        "trio.socket connect": connect_trio_socket,
        "trio.open_tcp_stream *": connect_trio,
    },
}


# One process: one loop, some rounds.


def work(loop: str) -> None:
    """Measure the contenders on a loop, and print the seconds of every batch as JSON."""
    if loop == "trio":
        global trio  # only here: an application on asyncio would not import it
        import trio

        seconds = trio.run(take_turns, loop, trio.lowlevel.checkpoint)
    else:
        run = uvloop.run if loop == "uvloop" else asyncio.run
        seconds = run(take_turns(loop, lambda: asyncio.sleep(0)))
        assert "trio" not in sys.modules
    print(json.dumps(seconds))


async def take_turns(loop: str, pause: Callable[[], Awaitable[None]]) -> dict[str, list[float]]:
    contenders = [FLOOR, *CONTENDERS[loop]]
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        listener.setblocking(False)
        address = listener.getsockname()
        for _ in range(ROUNDS):
            for name in contenders:
                gc.collect()
                gc.disable()
                if name == FLOOR:
                    took = blocking_batch(address)
                else:
                    took = await batch(CONTENDERS[loop][name], address)
                gc.enable()
                seconds[name].append(took)
                for _ in range(3):  # transports close when the loop comes round
                    await pause()
                accept_all(listener)
            contenders.append(contenders.pop(0))
    return seconds


def blocking_batch(address: tuple[str, int]) -> float:
    start = perf_counter()
    for _ in range(BATCH):
        connect_blocking(address)
    return perf_counter() - start


async def batch(connect: Connect, address: tuple[str, int]) -> float:
    start = perf_counter()
    for _ in range(BATCH):
        await connect(address)
    return perf_counter() - start


def accept_all(listener: socket.socket) -> None:
    """Accept what has been connected, but leave no TIME_WAIT behind."""
    while True:
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        sock.close()


# The run.


def measure() -> dict[str, dict[str, list[float]]]:
    """Microseconds for a connect, of each loop and contender, batch by batch."""
    found: dict[str, dict[str, list[float]]] = {loop: {} for loop in CONTENDERS}
    for _ in range(TURNS):
        for loop, batches in found.items():
            for name, seconds in json.loads(ask(__file__, "--loop", loop)).items():
                batches.setdefault(name, []).extend(took / BATCH * 1e6 for took in seconds)
    return found


def measure_imports() -> dict[str, list[float]]:
    """Milliseconds to import asyncio, alone and with aconnect, in Pythons just started.

    Of processor time: a new process waits for its turn, and that is not what importing costs.
    """
    code = (
        "from time import process_time; start = process_time(); import {}; "
        "print((process_time() - start) * 1000)"
    )
    found: dict[str, list[float]] = {"asyncio": [], "asyncio, aconnect": []}
    for _ in range(IMPORTS):
        for modules, times in found.items():
            times.append(float(ask("-c", code.format(modules))))
    return found


def ask(*arguments: str) -> str:
    """What another Python prints, run with these arguments."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def report(found: dict[str, dict[str, list[float]]], imports: dict[str, list[float]]) -> bool:
    """Print the table, and return whether every target is met."""
    met: list[bool] = []

    def verdict(target: object, good: bool) -> tuple[str, str]:
        met.append(good)
        return str(target), "[green]met[/]" if good else "[red]missed[/]"

    packages = ("aconnect-io", "uvloop", "trio", "anyio", "aiohappyeyeballs")
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    table = Table(
        title="One connect and close on loopback, literal address",
        caption="* has built a transport, streams or both besides, which aconnect does not",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("", min_width=35)
    for column in ("best µs", "median µs", "× blocking", "× aconnect"):
        table.add_column(column, justify="right")
    table.add_column("target")
    table.add_column("")
    for loop, batches in found.items():
        best = {name: min(times) for name, times in batches.items()}
        table.add_section()
        table.add_row(f"[bold]{loop}[/]")
        for name, times in batches.items():
            ratios = {of: best[name] / best[of] for of in (FLOOR, OURS)}
            target = TARGETS.get((loop, name))
            table.add_row(
                f"  {name}",
                f"{best[name]:.1f}",
                f"{median(times):.1f}",
                *(f"{ratio:.2f}" for ratio in ratios.values()),
                *(() if target is None else verdict(target, target.holds(ratios))),
            )
    table.add_section()
    table.add_row("[bold]import[/], in ms")
    most = f"≤ {LONGEST_IMPORT:g} ms more"
    for modules, times in imports.items():
        more = min(times) - min(imports["asyncio"])
        table.add_row(
            f"  {modules}",
            f"{min(times):.1f}",
            f"{median(times):.1f}",
            "",
            "",
            *(() if modules == "asyncio" else verdict(most, more <= LONGEST_IMPORT)),
        )
    Console(width=118).print(table)
    print(f"{platform.python_implementation()} {platform.python_version()}, {versions}")
    print(f"{platform.system()} {platform.release()} on {platform.machine()}")
    print(f"{sum(met)} of {len(met)} targets are met.")
    return all(met)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a connect against its peers'.")
    parser.add_argument("--check", action="store_true", help="fail if a target is missed")
    parser.add_argument("--loop", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.loop:
        work(arguments.loop)
    elif not report(measure(), measure_imports()) and arguments.check:
        sys.exit(1)


if __name__ == "__main__":
    main()
