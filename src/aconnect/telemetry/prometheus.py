"""Dials as metrics of prometheus_client.

Rules:

* A registry has each metric once: one `Metrics` is shared by all dialers.
* Labels are of closed sets, or from names that the program has given (``targets``).
* prometheus_client is the one to be thread-safe, to fork and to add up over processes.
"""

from __future__ import annotations

import re
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from ..explanations.extras import not_installed
from ..trace import DialStarted, is_last
from .measures import BUCKETS, measure
from .targets import namer

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
except ImportError as _error:
    raise ImportError(not_installed("prometheus_client", "prometheus")) from _error

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..report.report import Report
    from ..trace import Event
    from .measures import Measures
    from .targets import Targets

__all__ = ["Metrics"]

_NAMESPACE: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Metrics:
    """Counts and times dials, for ``on_report`` of a `Dialer`: ``Dialer(on_report=Metrics())``.

    The metrics are, with their labels:

    * ``aconnect_dial_duration_seconds``, a histogram: ``outcome``, ``error_type``,
      ``network_type`` (of the winner), and with ``targets`` ``server_address``;
    * ``aconnect_dns_lookup_duration_seconds``, a histogram: ``error_type``, and with ``targets``
      ``dns_question_name``;
    * ``aconnect_phase_duration_seconds``, a histogram: ``phase``;
    * ``aconnect_attempts_total``, a counter: ``network_type``, ``outcome``, ``error_type``;
    * ``aconnect_dials_active``, a gauge, once `trace` has been asked for.

    A label that does not apply is empty.

    Args:
        registry: where they are registered.
        namespace: the first word of their names.
        targets: the names of targets, as a mapping from the text of an address, such as
            ``{"db.internal:5432": "db"}``, or a callable that returns one or None.  All others are
            ``_OTHER``.  None for no such labels.
        exemplars: whether a dial within a sampled span of OpenTelemetry is observed with the
            span's ``trace_id`` and ``span_id``.

    Raises:
        ImportError: ``exemplars`` is true, and opentelemetry-api is not installed.
        TypeError: an argument has the wrong type.
        ValueError: the registry has these metrics already, or ``namespace`` cannot begin a name;
            nothing has been registered.

    It may be shared by dialers, event loops and threads, and works in prometheus_client's mode for
    several processes.
    """

    def __init__(
        self,
        registry: CollectorRegistry = REGISTRY,
        namespace: str = "aconnect",
        targets: Targets = None,
        exemplars: bool = False,
    ) -> None:
        if not isinstance(registry, CollectorRegistry):
            raise TypeError(f"registry must be a CollectorRegistry, not {registry!r}")
        if not isinstance(namespace, str):
            raise TypeError(f"namespace must be a str, not {namespace!r}")
        if not _NAMESPACE.fullmatch(namespace):
            raise ValueError(f"namespace must be letters, digits and _, not {namespace!r}")
        if not isinstance(exemplars, bool):
            raise TypeError(f"exemplars must be a bool, not {exemplars!r}")
        self._namer = namer(targets)
        self._exemplar = _exemplars() if exemplars else None
        self._namespace = namespace
        self._registry = registry
        self._registered: list[Any] = []
        self._lock = Lock()
        self._active: Gauge | None = None
        try:
            self._make(targets is not None)
        except ValueError:
            for metric in self._registered:
                registry.unregister(metric)
            raise

    def _make(self, named: bool) -> None:
        of_dial = ("outcome", "error_type", "network_type", *["server_address"] * named)
        of_lookup = ("error_type", *["dns_question_name"] * named)
        of_attempt = ("network_type", "outcome", "error_type")
        self._dials = self._series(
            Histogram, "dial_duration_seconds", "From the call to its end.", of_dial
        )
        self._lookups = self._series(
            Histogram, "dns_lookup_duration_seconds", "Lookups of names.", of_lookup
        )
        self._phases = self._series(
            Histogram, "phase_duration_seconds", "How dials divide into phases.", ("phase",)
        )
        self._attempts = self._series(
            Counter, "attempts", "Attempts to connect to an address.", of_attempt
        )

    def _series(self, kind: Any, name: str, words: str, labels: tuple[str, ...]) -> _Series:
        options: dict[str, Any] = {"buckets": BUCKETS} if kind is Histogram else {}
        return _Series(self._register(kind, name, words, labels, **options))

    def _register(self, kind: Any, name: str, words: str, labels: Any = (), **options: Any) -> Any:
        try:
            metric = kind(
                f"{self._namespace}_{name}", words, labels, registry=self._registry, **options
            )
        except ValueError as error:
            raise ValueError(
                f"the registry has {self._namespace}_{name} already: share one Metrics among "
                "dialers, or give each a namespace or a registry of its own"
            ) from error
        self._registered.append(metric)
        return metric

    def __call__(self, report: Report) -> None:
        """Count a finished dial."""
        found = measure(report.events)
        dial: tuple[str, ...] = (found.outcome, found.error or "", found.network or "")
        if self._namer is not None:
            dial = (*dial, self._namer(found.target))
        if self._exemplar is None:
            self._dials[dial].observe(found.seconds)
        else:
            self._dials[dial].observe(found.seconds, self._exemplar())
        for phase, seconds in found.phases.items():
            self._phases[phase,].observe(seconds)
        for attempt in found.attempts:
            self._attempts[attempt.network or "", attempt.outcome, attempt.error or ""].inc()
        if found.lookups:
            self._count_lookups(found)

    def _count_lookups(self, found: Measures) -> None:
        for each in found.lookups:
            labels: tuple[str, ...] = (each.error or "",)
            if self._namer is not None:
                labels = (*labels, self._namer(each.name))
            self._lookups[labels].observe(each.seconds)

    @property
    def trace(self) -> Callable[[Event], None]:
        """A listener that counts running dials, for ``trace`` of the same `Dialer`."""
        with self._lock:
            if self._active is None:
                words = "Dials that are running."
                mode = {"multiprocess_mode": "livesum"}
                self._active = self._register(Gauge, "dials_active", words, **mode)
        return self._count

    def _count(self, event: Event) -> None:
        assert self._active is not None
        if isinstance(event, DialStarted):
            self._active.inc()
        elif is_last(event):
            self._active.dec()


class _Series(dict[tuple[str, ...], Any]):
    """The series of a metric by their labels: to ask the metric for one takes its lock."""

    def __init__(self, metric: Any) -> None:
        super().__init__()
        self._metric = metric

    def __missing__(self, labels: tuple[str, ...]) -> Any:
        series = self._metric.labels(*labels)
        self[labels] = series
        return series


def _exemplars() -> Callable[[], dict[str, str] | None]:
    """What gives the exemplar of the current span; None if there is none, or it is not sampled."""
    try:
        from opentelemetry.trace import format_span_id, format_trace_id, get_current_span
    except ImportError as error:
        raise ImportError(not_installed("opentelemetry", "otel")) from error

    def exemplar() -> dict[str, str] | None:
        context = get_current_span().get_span_context()
        if not (context.is_valid and context.trace_flags.sampled):
            return None
        return {
            "trace_id": format_trace_id(context.trace_id),
            "span_id": format_span_id(context.span_id),
        }

    return exemplar
