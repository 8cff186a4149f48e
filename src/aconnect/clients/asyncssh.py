"""SSH over connections of a dialer's, by asyncssh, on asyncio and uvloop.

Rules:

* asyncssh does all of SSH.  What is here dials, and hands the socket over.
* One deadline covers the dial, the key exchange and the login.
* Whatever is raised or cancelled before the caller has the connection, its socket is closed once:
  by the transport that has taken it, or here if none has.

Source: `asyncssh.connect`.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from ..addresses.target import target_of
from ..addresses.values import TCPAddress
from ..deadline import Deadline, earliest
from ..dial.plan import check_report
from ..explanations.extras import not_installed
from ..sansio.value import plain
from ..sockets.syscalls import close
from ..transports.as_asyncio import to_dialer
from ..transports.calls import asyncio_loop, dialer_of, keep_nagle, not_done
from ..transports.hand_over import closed, lent
from ..transports.loop_tls import tunnelled

try:
    import asyncssh
except ImportError as _error:
    raise ImportError(not_installed("asyncssh", "asyncssh")) from _error

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..dial.dialer import Dialer
    from ..handshakes.proxies.tunnel import Tunnel
    from ..report.report import Report

__all__ = ["connect"]

_OTHER_WAYS: Final = ("proxy_command", "sock", "tunnel")


class connect:
    """Connect to an SSH server with a dialer: await it, or use it in ``async with``.

    For asyncio and uvloop.  As `asyncssh.connect`, with its host keys, its ways to log in and its
    options.

    Args:
        host: a name or an IP address.  It is also what known_hosts is searched for.
        port: its port.
        timeout: seconds for everything up to the end of the login, from when this is awaited;
            None for no limit but the kernel's.
        deadline: the same limit as a `Deadline`.  The earlier of the two counts.
        dialer: what to dial with; by default a `Dialer` without options.
        report: an empty `Report`, which is filled while the dial runs.  SSH is not in it.
        family, flags, local_addr: as for `asyncssh.connect`, in place of the dialer's own
            options.
        options: those of `asyncssh.connect`, but for other ways to the host: ``tunnel``,
            ``proxy_command`` and ``sock`` can be None only.  Its own limits, such as
            ``login_timeout``, hold too.

    What a configuration file says about reaching the host (Hostname, Port, ProxyJump, ProxyCommand
    and the like) is ignored: the dialer connects to the host and port above.

    Returns:
        A `asyncssh.SSHClientConnection`; ``async with`` closes it at the end.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing was done.
        RuntimeError: no event loop is running, or trio is.
        ConnectTimeout: the deadline has passed; its phase is "handshake" if only the login was
            not done.
        ConnectError, ResolveError, AddressNotPermitted: as `Dialer.connect`.
        Exception: what `asyncssh.connect` raises when there is a connection.

        After any of these, no socket is open.

    When cancelled, at any ``await``, all is closed before the cancellation leaves this call.
    """

    def __init__(
        self,
        host: str,
        port: int = 22,
        *,
        timeout: float | None = None,
        deadline: Deadline | None = None,
        dialer: Dialer | None = None,
        report: Report | None = None,
        family: int = 0,
        flags: int = 0,
        local_addr: Any = None,
        **options: Any,
    ) -> None:
        for name in _OTHER_WAYS:
            if options.pop(name, None) is not None:
                raise TypeError(
                    f"{name} cannot be used here: this connect() dials the host "
                    "itself, with the dialer"
                )
        earliest(timeout, deadline)  # nonsense is refused at once
        self._to = TCPAddress(host, port)
        self._host = plain(host)
        self._limits = (timeout, deadline)
        check_report(report)
        self._report = report
        of_the_dial: dict[str, Any] = {"family": family, "flags": flags}
        to_dialer(of_the_dial, dialer, target_of(self._to), "connect")
        self._dialer = dialer_of(dialer, of_the_dial, local_addr)
        self._options = options

    def __await__(self) -> Generator[Any, None, asyncssh.SSHClientConnection]:
        return self._connect().__await__()

    async def __aenter__(self) -> asyncssh.SSHClientConnection:
        self._connection = await self
        return self._connection

    async def __aexit__(self, *error: object) -> bool | None:
        return await self._connection.__aexit__(*error)  # type: ignore[arg-type]

    async def _connect(self) -> asyncssh.SSHClientConnection:
        loop = asyncio_loop("connect")
        started = time.monotonic()
        until = Deadline(earliest(*self._limits))
        target = target_of(self._to)
        got = await self._dialer.dial(target, None, until, report=self._report, streams=True)
        way: dict[str, Any]
        if isinstance(got, socket.socket):
            sock = got
            way = {"sock": sock, "tunnel": None}
        else:
            sock = got.sock
            way = {"tunnel": _Ready(got, loop)}
        limit = asyncio.timeout(until.remaining())
        try:
            async with limit:
                # No other tunnel: one from a configuration file would be opened, and not be used.
                with lent(sock):
                    connection = await asyncssh.connect(
                        self._host, self._to.port, **way, **self._options
                    )
        except BaseException as error:
            if isinstance(error, GeneratorExit):  # which cannot wait
                close(sock)
            else:
                await closed(sock)
            if not limit.expired() or not isinstance(error, TimeoutError):
                raise
            raise not_done(self._to, "SSH", started, sock.family) from error
        if not self._dialer.nodelay:
            keep_nagle(sock)
        return connection


class _Ready:
    """What asyncssh calls a tunnel, of one that is there: with TLS to a proxy, it is no socket."""

    def __init__(self, tunnel: Tunnel, loop: asyncio.AbstractEventLoop) -> None:
        self._tunnel = tunnel
        self._loop = loop

    async def create_connection(self, factory: Callable[[], Any], _: str, __: int) -> Any:
        made = await tunnelled(self._loop, factory, self._tunnel)
        return made.transport, made.protocol
