"""What came of one dial among many.

Rules:

* A result is a value: it can be pickled and compared, and it keeps nothing alive.  Its error has
  no traceback, which would lead to the dial.
* It has a socket only if that was asked for.
* There is one for every dial, so it is of the kind that is made most quickly: a tuple with names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..errors.errors import AddressNotPermitted, ConnectError, ConnectTimeout

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from ..report.report import Report
    from ..trace import Phase

__all__ = ["Outcome", "Result", "bare", "outcome_of"]

Outcome: TypeAlias = Literal[
    "connected", "failed", "timed out", "not permitted", "invalid", "not tried"
]


class Result(NamedTuple):
    """The outcome for one target.

    Attributes:
        target: the address as it was given.
        index: its place among the targets, from 0 on; of a `watch`, the tick.
        outcome: "connected"; "failed"; "timed out", if no connection was there in time; "not
            permitted" by the dialer's policy; "invalid", if it is not an address; or "not
            tried", if the deadline of all came before its turn.
        peer: the resolved address as text: the one connected to, or the only one that was tried;
            None if several were, or none.
        seconds: how long it took.
        phases: the seconds that went into "resolve", "connect" and "handshake", as in
            `Report.phase_seconds`; a phase that it had not is missing.
        error: why there is no connection, as a `ConnectError` without traceback; a TypeError or
            ValueError of an "invalid" target; else None.
        sock: with ``keep=True``, the connected socket, or what the handshake gave; else None.
        key: what was given with the address; the address, if there was nothing.
        time: when it started, in seconds of `time.time`.
        report: with ``reports=True``, the `Report` of the dial; else None.
    """

    target: Any
    index: int  # type: ignore[assignment]  # for the method of tuples
    outcome: Outcome
    peer: str | None = None
    seconds: float = 0.0
    phases: Mapping[Phase, float] = {}  # never changed
    error: Exception | None = None
    sock: Any = None
    key: Any = None
    time: float = 0.0
    report: Report | None = None

    @property
    def connected(self) -> bool:
        """Whether it connected."""
        return self.outcome == "connected"


def outcome_of(error: ConnectError) -> Outcome:
    """What a dial came to that raised this."""
    if isinstance(error, ConnectTimeout):
        return "timed out"
    return "not permitted" if isinstance(error, AddressNotPermitted) else "failed"


def bare(error: BaseException) -> None:
    """Take the tracebacks from an error and from what caused it."""
    seen: list[BaseException] = [error]
    for each in seen:
        each.__traceback__ = None
        more = [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            more += each.exceptions
        seen += [other for other in more if other is not None and other not in seen]
