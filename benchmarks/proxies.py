"""What a dial by way of a proxy costs, next to its rivals: ``python proxies.py [--check]``.

Rules:

* All go through the same proxy in one run, on asyncio: SOCKS5 through danted (Debian's
  dante-server), which runs beside this in a process of its own, as the targets do.
* The floor is a client written by hand that blocks: connect, two sends and three reads; and for
  httpx the same with a request.
* Figures are taken as `harness` does.  A ratio is that of the medians of batches that have taken
  turns.  Only ratios within one run count.
* Most of the time is the proxy's, on another processor, where there is one.  So the client's own
  processor time is taken as well, in turns of its own.
* A request of httpx's has a connection of its own.
* Who is not installed is left out.
* What is said to an HTTP proxy is counted rather than timed: reads for each segment.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import platform
import socket
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import harness

from aconnect import Dialer

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 60
TARGETS = {
    "Dialer(proxy=)": ("<=", 1.5, "blocking"),
    "python-socks": (">=", 1.0, "Dialer(proxy=)"),
    "httpx, its own SOCKS": (">=", 1.0, "httpx, AConnectTransport"),
}
FLOORS = {"httpx, its own SOCKS": "blocking GET", "httpx, AConnectTransport": "blocking GET"}
"""Of those that do more than connect."""
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
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


def connected(port: int, target: Any) -> socket.socket:
    """By hand, without a word too many."""
    host, number = target
    request = b"\x05\x01\x00\x01" + socket.inet_aton(host) + number.to_bytes(2, "big")
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(b"\x05\x01\x00")
    read(sock, 2)
    sock.sendall(request)
    read(sock, 10)
    return sock


async def contenders(
    port: int, target: Any, web: int, stack: AsyncExitStack
) -> dict[str, harness.Contender]:
    """Those that are installed.

    Args:
        port: of the proxy.
        target: what is connected to.
        web: the port of an HTTP server.
        stack: closes clients.
    """
    proxy, url = f"socks5://127.0.0.1:{port}", f"http://127.0.0.1:{web}/"
    dialer = Dialer(proxy=proxy)

    def blocking(_: Any) -> None:
        close(connected(port, target))

    def blocking_get(_: Any) -> None:
        sock = connected(port, ("127.0.0.1", web))
        sock.sendall(REQUEST)
        while sock.recv(65536):
            pass
        close(sock)

    async def ours(_: Any) -> None:
        close(await dialer.connect(target, timeout=10))

    found: dict[str, harness.Contender] = {"blocking": blocking, "Dialer(proxy=)": ours}
    with contextlib.suppress(ImportError):
        from python_socks.async_.asyncio import Proxy

        async def python_socks(_: Any) -> None:
            close(await Proxy.from_url(proxy).connect(dest_host=target[0], dest_port=target[1]))

        found["python-socks"] = python_socks
    with contextlib.suppress(ImportError):
        import httpx
        import socksio  # noqa: F401  # which httpx needs for SOCKS

        from aconnect.clients.httpx import AConnectTransport

        limits = httpx.Limits(max_keepalive_connections=0)
        own = httpx.AsyncClient(proxy=proxy, limits=limits, trust_env=False)
        transport = AConnectTransport(dialer=dialer, limits=limits)
        by_us = httpx.AsyncClient(transport=transport, trust_env=False)

        async def of_httpx(_: Any) -> None:
            (await own.get(url)).raise_for_status()

        async def of_ours(_: Any) -> None:
            (await by_us.get(url)).raise_for_status()

        for client in (own, by_us):
            await stack.enter_async_context(client)
        found["blocking GET"] = blocking_get
        found["httpx, its own SOCKS"] = of_httpx
        found["httpx, AConnectTransport"] = of_ours
    return found


async def race(port: int, target: Any, web: int) -> tuple[harness.Batches, harness.Batches]:
    """The seconds that each has taken, and those of this process alone."""
    async with AsyncExitStack() as stack:
        found = await contenders(port, target, web, stack)
        turns = partial(harness.take_turns, found, {"": None}, pause=lambda: asyncio.sleep(0))
        return await turns(ROUNDS), await turns(ROUNDS // 3, clock=time.process_time)


def serve() -> None:
    """Answer one request after the other, each on a connection of its own."""
    with socket.create_server(("127.0.0.1", 0), backlog=harness.BACKLOG) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            sock, _ = listener.accept()
            with sock:
                if sock.recv(65536):
                    sock.sendall(ANSWER)


@contextmanager
def http_server() -> Iterator[int]:
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.terminate()


async def descriptors(port: int, target: Any) -> tuple[int, int]:
    """How many are open before a thousand dials, and after."""
    dialer = Dialer(proxy=f"socks5://127.0.0.1:{port}")

    async def dial() -> None:
        close(await dialer.connect(target, timeout=10))

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


def report(seconds: harness.Batches, own: harness.Batches) -> list[str]:
    """Print the table; those that missed their target."""
    missed = []
    middle = {name: median(each) for name, each in seconds.items()}
    print(f"{'':26} {'median us':>9} {'best':>7} {'own':>7} {'x blocking':>11}  target")
    for name, each in seconds.items():
        words = ""
        sign, limit, rival = TARGETS.get(name, ("", 0.0, ""))
        if rival in middle:
            ratio = middle[name] / middle[rival]
            met = ratio <= limit if sign == "<=" else ratio >= limit
            words = f"{sign} {limit} x {rival}: {ratio:.2f}, {'met' if met else 'missed'}"
            missed += [] if met else [name]
        floor = middle[FLOORS.get(name, "blocking")] if name != "blocking GET" else middle[name]
        print(
            f"{name:26} {middle[name] * 1e6:9.1f} {min(each) * 1e6:7.1f} "
            f"{median(own[name]) * 1e6:7.1f} {middle[name] / floor:11.2f}  {words}"
        )
    return missed


def versions() -> str:
    found = [f"{platform.python_implementation()} {platform.python_version()}"]
    for name in ("python-socks", "httpx", "httpcore", "socksio"):
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if a target is missed")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
    with harness.peer() as number, http_server() as web, danted() as port:
        target = ("127.0.0.1", number)
        seconds, own = asyncio.run(race(port, target, web))
        before, after = asyncio.run(descriptors(port, target))
    missed = report(seconds, own)
    print(versions())
    reads = asyncio.run(reads_of_a_head())
    print(f"reads of a CONNECT head in one segment: {reads}, target <= 2")
    print(f"descriptors before and after {FLAT} dials: {before}, {after}")
    missed += ["reads"] * (reads > 2) + ["descriptors"] * (after > before)
    return 1 if missed and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
