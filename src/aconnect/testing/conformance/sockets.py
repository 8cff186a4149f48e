"""Sockets that are in a certain state, for the conformance checks.

Rules:

* Nothing leaves this machine: they are pairs, or TCP on 127.0.0.1.
* No thread and no event loop is needed to get there.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ..pairs import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["begun", "fresh", "full", "listening", "ready", "refusing", "silent"]

_LOOPBACK = "127.0.0.1"


@contextmanager
def ready() -> Iterator[socket.socket]:
    """A socket that is writable."""
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        yield left


@contextmanager
def full() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A socket that is not writable before its peer, the other one, is emptied."""
    left, right = socket.socketpair()
    with left, right:
        for sock in (left, right):
            sock.setblocking(False)
        fill(left)
        yield left, right


@contextmanager
def listening(backlog: int = 16) -> Iterator[socket.socket]:
    """A TCP listener, whose kernel takes connections for it."""
    with socket.socket() as listener:
        listener.bind((_LOOPBACK, 0))
        listener.listen(backlog)
        yield listener


@contextmanager
def refusing() -> Iterator[Any]:
    """The address of a TCP port that is taken and on which nobody listens."""
    with socket.socket() as bound:
        bound.bind((_LOOPBACK, 0))
        yield bound.getsockname()


@contextmanager
def silent() -> Iterator[Any]:
    """The address of a TCP listener that has no room for another connection: no answer comes."""
    with ExitStack() as stack:
        listener = stack.enter_context(listening(backlog=0))
        for _ in range(4):
            stack.enter_context(begun(listener.getsockname()))
        yield listener.getsockname()


@contextmanager
def fresh() -> Iterator[socket.socket]:
    """A TCP socket with which nothing has been done, and which does not block."""
    with socket.socket() as sock:
        sock.setblocking(False)
        yield sock


@contextmanager
def begun(address: Any) -> Iterator[socket.socket]:
    """A socket whose connect(2) to an address has been begun."""
    with fresh() as sock:
        sock.connect_ex(address)
        yield sock
