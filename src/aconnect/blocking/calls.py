"""The calls that block.

Rules:

* They dial as everybody does.  What waits is the calling thread (`drivers.blocking`).
* No loop is made for what needs no task.  A dial is a coroutine; where nothing in it suspends, one
  step runs it from its beginning to its end.
* The timeout that a call is given is that of the socket, too, when it is connected, as it is with
  `socket.create_connection`.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

from ..addresses.target import loopback, target_of
from ..dial.single import connect as connect_one
from ..drivers.private_loop import forget_private_loop
from ..drivers.select import calling_thread
from ..errors.errors import ConnectError
from ..errors.making import each_error
from ..sansio.naming import check_names, spelled_out
from ..sockets.syscalls import close
from ..transports.calls import OF_A_DIALER, DialerOptions, checked, dialer_of, stream_target

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Coroutine
    from typing import Unpack

    from ..addresses.target import Target
    from ..addresses.text import AddressLike, Port
    from ..deadline import Deadline
    from ..dial.dialer import Dialer
    from ..handshakes.base import Handshake
    from ..report.report import Report
    from ..sockets.settings import LocalAddressLike

__all__ = ["connect", "create_connection", "open_tls"]


_DEFAULT: Final[Any] = getattr(socket, "_GLOBAL_DEFAULT_TIMEOUT", None)
"""What the standard library passes for `socket.getdefaulttimeout`, when the call is made."""


@spelled_out(DialerOptions, OF_A_DIALER)
def connect(
    address: AddressLike | list[Any] | bytes,
    port: Port | None = None,
    *,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    dialer: Dialer | None = None,
    report: Report | None = None,
    **options: Unpack[DialerOptions],
) -> socket.socket:
    """Return a socket that is connected to ``address``; every other socket is closed.

    What `aconnect.aconnect` is, for a thread without an event loop: the same race, errors and
    reports.  The thread itself waits for the kernel, and no event loop is made; what takes tasks,
    such as asynchronous hooks, has one that the thread keeps, and that is closed when the thread
    ends.

    With a timeout or a deadline, a name is looked up in another thread, so that the deadline
    holds and a signal is answered at once.  With neither the thread makes the lookup by itself, as
    `socket.create_connection` does, which is quicker.

    Args:
        address: as for `aconnect.aconnect`.
        port: the port, if ``address`` is a host alone.
        timeout: seconds from now for everything, name lookups included; None for no limit but
            the kernel's.  It is the timeout of the socket, too, as of `socket.socket.settimeout`.
        deadline: the same as a `Deadline`, to be shared with other calls; the socket gets no
            timeout from it.  Of both, the earlier counts.
        dialer: what to dial with; by default a `Dialer` without options.
        report: an empty `Report`, which is filled while the call runs.
        options: options of a `Dialer`, for this call; a `Dialer` that is made once is quicker.

    Returns:
        A socket that blocks, with the timeout, on which getpeername() works: close-on-exec, with
        TCP_NODELAY if it is TCP.  The caller closes it.  By way of an https:// proxy, it is a
        subclass that sends and receives through TLS: its method ``start_tls(context,
        server_hostname)`` takes the place of `ssl.SSLContext.wrap_socket`.

    Raises:
        TypeError, ValueError: an argument is invalid; no system call was made.
        RuntimeError: an event loop is running in this thread: await `aconnect.aconnect` there.
        ResolveError: the name has no address, or no name server answered.
        ConnectTimeout: there was no connection in time.
        ConnectError: no address could be connected to.
        BaseException: what a signal handler raises meanwhile, such as KeyboardInterrupt, ends the
            call at once; in a lookup that no deadline bounds, when getaddrinfo(3) returns.

        After any of these, nothing is open or registered.

    Safe to call from any number of threads, which do not wait for each other; and in the child of
    a fork.

    Source: connect(2), poll(2), getaddrinfo(3).
    """
    if options:
        check_names(connect, options)
    target = target_of(address, port)
    sock: socket.socket = _dial(dialer_of(dialer, options), target, timeout, deadline, report)
    return sock


@spelled_out(DialerOptions, OF_A_DIALER)
def create_connection(
    address: AddressLike | list[Any],
    timeout: float | None = _DEFAULT,
    source_address: LocalAddressLike | None = None,
    *,
    all_errors: bool = False,
    deadline: Deadline | None = None,
    dialer: Dialer | None = None,
    report: Report | None = None,
    **options: Unpack[DialerOptions],
) -> socket.socket:
    """`connect` for a stream, in the form of `socket.create_connection`, to be put in its place.

    Args:
        address: ``(host, port)``, or what else `connect` takes; of a stream.  A host that is None
            is this machine, over IPv6 or IPv4.
        timeout: as for `connect`; by default that of `socket.getdefaulttimeout`.
        source_address: what to bind to, ``(host, port)``.
        all_errors: whether to raise the errors of all attempts in an ExceptionGroup.
        deadline, dialer, report, options: as for `connect`.

    Raises:
        ExceptionGroup: with ``all_errors``, of the errors of all attempts, when all have come to
            their ends; the error that there would be without it is its ``__context__``.
        Exception: as `connect`.
    """
    if options:
        check_names(create_connection, options)
    host = address[0] if isinstance(address, tuple) and len(address) == 2 else ""
    target = target_of(address) if host is not None else loopback(address[1])
    checked(target, socket.SOCK_STREAM, "create_connection")
    chosen = dialer_of(dialer, options, source_address)
    if timeout is _DEFAULT:
        timeout = socket.getdefaulttimeout()
    try:
        sock: socket.socket = _dial(chosen, target, timeout, deadline, report)
    except ConnectError as error:
        group = each_error(error, target, "create_connection") if all_errors else None
        if group is None:
            raise
        try:
            raise group from None
        finally:
            del group  # its traceback leads to this frame
    return sock


@spelled_out(DialerOptions, OF_A_DIALER)
def open_tls(
    address: AddressLike | list[Any] | bytes,
    port: Port | None = None,
    *,
    ssl: ssl_module.SSLContext | bool = True,
    server_hostname: str | bytes | None = None,
    ssl_session: ssl_module.SSLSession | None = None,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    dialer: Dialer | None = None,
    report: Report | None = None,
    **options: Unpack[DialerOptions],
) -> ssl_module.SSLSocket:
    """Return a socket that is connected to ``address``, with TLS.

    The handshake is part of the race: an address that takes the connection and is silent then, or
    whose handshake fails, loses to the next.

    Args:
        address, port: as for `connect`, of a stream.
        ssl: a context, which is not changed; True for the default one, which verifies the
            certificate and the host name.
        server_hostname: the name in the certificate, which the server is also told; by default
            the host.  Empty for none.
        ssl_session: a session to resume.
        timeout, deadline: as for `connect`, for the handshake as well.
        dialer, report, options: as for `connect`.

    Returns:
        A socket that blocks, with the timeout, and whose handshake is done.  By way of an https://
        proxy, it is no `ssl.SSLSocket`, but has its methods.

    Raises:
        HandshakeError: a peer was reached, and TLS failed; what it raised is the ``__cause__``.
        Exception: as `connect`.
    """
    from ..handshakes.tls import settings_of
    from .tls import BlockingTLS

    if options:
        check_names(open_tls, options)
    target = stream_target(address, port, "open_tls")
    tls = settings_of(ssl, server_hostname, ssl_session, target)
    if tls is None:
        raise ValueError(f"ssl must be an ssl.SSLContext or True, not {ssl!r}")
    chosen = dialer_of(dialer, options)
    sock: ssl_module.SSLSocket = _dial(chosen, target, timeout, deadline, report, BlockingTLS(tls))
    return sock


def _dial(
    dialer: Dialer,
    target: Target,
    timeout: float | None,
    deadline: Deadline | None,
    report: Report | None,
    handshake: Handshake[Any] | None = None,
) -> Any:
    plan = dialer._plan if report is None else dialer._plan.reporting(report)
    if dialer.proxy is not None:
        from .tunnels import blocking_socket  # before the time runs
    try:
        sock = _run(
            connect_one(plan, target, timeout, deadline, handshake, None, calling_thread, True)
        )
        if not isinstance(sock, socket.socket):
            sock = blocking_socket(sock)
    except Exception:
        raise
    except BaseException:
        forget_private_loop()  # what has interrupted it may have left the loop in any state
        raise
    try:
        sock.settimeout(timeout)
    except BaseException:
        close(sock)
        raise
    return sock


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that does not suspend."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError("a dial that blocks has suspended")
