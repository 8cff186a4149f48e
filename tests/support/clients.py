"""What the tests of all clients need: dead addresses beside a server, and loops for transports."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aconnect import Report, StaticResolver
from aconnect.trace import DialStarted
from support.listeners import silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TURNS = 8
"""More turns of the loop than there are awaits in what is before the first answer."""

REFUSED = "127.0.0.4"
SILENT = "127.0.0.5"


@contextmanager
def dead_addresses_first(name: str, port: int) -> Iterator[StaticResolver]:
    """A resolver that gives ``name`` an address that refuses, a silent one, and 127.0.0.1.

    Args:
        port: one of `support.programs.free_port`, on which 127.0.0.1 is being listened at.
    """
    with silent(SILENT, port):
        yield StaticResolver({name: [REFUSED, SILENT, "127.0.0.1"]})


@contextmanager
def accepting(host: str, port: int) -> Iterator[None]:
    """Somebody who accepts, and says nothing."""
    with socket.socket() as listener:
        listener.bind((host, port))
        listener.listen()
        yield


def full_report() -> Report:
    """One that has got its dial."""
    report = Report()
    report(DialStarted(0, "a"))
    return report


def keepalive_of(sock: Any) -> tuple[int, int, int, int]:
    """Whether TCP asks after a silent peer, after how many seconds, how often, how many times."""
    names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    on = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle, interval, count = (sock.getsockopt(socket.IPPROTO_TCP, name) for name in names)
    return int(on != 0), idle, interval, count


def for_transports(new_loop: Any) -> Callable[[], asyncio.AbstractEventLoop]:
    """Makes loops that have had a transport.

    With the first one, libuv opens a descriptor for the loop that it keeps in reserve.
    """

    def new() -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = new_loop()
        ours, theirs = socket.socketpair()
        with theirs:
            connecting = loop.create_unix_connection(asyncio.Protocol, sock=ours)
            transport, _ = loop.run_until_complete(connecting)
            transport.abort()
            loop.run_until_complete(asyncio.sleep(0))
        return loop

    return new
