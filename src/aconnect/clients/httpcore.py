"""httpcore over connections of a dialer's, on asyncio, uvloop and trio.

Rules:

* httpcore does all of HTTP.  What is here connects, reads and writes for it.
* httpcore asks for TLS when it has a connection.  So TLS is not part of the race, and has a time
  limit of its own.
* Errors are httpcore's own.  Where no connection was to be had, they have the `ConnectError` as
  their argument, in the way of httpcore's own network backends, and as their ``__cause__``, which
  a pool takes from them.
* Whatever is raised or cancelled before httpcore has a stream, nothing is left of it.

Source: the network backends of httpcore.
"""

from __future__ import annotations

import errno as errnos
import selectors
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ..addresses.target import target_of
from ..addresses.text import host_of_url
from ..addresses.values import TCPAddress, UnixAddress
from ..errors.errors import ConnectError, ConnectTimeout
from ..errors.foreign import errno_of, words
from ..errors.making import attempts_error
from ..errors.record import AttemptRecord
from ..explanations.extras import not_installed
from ..handshakes.tls import failure, reason, settings
from ..sockets.settings import SocketOption
from ..transports.anyio import open_stream
from ..transports.calls import dialer_of

try:
    import anyio
    import httpcore
    from anyio.abc import SocketAttribute
    from anyio.streams.tls import TLSAttribute, TLSStream
except ImportError as _error:
    raise ImportError(not_installed("httpcore or anyio", "httpx")) from _error

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator

    from anyio.abc import ByteStream

    from ..dial.dialer import Dialer
    from ..transports.calls import DialerOptions

__all__ = ["AConnectBackend"]

_BROKEN: Final = (
    OSError,  # an SSLError is one
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
)
_EXTRA: Final[dict[str, Any]] = {
    "client_addr": SocketAttribute.local_address,
    "server_addr": SocketAttribute.remote_address,
    "socket": SocketAttribute.raw_socket,
    "ssl_object": TLSAttribute.ssl_object,
}
# It has no descriptor of its own.  Windows lacks it.
_Selector: Final[Any] = getattr(selectors, "PollSelector", selectors.SelectSelector)


class AConnectBackend(httpcore.AsyncNetworkBackend):
    """Has httpcore connect with a `Dialer`.

    For the ``network_backend`` of a `httpcore.AsyncConnectionPool` and of its connections and
    proxies.  Immutable, and may be shared between pools.

    Args:
        dialer: what to dial with; by default a `Dialer` without options.

    Raises:
        TypeError: the dialer is none.
    """

    def __init__(self, *, dialer: Dialer | None = None) -> None:
        self._dialer = dialer_of(dialer, {})

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a host, whose addresses race.

        Args:
            host: a name or an IP address.
            port: its port.
            timeout: seconds for the name and all addresses; None for no limit of ours.
            local_address: what to bind to, in place of the dialer's own.
            socket_options: tuples of setsockopt(2), after the dialer's own and like its
                `SocketOption`.

        Raises:
            httpcore.ConnectTimeout: there was no connection in time; ``args[0]`` is the
                `ConnectTimeout`.
            httpcore.ConnectError: there is no connection; ``args[0]`` is the `ConnectError`, or
                a ValueError if ``host`` cannot be one.
            TypeError, ValueError: another argument is no good.

        When cancelled, all is closed before the cancellation leaves this call.
        """
        try:
            address = TCPAddress(host_of_url(host), port)
        except ValueError as error:  # it may come from a redirect
            raise httpcore.ConnectError(error) from error
        local: DialerOptions = {} if local_address is None else {"local_address": local_address}
        return await self._connect(address, timeout, local, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a unix socket; otherwise as `connect_tcp`."""
        return await self._connect(UnixAddress(path), timeout, {}, socket_options)

    async def sleep(self, seconds: float) -> None:
        """Wait; httpcore does so before it tries again."""
        await anyio.sleep(seconds)

    async def _connect(
        self,
        address: TCPAddress | UnixAddress,
        timeout: float | None,
        options: DialerOptions,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None,
    ) -> httpcore.AsyncNetworkStream:
        if socket_options is not None:
            more = map(_socket_option, socket_options)
            options["socket_options"] = (*self._dialer.socket_options, *more)
        with _as_httpcore():
            stream = await open_stream(address, timeout=timeout, dialer=self._dialer, **options)
        return _Stream(stream, address)


class _Stream(httpcore.AsyncNetworkStream):
    """A connection, as httpcore uses it.

    Args:
        stream: the same, as anyio has it.
        address: what it was to connect to.
    """

    def __init__(self, stream: ByteStream, address: TCPAddress | UnixAddress) -> None:
        self._stream = stream
        self._address = address
        # Asked for here, because a stream that is closed may not know any more.
        self._extra: dict[str, Any] = {
            name: stream.extra(key, None) for name, key in _EXTRA.items()
        }

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _limited(timeout, httpcore.ReadTimeout, httpcore.ReadError):
            try:
                return await self._stream.receive(max_bytes)
            except anyio.EndOfStream:
                return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if buffer:
            with _limited(timeout, httpcore.WriteTimeout, httpcore.WriteError):
                await self._stream.send(buffer)

    async def aclose(self) -> None:
        """Close it; a cancellation does not get in the way, for this waits for nobody."""
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """The same connection with TLS; it is closed if that fails or is cancelled.

        Args:
            ssl_context: whom to trust; it is not changed.
            server_hostname: the name in the certificate, which the server is also told.
            timeout: seconds for the handshake; None for no limit.

        Raises:
            httpcore.ConnectTimeout: it was not done in time; ``args[0]`` is a `ConnectTimeout`.
            httpcore.ConnectError: it has failed; ``args[0]`` is a `HandshakeError`.
            ValueError: ``server_hostname`` is no name, or missing.
        """
        started = time.monotonic()
        with _as_httpcore():
            try:
                tls = settings(ssl_context, server_hostname, None, None)
                assert tls is not None  # there is a context
                name = tls.server_hostname
                with anyio.fail_after(timeout):
                    stream = await TLSStream.wrap(
                        self._stream,
                        server_side=False,
                        hostname=name,
                        ssl_context=tls.context,
                        standard_compatible=False,  # HTTP says itself where a body ends
                    )
            except BaseException as error:
                await self.aclose()
                if not isinstance(error, _BROKEN):
                    raise
                raise self._tls_error(error, name, started)  # noqa: B904  # it has its cause
        return _Stream(stream, self._address)

    def _tls_error(self, error: Exception, name: str | None, started: float) -> ConnectError:
        """What a dial would raise, had this been a handshake of its own."""
        cause = None if isinstance(error, TimeoutError) else failure(error)
        record = AttemptRecord(
            family=self._extra["socket"].family,
            type=socket.SOCK_STREAM,
            sockaddr=self._extra["server_addr"],
            local_address=None,
            start=started,
            end=time.monotonic(),
            outcome="failed" if cause else "timed out",
            errno=errno_of(cause, errnos.EPROTO) if cause else None,
            note=reason(cause, name) if cause else "",
            phase="handshake",
        )
        elapsed = record.end - started
        return attempts_error([record], target_of(self._address), elapsed, causes=[cause])

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks for: the address of either end, the socket, the SSLObject, and
        whether there is something to read; None for anything else."""
        if info == "is_readable":
            return _is_readable(self._extra["socket"])
        return self._extra.get(info)


def _socket_option(option: httpcore.SOCKET_OPTION) -> SocketOption:
    """What an option in the form of setsockopt() is to a dialer.

    Raises:
        TypeError, ValueError: it is none, or one without a value.
    """
    if len(option) != 3:
        raise TypeError(f"socket_options must be (level, name, value), not {option!r}")
    level, name, value = option
    return SocketOption(level, name, value if isinstance(value, int) else bytes(value))


def _is_readable(sock: Any) -> bool:
    """Whether there is something to read, if only the end, at which a closed socket is."""
    if sock.fileno() < 0:
        return True
    with _Selector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(0))


@contextmanager
def _as_httpcore() -> Iterator[None]:
    """Raise a `ConnectError` as the error of httpcore's that it is."""
    try:
        yield
    except ConnectTimeout as error:
        raise httpcore.ConnectTimeout(error) from error
    except ConnectError as error:
        raise httpcore.ConnectError(error) from error


@contextmanager
def _limited(
    timeout: float | None, timed_out: type[Exception], broken: type[Exception]
) -> Iterator[None]:
    """Limit the time, and raise one of these two."""
    try:
        with anyio.fail_after(timeout):
            yield
    except TimeoutError as error:
        raise timed_out(f"it has taken longer than {timeout} seconds") from error
    except _BROKEN as error:
        raise broken(words(error.__cause__ or error)) from error
