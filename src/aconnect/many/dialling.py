"""One dial, and the result that it comes to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors.errors import ConnectError
from ..handshakes.base import Handshake
from ..report.report import Report
from .handing import close_made, remembering
from .result import Result, bare, outcome_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from ..deadline import Deadline
    from ..dial.dialer import Dialer
    from ..trace import Phase
    from .targets import Wanted

__all__ = ["How", "result_of"]


class How(NamedTuple):
    """How dials are made; as for `connect_many`."""

    timeout: float | None
    deadline: Deadline | None
    handshake: Callable[[socket.socket], Awaitable[Any]] | None
    keep: bool = False
    reset: bool = False
    reports: bool = False


async def result_of(dialer: Dialer, dial: Wanted, how: How) -> Result:
    """Make a dial.

    Raises:
        Exception: what is not a failure to connect.

    When cancelled, nothing is left.
    """
    index, key, address, target = dial
    timeout, deadline, handshake, keep, reset, reports = how
    socks: list[socket.socket] = []
    if handshake is not None:
        if isinstance(handshake, Handshake) and len(target.parts) == 1:
            handshake = handshake.towards(target.host)
        handshake = remembering(handshake, socks)
    # A single address goes the quick way, if nobody is told of it.
    report = None
    if reports or handshake is not None or target.only is None or dialer.proxy is not None:
        report = Report()
    begun, start = time.time(), time.monotonic()
    try:
        made = await dialer.dial(
            target, timeout, deadline, handshake, report=report, streams=not keep
        )
    except ConnectError as error:
        return _failure(error, dial, begun, how)
    except (TypeError, ValueError) as error:  # such as datagrams by way of a proxy
        bare(error)
        return Result(address, index, "invalid", error=error, key=key, time=begun)
    seconds = time.monotonic() - start
    if not keep:
        if handshake is None and dialer.proxy is not None:
            made = getattr(made, "sock", made)  # of a tunnel
        if handshake is None and not reset:
            made.close()
        else:
            await close_made(made, socks, reset)
        made = None
    phases: Any
    if report is None:
        peer, phases = target.text, {"connect": seconds}
    else:
        winner = report.winner
        assert winner is not None
        peer, phases = winner.peer, _phases(report)
        if not reports:
            report = None
    return Result(
        address, index, "connected", peer, seconds, phases, None, made, key, begun, report
    )


def _phases(report: Report) -> dict[Phase, float]:
    """The phases that there were."""
    return {phase: seconds for phase, seconds in report.phase_seconds.items() if seconds}


def _failure(error: ConnectError, dial: Wanted, begun: float, how: How) -> Result:
    bare(error)
    index, key, address, target = dial
    report, elapsed = error.report, error.elapsed
    phases: Any = {"connect": elapsed}
    if report is not None and (target.only is None or how.handshake is not None):
        phases = _phases(report)
    if not how.reports:
        error._attempts = error.attempts
        error.report = report = None
    peers = [record.peer for record in error.attempts]
    peer = peers[0] if len(peers) == 1 else None
    return Result(
        address, index, outcome_of(error), peer, elapsed, phases, error, None, key, begun, report
    )
