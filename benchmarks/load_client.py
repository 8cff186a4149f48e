"""The clients of `load.py`: one process, one loop, one contender, many connects at once.

Rules:

* All tasks are started in one turn of the loop, so all connects are begun before one has ended;
  the greatest number that was pending is counted, and told.
* For the time every contender has the same small coroutine around it, which counts.  For the
  memory it is alone in its task, and the open descriptors are counted.
* What is measured ends when all have what they asked for.  Closing is left out.
* The garbage collector does not run meanwhile.  It would find nothing, and look the longer the
  more objects there are, which is the peers' disadvantage.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import socket
import sys
import time
import tracemalloc
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import networks
import uvloop
from anyio.abc import SocketAttribute

from aconnect import Dialer, aconnect, open_connection, open_stream, open_trio_stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Open = Callable[[Any], Awaitable[Any]]

WARM_UP = 100
SETTLE = 1.0  # seconds
PATIENCE = 60  # times as long, for what takes its time to begin

OURS = "aconnect"
WITH_TIMEOUT = "aconnect, timeout=30"
DIALER = "Dialer().connect"
SOCK_CONNECT = "loop.sock_connect"
TRIO_SOCKET = "trio.socket connect"
OURS_STREAMS = "open_connection"
STREAMS = "asyncio.open_connection"
OURS_ANYIO = "open_stream"
ANYIO = "anyio.connect_tcp"
OURS_TRIO = "open_trio_stream"
TRIO = "trio.open_tcp_stream"
WAIT = "a task that only waits"
ADD_WRITER = "connect, add_writer"


async def with_sock_connect(address: Any) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, address)
    return sock


async def with_add_writer(address: Any) -> socket.socket:
    """The floor: what the loop has for this, and nothing else but the system calls."""
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.connect_ex(address)
    writable = loop.create_future()
    loop.add_writer(sock, writable.set_result, None)
    await writable
    loop.remove_writer(sock)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    return sock


async def with_trio_socket(address: Any) -> Any:
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    await sock.connect(address)
    return sock


async def wait(event: Any) -> None:
    """What every task costs that waits for something."""
    await event.wait()


ON_ASYNCIO: dict[str, Open] = {
    WAIT: wait,
    OURS: aconnect,
    WITH_TIMEOUT: partial(aconnect, timeout=30),
    DIALER: Dialer().connect,
    SOCK_CONNECT: with_sock_connect,
    ADD_WRITER: with_add_writer,
    OURS_STREAMS: open_connection,
    STREAMS: lambda address: asyncio.open_connection(*address),
    OURS_ANYIO: open_stream,
    ANYIO: lambda address: anyio.connect_tcp(*address),
}
CONTENDERS: dict[str, dict[str, Open]] = {
    "asyncio": ON_ASYNCIO,
    "uvloop": ON_ASYNCIO,
    "trio": {
        WAIT: wait,
        OURS: aconnect,
        WITH_TIMEOUT: partial(aconnect, timeout=30),
        DIALER: Dialer().connect,
        TRIO_SOCKET: with_trio_socket,
        OURS_TRIO: open_trio_stream,
        TRIO: lambda address: trio.open_tcp_stream(*address),
        OURS_ANYIO: open_stream,
        ANYIO: lambda address: anyio.connect_tcp(*address),
    },
}


def descriptor_of(opened: Any) -> int:
    """That of a socket, or of what was built on one."""
    if isinstance(opened, tuple):  # a reader and a writer
        opened = opened[1].get_extra_info("socket")
    elif hasattr(opened, "extra"):
        opened = opened.extra(SocketAttribute.raw_socket)
    elif hasattr(opened, "socket"):
        opened = opened.socket
    return int(opened.fileno())


class Burst:
    """Connects that are begun at once, and counted.

    Attributes:
        pending: how many have not ended.
        peak: how many were pending at a time.
        opened: what came of those that have.
    """

    def __init__(self, open_one: Open, address: Any) -> None:
        self.pending = self.peak = 0
        self.opened: list[Any] = []
        self._open_one, self._address = open_one, address

    async def one(self) -> None:
        self.pending += 1
        self.peak = max(self.peak, self.pending)
        opened = await self._open_one(self._address)
        self.pending -= 1
        if opened is not None:
            self.opened.append(opened)

    async def on_asyncio(self, connects: int) -> None:
        await asyncio.gather(*[self.one() for _ in range(connects)])

    async def on_trio(self, connects: int) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(connects):
                nursery.start_soon(self.one)

    def reset(self) -> None:
        """Close everything and leave no TIME_WAIT, whatever was built on the sockets."""
        for opened in self.opened:
            networks.reset(socket.socket(fileno=os.dup(descriptor_of(opened))))


async def take_time(loop: str, name: str, port: int, connects: int, delay: float) -> None:
    """Print the processor time and the time for connects that succeed, in seconds."""
    bursts = []
    for count in (WARM_UP, connects):
        peer = event_for(loop, delay) if name == WAIT else (networks.SERVER, port)
        burst = Burst(CONTENDERS[loop][name], peer)
        bursts.append(burst)
        gc.collect()
        gc.disable()
        wall, cpu = time.monotonic(), time.process_time()
        await (burst.on_trio if loop == "trio" else burst.on_asyncio)(count)
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
        gc.enable()
    connected = len(burst.opened)
    print(json.dumps({"connected": connected, "cpu": cpu, "wall": wall, "peak": burst.peak}))
    sys.stdout.flush()
    sys.stdin.read()
    for burst in bursts:
        burst.reset()
    os._exit(0)  # the loop's own goodbyes to so many are not what this is about


async def take_memory(loop: str, name: str, connects: int, *, heap: bool) -> None:
    """Print the bytes for connects that are pending: of Python's heap, or resident."""
    start = start_on_trio if loop == "trio" else start_on_asyncio
    sleep = trio.sleep if loop == "trio" else asyncio.sleep
    for count in (WARM_UP, connects):
        peer = event_for(loop, None) if name == WAIT else (networks.SILENT, 80)
        await sleep(SETTLE)  # what was cancelled closes when the loop comes round
        gc.collect()
        if heap and count == connects:
            tracemalloc.start()
        before, descriptors = memory(heap), count_descriptors()
        async with start(CONTENDERS[loop][name], peer, count):
            for _ in range(PATIENCE):
                await sleep(SETTLE)
                begun = count_descriptors() - descriptors
                if name == WAIT or begun >= count:
                    break
            else:
                raise AssertionError(f"{name}: only {begun} have begun")
            gc.collect()
            taken = memory(heap) - before
    print(json.dumps({"bytes": taken}))


@asynccontextmanager
async def start_on_asyncio(open_one: Open, peer: Any, count: int) -> AsyncIterator[None]:
    """As many tasks as that, which are cancelled when this is left."""
    tasks = [asyncio.ensure_future(open_one(peer)) for _ in range(count)]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def start_on_trio(open_one: Open, peer: Any, count: int) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(open_one, peer)
        yield
        nursery.cancel_scope.cancel()


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def memory(heap: bool) -> int:
    """Bytes: what Python and its modules have allocated, or what is resident."""
    if heap:
        return tracemalloc.get_traced_memory()[0]
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def event_for(loop: str, delay: float | None) -> Any:
    """An event that is set after ``delay`` seconds, or never."""
    if loop == "trio":
        event: Any = trio.Event()
        if delay is not None:

            async def set_late() -> None:
                await trio.sleep(delay)
                event.set()

            trio.lowlevel.spawn_system_task(set_late)
    else:
        event = asyncio.Event()
        if delay is not None:
            asyncio.get_running_loop().call_later(delay, event.set)
    return event


def work(loop: str, name: str, what: str, port: int, connects: int, delay: float) -> None:
    """Be one client, and print what it has found as JSON."""
    if what == "time":
        main: Any = partial(take_time, loop, name, port, connects, delay)
    else:
        main = partial(take_memory, loop, name, connects, heap=what == "heap")
    if loop == "trio":
        global trio  # only here: an application on asyncio would not import it
        import trio

        trio.run(main)
    else:
        (uvloop.run if loop == "uvloop" else asyncio.run)(main())


if __name__ == "__main__":
    work(*sys.argv[1:4], *map(int, sys.argv[4:6]), float(sys.argv[6]))  # type: ignore[call-arg,arg-type]
