"""From an address to a transport and its protocol, or to streams, on asyncio and uvloop.

Rules:

* The loop makes the transports: what is here finds the connection and hands it over.
* TLS is part of the race: an address whose handshake fails loses, and the next may win.
* The protocol's factory is called once, when the connection is there and TLS is done.
* Whatever is raised or cancelled before the caller has the transport, nothing is left of it.

Source: the functions of the same names in asyncio.
"""

from __future__ import annotations

import asyncio
import errno as errnos
import socket
import time
from math import isfinite
from types import coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..handshakes.base import OutOfTime
from ..handshakes.tls import TLSHandshake, settings_of
from .calls import asyncio_loop, datagram_target, dialer_of, keep_nagle, stream_target
from .hand_over import HandOver, lent, take_over

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Callable, Coroutine, Generator
    from typing import TypeAlias, Unpack

    from ..addresses.text import AddressLike
    from ..deadline import Deadline
    from ..dial.dialer import Dialer
    from ..handshakes.tls import TLS
    from .calls import DialerOptions

    Maker: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]

__all__ = ["create_connection", "create_datagram_endpoint", "open_connection"]

P = TypeVar("P", bound=asyncio.BaseProtocol)

_DEFAULT_LIMIT: Final = 2**16  # asyncio's own
_AF_UNIX: Final = getattr(socket, "AF_UNIX", -1)
_NOTHING: Final = (None,) * 5
_SHORTEST: Final = 1e-6  # seconds: the loop takes no limit of 0
_NO_LIMIT: Final = 1e9  # seconds: the loop's own default would be a second deadline, of 60


async def create_connection(
    protocol_factory: Callable[[], P],
    address: AddressLike | list[Any],
    port: int | None = None,
    *,
    ssl: ssl_module.SSLContext | bool | None = None,
    server_hostname: str | bytes | None = None,
    ssl_session: ssl_module.SSLSession | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    local_addr: Any = None,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    dialer: Dialer | None = None,
    **options: Unpack[DialerOptions],
) -> tuple[asyncio.Transport, P]:
    """Return a transport that is connected to ``address``, and its protocol.

    For asyncio and uvloop.  As `asyncio.loop.create_connection`, with one deadline for all of it;
    and with unix addresses, for which asyncio has a function of its own.

    Args:
        protocol_factory: makes the protocol.  It is called once, without arguments, when the
            connection is there and TLS is done; ``connection_made`` of what it gives is called
            next.
        address: as for `aconnect`; of a stream socket.
        port: if this is given, ``address`` is a host.
        ssl: a context for TLS; True for the default one, which verifies the certificate and the
            host name.  A context is not changed.
        server_hostname: the name in the certificate, which the server is also told (SNI); by
            default the host of the address.  Empty for none, if the context checks none.
        ssl_session: a session of an earlier connection with the same context, to be resumed.
        ssl_handshake_timeout: seconds for each address's TLS handshake; None for no limit but
            those of the dialer and the deadline.  When they are over, the HandshakeError is a
            ConnectionAbortedError, as in asyncio, and a TimeoutError.
        ssl_shutdown_timeout: seconds for TLS to end, when the transport is closed; None for the
            loop's default, which is 30.
        local_addr: what to bind to, a host and a port; see ``local_address`` of `Dialer`.
        timeout: seconds from now for everything; None for no limit of ours.
        deadline: the same as a `Deadline`.  Of both, the earlier counts.
        dialer: what to dial with; by default a `Dialer` without options.
        options: options of a `Dialer`, for this call; a `Dialer` that is made once is quicker.

    Returns:
        The transport, and what the factory gave.

    Raises:
        TypeError, ValueError: an argument is no good; nothing was done.
        RuntimeError: no event loop is running, or trio is.
        HandshakeError: a peer was reached, and TLS failed.
        ConnectError, ConnectTimeout, ResolveError, AddressNotPermitted: as `Dialer.connect`.
        Exception: what the factory or ``connection_made`` raised.

        After any of these, no socket is open.

    When cancelled, at any ``await``, all is closed before the cancellation leaves this call; the
    protocol is told by ``connection_lost`` if it had been told of the connection.

    Safe to call from any number of tasks, loops and threads.
    """
    loop = asyncio_loop("create_connection")
    if not callable(protocol_factory):
        raise TypeError(f"protocol_factory must be callable, not {protocol_factory!r}")
    target = stream_target(address, port, "create_connection")
    tls, limits = None, {}
    about_tls = (ssl, server_hostname, ssl_session, ssl_handshake_timeout, ssl_shutdown_timeout)
    if about_tls != _NOTHING:
        tls = settings_of(ssl, server_hostname, ssl_session, target)
        limits = _limits(tls, ssl_handshake_timeout, ssl_shutdown_timeout)
    dialer = dialer_of(dialer, options, local_addr)
    if tls is None:
        sock = await dialer.dial(target, timeout, deadline, loop=loop)
        hand_over = HandOver(protocol_factory, loop)
        await hand_over.begin(sock, loop.connect_accepted_socket(hand_over, sock))
    else:
        handshake = _LoopTLS(tls, protocol_factory, loop, limits)
        try:
            hand_over = await dialer.dial(target, timeout, deadline, handshake, loop)
        except BaseException as error:
            await handshake.abandon(error)  # it was done when this was cancelled
            raise
    if hand_over.error is not None:
        await hand_over.raise_error()
    if not dialer.nodelay:
        keep_nagle(hand_over.sock)
    return hand_over.transport, hand_over.protocol


async def open_connection(
    address: AddressLike | list[Any],
    port: int | None = None,
    *,
    limit: int = _DEFAULT_LIMIT,
    **arguments: Any,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a reader and a writer that are connected to ``address``.

    For asyncio and uvloop.  As `asyncio.open_connection`, with one deadline for all of it; and
    with unix addresses, for which asyncio has a function of its own.

    Args:
        address, port: as for `create_connection`.
        limit: how many bytes the reader may hold, at the most, and how far it looks for the end
            of a line.
        arguments: all others of `create_connection`.

    Raises:
        TypeError, ValueError: an argument is no good; nothing was done.
        ConnectError: as `create_connection`.

    For cancellation and threads, see `create_connection`.
    """
    loop = asyncio_loop("open_connection")
    reader = asyncio.StreamReader(limit, loop)
    protocol = asyncio.StreamReaderProtocol(reader, None, loop)
    transport, _ = await create_connection(lambda: protocol, address, port, **arguments)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def create_datagram_endpoint(
    protocol_factory: Callable[[], P],
    address: AddressLike | list[Any],
    port: int | None = None,
    *,
    local_addr: Any = None,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    dialer: Dialer | None = None,
    **options: Unpack[DialerOptions],
) -> tuple[asyncio.DatagramTransport, P]:
    """Return a datagram transport whose peer is ``address``, and its protocol.

    For asyncio and uvloop.  As `asyncio.loop.create_datagram_endpoint` with a ``remote_addr``:
    nothing is sent, and what others send is not received.

    Args:
        protocol_factory: as for `create_connection`.
        address: as for `aconnect`; of a datagram socket, and a host and a port are a UDP address.
        port, local_addr, timeout, deadline, dialer, options: as for `create_connection`.

    Raises:
        As `create_connection`.

    For cancellation and threads, see `create_connection`.
    """
    loop = asyncio_loop("create_datagram_endpoint")
    if not callable(protocol_factory):
        raise TypeError(f"protocol_factory must be callable, not {protocol_factory!r}")
    target = datagram_target(address, port, "create_datagram_endpoint")
    dialer = dialer_of(dialer, options, local_addr)
    sock = await dialer.dial(target, timeout, deadline)
    hand_over = HandOver(protocol_factory, loop)
    await hand_over.begin(sock, loop.create_datagram_endpoint(hand_over, sock=sock))
    if hand_over.error is not None:
        await hand_over.raise_error()
    return hand_over.transport, hand_over.protocol


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


class _LoopTLS(TLSHandshake[HandOver]):
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
        made = HandOver(self._factory, self._loop)
        own = sock if self._alone else take_over(sock)  # from the dial
        try:
            await made.begin(own, self._make(made, own))
        except ConnectionAbortedError as error:
            if error.errno:
                raise
            # Without an errno it is how the loops tell of this.  As of any error of theirs, the
            # traceback leads to the future that leads to the error.
            error.__traceback__ = None
            said = f"it has taken longer than {self._limits['ssl_handshake_timeout']:g} seconds"
            raise ConnectionAbortedError(errnos.ETIMEDOUT, said) from None
        if isinstance(made.error, _Taken):
            await made.raise_error()
        self.made.append(made)
        return made

    async def abandon(self, error: BaseException) -> None:
        """Close what was made, because of ``error``."""
        for made in self.made:
            await made.abandon(error)

    async def _make(self, made: HandOver, sock: socket.socket) -> None:
        loop = self._loop
        unix = sock.family == _AF_UNIX
        make: Maker = loop.create_unix_connection if unix else loop.create_connection
        with lent(sock):
            await _made_to_the_last(
                make,
                made,
                sock=sock,
                ssl=self.tls.wrapper,
                server_hostname=self.tls.server_hostname or "",
                **self._limits,
            )

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


def _limits(tls: TLS | None, handshake: float | None, shutdown: float | None) -> dict[str, float]:
    """The time limits of TLS, as create_connection() of the loop takes them.

    Raises:
        TypeError, ValueError: one is no number of seconds, or there is no TLS.
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
