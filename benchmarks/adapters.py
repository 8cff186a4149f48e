"""What transports and streams cost, next to those of the peers: ``python adapters.py [--check]``.

Rules:

* The method is that of `connect.py`; the floor is left out, and each of ours has a rival.
* Both of a pair build the same thing: the same transport, the same stream, by the same loop.
* TLS is measured against a server in a process of its own, which resumes no sessions.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import socket
import ssl
import subprocess
import sys
import tempfile
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import anyio
import connect as connects
import trustme
import uvloop
from rich import box
from rich.console import Console
from rich.table import Table

from aconnect import (
    Dialer,
    create_connection,
    open_connection,
    open_stream,
    open_trio_stream,
    routed,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    Open = Callable[[Any, Any], Awaitable[None]]

TURNS = 6  # of each loop
ROUNDS = 10  # of each contender, in each turn
TLS_BATCH = 20
NAME = "localhost.example"
DIALER = Dialer()


async def ours_transport(address: Any, context: Any) -> None:
    name = NAME if context else None
    transport, _ = await create_connection(
        asyncio.Protocol, address, ssl=context, server_hostname=name
    )
    transport.abort()


async def theirs_transport(address: Any, context: Any) -> None:
    name = NAME if context else None
    transport, _ = await asyncio.get_running_loop().create_connection(
        asyncio.Protocol, *address, ssl=context, server_hostname=name
    )
    transport.abort()


async def routed_transport(address: Any, context: Any) -> None:
    await theirs_transport(address, context)


async def ours_streams(address: Any, _: Any) -> None:
    _, writer = await open_connection(address)
    writer.transport.abort()


async def theirs_streams(address: Any, _: Any) -> None:
    _, writer = await asyncio.open_connection(*address)
    writer.transport.abort()


async def ours_anyio(address: Any, _: Any) -> None:
    stream = await open_stream(address)
    await stream.aclose()


async def theirs_anyio(address: Any, _: Any) -> None:
    stream = await anyio.connect_tcp(*address)
    await stream.aclose()


async def ours_trio(address: Any, _: Any) -> None:
    stream = await open_trio_stream(address)
    stream.socket.close()


async def theirs_trio(address: Any, _: Any) -> None:
    stream = await trio.open_tcp_stream(*address)
    stream.socket.close()


async def ours_trio_tls(address: Any, context: Any) -> None:
    stream = await open_trio_stream(address, ssl=context, server_hostname=NAME)
    stream.transport_stream.socket.close()


async def theirs_trio_tls(address: Any, context: Any) -> None:
    stream = await trio.open_tcp_stream(*address)
    await trio.SSLStream(stream, context, server_hostname=NAME).do_handshake()
    stream.socket.close()


# Ours, theirs, and how many times as fast ours must be; below 1, how much slower it may be.
Pair = tuple[str, "Open", str, "Open", float]

TRANSPORT = ("create_connection", ours_transport, "loop.create_connection", theirs_transport)
STREAMS = ("open_connection", ours_streams, "asyncio.open_connection", theirs_streams)
ANYIO = ("open_stream", ours_anyio, "anyio.connect_tcp", theirs_anyio)
ROUTED = ("routed", routed_transport, "create_connection", ours_transport)
TLS = ("create_connection, TLS", ours_transport, "loop.create_connection, TLS", theirs_transport)
TRIO = ("open_trio_stream", ours_trio, "trio.open_tcp_stream", theirs_trio)
TRIO_TLS = ("open_trio_stream, TLS", ours_trio_tls, "trio.SSLStream, TLS", theirs_trio_tls)

PAIRS: dict[str, list[Pair]] = {
    "asyncio": [
        (*TRANSPORT, 1.3),
        (*ROUTED, 1 / 1.15),
        (*STREAMS, 1.3),
        (*ANYIO, 2.0),
        (*TLS, 1.0),
    ],
    "uvloop": [
        (*TRANSPORT, 1 / 1.3),
        (*ROUTED, 1 / 1.15),
        (*STREAMS, 1 / 1.3),
        (*ANYIO, 2.0),
        (*TLS, 1 / 1.3),
    ],
    "trio": [(*TRIO, 1.5), (*ANYIO, 2.0), (*TRIO_TLS, 1.0)],
}


# One process: one loop, some rounds.


def work(loop: str, port: int, ca: str) -> None:
    """Measure the pairs of a loop, and print the seconds of every batch as JSON."""
    context = ssl.create_default_context(cafile=ca)
    if loop == "trio":
        global trio  # only here: an application on asyncio would not import it
        import trio

        seconds = trio.run(take_turns, loop, port, context, trio.sleep)
    else:
        run = uvloop.run if loop == "uvloop" else asyncio.run
        seconds = run(take_turns(loop, port, context, asyncio.sleep))
    print(json.dumps(seconds))


async def take_turns(
    loop: str, port: int, context: ssl.SSLContext, sleep: Callable[[float], Awaitable[None]]
) -> dict[str, list[float]]:
    contenders = [
        each for pair in PAIRS[loop] for each in ((pair[0], pair[1]), (pair[2], pair[3]))
    ]
    seconds: dict[str, list[float]] = {name: [] for name, _ in contenders}
    with socket.create_server(("127.0.0.1", 0), backlog=connects.BACKLOG) as listener:
        listener.setblocking(False)
        plain = listener.getsockname()
        for _ in range(ROUNDS):
            for name, open_one in contenders:
                gc.collect()
                gc.disable()
                if name.endswith("TLS"):
                    size = TLS_BATCH
                    took = await batch(open_one, ("127.0.0.1", port), context, size)
                else:
                    size = connects.BATCH
                    took = await batch(open_one, plain, None, size)
                gc.enable()
                seconds[name].append(took / size)
                for _ in range(3):  # transports close when the loop comes round
                    await sleep(0)
                connects.accept_all(listener)
            contenders.append(contenders.pop(0))
    return seconds


async def batch(open_one: Open, address: Any, context: Any, size: int) -> float:
    with routed(DIALER) if open_one is routed_transport else nullcontext():
        start = connects.perf_counter()
        for _ in range(size):
            await open_one(address, context)
        return connects.perf_counter() - start


# The server.


def serve(certificate: str) -> None:
    """Do TLS handshakes and wait for the end of each connection, one at a time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.num_tickets = 0
    with socket.create_server(("127.0.0.1", 0), backlog=connects.BACKLOG) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            sock, _ = listener.accept()
            try:
                with context.wrap_socket(sock, server_side=True) as wrapped:
                    wrapped.recv(1)
            except OSError:
                sock.close()


@contextmanager
def tls_server() -> Iterator[tuple[int, str]]:
    """The port of a TLS server, and the file that it takes to trust it."""
    with tempfile.TemporaryDirectory() as directory:
        ca, own = Path(directory, "ca.pem"), Path(directory, "own.pem")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(ca)
        authority.issue_cert(NAME).private_key_and_cert_chain_pem.write_to_path(own)
        command = [sys.executable, __file__, "--serve", str(own)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                yield int(server.stdout.readline()), str(ca)
            finally:
                server.terminate()


# The run.


def measure() -> dict[str, dict[str, list[float]]]:
    """Microseconds for a connection, of each loop and contender, batch by batch."""
    found: dict[str, dict[str, list[float]]] = {loop: {} for loop in PAIRS}
    with tls_server() as (port, ca):
        for _ in range(TURNS):
            for loop, batches in found.items():
                answer = connects.ask(__file__, "--loop", loop, "--port", str(port), "--ca", ca)
                for name, seconds in json.loads(answer).items():
                    batches.setdefault(name, []).extend(took * 1e6 for took in seconds)
    return found


def report(found: dict[str, dict[str, list[float]]]) -> bool:
    """Print the table, and return whether every target is met."""
    met: list[bool] = []
    packages = ("aconnect-io", "uvloop", "trio", "anyio")
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    table = Table(
        title="One transport or stream on loopback, literal address", box=box.SIMPLE_HEAD
    )
    table.add_column("", min_width=28)
    table.add_column("best µs", justify="right")
    table.add_column("median µs", justify="right")
    table.add_column("theirs", justify="right")
    table.add_column("times as fast", justify="right")
    table.add_column("target")
    table.add_column("")
    for loop, batches in found.items():
        table.add_section()
        table.add_row(f"[bold]{loop}[/]")
        for name, _, rival, _, least in PAIRS[loop]:
            ours, theirs = min(batches[name]), min(batches[rival])
            met.append(theirs / ours >= least)
            table.add_row(
                f"  {name}",
                f"{ours:.1f}",
                f"{median(batches[name]):.1f}",
                f"{theirs:.1f}",
                f"{theirs / ours:.2f}",
                f"≥ {least:.3g}",
                "[green]met[/]" if met[-1] else "[red]missed[/]",
            )
    Console(width=118).print(table)
    print(f"{platform.python_implementation()} {platform.python_version()}, {versions}")
    print(f"{sum(met)} of {len(met)} targets are met.")
    return all(met)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure transports and streams.")
    parser.add_argument("--check", action="store_true", help="fail if a target is missed")
    for hidden in ("--loop", "--port", "--ca", "--serve"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
    elif arguments.loop:
        work(arguments.loop, int(arguments.port), arguments.ca)
    elif not report(measure()) and arguments.check:
        sys.exit(1)


if __name__ == "__main__":
    main()
