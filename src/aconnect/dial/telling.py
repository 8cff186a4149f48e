"""Who is told of one dial: its report, for the error it may come to, and those who asked to be.

Rule: whoever listens cannot harm the dial (`guarded`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..errors.errors import ConnectTimeout
from ..report.report import Report
from ..sockets.connection import packets
from ..sockets.syscalls import local_address
from ..trace import (
    AttemptEnded,
    DialCancelled,
    DialConnected,
    DialFailed,
    DialStarted,
    ResolutionBatch,
    ResolutionEnded,
    ResolutionStarted,
    SocketClosed,
    guarded,
    is_last,
)
from .plan import check_empty

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ..addresses.target import Target
    from ..addresses.values import Endpoint
    from ..errors.errors import ConnectError
    from ..report.attempt import AttemptRecord
    from ..trace import Event
    from .plan import Plan

__all__ = ["Telling"]


class Telling:
    """The listeners of one dial, which has started.

    Args:
        plan: who they are.
        target: what is dialled.
        started: when the call began.
        until: when it must be over.
        via: the proxies on the way, as text.

    Raises:
        ValueError: the plan's report has got another dial since.

    Attributes:
        report: the events so far.
        emit: tells of an event; from here on it raises nothing.
    """

    __slots__ = ("_on_report", "_trace", "_waited", "emit", "report")

    def __init__(
        self,
        plan: Plan,
        target: Target,
        started: float,
        until: float,
        via: tuple[str, ...] = (),
    ) -> None:
        self.report: Report = plan.report or Report()
        self._waited = plan.waited
        check_empty(self.report)
        self.emit: Callable[[Event], None] = self.report
        if plan.tells:
            self._trace = guarded(plan.trace)
            self._on_report = guarded(plan.on_report, "on_report")
            self.emit = self._tell
        self.emit(DialStarted(started, target.text, until, via))

    def recalled(self, text: str, endpoints: tuple[Endpoint, ...]) -> None:
        """The resolver knows the endpoints of a name, without being asked; or it has been waited
        for before this."""
        waited, found = self._waited, len(endpoints)
        remembered = waited is None
        since = now = time.monotonic()
        if waited is not None:
            since, now = waited.since, waited.done
        self.emit(ResolutionStarted(since, text))
        self.emit(ResolutionBatch(now, endpoints, text))
        self.emit(ResolutionEnded(now, "done", found, address=text, remembered=remembered))

    def connected(self, sock: socket.socket, note: str = "") -> None:
        """The only attempt is connected, and that was all."""
        now, local = time.monotonic(), local_address(sock)
        self.emit(AttemptEnded(now, 0, "connected", None, local, note, *packets(sock)))
        self.emit(DialConnected(time.monotonic(), 0))

    def lost(self, record: AttemptRecord) -> None:
        """The only attempt has come to nothing."""
        outcome: Any = record.outcome  # of one that has ended
        told = record.errno, record.local_address, record.note, record.round_trip, record.resent
        self.emit(AttemptEnded(time.monotonic(), 0, outcome, *told))

    def failed(self, error: ConnectError) -> None:
        """The dial ends by an error, which has the report from here on."""
        outcome: Any = "timed out" if isinstance(error, ConnectTimeout) else "failed"
        self.emit(DialFailed(time.monotonic(), outcome, error.errno, error.phase))
        error.report = self.report

    def cancel(self, had_socket: bool) -> None:
        """The dial ends by what is no failure of its own, before it has become a race."""
        if not is_last(self.report.events[-1]):
            now = time.monotonic()
            self.emit(AttemptEnded(now, 0, "cancelled"))
            if had_socket:
                self.emit(SocketClosed(now, 0))
            self.cancelled()

    def cancelled(self) -> None:
        """The dial has ended by what is no failure of its own, unless it was over already."""
        if not is_last(self.report.events[-1]):
            self.emit(DialCancelled(time.monotonic()))

    def _tell(self, event: Event) -> None:
        if self._trace is not None:
            self._trace(event)
        self.report(event)
        if self._on_report is not None and is_last(event):
            self._on_report(self.report)
