"""A loop that is closed while a task waits takes the task and its socket with it.

Nothing of the module may keep them: not the driver, not a thread that still asks a name server.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import threading
import warnings
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import pytest
import uvloop
from conftest import open_descriptors
from support.listeners import listening, silent
from support.loops import NoWriterLoop

from aconnect import (
    Dialer,
    DnsResolver,
    SystemResolver,
    aconnect,
    connect_socket,
    create_connection,
    open_connection,
    open_stream,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    Start = Callable[["Place"], Coroutine[Any, Any, Any]]

LOOPS = 10
TURNS = 5


class Place:
    """Where nobody answers: an address, a server that has to be spoken to, a name server."""

    def __init__(self, hole: Any, server: Any, name_server: Any) -> None:
        self.hole, self.server = hole, server
        self.asking = Dialer(
            resolver=DnsResolver([name_server], cache=None, search=[], hosts=False, timeout=60)
        )

    def socket(self) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        return sock

    def both(self) -> list[Any]:
        kind = socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, ""
        return [(*kind, self.hole), (*kind, self.server)]


TLS: Any = {"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "server_hostname": "localhost"}
EVENTS = Dialer(
    on_socket=lambda sock, endpoint: None,
    trace=lambda event: None,
    on_report=lambda report: None,
)

WAITS: dict[str, Start] = {
    "aconnect": lambda at: aconnect(at.hole),
    "with a deadline": lambda at: aconnect(at.hole, timeout=60),
    "a race": lambda at: aconnect([at.both()[0]] * 2, timeout=60),
    "a hook": lambda at: EVENTS.connect(at.hole),
    "a name": lambda at: aconnect("a.test:80"),
    "a name, with a deadline": lambda at: aconnect("a.test:80", timeout=60),
    "a name, each family apart": lambda at: Dialer(
        resolver=SystemResolver(by_family=True)
    ).connect("a.test:80"),
    "a name, of a name server": lambda at: at.asking.connect("a.example:80"),
    "connect_socket": lambda at: connect_socket(at.socket(), at.hole),
    "open_connection": lambda at: open_connection(at.hole),
    "open_stream": lambda at: open_stream(at.hole),
    "TLS": lambda at: create_connection(asyncio.Protocol, at.server, **TLS),
    "TLS in a race": lambda at: create_connection(asyncio.Protocol, at.both()[::-1], **TLS),
    "TLS of anyio": lambda at: open_stream(at.server, **TLS),
    "TLS of anyio, with a deadline": lambda at: open_stream(at.server, timeout=60, **TLS),
    "TLS of anyio in a race": lambda at: open_stream(at.both()[::-1], **TLS),
}


@pytest.fixture
def place(monkeypatch: Any) -> Iterator[Place]:
    answered = threading.Event()

    def getaddrinfo(*_: Any, **__: Any) -> Any:
        answered.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with (
        silent() as hole,
        listening(backlog=100) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as name_server,
    ):
        name_server.bind(("127.0.0.1", 0))
        yield Place(hole, server.getsockname(), name_server.getsockname())
        answered.set()


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop, NoWriterLoop])
# asyncio's own needs the loop to close its transport, which is not to be had; it says so if the
# collector comes to it before it comes to who awaits it.
@pytest.mark.filterwarnings(
    "ignore:.*BaseEventLoop.*create_connection:pytest.PytestUnraisableExceptionWarning"
)
def test_what_waits_goes_with_its_loop(wait: str, new_loop: Any, place: Place) -> None:
    alive: WeakSet[Any] = WeakSet()
    before = open_descriptors()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of transports, which is deserved
        for _ in range(LOOPS):
            leave_loop(new_loop(), WAITS[wait](place), alive)
        gc.collect()
        gc.collect()
    assert list(alive) == []
    assert open_descriptors() <= before


def leave_loop(loop: Any, coroutine: Any, alive: WeakSet[Any]) -> None:
    """Close a loop in which a task waits."""
    loop.set_exception_handler(lambda loop, context: None)
    task: Any = loop.create_task(coroutine)
    alive |= {loop, task}
    for _ in range(TURNS):
        loop.run_until_complete(asyncio.sleep(0.001))
    assert not task.done(), task
    loop.close()
    task._log_destroy_pending = False
