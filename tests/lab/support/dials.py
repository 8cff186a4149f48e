"""Dials that are compared with what the network did: their result, their time and their report."""

from __future__ import annotations

import errno
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from aconnect import (
    ConnectError,
    ConnectTimeout,
    Dialer,
    Report,
    SocketOption,
    StaticResolver,
    aconnect,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from typing import TypeVar

    Key = TypeVar("Key", bound=Hashable)

SYN_INTERVAL = 0.99
"""Seconds between the first two SYNs, at the least; it is a second by the kernel's clock, which
ticks 250 times in one."""

LONG = 60.0
"""Seconds; what takes as long has failed."""


@dataclass
class Dialled:
    """What became of a dial.

    Attributes:
        elapsed: seconds from the call to its end.
        report: the dialer's own account of it.
        peer: what the connection leads to; None if there is none.
        local: its local end; None if there is none.
        error: what was raised; None if it connected.
    """

    elapsed: float
    report: Report
    peer: Any = None
    local: Any = None
    error: ConnectError | None = None

    @property
    def failure(self) -> ConnectError:
        """What was raised; it did not connect."""
        assert self.error is not None, f"connected to {self.peer}"
        return self.error

    def assert_connected(self, *outcomes: str) -> None:
        """Its report has these outcomes of attempts, the last of which won."""
        assert self.error is None, self.error
        assert [each.outcome for each in self.report.attempts] == list(outcomes)
        assert self.report.outcome == "connected"
        winner = self.report.winner
        assert winner is not None
        assert winner.endpoint.sockaddr == self.peer
        self._assert_times()

    def assert_failed(self, number: int) -> None:
        """The network said no to its only attempt, with this errno; all accounts agree."""
        error = self.failure
        assert errno.errorcode[error.errno or 0] == errno.errorcode[number]
        assert isinstance(error, type(OSError(number, "")))
        assert (error.phase, len(error.attempts)) == ("connect", 1)
        record = error.attempts[0]
        assert (record.outcome, record.errno, record.phase) == ("failed", number, "connect")
        assert errno.errorcode[number] in str(error)
        assert self.report.outcome == ("timed out" if number == errno.ETIMEDOUT else "failed")
        (attempt,) = self.report.attempts
        assert (attempt.outcome, attempt.errno, attempt.won) == ("failed", number, False)
        assert attempt.endpoint.sockaddr == record.sockaddr
        assert attempt.closed is not None
        self._assert_times()

    def assert_timed_out(self, seconds: float) -> None:
        """The network said nothing, and its time was up."""
        error = self.failure
        assert isinstance(error, ConnectTimeout)
        assert error.errno == errno.ETIMEDOUT
        assert {each.outcome for each in error.attempts} == {"timed out"}
        assert {each.errno for each in error.attempts} == {None}
        assert self.report.outcome == "timed out"
        assert self.elapsed >= seconds
        self._assert_times()

    def _assert_times(self) -> None:
        """What the report says took no longer than what the caller saw."""
        assert 0 <= self.report.elapsed <= self.elapsed
        for attempt in self.report.attempts:
            assert attempt.end is not None
            assert 0 <= attempt.start <= attempt.end <= self.report.elapsed


async def dial(
    address: Any, *, timeout: float = LONG, bare: bool = False, **options: Any
) -> Dialled:
    """Dial, and close the connection.

    Args:
        timeout: as for `Dialer.connect`.
        bare: use `aconnect`, which makes no race of a single address; if it connects, the report
            is empty.
        options: of the `Dialer`.
    """
    reports: list[Report] = []
    connect = aconnect if bare else Dialer(on_report=reports.append, **options).connect
    start = time.monotonic()
    try:
        sock = await connect(address, timeout=timeout)
    except ConnectError as error:
        elapsed = time.monotonic() - start
        # Its traceback leads here, and so to itself.
        report = error.report
        assert report is not None
        assert reports == ([] if bare else [report])
        return Dialled(elapsed, report, error=error.with_traceback(None))
    elapsed = time.monotonic() - start
    with sock:
        report = Report() if bare else reports[0]
        return Dialled(elapsed, report, sock.getpeername(), sock.getsockname())


def named(*addresses: str) -> StaticResolver:
    """A resolver by which ``server.test`` has these addresses, in this order."""
    return StaticResolver({"server.test": addresses})


def tries(count: int) -> list[SocketOption]:
    """Socket options by which this many SYNs are sent after the first."""
    return [SocketOption(socket.IPPROTO_TCP, socket.TCP_SYNCNT, count)]


async def dial_all(dials: Mapping[Key, Mapping[str, Any]]) -> dict[Key, Dialled]:
    """Make several dials at once.

    Args:
        dials: the arguments of `dial` for each.
    """
    done: dict[Key, Dialled] = {}

    async def one(key: Key, arguments: Mapping[str, Any]) -> None:
        done[key] = await dial(**arguments)

    async with anyio.create_task_group() as group:
        for key, arguments in dials.items():
            group.start_soon(one, key, arguments)
    return done
