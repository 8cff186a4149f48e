"""Listeners on loopback and in the file system that do one thing each.

All are context managers, and none needs a thread: the kernel completes a handshake as long
as there is room in the backlog, whether anybody accepts or not.

A port that is to be the same at several addresses is one of `support.programs.free_port`: one that
the kernel has given for an address may be somebody else's at another.
"""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK = "127.0.0.1"


@contextmanager
def listening(
    host: str = LOOPBACK, port: int = 0, *, backlog: int = 128
) -> Iterator[socket.socket]:
    """A TCP listener that accepts nothing: its backlog takes ``backlog + 1`` connections."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((host, port))
        listener.listen(backlog)
        yield listener


@contextmanager
def refusing(host: str = LOOPBACK, port: int = 0) -> Iterator[tuple[Any, ...]]:
    """The address of a TCP port that is taken and on which nobody listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        bound.bind((host, port))
        yield bound.getsockname()


@contextmanager
def silent(host: str = LOOPBACK, port: int = 0) -> Iterator[tuple[Any, ...]]:
    """The address of a TCP listener whose accept queue is full: a SYN gets no answer."""
    with ExitStack() as stack:
        listener = stack.enter_context(listening(host, port, backlog=0))
        address = listener.getsockname()
        for _ in range(4):
            filler = stack.enter_context(socket.socket(listener.family, socket.SOCK_STREAM))
            filler.setblocking(False)
            filler.connect_ex(address)
        yield address


@contextmanager
def unix_listening(
    path: Any, type: int = socket.SOCK_STREAM, *, backlog: int = 8
) -> Iterator[socket.socket]:
    """A unix listener, or a bound datagram socket."""
    with socket.socket(socket.AF_UNIX, type) as listener:
        listener.bind(str(path) if not isinstance(path, bytes) else path)
        if type != socket.SOCK_DGRAM:
            listener.listen(backlog)
        yield listener


@contextmanager
def unix_full(path: Any, type: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    """A unix listener whose backlog is full; each accept() makes room for one."""
    with ExitStack() as stack:
        listener = stack.enter_context(unix_listening(path, type, backlog=0))
        while True:
            filler = stack.enter_context(socket.socket(socket.AF_UNIX, type))
            filler.setblocking(False)
            if filler.connect_ex(listener.getsockname()) == errno.EAGAIN:
                break
        yield listener
