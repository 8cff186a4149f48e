"""An attempt in flight, and what it is made with.

Rules:

* Hooks and handshakes are the user's.  What they raise is an attempt that has failed; what they
  give and nobody will get is closed.
"""

from __future__ import annotations

import inspect
import socket
import sys
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from .sansio.attempt import Action, Attempt, Step

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeGuard

    from .addresses import Endpoint, SockAddr
    from .handshakes.base import Handshake
    from .sansio.race import Command
    from .syscalls import Begun
    from .trace import Event

__all__ = ["Hooks", "Running", "dispose", "errno_of", "has_errno"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What a dial is made with, besides its addresses.

    Attributes:
        open_socket: opens a socket for an endpoint, with all its options set.
        port_fixed: whether it binds sockets of a family to one port.
        note: what is to be said of a connected socket; mostly nothing.
        permit: whether an endpoint may be connected to; None for yes.
        on_socket: is called with each socket before it connects, and may be asynchronous.
        handshake: is called with a connected socket, and must succeed before it has won.
        emit: is told of events; it raises nothing.
    """

    open_socket: Callable[[Endpoint], socket.socket]
    port_fixed: Callable[[int], bool]
    note: Callable[[socket.socket], str]
    permit: Callable[[Endpoint], bool] | None
    on_socket: Callable[[socket.socket, Endpoint], object] | None
    handshake: Handshake[Any] | None
    emit: Callable[[Event], None]


@dataclass(slots=True, eq=False)
class Running:
    """An attempt in flight.

    Attributes:
        number: its place in the order of the starts.
        begun: how far it had come before the race.
        next: what is to be done at the moment `wake_at`.
        local: the local end, as far as it is known.
        result: what its handshake has given.
        cancel: ends the task that works on it.
        ended: what is to be done now that the task has ended.
    """

    number: int
    endpoint: Endpoint
    start: float
    attempt: Attempt
    begun: Begun | None = None
    sock: socket.socket | None = None
    next: Action = Step.CONNECT
    wake_at: float = inf
    local: SockAddr | None = None
    connected: bool = False
    in_handshake: bool = False
    result: Any = None
    cancel: Callable[[], object] | None = None
    ended: Callable[[], list[Command[Endpoint]]] | None = None


def dispose(result: Any) -> None:
    """Close what a handshake gave and nobody will get."""
    try:
        close = getattr(result, "close", None)
        closing = close() if callable(close) else None
    except Exception:
        return  # it is being thrown away
    if inspect.iscoroutine(closing):
        closing.close()  # it cannot be awaited here; the socket is closed next


def has_errno(error: Exception) -> TypeGuard[OSError]:
    """Whether it has an errno, or a code of getaddrinfo(3); that of an SSLError is OpenSSL's."""
    ssl = sys.modules.get("ssl")  # not imported, no SSLError
    ours = isinstance(error, OSError) and isinstance(error.errno, int) and error.errno != 0
    return ours and not (ssl and isinstance(error, ssl.SSLError))


def errno_of(error: Exception, default: int) -> int:
    """Its errno, if it has one of errno(3)."""
    # Those of a gaierror are another numbering again.
    if has_errno(error) and not isinstance(error, socket.gaierror) and error.errno is not None:
        return error.errno if error.errno > 0 else default
    return default
