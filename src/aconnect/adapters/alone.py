"""TLS with the only address that there is, which needs no race.

Rules:

* With one address there is nothing to move on to: to connect and then to do the handshake comes to
  the same as a race of one, and costs less.
* What it fails with is what a race would fail with: the same error, with the same record and
  report.
* Whoever has a dialer with a trace is told of everything, so for him there is a race.
"""

from __future__ import annotations

import errno as errnos
import time
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from ..deadline import Deadline, earliest
from ..errors import (
    OWN_TIME,
    AttemptRecord,
    ConnectError,
    ConnectTimeout,
    attempts_error,
    describe,
)
from ..flight import errno_of
from ..handshakes.tls import OutOfTime
from ..report import Report
from ..syscalls import local_address
from ..trace import (
    AttemptEnded,
    AttemptStarted,
    DialFailed,
    DialStarted,
    HandshakeEnded,
    HandshakeStarted,
    SocketClosed,
)

if TYPE_CHECKING:
    import asyncio
    import socket
    from typing import TypeGuard

    from ..addresses import Address, Endpoint, SockAddr
    from ..dialer import Dialer
    from ..handshakes.tls import TLSHandshake

__all__ = ["connect_alone", "is_alone"]

T = TypeVar("T")


def is_alone(endpoints: list[Endpoint] | None, dialer: Dialer) -> TypeGuard[list[Endpoint]]:
    """Whether there is one address, and nobody who wants to be told."""
    alone = endpoints is not None and len(endpoints) == 1
    return alone and dialer.trace is None and dialer.on_report is None


async def connect_alone(
    to: Address | tuple[Any, ...],
    endpoint: Endpoint,
    dialer: Dialer,
    handshake: TLSHandshake[T],
    timeout: float | None,
    deadline: Deadline | None,
    loop: asyncio.AbstractEventLoop | None = None,
) -> T:
    """What `Dialer.connect` does with this handshake, if `is_alone`.

    Args:
        loop: as for a dialer's `dial`.
    """
    started = time.monotonic()
    until = earliest(timeout, deadline)
    limit = None if until == inf else Deadline(until)
    sock: socket.socket = await dialer.dial(to, [endpoint], None, limit, loop=loop)
    connected = time.monotonic()
    local = local_address(sock)
    own = inf if dialer.attempt_timeout is None else connected + dialer.attempt_timeout
    try:
        return await handshake.within(sock, min(until, own))
    except OutOfTime:
        cause = None
    except Exception as error:
        cause = error
    story = _Failure(
        endpoint=endpoint,
        local=local,
        start=started,
        connected=connected,
        end=time.monotonic(),
        cause=cause,
        note="" if until <= own or cause else OWN_TIME,
    )
    try:
        raise story.error(to, until, handshake)
    finally:
        del cause, story  # the traceback of the one leads to this frame


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """How the handshake with the only address has failed.

    Attributes:
        cause: what it raised; None if its time was up.
        note: which time that was, if not the deadline.
    """

    endpoint: Endpoint
    local: SockAddr | None
    start: float
    connected: float
    end: float
    cause: Exception | None
    note: str

    def error(
        self, to: Address | tuple[Any, ...], until: float, handshake: TLSHandshake[Any]
    ) -> ConnectError:
        """The error that a race would end with, with its report."""
        text = describe(to, [self.endpoint])
        reason, note, errno = "", self.note, None
        outcome: Any = "timed out"
        if self.cause is not None:
            outcome = "failed"
            reason = handshake.reason(self.cause)
            note = f"the {handshake.kind} failed: {reason}"
            errno = errno_of(self.cause, errnos.EPROTO)
        record = AttemptRecord(
            family=self.endpoint.family,
            type=self.endpoint.type,
            sockaddr=self.endpoint.sockaddr,
            local_address=self.local,
            start=self.start,
            end=self.end,
            outcome=outcome,
            errno=errno,
            note=note,
            phase="handshake",
        )
        timed_out = self.cause is None and not self.note
        error = attempts_error(
            [record],
            to,
            text,
            self.end - self.start,
            causes=[self.cause],
            timed_out=timed_out,
        )
        error.report = report = Report()
        failed: Any = "timed out" if isinstance(error, ConnectTimeout) else "failed"
        for event in (
            DialStarted(self.start, text, until),
            AttemptStarted(self.start, 0, self.endpoint),
            AttemptEnded(self.connected, 0, "connected", None, self.local),
            HandshakeStarted(self.connected, 0, handshake.name),
            HandshakeEnded(self.end, 0, outcome, reason or note or None),
            SocketClosed(self.end, 0),
            DialFailed(self.end, failed, error.errno, error.phase),
        ):
            report(event)
        return error
