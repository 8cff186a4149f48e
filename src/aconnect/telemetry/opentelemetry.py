"""Dials as spans and metrics of OpenTelemetry, by its API alone.

Rules:

* What is not recorded costs next to nothing: the span of a dial is started first, and if nobody
  records it, nothing else is made; no attribute is computed.
* Instruments are made once, with the `Telemetry`.
* The SDK is for the program to install and to configure, now or later.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from .. import __version__
from ..explanations.extras import not_installed
from ..report.story import read
from ..trace import DialStarted, is_last
from .measures import BUCKETS, measure
from .plain import plain
from .targets import Hosts, Namer, namer

try:
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context
except ImportError as _error:
    raise ImportError(not_installed("opentelemetry", "otel")) from _error

from .spans import add_attempt, add_children, describe, describe_plain, name_of

if TYPE_CHECKING:
    from typing import TypeAlias

    from ..report.report import Report
    from ..trace import Event
    from .targets import Targets

__all__ = ["Telemetry"]

Spans: TypeAlias = Literal["attempts", "dial"]

_SCOPE: Final = "aconnect"
_API: Final = "opentelemetry.metrics"
"""The module of those providers of meters that record nothing."""


class Telemetry:
    """Spans and metrics of dials, for ``on_report``: ``Dialer(on_report=Telemetry())``.

    The span of a dial, ``connect {server.address}:{server.port}``, is a child of the span that is
    current where the call is made.  Its own children are ``DNS lookup {name}``, ``socket connect
    {address}:{port}``, ``TLS client handshake {name}`` and ``{kind} handshake``.  Spans are made
    when the dial is over, with the times at which things happened.

    The metrics are the histograms ``aconnect.dial.duration``, ``dns.lookup.duration`` and
    ``aconnect.phase.duration``, in seconds, and the counter ``aconnect.attempts``; and
    ``aconnect.dials.active``, if `trace` is told of events.

    Args:
        tracer_provider: of the spans; None for the program's, whether it is set before or later.
        meter_provider: of the metrics; likewise.
        spans: "attempts" for all spans, "dial" for that of the dial alone, None for none.
        targets: the names of targets in metrics, as a mapping from the text of an address, such
            as ``{"db.internal:5432": "db"}``, or a callable that returns one or None.  All others
            are ``_OTHER``.  None for no ``server.address``, and for the host as
            ``dns.question.name``: of the first hundred hosts, and of the first 80 pairs of a host
            and a kind of error; ``_OTHER`` from then on.
        link: whether the span of a dial begins a trace of its own, to which the current span gets
            a link, as .NET has it.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: ``spans`` is another word.

    It may be shared by dialers, event loops and threads.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        spans: Spans | None = "attempts",
        targets: Targets = None,
        *,
        link: bool = False,
    ) -> None:
        for name, given, kind in (
            ("tracer_provider", tracer_provider, trace.TracerProvider),
            ("meter_provider", meter_provider, metrics.MeterProvider),
        ):
            if given is not None and not isinstance(given, kind):
                raise TypeError(f"{name} must be a {kind.__name__} or None, not {given!r}")
        if spans is not None and spans not in get_args(Spans):
            raise ValueError(f"spans must be 'attempts', 'dial' or None, not {spans!r}")
        if not isinstance(link, bool):
            raise TypeError(f"link must be a bool, not {link!r}")
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider)
        self._spans = spans
        self._link = link
        self._target: Namer | None = namer(targets)
        self._hosts = Hosts()
        self._meter_provider = meter_provider
        self._measures = False
        meter = metrics.get_meter(_SCOPE, __version__, meter_provider)
        advice: dict[str, Any] = {"explicit_bucket_boundaries_advisory": BUCKETS}
        self._dials = meter.create_histogram(
            "aconnect.dial.duration", "s", "From the call to its end.", **advice
        )
        self._lookups = meter.create_histogram(
            "dns.lookup.duration", "s", "Lookups of names.", **advice
        )
        self._phases = meter.create_histogram(
            "aconnect.phase.duration", "s", "How dials divide into phases.", **advice
        )
        self._attempts = meter.create_counter(
            "aconnect.attempts", "{attempt}", "Attempts to connect to an address."
        )
        self._active = meter.create_up_down_counter(
            "aconnect.dials.active", "{dial}", "Dials that are running."
        )

    def __call__(self, report: Report) -> None:
        """Record a finished dial."""
        events = report.events
        if self._spans is not None:
            self._trace_dial(events)
        if self._measures or self._begins_to_measure():
            self._measure(events)

    def trace(self, event: Event) -> None:
        """Count running dials: for ``trace`` of the same `Dialer`."""
        if isinstance(event, DialStarted):
            self._active.add(1)
        elif is_last(event):
            self._active.add(-1)

    def _trace_dial(self, events: tuple[Event, ...]) -> None:
        first = events[0]
        assert isinstance(first, DialStarted)
        began = first.time
        # The time of the epoch at which the monotonic clock began, taken once.
        origin = time.time_ns() - time.monotonic_ns() + round(began * 1e9)
        name = name_of(first.address)
        context = Context() if self._link else None
        span = self._tracer.start_span(name, context, start_time=origin)
        if not span.is_recording():
            return
        if self._link:
            trace.get_current_span().add_link(span.get_span_context())
        if (dial := plain(events)) is not None:
            describe_plain(span, dial)
            if self._spans == "attempts":
                add_attempt(self._tracer, span, dial, origin)
            span.end(origin + round(dial.elapsed * 1e9))
            return

        def moment(seconds: float) -> int:
            return origin + round(seconds * 1e9)

        story = read(events, 0.0)
        describe(span, story)
        if self._spans == "attempts":
            add_children(self._tracer, span, story, events, moment)
        span.end(moment(story.elapsed))

    def _begins_to_measure(self) -> bool:
        """Whether there is a provider by now that records anything."""
        provider = self._meter_provider or metrics.get_meter_provider()
        self._measures = not type(provider).__module__.startswith(_API)
        return self._measures

    def _measure(self, events: tuple[Event, ...]) -> None:
        found = measure(events)
        target = None if self._target is None else self._target(found.target)
        of_dial = _present(
            {
                "aconnect.outcome": found.outcome,
                "error.type": found.error,
                "network.type": found.network,
                "server.address": target,
            }
        )
        self._dials.record(found.seconds, of_dial)
        for each in found.lookups:
            name = (
                self._hosts(each.name, each.error)
                if self._target is None
                else self._target(each.name)
            )
            asked = {"dns.question.name": name, "error.type": each.error}
            self._lookups.record(each.seconds, _present(asked))
        for phase, seconds in found.phases.items():
            self._phases.record(seconds, {"aconnect.phase": phase})
        for attempt in found.attempts:
            of_attempt = _present(
                {
                    "network.type": attempt.network,
                    "aconnect.outcome": attempt.outcome,
                    "error.type": attempt.error,
                }
            )
            self._attempts.add(1, of_attempt)


def _present(attributes: dict[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in attributes.items() if value is not None}
