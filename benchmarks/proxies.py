"""What a dial by way of a proxy costs, next to its rivals: ``python proxies.py [--check]``.

Rules:

* All dial the same target through the same proxy, one after the other, on asyncio: SOCKS5 through
  danted (Debian's dante-server), which runs beside this in a process of its own.
* The floor is a client written by hand that blocks: connect, two sends and three reads.
* The batches take turns, and the best of each counts.  Only ratios within one run count.
* What is said to an HTTP proxy is counted rather than timed: reads for each segment.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import socket
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from aconnect import Dialer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

BATCH = 50
ROUNDS = 20
TARGETS = {
    "Dialer(proxy=)": ("<=", 1.5, "blocking"),
    "python-socks": (">=", 1.0, "Dialer(proxy=)"),
}
FLAT = 1000
CONFIG = """\
logoutput: stderr
internal: 127.0.0.1 port = {port}
external: lo
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: nobody
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
"""


@contextmanager
def danted() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "danted.conf")
        config.write_text(CONFIG.format(port=port))
        command = ["/usr/sbin/danted", "-f", str(config)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
            try:
                deadline = time.monotonic() + 10
                while socket.socket().connect_ex(("127.0.0.1", port)):
                    if time.monotonic() > deadline:
                        raise SystemExit("danted does not start")
                    time.sleep(0.05)
                yield port
            finally:
                server.terminate()


def close(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read(sock: socket.socket, count: int) -> None:
    while count:
        count -= len(sock.recv(count))


def blocking(port: int, target: Any) -> Callable[[], Awaitable[None]]:
    host, number = target
    request = b"\x05\x01\x00\x01" + socket.inet_aton(host) + number.to_bytes(2, "big")

    async def dial() -> None:
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(b"\x05\x01\x00")
        read(sock, 2)
        sock.sendall(request)
        read(sock, 10)
        close(sock)

    return dial


def ours(port: int, target: Any) -> Callable[[], Awaitable[None]]:
    dialer = Dialer(proxy=f"socks5://127.0.0.1:{port}")

    async def dial() -> None:
        close(await dialer.connect(target, timeout=10))

    return dial


def python_socks(port: int, target: Any) -> Callable[[], Awaitable[None]] | None:
    try:
        from python_socks.async_.asyncio import Proxy
    except ImportError:
        return None

    async def dial() -> None:
        proxy = Proxy.from_url(f"socks5://127.0.0.1:{port}")
        close(await proxy.connect(dest_host=target[0], dest_port=target[1]))

    return dial


async def batch(dial: Callable[[], Awaitable[None]]) -> float:
    gc.collect()
    start = time.perf_counter()
    for _ in range(BATCH):
        await dial()
    return (time.perf_counter() - start) / BATCH * 1e6


async def race(port: int, target: Any) -> dict[str, list[float]]:
    contenders = {
        "blocking": blocking(port, target),
        "Dialer(proxy=)": ours(port, target),
        "python-socks": python_socks(port, target),
    }
    times: dict[str, list[float]] = {name: [] for name, each in contenders.items() if each}
    for number in range(ROUNDS):
        order = list(times)
        for name in order[number % len(order) :] + order[: number % len(order)]:
            dial = contenders[name]
            assert dial is not None
            times[name].append(await batch(dial))
    return times


async def descriptors(port: int, target: Any) -> tuple[int, int]:
    """How many are open before a thousand dials, and after."""
    dial = ours(port, target)
    await dial()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(FLAT // 50):
        await asyncio.gather(*(dial() for _ in range(50)))
    return before, len(list(Path("/proc/self/fd").iterdir()))


class Counting(socket.socket):
    """Counts its reads that brought something."""

    reads = 0

    def recv(self, *args: Any) -> bytes:
        data = super().recv(*args)
        Counting.reads += 1
        return data


async def reads_of_a_head() -> int:
    """Reads for the head of an answer to CONNECT that comes in one segment, with a banner."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nSSH-2.0")
        await writer.drain()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        dialer = Dialer(
            proxy=f"http://127.0.0.1:{port}", socket_factory=lambda each: Counting(*each[:3])
        )
        close(await dialer.connect("db.example:1", timeout=10))
    return Counting.reads


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if a target is missed")
    arguments = parser.parse_args()
    missed = []
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener, danted() as port:
        times = asyncio.run(race(port, listener.getsockname()))
        before, after = asyncio.run(descriptors(port, listener.getsockname()))
    best = {name: min(each) for name, each in times.items()}
    print(f"{'':16} {'best us':>8} {'median':>8} {'x blocking':>11}  target")
    for name, each in times.items():
        words = ""
        if name in TARGETS:
            sign, limit, rival = TARGETS[name]
            ratio = best[name] / best[rival]
            met = ratio <= limit if sign == "<=" else ratio >= limit
            words = f"{sign} {limit} x {rival}: {ratio:.2f}, {'met' if met else 'missed'}"
            missed += [] if met else [name]
        print(
            f"{name:16} {best[name]:8.1f} {median(each):8.1f} "
            f"{best[name] / best['blocking']:11.2f}  {words}"
        )
    reads = asyncio.run(reads_of_a_head())
    print(f"reads of a CONNECT head in one segment: {reads}, target <= 2")
    print(f"descriptors before and after {FLAT} dials: {before}, {after}")
    missed += ["reads"] * (reads > 2) + ["descriptors"] * (after > before)
    return 1 if missed and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
