"""connect(2) as an awaitable, on the caller's own socket.

Rules:

* Who opened the socket closes it: nothing here ever does.  However a call ends, the socket
  is open and not registered with the event loop when it has ended.
* A blocking socket is refused: connect(2) on it would stop the whole event loop, for as long
  as the kernel is patient.
* A host name is refused for the same reason: the socket module would look it up on the spot.
* A call that is cancelled or runs out of time leaves the attempt to the kernel.
  `wait_connected` takes it up again.
"""

from __future__ import annotations

import errno as errnos
import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from ..addresses.literal import zoned_endpoint
from ..addresses.redacting import shown
from ..addresses.target import Target
from ..addresses.text import format_sockaddr, shortened
from ..addresses.values import Endpoint, TCPAddress, check_path
from ..deadline import Deadline, earliest
from ..drivers.select import running_driver
from ..errors.errors import ConnectError
from ..errors.making import attempts_error, driver_error
from ..explanations.explain import lookup
from ..report.attempt import LONGEST_ADDRESS, lasting
from ..report.capture import OPEN
from ..sansio.attempt import Attempt, Step
from ..sansio.value import plain
from ..sockets.datagrams import dissolve
from ..sockets.syscalls import SYSTEM_CALLS, local_address, probe
from ..trace import AttemptStarted
from .attempt import failed, finish, record
from .dialer import DEFAULT
from .telling import Telling

if TYPE_CHECKING:
    from ..addresses.values import SockAddr
    from ..report.attempt import AttemptRecord
    from ..report.report import Report

__all__ = ["connect_socket", "dissolve_association", "wait_connected"]

_INET = (socket.AF_INET, socket.AF_INET6)
_CONNECT_ONCE = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)


async def connect_socket(
    sock: socket.socket,
    sockaddr: tuple[Any, ...] | str | bytes,
    *,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    report: Report | None = None,
) -> None:
    """Connect the caller's socket to ``sockaddr``; when this returns, it is connected.

    A datagram socket may be connected again and again: each time it gets another default peer,
    and accepts datagrams from that one only.  Nothing is sent.

    Args:
        sock: a non-blocking socket.
        sockaddr: the address in the form that the socket module has for the socket's family,
            resolved.  An IPv6 address may have a ``%zone``, and a unix path may be longer
            than sun_path (on Linux).
        timeout: seconds from now; None for no limit but the kernel's.  0 fails unless all of it
            can be done without waiting.
        deadline: the same limit as a `Deadline`.  The earlier of the two counts.
        report: an empty `Report`, which is filled while the call runs, and is then in the error
            too.  It stays empty if there was nothing to begin: an argument was no good.

    Raises:
        TypeError: an argument has the wrong type; no system call was made.
        ValueError: the socket is blocking, the address is not valid or has a host name, a time
            limit cannot be, or the report is not empty; connect(2) was not called.
        RuntimeError: no event loop is running.
        ConnectTimeout: there was no connection in time, by the caller's limit or the
            kernel's.
        ConnectError: connect(2) or the attempt failed.  EALREADY: an attempt is running on this
            socket; `wait_connected` waits for it.  EISCONN: it is connected, to whatever
            address, and is not a datagram socket; connect(2) was not called.  EBADF: it is
            closed, or was closed while this call waited, which may be noticed up to a second
            late.  ECONNREFUSED also if a TCP socket was connected to itself (its local port was
            picked by the kernel and is the very port of the peer).  EAGAIN: no local port was
            free.  Any other: see `explain`.

        After any of these, the socket is open (if it was) and not registered.  It depends on
        the platform whether a socket that failed can be used again; a new one is safe.

    When cancelled or out of time, the kernel goes on with an attempt that it has begun, and
    ``wait_connected(sock)`` takes it up.  With a unix listener whose backlog is full nothing
    has been begun: call this again.  (On a loop without `add_writer` that is Windows' own,
    the attempt is cancelled with the call: close the socket.)

    A socket must not be used by two tasks, or threads, at a time.

    Source: connect(2).
    """
    _check_socket(sock)
    sockaddr = _check_sockaddr(sockaddr, sock.family)
    await _carry_out(sock, sockaddr, timeout, deadline, report)


async def wait_connected(
    sock: socket.socket,
    *,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    report: Report | None = None,
) -> None:
    """Wait for an attempt that is running on the caller's socket, which may be connected already.

    Args:
        sock: a non-blocking socket on which connect(2) was called, by `connect_socket` or by
            anybody.
        timeout: seconds from now; None for no limit but the kernel's.  0 fails unless all of it
            can be done without waiting.
        deadline: the same limit as a `Deadline`.  The earlier of the two counts.
        report: as for `connect_socket`; of this call, not of the attempt before it.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: the socket is blocking, a time limit cannot be, or the report is not empty.
        RuntimeError: no event loop is running.
        ConnectTimeout: there was no connection in time, by the caller's limit or the
            kernel's.
        ConnectError: the attempt failed.  ENOTCONN: none is running; none was begun, or the
            reason for which it failed has been read by somebody else.  EALREADY: another task
            waits for this socket.  EBADF: it is closed, or was closed while this call
            waited, which may be noticed up to a second late.  ECONNREFUSED also if a TCP
            socket was connected to itself.

        After any of these, the socket is open (if it was) and not registered.

    When cancelled or out of time, the kernel goes on with the attempt, and this can be called
    again.

    A socket must not be used by two tasks, or threads, at a time.

    Source: connect(2) under EINPROGRESS; the OpenBSD manual's connect_wait().
    """
    _check_socket(sock)
    await _carry_out(sock, None, timeout, deadline, report)


def dissolve_association(sock: socket.socket) -> None:
    """Undo the connect of a datagram socket: it has no peer, and accepts datagrams from anyone.

    Without effect on a datagram socket that has no peer.  On Linux a local port that the
    kernel had picked is given back as well, so the socket is unbound until it sends.

    Args:
        sock: a datagram socket.

    Raises:
        TypeError: ``sock`` is not a socket.
        ConnectError: EOPNOTSUPP: it is not a datagram socket (a stream cannot be dissolved),
            or the platform cannot do it.  EBADF: it is closed.

    Makes one system call and does not wait; needs no event loop.

    Source: connect(2) under AF_UNSPEC.
    """
    _check_type(sock)
    errno = errnos.EOPNOTSUPP if sock.type != socket.SOCK_DGRAM else dissolve(sock)
    if errno:
        words = lookup(errno).words(sock.family)
        raise ConnectError(
            errno,
            f"could not dissolve the association of {_name(sock)}: {words}",
            family=sock.family,
        )


async def _carry_out(
    sock: socket.socket,
    sockaddr: SockAddr | None,
    timeout: float | None,
    deadline: Deadline | None,
    report: Report | None,
) -> None:
    """Connect to ``sockaddr``, or take up the attempt that is running if it is None."""
    plan = DEFAULT._plan if report is None else DEFAULT._plan.reporting(report)
    name = _name(sock)
    text = name if sockaddr is None else format_sockaddr(sock.family, sockaddr)
    target = Target(sockaddr, None, text)
    try:
        driver = running_driver()
    except OSError as error:
        raise driver_error(error, target) from error
    start = time.monotonic()
    until = earliest(timeout, deadline)
    if OPEN:
        plan = plan.captured()
    port_fixed = sockaddr is not None and local_address(sock) is not None
    attempt = Attempt(sock.family, sock.type, owned=False, port_fixed=port_fixed)
    if driver.checkpoint is not None:
        await driver.checkpoint()
    telling = None
    if plan.tells:
        telling = Telling(plan, target, start, until)
        peer: Any = sockaddr  # if it is known
        endpoint = Endpoint(sock.family, sock.type, sock.proto, peer)
        telling.emit(AttemptStarted(time.monotonic(), 0, endpoint))
    try:
        action = attempt.resume() if sockaddr is None else attempt.begin()
        once = action is Step.CONNECT and sock.type in _CONNECT_ONCE
        if once and probe(sock, False, attempt.tcp)[0] == 0:
            # Linux would say 0, and keep the peer, the first time after a wait.
            action = attempt.called(errnos.EISCONN, start)
        end = await finish(attempt, action, sock, sockaddr or "", driver, until, SYSTEM_CALLS)
    except OSError as error:
        end = failed(error)
    except BaseException:
        if telling is not None:
            telling.cancel(False)
        raise
    if end is Step.CONNECTED:
        if telling is not None:
            telling.connected(sock)
        return
    ended = record(sock, sockaddr, local_address(sock), start, end, attempt.errno)
    raise _error(ended, target, telling)


def _error(ended: AttemptRecord, target: Target, telling: Telling | None) -> ConnectError:
    """The error that the call ends with, of which everybody who is to be told has been."""
    error = attempts_error([ended], target, lasting(ended))
    if telling is not None:
        telling.lost(ended)
        telling.failed(error)
    return error


def _name(sock: socket.socket) -> str:
    return f"the socket with descriptor {sock.fileno()}"


def _check_type(sock: socket.socket) -> None:
    if not isinstance(sock, socket.socket):
        raise TypeError(f"sock must be a socket.socket, not {sock!r}")


def _check_socket(sock: socket.socket) -> None:
    _check_type(sock)
    ssl = sys.modules.get("ssl")
    if ssl is not None and isinstance(sock, ssl.SSLSocket):
        raise TypeError(f"sock must be a plain socket, before TLS wraps it, not {sock!r}")
    if sock.gettimeout() != 0 or _blocks(sock.fileno()):
        raise ValueError(f"sock must be non-blocking, call setblocking(False) first: {sock!r}")


def _blocks(fd: int) -> bool:
    """Whether a descriptor is blocking, though the socket object does not know: another with the
    same description can have changed it."""
    if sys.platform == "win32":
        return False
    try:
        return fd >= 0 and os.get_blocking(fd)
    except OSError:
        return False  # connect(2) will say what is wrong with it


def _check_sockaddr(sockaddr: SockAddr, family: int) -> SockAddr:
    """The address as connect(2) can take it: without anything that has to be looked up."""
    if family == getattr(socket, "AF_UNIX", None):
        return _check_path(sockaddr, family)
    if family in _INET:
        if isinstance(sockaddr, (str, bytes)):
            raise _mismatch(sockaddr, family)
        return _check_internet(sockaddr, family)
    return tuple(map(plain, sockaddr)) if isinstance(sockaddr, tuple) else plain(sockaddr)


def _check_path(path: SockAddr, family: int) -> str | bytes:
    if isinstance(path, tuple):
        raise _mismatch(path, family)
    if not isinstance(path, (str, bytes)):
        raise TypeError(f"sockaddr must be a str or bytes for a unix socket, not {shown(path)}")
    return check_path(path, "sockaddr")


def _check_internet(sockaddr: tuple[Any, ...], family: int) -> SockAddr:
    if not isinstance(sockaddr, tuple) or len(sockaddr) not in (2, 3, 4):
        raise TypeError(f"sockaddr must be a tuple, (host, port) or longer, not {shown(sockaddr)}")
    try:
        address = TCPAddress(*sockaddr)
    except (TypeError, ValueError) as error:
        raise type(error)(f"sockaddr {shown(sockaddr)}: {error}") from None
    endpoint = address.endpoint
    if endpoint is None:
        if ":" not in address.host:
            raise ValueError(
                f"sockaddr must have an IP address, not a host name: {shown(sockaddr)}"
            )
        try:
            endpoint = zoned_endpoint(address)
        except OSError:
            words = "its zone is not the name of a network interface"
            raise _refusal(errnos.ENODEV, sockaddr, family, words) from None
    if endpoint.family != family:
        raise _mismatch(sockaddr, family)
    return endpoint.sockaddr


def _mismatch(sockaddr: SockAddr, family: int) -> ConnectError:
    words = f"it is not an address of the socket's family, {socket.AddressFamily(family).name}"
    return _refusal(errnos.EAFNOSUPPORT, sockaddr, family, words)


def _refusal(errno: int, sockaddr: SockAddr, family: int, words: str) -> ConnectError:
    """The error for an address that connect(2) was not even given."""
    return ConnectError(
        errno,
        f"could not connect to {shortened(repr(sockaddr), LONGEST_ADDRESS)}: "
        f"{lookup(errno).name}: {words}",
        address=sockaddr,
        family=family,
    )
