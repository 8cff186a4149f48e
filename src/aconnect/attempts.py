"""Carrying out an `Attempt`: its system calls here, its waits on a driver.

Rules:

* `advance` makes every call that cannot wait, without giving way to the event loop; only
  when it comes to a wait is a driver needed.  That is why a connect on loopback costs no
  round trip of the loop.
* The socket belongs to the caller.  It is never closed here, and never registered with a
  loop when a function here has returned or raised.
"""

from __future__ import annotations

import errno as errnos
from errno import EINPROGRESS
from time import monotonic
from typing import TYPE_CHECKING, Final

from .errors import AttemptRecord
from .sansio.attempt import Action, Attempt, Failed, RetryAt, Step, WaitWritable
from .syscalls import (
    abort,
    connect_errno,
    local_address,
    open_socket,
    poll_now,
    probe,
    so_error,
)

if TYPE_CHECKING:
    import socket

    from .addresses import Endpoint, SockAddr
    from .drivers.base import Driver

__all__ = ["advance", "failed", "finish", "record"]

LONGEST_WAIT: Final = 1.0
"""Seconds for which one wait for a socket lasts.  epoll forgets a descriptor that is closed
without a word, so this is how late an attempt may be to notice; one wake-up a second costs
nothing."""


def begin(endpoint: Endpoint, driver: Driver) -> socket.socket | Pending | AttemptRecord:
    """Open a socket for ``endpoint`` and begin to connect it.

    On loopback that is mostly all there is to do, so the most frequent answers of connect(2)
    are judged here, as an `Attempt` would, without the cost of making one.

    Returns:
        A connected socket; or an attempt that has to wait; or the record of a failure, after
        which nothing is open.

    Raises:
        TypeError, ValueError, OverflowError: as `advance`; nothing is open.
    """
    start = monotonic()
    try:
        sock = open_socket(endpoint)
    except OSError as error:
        return record(endpoint, endpoint.sockaddr, None, start, failed(error), None)
    errno = None
    try:
        if not driver.completes:
            errno = sock.connect_ex(endpoint.sockaddr)
            if (errno == EINPROGRESS or errno == 0) and sock.getpeername() != sock.getsockname():
                return sock
    except OSError:
        pass  # not connected yet; or a unix path is too long, and errno is None still
    except BaseException:
        sock.close()
        raise
    return Pending(endpoint, sock, start, errno)


class Pending:
    """An attempt on a socket of ours that was begun and has not ended.

    Args:
        endpoint: what the socket is to be connected to.
        sock: the socket.
        start: when the attempt began.
        errno: what connect(2) answered; None if it has not been called.
    """

    def __init__(
        self, endpoint: Endpoint, sock: socket.socket, start: float, errno: int | None
    ) -> None:
        self._endpoint = endpoint
        self._sock = sock
        self._start = start
        self._attempt = Attempt(endpoint.family, endpoint.type, owned=True)
        self._action = self._attempt.begin()
        if errno is not None:
            self._action = self._attempt.called(errno, monotonic())

    async def finish(self, driver: Driver, until: float) -> socket.socket | AttemptRecord:
        """Wait for the attempt to end.

        Args:
            until: the moment by which it must have.

        Returns:
            The connected socket, which is the caller's from now on; or the record of a
            failure, after which nothing is open.

        When cancelled, nothing is open either.
        """
        endpoint, attempt = self._endpoint, self._attempt
        local = None
        try:
            while True:
                end = await finish(
                    attempt, self._action, self._sock, endpoint.sockaddr, driver, until
                )
                if end is Step.CONNECTED:
                    return self._sock
                if end is not Step.REOPEN:
                    break
                abort(self._sock)
                self._sock = open_socket(endpoint)
                self._action = attempt.begin()
            local = local_address(self._sock)
        except OSError as error:
            end = failed(error)
        except BaseException:
            self._sock.close()
            raise
        abort(self._sock)
        return record(endpoint, endpoint.sockaddr, local, self._start, end, attempt.errno)


def advance(attempt: Attempt, action: Action, sock: socket.socket, sockaddr: SockAddr) -> Action:
    """Carry out ``action`` and what follows from it, until something has to wait or is final.

    Args:
        sockaddr: needed for an action that may call connect(2).

    Returns:
        `RetryAt` or `WaitWritable`; or `Step.CONNECTED`, `Step.REOPEN` or `Failed`.

    Raises:
        OSError: a unix path that is too long for a socket address leads nowhere.
        TypeError, ValueError, OverflowError: the socket module cannot make sense of
            ``sockaddr``.
    """
    while True:
        if action is Step.CONNECT:
            action = attempt.called(connect_errno(sock, sockaddr), monotonic())
        elif action is Step.PROBE:
            errno, to_itself = probe(sock, attempt.watch_for_itself)
            action = attempt.probed(errno, to_itself)
        elif action is Step.READ_ERROR:
            action = attempt.woken(so_error(sock), monotonic())
        elif action is Step.INSPECT:
            action = attempt.inspected(poll_now(sock).hung_up, monotonic())
        else:
            return action


async def finish(
    attempt: Attempt,
    action: Action,
    sock: socket.socket,
    sockaddr: SockAddr,
    driver: Driver,
    until: float,
) -> Action | None:
    """Carry out ``action`` and all that follows from it, waiting where it has to.

    Args:
        sockaddr: needed for an action that may call connect(2).
        until: the moment by which it must have ended.

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
            now = monotonic()
            action = attempt.called(errno, now) if errno else attempt.woken(0, now)
        action = advance(attempt, action, sock, sockaddr)
        if not isinstance(action, (RetryAt, WaitWritable)):
            return action
        now = monotonic()
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
                action = attempt.woken(error, monotonic())
            elif sock.fileno() < 0:
                action = Failed(errnos.EBADF)


def failed(error: OSError) -> Failed:
    """The end of an attempt that a system call or the event loop put an end to."""
    # The socket module has errors of its own without errno, or with one of getaddrinfo(3).
    return Failed(error.errno if error.errno and error.errno > 0 else errnos.EINVAL)


def record(
    kind: Endpoint | socket.socket,
    sockaddr: SockAddr | None,
    local_address: SockAddr | None,
    start: float,
    end: Action | None,
    errno: int | None,
) -> AttemptRecord:
    """The record of an attempt that did not connect.

    Args:
        kind: what has the family and type.
        sockaddr: the peer; None if it is not known.
        end: what `finish` returned.
        errno: the attempt's own ``errno``, for one that ran out of time.
    """
    note = ""
    if isinstance(end, Failed):
        errno = end.errno
        note = _TO_ITSELF if end.to_itself else ""
    return AttemptRecord(
        family=kind.family,
        type=kind.type,
        sockaddr=sockaddr,
        local_address=local_address,
        start=start,
        end=monotonic(),
        outcome="failed" if isinstance(end, Failed) else "timed out",
        errno=errno,
        note=note,
    )


_TO_ITSELF: Final = (
    "nobody listens there, and the kernel picked that very port as the local one, so the "
    "socket was connected to itself"
)
