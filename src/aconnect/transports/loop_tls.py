"""TLS by the running loop of asyncio or uvloop, inside the race.

Rules:

* The loop does it, and ends in a transport.
* Handshakes overlap.  The user's protocol is made for the first that is done, and for no other.
* What the loop tells of a time limit is brought to the form of all other errors.
"""

from __future__ import annotations

import errno as errnos
import socket
import time
from math import isfinite
from types import coroutine
from typing import TYPE_CHECKING, Any, Final

from ..handshakes.base import OutOfTime
from ..handshakes.tls import TLSHandshake
from ..sockets.connection import family_of
from .hand_over import HandOver, lent, take_over

if TYPE_CHECKING:
    import asyncio
    import ssl as ssl_module
    from collections.abc import Callable, Coroutine, Generator
    from typing import TypeAlias

    from ..handshakes.proxies.tunnel import Tunnel
    from ..handshakes.tls import TLS

    Maker: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]

__all__ = ["LoopTLS", "time_limits", "tunnelled"]

_AF_UNIX: Final = getattr(socket, "AF_UNIX", -1)
_SHORTEST: Final = 1e-6  # seconds: the loop takes no limit of 0
_NO_LIMIT: Final = 1e9  # seconds: the loop's own default would be a second deadline, of 60


class _Taken(ConnectionAbortedError):
    """Another address was done with TLS in the same moment."""


class _Once:
    """Makes the user's protocol for the first connection that is there, and for no other.

    Handshakes overlap, and two may be done in one turn of the loop.
    """

    def __init__(self, factory: Callable[[], Any]) -> None:
        self._factory: Callable[[], Any] | None = factory

    def __call__(self) -> Any:
        factory, self._factory = self._factory, None
        if factory is None:
            raise _Taken(errnos.ECONNABORTED, "another address was quicker")
        return factory()


class LoopTLS(TLSHandshake[HandOver]):
    """TLS by the running loop, which ends in a transport.

    Args:
        tls: what it is done with.
        factory: makes the user's protocol.
        loop: the running loop.
        limits: the time limits, as create_connection() of the loop takes them.

    Attributes:
        made: what came of it at each address.
    """

    def __init__(
        self,
        tls: TLS,
        factory: Callable[[], Any],
        loop: asyncio.AbstractEventLoop,
        limits: dict[str, float],
    ) -> None:
        super().__init__(tls)
        self.made: list[HandOver] = []
        self._alone = False
        self._loop = loop
        self._factory = _Once(factory)
        self._limits = limits

    async def shake(self, sock: socket.socket) -> HandOver:
        sock, wrapper = self.over(sock)
        made = HandOver(self._factory, self._loop)
        own = sock if self._alone else take_over(sock)  # from the dial
        name = self.tls.server_hostname
        try:
            await made.begin(own, with_tls(self._loop, made, own, wrapper, name, **self._limits))
        except ConnectionAbortedError as error:
            if error.errno:
                raise
            # Without an errno it is how the loops tell of this.  As of any error of theirs, the
            # traceback leads to the future that leads to the error.
            error.__traceback__ = None
            said = f"timed out after {self._limits['ssl_handshake_timeout']:g} seconds"
            raise ConnectionAbortedError(errnos.ETIMEDOUT, said) from None
        if isinstance(made.error, _Taken):
            await made.raise_error()
        self.made.append(made)
        return made

    async def abandon(self, error: BaseException) -> None:
        """Close what was made, because of ``error``."""
        for made in self.made:
            await made.abandon(error)

    async def within(self, sock: socket.socket, until: float) -> HandOver:
        self._alone = True
        seconds = until - time.monotonic()
        if seconds >= self._limits["ssl_handshake_timeout"]:
            return await self(sock)
        self._limits["ssl_handshake_timeout"] = max(seconds, _SHORTEST)
        try:
            return await self(sock)
        except ConnectionAbortedError as error:
            if error.errno != errnos.ETIMEDOUT:
                raise
        raise OutOfTime

    def ssl_object(self, result: HandOver) -> Any:
        return result.transport.get_extra_info("ssl_object")


async def tunnelled(
    loop: asyncio.AbstractEventLoop, factory: Callable[[], Any], tunnel: Tunnel
) -> HandOver:
    """Have the loop make a transport that goes on with TLS to a proxy, to a target without.

    Args:
        factory: makes the user's protocol.

    Raises:
        As `HandOver.begin`.
    """
    made, sock = HandOver(factory, loop), tunnel.sock
    await made.begin(sock, with_tls(loop, made, sock, tunnel.wrapper(), None))
    return made


async def with_tls(
    loop: asyncio.AbstractEventLoop,
    made: HandOver,
    sock: socket.socket,
    wrapper: ssl_module.SSLContext,
    name: str | None,
    **limits: float,
) -> None:
    """Have the loop make a transport of ``sock`` that has TLS.

    Args:
        made: gets it.
        wrapper: what it is to wrap its buffers with, in place of a context.
        name: what the server has to prove; None for nothing.
        limits: as create_connection() of the loop takes them.
    """
    unix = family_of(sock) == _AF_UNIX
    make: Maker = loop.create_unix_connection if unix else loop.create_connection
    given: dict[str, Any] = {"ssl_handshake_timeout": _NO_LIMIT, **limits}
    with lent(sock):
        await _made_to_the_last(
            make, made, sock=sock, ssl=wrapper, server_hostname=name or "", **given
        )


@coroutine
def _made_to_the_last(make: Maker, *given: Any, **named: Any) -> Generator[Any, None, Any]:
    """Await what ``make`` makes, and have each future that it has made be awaited or cancelled.

    uvloop makes one for the connection, and one for TLS, which it awaits second.  If it is
    cancelled in between, nobody awaits the second, and the loop logs that nobody has looked at its
    exception.  So it is told of a cancellation only where it awaits what is not done yet.
    """
    making = make(*given, **named)  # here, so that it is not collected before this is
    thrown: BaseException | None = None
    try:
        while thrown is None:
            waiting = making.send(None)
            try:
                yield waiting
            except BaseException as error:
                thrown = error
        if not waiting.get_loop().is_closed():  # or there is nobody left to log anything
            if waiting.done():
                waiting = making.send(None)
            waiting.cancel()  # for nobody awaits it any more
        making.throw(thrown)
    except StopIteration as made:
        if thrown is None:
            return made.value
    except BaseException:
        if thrown is None:
            raise
    try:
        raise thrown  # whatever came of it: a cancellation wins
    finally:
        del thrown, waiting  # its traceback leads to this frame
        making.close()


def time_limits(
    tls: TLS | None, handshake: float | None, shutdown: float | None
) -> dict[str, float]:
    """The time limits of TLS, as create_connection() of the loop takes them.

    Raises:
        TypeError, ValueError: one is not a number of seconds, or there is no TLS.
    """
    given = {"ssl_handshake_timeout": handshake, "ssl_shutdown_timeout": shutdown}
    limits = {}
    for name, seconds in given.items():
        if seconds is None:
            continue
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise TypeError(f"{name} must be a number of seconds or None, not {seconds!r}")
        if not (isfinite(seconds) and seconds > 0):
            raise ValueError(f"{name} must be a positive number of seconds, not {seconds!r}")
        if tls is None:
            raise ValueError(f"{name} {seconds!r} is for TLS only: pass ssl=True with it")
        limits[name] = float(seconds)
    return {"ssl_handshake_timeout": _NO_LIMIT, **limits}
