"""What tells of a dial keeps nothing of it: no report, and no exception."""

from __future__ import annotations

import gc
import logging
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from support import dials

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
