"""The hand-over of a connected socket to a transport of asyncio or uvloop.

Rules:

* The socket has one owner: the caller until the loop has made a transport of it, and then the
  transport.  Who owns it when something fails shows in what is left: a transport closes its
  socket within a few turns of the loop.  One that nobody closes is the caller's still, and is
  closed here.
* uvloop may close the number that it was given by `create_connection`, and leave the socket object
  with it: the number of somebody else's descriptor, soon.  What the number is open on tells, and
  the object is made to tell it (`lent`).  asyncio's own loops need not be asked.
* It is closed when the hand-over is left, however it is left; only a coroutine that is itself
  being closed cannot wait for that, and leaves a transport to the loop.
* `connect_accepted_socket` of the loop makes a transport of any stream socket, as it is; nothing
  in it is for servers but its name, and TLS.  It is the shortest way, and on uvloop the one that
  leaves no socket object with the number of a closed descriptor.
* The transport first has a protocol of ours.  It gets the user's when the connection is there, so
  that the factory is called once and what it raises, or its protocol's ``connection_made``, goes
  to the caller and not to the loop's exception handler.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..sockets.files import descriptor_identity
from ..sockets.syscalls import close

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["HandOver", "aborted", "closed", "lent", "plain", "take_over"]

_TURNS: Final = 8
"""How many turns of the loop a transport may take to close its socket.

It takes one with the selector loop, two with TLS; uvloop closes at once."""


class HandOver(asyncio.Protocol, asyncio.DatagramProtocol):
    """One connection on its way from a socket to a transport with the user's protocol.

    Args:
        factory: makes the user's protocol.
        loop: the running loop.

    Attributes:
        sock: the socket.
        transport: the transport, when the connection is there.
        protocol: what the factory gave, likewise.
        error: what the factory or ``connection_made`` raised.
    """

    __slots__ = ("_factory", "_loop", "error", "protocol", "sock", "transport")

    sock: socket.socket
    protocol: Any

    def __init__(self, factory: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.transport: Any = None
        self.protocol = None
        self.error: Exception | None = None
        self._factory = factory
        self._loop = loop

    def __call__(self) -> HandOver:
        """What the loop takes for the protocol's factory."""
        return self

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        try:
            protocol = self._factory()
            connection_made = protocol.connection_made
            transport.set_protocol(protocol)
            self.protocol = protocol
            connection_made(transport)
        except BaseException as error:
            transport.abort()
            if not isinstance(error, Exception):
                raise
            self.error = error

    async def begin(self, sock: socket.socket, making: Coroutine[Any, Any, Any]) -> None:
        """Have the loop make the transport.

        Args:
            sock: a connected socket; it is not the caller's any more, whatever happens.
            making: what a method of the loop gives that takes such a socket, and this.

        Raises:
            OSError: TLS failed.
            Exception: the loop does not make a transport of it.

            The socket is closed then.
        """
        self.sock = sock
        try:
            await making
            if self.transport is None:
                raise ConnectionResetError("the loop has made a transport without a connection")
        except BaseException as error:
            await self.abandon(error)
            raise

    async def raise_error(self) -> NoReturn:
        """Raise what the factory or ``connection_made`` has raised, with the socket closed."""
        assert self.error is not None
        error, self.error = self.error, None
        try:
            await self.abandon(error)
            raise error
        finally:
            del error  # its traceback leads to this frame

    def close(self) -> None:
        """Have the transport close the socket, soon."""
        if self.transport is not None:
            self.transport.abort()

    async def abandon(self, error: BaseException) -> None:
        """Close the socket, by way of its transport if it has one, because of ``error``.

        The user's protocol is told, if it had been told of the connection.
        """
        if self._loop.is_closed():
            close(self.sock)
            return
        self.close()
        if not isinstance(error, GeneratorExit):
            await closed(self.sock)
            if self._untold():
                self.protocol.connection_lost(None)
        elif self.transport is None:
            close(self.sock)

    def _untold(self) -> bool:
        """Whether nobody else has told the protocol, or will.

        A transport forgets the protocol that it has told.  That of uvloop tells none if
        create_connection() is cancelled.
        """
        if self.protocol is None:
            return False
        try:
            return self.transport.get_protocol() is self.protocol
        except AttributeError:  # of asyncio, over TLS, closed twice
            return False


def plain(sock: socket.socket) -> socket.socket:
    """``sock``, or what has taken its connection over if it is of a subclass: trio takes none."""
    return sock if type(sock) is socket.socket else take_over(sock)


def take_over(sock: socket.socket) -> socket.socket:
    """The connection of ``sock`` in a socket of one's own; ``sock`` is left without it.

    A socket with a method ``moved`` does it itself: those of a fake network have names that the
    descriptor has not.
    """
    moved = getattr(sock, "moved", None)
    if moved is not None:
        return moved()  # type: ignore[no-any-return]
    own = socket.socket(sock.family, sock.type, sock.proto, fileno=sock.detach())
    own.setblocking(False)
    return own


class lent:  # as `contextlib.suppress`, whose kind it is
    """While somebody else has a transport made of ``sock``, by `create_connection` of the loop.

    If that fails, ``sock`` tells whether it is still open: one whose descriptor has been closed
    by its number alone is left without it.
    """

    __slots__ = ("_identity", "_sock")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __enter__(self) -> None:
        kind: Any = type(asyncio._get_running_loop())
        if kind.__module__.startswith("asyncio."):
            self._identity: Any = _NOT_ASKED
        else:
            self._identity = descriptor_identity(self._sock.fileno())

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None or self._identity is _NOT_ASKED:
            return
        if descriptor_identity(self._sock.fileno()) != self._identity:
            self._sock.detach()


_NOT_ASKED: Final = object()


async def closed(sock: socket.socket) -> None:
    """Wait until the transport that has taken the socket has closed it; if none does, close it.

    A cancellation is passed on afterwards.
    """
    try:
        await _turns_until(lambda: sock.fileno() < 0)
    finally:
        if sock.fileno() >= 0:
            close(sock)


async def aborted(transport: asyncio.Transport) -> None:
    """Have a transport close its socket, and wait until it has.

    A cancellation is passed on afterwards.
    """
    sock = transport.get_extra_info("socket")  # None from uvloop when it is closed
    number = -1 if sock is None else sock.fileno()
    identity = descriptor_identity(number)
    transport.abort()
    await _turns_until(lambda: identity is None or descriptor_identity(number) != identity)


async def _turns_until(gone: Callable[[], bool]) -> None:
    """Let the loop have turns until a socket is gone, or it has had enough."""
    cancelled = None
    for _ in range(_TURNS):
        is_gone = gone()
        try:
            await asyncio.sleep(0)  # also when it is gone: the protocol is told a turn later
        except asyncio.CancelledError as error:
            cancelled = error
        if is_gone:
            break
    if cancelled is not None:
        try:
            raise cancelled
        finally:
            del cancelled
