"""What a connect without an event loop costs, next to the standard library's.

Rules:

* Each of ours has a rival that does the same thing; they take turns, a batch each, so that
  whatever else the machine does hits both alike, and which one begins changes.
* What counts is the ratio of the medians of all batches.
* A request is a whole one, on a connection of its own, to a server in a process of its own.

``--check`` fails if a target is missed.
"""

from __future__ import annotations

import argparse
import gc
import platform
import socket
import struct
import subprocess
import sys
from contextlib import contextmanager
from importlib.metadata import version
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import requests
from rich import box
from rich.console import Console
from rich.table import Table

from aconnect import blocking
from aconnect.clients.blocking.requests import AConnectAdapter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BACKLOG = 4096
ROUNDS = 150
LINGER_NOT = struct.pack("ii", 1, 0)  # close(2) resets the connection
BOTH = "both.example"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"

getaddrinfo = socket.getaddrinfo

# What it is, ours, theirs, how many times as long ours may take, and how many make a batch.
Pair = tuple[str, "Callable[[], object]", "Callable[[], object]", float, int]


def drop(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    sock.close()


def session(adapter: requests.adapters.HTTPAdapter) -> requests.Session:
    made = requests.Session()
    made.trust_env = False
    made.mount("http://", adapter)
    return made


def pairs(port: int, http: int) -> list[Pair]:
    literal, name, both = ("127.0.0.1", port), ("localhost", port), (BOTH, port)
    url = f"http://127.0.0.1:{http}/"
    ours, theirs = session(AConnectAdapter()), session(requests.adapters.HTTPAdapter())
    stock = socket.create_connection
    return [
        (
            "connect, a literal address",
            lambda: drop(blocking.connect(literal)),
            lambda: drop(stock(literal)),
            1.15,
            100,
        ),
        (
            "create_connection, the same",
            lambda: drop(blocking.create_connection(literal, 5)),
            lambda: drop(stock(literal, 5)),
            1.15,
            100,
        ),
        (
            "connect, by name",
            lambda: drop(blocking.connect(name)),
            lambda: drop(stock(name)),
            1.5,
            100,
        ),
        (
            "the same, with a timeout",
            lambda: drop(blocking.connect(name, timeout=5)),
            lambda: drop(stock(name, timeout=5)),
            1.5,
            100,
        ),
        (
            "by name, whose first address refuses",
            lambda: drop(blocking.connect(both)),
            lambda: drop(stock(both)),
            1.5,
            100,
        ),
        (
            "requests.get, a new connection",
            lambda: ours.get(url, timeout=5).close(),
            lambda: theirs.get(url, timeout=5).close(),
            1.05,
            5,
        ),
    ]


def knows_both(host: str, port: int, *args: int, **options: int) -> list[tuple[object, ...]]:
    """getaddrinfo() for ours and theirs: two addresses, of which the first refuses."""
    if host != BOTH:
        return getaddrinfo(host, port, *args, **options)
    of_each = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    return [(*of_each, (address, port)) for address in ("127.0.0.9", "127.0.0.1")]


def accept_all(listener: socket.socket) -> None:
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return


def measure() -> dict[str, tuple[list[float], list[float], float]]:
    """The seconds of each, batch by batch, and the target."""
    socket.getaddrinfo = knows_both
    found: dict[str, tuple[list[float], list[float], float]] = {}
    with (
        socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener,
        http_server() as http,
    ):
        listener.setblocking(False)
        for number in range(ROUNDS):
            for name, ours, theirs, target, size in pairs(listener.getsockname()[1], http):
                kept = found.setdefault(name, ([], [], target))
                turns = list(zip((ours, theirs), kept[:2], strict=True))
                for call, seconds in turns[:: -1 if number % 2 else 1]:
                    gc.collect()
                    gc.disable()
                    start = perf_counter()
                    for _ in range(size):
                        call()
                    seconds.append((perf_counter() - start) / size)
                    gc.enable()
                    accept_all(listener)
    return found


def serve() -> None:
    """Answer one request after the other, each on a connection of its own."""
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            sock, _ = listener.accept()
            with sock:
                if sock.recv(65536):
                    sock.sendall(ANSWER)
                    sock.recv(1)


@contextmanager
def http_server() -> Iterator[int]:
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.terminate()


def report(found: dict[str, tuple[list[float], list[float], float]]) -> bool:
    """Print the table, and return whether every target is met."""
    met: list[bool] = []
    table = Table(title="Without an event loop, on loopback", box=box.SIMPLE_HEAD)
    table.add_column("", min_width=32)
    for column in ("median µs", "theirs", "times as long"):
        table.add_column(column, justify="right")
    table.add_column("target")
    table.add_column("")
    for name, (ours, theirs, most) in found.items():
        ratio = median(ours) / median(theirs)
        met.append(ratio <= most)
        table.add_row(
            name,
            f"{median(ours) * 1e6:.1f}",
            f"{median(theirs) * 1e6:.1f}",
            f"{ratio:.2f}",
            f"≤ {most:.3g}",
            "[green]met[/]" if met[-1] else "[red]missed[/]",
        )
    Console(width=100).print(table)
    packages = ", ".join(f"{each} {version(each)}" for each in ("aconnect-io", "requests"))
    print(f"{platform.python_implementation()} {platform.python_version()}, {packages}")
    print(f"{sum(met)} of {len(met)} targets are met.")
    return all(met)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure connects without an event loop.")
    parser.add_argument("--check", action="store_true", help="fail if a target is missed")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
    elif not report(measure()) and arguments.check:
        sys.exit(1)


if __name__ == "__main__":
    main()
