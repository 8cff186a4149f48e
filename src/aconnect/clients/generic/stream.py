"""Streams for httpcore, and for what goes on with its interface.

Rules:

* Errors are the package's own.  Where no connection was to be had, they have the `ConnectError` as
  their argument, in the way of its own network backends, and as their ``__cause__``, which a pool
  takes from them.
* Whatever is raised or cancelled before the package has a stream, nothing is left of it.

Source: the network backends of httpcore.
"""

from __future__ import annotations

import errno as errnos
import selectors
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final

import anyio
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSStream

from ...addresses.target import target_of
from ...errors.errors import ConnectError, ConnectTimeout
from ...errors.foreign import errno_of, words
from ...errors.making import attempts_error
from ...handshakes.tls import failure, reason, settings
from ...report.attempt import AttemptRecord, lasting
from ...transports.anyio import open_stream

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from anyio.abc import ByteStream

    from ...addresses.values import TCPAddress, UnixAddress
    from ...dial.dialer import Dialer

__all__ = ["Stream", "Unconnected", "is_readable", "raised_as", "tls_error"]

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


class Stream:
    """A connection, as the package uses it.

    Args:
        stream: the same, as anyio has it.
        address: what it was to connect to.

    Attributes:
        core: the package; a subclass says which.
    """

    core: ClassVar[Any]

    def __init__(self, stream: ByteStream, address: TCPAddress | UnixAddress) -> None:
        self._stream = stream
        self._address = address
        # Asked for here, because a stream that is closed may not know any more.
        self._extra: dict[str, Any] = {
            name: stream.extra(key, None) for name, key in _EXTRA.items()
        }

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _limited(timeout, self.core.ReadTimeout, self.core.ReadError):
            try:
                return await self._stream.receive(max_bytes)
            except anyio.EndOfStream:
                return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if buffer:
            with _limited(timeout, self.core.WriteTimeout, self.core.WriteError):
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
    ) -> Any:
        """The same connection with TLS; it is closed if that fails or is cancelled.

        It is for what is behind a proxy, and for backends that connect first.

        Args:
            ssl_context: whom to trust; it is not changed.
            server_hostname: the name in the certificate, which the server is also told.
            timeout: seconds for the handshake; None for no limit.

        Raises:
            core.ConnectTimeout: it was not done in time; ``args[0]`` is a `ConnectTimeout`.
            core.ConnectError: it has failed; ``args[0]`` is a `HandshakeError`.
            ValueError: ``server_hostname`` is not a name, or is missing.
        """
        started = time.monotonic()
        with raised_as(self.core):
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
        return type(self)(stream, self._address)

    def _tls_error(self, error: Exception, name: str | None, started: float) -> ConnectError:
        family, peer = self._extra["socket"].family, self._extra["server_addr"]
        return tls_error(error, name, started, self._address, family, peer)

    def get_extra_info(self, info: str) -> Any:
        """What is asked for: the address of either end, the socket, the SSLObject, and whether
        there is something to read; None for anything else."""
        if info == "is_readable":
            return is_readable(self._extra["socket"])
        return self._extra.get(info)


class Unconnected:
    """A connection that is made when TLS is to be started on it, so that TLS is in the race.

    Nothing is open before that.

    Args:
        address: what to connect to.
        dialer: what to dial with.

    Attributes:
        connected: the kind of stream it becomes; a subclass says which.
    """

    connected: ClassVar[type[Stream]]

    def __init__(self, address: TCPAddress | UnixAddress, dialer: Dialer) -> None:
        self._address = address
        self._dialer = dialer

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Connect, with TLS.

        Args:
            ssl_context, server_hostname: as for `Stream.start_tls`.
            timeout: seconds for the name, all addresses and TLS; None for no limit but the
                kernel's.

        Raises:
            As `Stream.start_tls`, and when there is no connection as well.
        """
        with raised_as(self.connected.core):
            stream = await open_stream(
                self._address,
                ssl=ssl_context,
                server_hostname=server_hostname,
                tls_standard_compatible=False,  # HTTP says itself where a body ends
                timeout=timeout,
                dialer=self._dialer,
            )
        return self.connected(stream, self._address)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        raise self.connected.core.ReadError(_NO_TLS)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        raise self.connected.core.WriteError(_NO_TLS)

    async def aclose(self) -> None:
        """There is nothing to close."""

    def get_extra_info(self, info: str) -> Any:  # noqa: ARG002
        """None: there is nothing to tell."""
        return None


_NO_TLS: Final = "not connected yet: with tls=True, start_tls() connects, and must be called first"


@contextmanager
def raised_as(core: Any) -> Iterator[None]:
    """Raise a `ConnectError` as the error of the package's that it is."""
    try:
        yield
    except ConnectTimeout as error:
        raise core.ConnectTimeout(error) from error
    except ConnectError as error:
        raise core.ConnectError(error) from error


def tls_error(
    error: Exception,
    name: str | None,
    started: float,
    address: TCPAddress | UnixAddress,
    family: int,
    peer: Any,
) -> ConnectError:
    """What a dial would raise, had this been a handshake of its own.

    Args:
        error: what the handshake has raised; a TimeoutError if its time was up.
        name: what the server had to prove.
        started: when it began.
        address, family, peer: what it was connected to.
    """
    cause = None if isinstance(error, TimeoutError) else failure(error)
    record = AttemptRecord(
        family=family,
        type=socket.SOCK_STREAM,
        sockaddr=peer,
        local_address=None,
        start=0.0,
        end=time.monotonic() - started,
        outcome="failed" if cause else "timed out",
        errno=errno_of(cause, errnos.EPROTO) if cause else None,
        note=reason(cause, name) if cause else "",
        phase="handshake",
    )
    return attempts_error([record], target_of(address), lasting(record), causes=[cause])


def is_readable(sock: Any) -> bool:
    """Whether there is something to read, if only the end, at which a closed socket is."""
    if sock.fileno() < 0:
        return True
    with _Selector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(0))


@contextmanager
def _limited(
    timeout: float | None, timed_out: type[Exception], broken: type[Exception]
) -> Iterator[None]:
    """Limit the time, and raise one of these two."""
    try:
        with anyio.fail_after(timeout):
            yield
    except TimeoutError as error:
        raise timed_out(f"timed out after {timeout} seconds") from error
    except _BROKEN as error:
        raise broken(words(error.__cause__ or error)) from error
