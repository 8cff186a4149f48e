"""Carrying out an `Attempt`: its system calls here, its waits on a driver.

Rules:

* `advance` makes every call that cannot wait, without giving way to the event loop; only
  when it comes to a wait is a driver needed.
* `finish` is given a socket, and never closes it.
* No socket is registered with a loop when a function here has returned or raised.
"""

from __future__ import annotations

import errno as errnos
import time
from typing import TYPE_CHECKING, Final

from ..errors.foreign import errno_of
from ..report.attempt import AttemptRecord
from ..sansio.attempt import Action, Attempt, Failed, RetryAt, Step, WaitWritable
from ..sockets.connection import is_peer, packets
from ..sockets.files import kind_of_file
from ..sockets.syscalls import (
    SYSTEM_CALLS,
    SystemCalls,
    connect_errno,
    poll_now,
    probe,
    so_error,
)

if TYPE_CHECKING:
    import socket

    from ..addresses.values import SockAddr
    from ..drivers.base import Driver

__all__ = ["TO_ITSELF", "advance", "failed", "finish", "note_of", "record"]

LONGEST_WAIT: Final = 1.0
"""Seconds for which one wait for a socket lasts.  epoll forgets a descriptor that is closed
without a word, so this is how late an attempt may be to notice; one wake-up a second costs
nothing."""


def advance(
    attempt: Attempt,
    action: Action,
    sock: socket.socket,
    sockaddr: SockAddr,
    calls: SystemCalls = SYSTEM_CALLS,
) -> Action:
    """Carry out ``action`` and what follows from it, until something has to wait or is final.

    Args:
        sockaddr: needed for an action that may call connect(2).
        calls: what makes the system calls.

    Returns:
        `RetryAt` or `WaitWritable`; or `Step.CONNECTED`, `Step.REOPEN` or `Failed`.

    Raises:
        OSError: a unix path that is too long for a socket address leads nowhere; or a peer that
            is to be compared is gone.
        TypeError, ValueError, OverflowError: the socket module cannot make sense of
            ``sockaddr``.
    """
    while True:
        if action is Step.CONNECT:
            action = attempt.called(connect_errno(sock, sockaddr, calls), time.monotonic())
        elif action is Step.PROBE:
            errno, to_itself = probe(sock, attempt.watch_for_itself, attempt.tcp, calls)
            if errno == 0 and attempt.compare_peer and not is_peer(sock, sockaddr):
                errno = errnos.EISCONN
            action = attempt.probed(errno, to_itself)
        elif action is Step.READ_ERROR:
            action = attempt.woken(so_error(sock), time.monotonic())
        elif action is Step.INSPECT:
            action = attempt.inspected(poll_now(sock, calls).hung_up, time.monotonic())
        else:
            return action


async def finish(
    attempt: Attempt,
    action: Action,
    sock: socket.socket,
    sockaddr: SockAddr,
    driver: Driver,
    until: float,
    calls: SystemCalls = SYSTEM_CALLS,
) -> Action | None:
    """Carry out ``action`` and all that follows from it, waiting where it has to.

    Args:
        sockaddr: needed for an action that may call connect(2).
        until: the moment by which it must have ended.
        calls: what makes the system calls.

    Returns:
        `Step.CONNECTED`, `Step.REOPEN`, `Failed`, or None if ``until`` came first.

    Raises:
        OSError: the event loop cannot wait for the socket; or as `advance`.
        TypeError, ValueError, OverflowError: as `advance`.
    """
    while True:
        if action is Step.CONNECT and driver.completes and not attempt.immediate:
            errno = await driver.sock_connect(sock, sockaddr, until)
            if errno is None:
                return None
            # Its success is but a wake-up: the probe has the last word.
            now = time.monotonic()
            action = attempt.called(errno, now) if errno else attempt.woken(0, now)
        action = advance(attempt, action, sock, sockaddr, calls)
        if not isinstance(action, (RetryAt, WaitWritable)):
            return action
        now = time.monotonic()
        if now >= until:
            return None
        if isinstance(action, RetryAt):
            await driver.sleep_until(min(action.when, until))
            action = Step.CONNECT
        elif action.not_before is not None and now < action.not_before:
            await driver.sleep_until(min(action.not_before, until))
            action = WaitWritable()
        else:
            error = await driver.wait_writable(sock, min(until, now + LONGEST_WAIT))
            if error is not None:
                action = attempt.woken(error, time.monotonic())
            elif sock.fileno() < 0:
                action = Failed(errnos.EBADF)


def failed(error: Exception) -> Failed:
    """The end of an attempt that a system call or the event loop put an end to."""
    # The socket module has errors of its own without errno, or with one of getaddrinfo(3).
    return Failed(errno_of(error, errnos.EINVAL))


def record(
    sock: socket.socket,
    sockaddr: SockAddr | None,
    local_address: SockAddr | None,
    start: float,
    end: Action | None,
    errno: int | None,
) -> AttemptRecord:
    """The record of an attempt that did not connect.

    Args:
        sock: its socket.
        sockaddr: the peer; None if it is not known.
        end: what `finish` returned.
        errno: the attempt's own ``errno``, for one that ran out of time.
    """
    told = packets(sock)
    note = ""
    if isinstance(end, Failed):
        errno = end.errno
        note = note_of(end, sockaddr)
    return AttemptRecord(
        family=sock.family,
        type=sock.type,
        sockaddr=sockaddr,
        proto=sock.proto,
        local_address=local_address,
        start=0.0,
        end=time.monotonic() - start,
        outcome="failed" if isinstance(end, Failed) else "timed out",
        errno=errno,
        note=note,
        round_trip=told.round_trip,
        resent=told.resent,
    )


def note_of(end: Failed, sockaddr: SockAddr | None) -> str:
    """What there is to say of a failure beyond its errno."""
    if end.to_itself:
        return TO_ITSELF
    if end.errno == errnos.ENOTCONN and sockaddr is not None:
        return _NO_PEER
    if end.errno == errnos.ECONNREFUSED and isinstance(sockaddr, (str, bytes)):
        kind = kind_of_file(sockaddr)
        return f"nothing is listening there: it is {kind}, not a socket" if kind else ""
    return ""


TO_ITSELF: Final = (
    "nothing is listening there, and the kernel picked that very port as the local one, so the "
    "socket was connected to itself"
)

_NO_PEER: Final = (
    "connect(2) has reported no error, and yet the socket has no peer: UDP has none at port 0, "
    "and TCP none with TCP_FASTOPEN_CONNECT before it sends data"
)
