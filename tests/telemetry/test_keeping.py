"""What tells of a dial keeps nothing of it, no report and no exception, and tells no secrets."""

from __future__ import annotations

import gc
import json
import logging
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from support import dials
from support.fake_proxy import CLOSE, HEAD, FakeProxy

from aconnect import ConnectError, Dialer, Report
from aconnect.telemetry.logs import log_dials
from aconnect.telemetry.opentelemetry import Telemetry
from aconnect.telemetry.prometheus import Metrics
from aconnect.trace import each

if TYPE_CHECKING:
    from collections.abc import Callable


def logs() -> Any:
    logger = logging.Logger("kept", logging.DEBUG)
    logger.addHandler(logging.NullHandler())
    return log_dials(logger)


def telemetry() -> Any:
    spans = TracerProvider(shutdown_on_exit=False)
    return Telemetry(spans, MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False))


def metrics() -> Any:
    return Metrics(CollectorRegistry())


LISTENERS = [logs, telemetry, metrics, lambda: each(logs(), telemetry(), metrics())]


@pytest.mark.parametrize("make", LISTENERS, ids=["logs", "telemetry", "metrics", "each"])
@pytest.mark.parametrize("name", ["one address, at once", "the first handshake fails", "all fail"])
def test_nothing_is_kept_of_a_report(make: Callable[[], Any], name: str) -> None:
    listener = make()
    report = dials.report(name)
    kept = weakref.ref(report)
    listener(report)
    del report
    gc.collect()
    assert kept() is None


@pytest.mark.anyio
async def test_no_credentials_are_told(
    anyio_backend: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither those of a proxy's user, nor what a proxy sets a cookie to."""
    answer = b"HTTP/1.1 403 No\r\nSet-Cookie: id=c4n4ry\r\n\r\n"
    registry, report, reader = CollectorRegistry(), Report(), InMemoryMetricReader()
    spans = InMemorySpanExporter()
    traced = TracerProvider(shutdown_on_exit=False)
    traced.add_span_processor(SimpleSpanProcessor(spans))
    measured = MeterProvider([reader], shutdown_on_exit=False)
    together = each(
        *(log_dials(logging.getLogger("told")), Metrics(registry)),
        Telemetry(traced, measured, targets=str),
    )
    with FakeProxy([HEAD, answer, CLOSE]) as proxy:
        dialer = Dialer(proxy=proxy.url("http", "gandalf:c4n4ry@"), on_report=together)
        with pytest.raises(ConnectError) as caught:
            await dialer.connect(("192.0.2.7", 443), timeout=10, report=report)
    [record] = [one for one in caplog.records if one.name == "told"]
    spans_told = [span.to_json() for span in spans.get_finished_spans()]
    told = [
        *(str(report), repr(report), report.to_svg(), report.to_html(), str(caught.value)),
        *(json.dumps(report.to_trace_events()), json.dumps(report.to_dict())),
        *(str(vars(record)), generate_latest(registry).decode()),
        *(" ".join(map(str, spans_told)), str(reader.get_metrics_data())),
    ]
    for words in told:
        assert "192.0.2.7" in words or "aconnect_dial" in words  # or this would prove nothing
        assert "gandalf" not in words
        assert "c4n4ry" not in words
