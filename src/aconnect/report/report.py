"""A trace that collects the events of one dial and says what took how long.

Rules:

* A report keeps the events and nothing else; all that it says is worked out from them when
  it is asked.  So it makes sense at every moment, while the dial is running too.
* Times are seconds from the first event.  A dial that is running lasts until now.
* Each moment of the dial counts for one phase: the furthest one that anything was in.  The
  phases' times add up to no more than the whole, however many attempts ran side by side.
* A drawing is ASCII, so that it survives any log file; no line is longer than the width, and
  nothing that an address or a peer brings along can break a line.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..addresses.text import format_sockaddr
from ..sansio.value import as_dict
from ..trace import DialStarted, is_last
from .attempt import HandshakeSummary
from .questions import QuestionSummary, ServiceSummary, plain
from .rows import title
from .story import (
    DialOutcome,
    ResolutionSummary,
    Story,
    read,
    reason,
)
from .waterfall import NARROWEST, draw

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..trace import Event, Phase
    from .attempt import AttemptRecord

__all__ = ["HandshakeSummary", "QuestionSummary", "Report", "ResolutionSummary", "ServiceSummary"]


class Report:
    """Collects one dial: ``await aconnect(address, report=report)``, then ``print(report)``.

    It holds one dial.  A call that is given a report with a dial in it raises a ValueError.  As a
    ``trace`` of a `Dialer`, it refuses the second dial with a RuntimeError, which that dial issues
    as a warning.  The report stays that of the first.  It may be read from any thread, at any
    time, and pickled.

    Args:
        clock: gives the moment, in seconds of `time.monotonic`; asked while the dial runs.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._events: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Record ``event``.

        Raises:
            RuntimeError: the event belongs to another dial.
        """
        if self._events and (isinstance(event, DialStarted) or is_last(self._events[-1])):
            raise RuntimeError("this report already holds a dial: make a new Report for each")
        self._events.append(event)

    @property
    def events(self) -> tuple[Event, ...]:
        """The events so far."""
        return tuple(self._events)

    @property
    def address(self) -> str:
        """What was to be connected to, as text; empty before the dial has started."""
        return self._story().address

    @property
    def outcome(self) -> DialOutcome:
        """What the call came to: "connected", "failed", "timed out" or "cancelled"; "running"
        or "not started" before that."""
        return self._story().outcome

    @property
    def elapsed(self) -> float:
        """Seconds from the start of the dial to its end, or until now."""
        return self._story().elapsed

    @property
    def resolution(self) -> ResolutionSummary | None:
        """The lookup of the name, or of the first of several; None if there was none."""
        return self._story().resolution

    @property
    def resolutions(self) -> tuple[ResolutionSummary, ...]:
        """The lookups of all names, in the order in which they started."""
        return tuple(self._story().resolutions.values())

    @property
    def questions(self) -> tuple[QuestionSummary, ...]:
        """The questions to name servers, or to a cache, in the order in which they started; empty
        if the resolver does not report them."""
        return tuple(self._story().questions)

    @property
    def services(self) -> tuple[ServiceSummary, ...]:
        """Where records say that the service is, including those that are not used."""
        return tuple(self._story().services)

    @property
    def resolve_seconds(self) -> float:
        """Seconds from the start of the lookup to its end, or until now; 0.0 if there was
        none."""
        story = self._story()
        return story.lasting(story.resolution) if story.resolution else 0.0

    @property
    def attempts(self) -> tuple[AttemptRecord, ...]:
        """The attempts, in the order in which they started."""
        return tuple(self._story().attempts.values())

    @property
    def winner(self) -> AttemptRecord | None:
        """The attempt that the call returned, or None."""
        return next((attempt for attempt in self.attempts if attempt.won), None)

    @property
    def phase_seconds(self) -> dict[Phase, float]:
        """How the time divides into phases.

        Each moment counts for the furthest phase that anything was in: "handshake" if any
        handshake was running, else "proxy" if a proxy was waited for, else "connect" if any
        attempt was, else "resolve" if the lookup was, else none.
        """
        return self._story().phase_seconds()

    @property
    def slowest_phase(self) -> Phase | None:
        """The phase that took the most of `phase_seconds`; None if none took any."""
        return self._story().slowest_phase()

    def draw(self, width: int = 80) -> str:
        """Draw the waterfall.

        There is a row for the lookup, each question, each attempt and each handshake, with its
        start, how long it took, what became of it, and a bar to scale; the bar of what is
        still running ends with ``...``.  All rows are drawn, however many.  Below are
        the reasons of failures in words.  An address that is too long is cut in its middle, with
        ``...``; words go on in the next line.

        Args:
            width: columns; at least 60.

        Returns:
            Lines of printable ASCII without trailing space; no newline at the end.

        Raises:
            TypeError: ``width`` is not an int.
            ValueError: ``width`` is too small.
        """
        return draw(self._story(), _wide(width, NARROWEST, "columns"))

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, ready for `json.dumps`.

        Times are seconds from the start of the dial, None for what has not happened.
        Addresses are text.  An ``errno`` comes with an ``error``, its name or the reason.

        Returns:
            A dict with the keys:

            * ``address``, ``outcome``, ``elapsed``, ``slowest_phase``: as the properties;
            * ``via``: the proxies on the way, as text;
            * ``phases``: as `phase_seconds`;
            * ``timeout``: when all had to be done, or None;
            * ``errno``, ``error``, ``phase``: of a failure, how far it got being the phase;
            * ``winner``: the number of the attempt that won, or None;
            * ``untried``: how many of the known addresses were not tried;
            * ``resolution``: None, or a dict with ``address``, ``start``, ``end``, ``outcome``,
              ``errno``, ``error``, ``remembered``, and ``batches``: dicts with ``time`` and
              ``addresses``;
            * ``resolutions``: one for each name;
            * ``questions``: of each, the fields of `QuestionSummary`;
            * ``services``: of each, the fields of `ServiceSummary`;
            * ``attempts``: of each, `AttemptRecord.to_dict`.
        """
        return _plain(self._story())

    def to_svg(self, width: int = 960) -> str:
        """Draw the waterfall as a picture, with the rows and words of `draw`.

        It is one file that loads nothing and has no script.  It follows the reader's choice of
        light or dark.  What failed is hatched, what was cancelled is an outline, and what is still
        running has no end.

        Args:
            width: units of the picture (pixels, unless it is scaled); at least 480.

        Returns:
            SVG, the same for the same events.

        Raises:
            TypeError: ``width`` is not an int.
            ValueError: ``width`` is too small.
        """
        from .picture import NARROWEST, picture

        return picture(self._story(), _wide(width, NARROWEST, "units"))

    def to_html(self, width: int = 960) -> str:
        """A page with the picture, the attempts as a table, and the drawing in text.

        It is one file that loads nothing and has no script.

        Args, Raises: as `to_svg`.
        """
        from .page import page
        from .picture import NARROWEST

        return page(self._story(), _wide(width, NARROWEST, "units"))

    def _repr_svg_(self) -> str | None:
        """What notebooks show; None, for which they show the text, if it cannot be drawn."""
        try:
            return self.to_svg()
        except Exception:
            return None

    def to_trace_events(self, process: int = 1) -> list[dict[str, Any]]:
        """The dial for viewers of traces, such as Perfetto and chrome://tracing.

        A file of them is ``json.dumps({"traceEvents": [...]})``; those of many dials may be in
        one.

        Args:
            process: the number that a viewer shows as the process; one for each dial.

        Returns:
            Complete events (``"ph": "X"``) with times in microseconds of `time.monotonic`, a
            thread for each attempt, and the names of all (``"ph": "M"``).
        """
        from .exports import trace_events

        origin = self._events[0].time if self._events else 0.0
        return trace_events(self._story(), origin, process)

    def timings(self) -> dict[str, float]:
        """The parts of a HTTP archive's ``timings`` that are known here, in milliseconds.

        Returns:
            ``blocked``, ``dns``, ``connect`` (TLS and other handshakes included) and ``ssl``
            (TLS alone; it is part of ``connect``); -1 for what did not happen.  ``blocked`` is the
            rest: without ``ssl``, they add up to the whole.
        """
        from .exports import timings

        return timings(self._story())

    def __str__(self) -> str:
        return self.draw()

    def __repr__(self) -> str:
        story = self._story()
        return f"<{type(self).__name__} {title(story, 200)}>"

    def _story(self) -> Story:
        events = tuple(self._events)
        running = events and not is_last(events[-1])
        return read(events, self._clock() if running else 0.0)


def _wide(width: int, least: int, units: str) -> int:
    """The width of a drawing, checked."""
    if isinstance(width, bool) or not isinstance(width, int):
        raise TypeError(f"width must be a number of {units}, not {width!r}")
    if width < least:
        raise ValueError(f"width must be {least} or more {units}, not {width!r}")
    return width


def _plain(story: Story) -> dict[str, Any]:
    """What `Report.to_dict` returns."""
    lookups = list(map(_lookup, story.resolutions.values()))
    attempts = [each.to_dict() for each in story.attempts.values()]
    return {
        "address": story.address,
        "via": list(story.via),
        "outcome": story.outcome,
        "elapsed": story.elapsed,
        "timeout": story.timeout,
        "errno": story.errno,
        "error": story.error_name(),
        "phase": story.phase,
        "phases": story.phase_seconds(),
        "slowest_phase": story.slowest_phase(),
        "resolution": lookups[0] if lookups else None,
        "resolutions": lookups,
        "questions": list(map(plain, story.questions)),
        "services": list(map(plain, story.services)),
        "attempts": attempts,
        "winner": next((each["number"] for each in attempts if each["won"]), None),
        "untried": story.untried,
    }


def _lookup(resolution: ResolutionSummary) -> dict[str, Any]:
    plain = as_dict(resolution)
    plain["batches"] = [
        {"time": time, "addresses": [format_sockaddr(each[0], each[3]) for each in batch]}
        for time, batch in resolution.batches
    ]
    plain["error"] = reason(resolution) or None
    return plain
