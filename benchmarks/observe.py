"""What it costs to have a dial told of: ``python observe.py [--check]``.

Rules:

* The method is that of `harness.py`, on asyncio, but that the best batch counts, and it is the
  processor time of the process that counts, its other threads included: an exporter works beside
  the dials, and what else the machine does at that moment is nobody's cost here.
* All is compared with a dialer whose listener does nothing: what comes on top is the telemetry's.
* Two spans of the SDK alone are measured too: nobody's telemetry can cost less.
* The SDK of OpenTelemetry exports in batches, from its own thread, into memory: what an exporter
  does on the wire is not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import platform
import sys
from importlib.metadata import version
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any, Final

from contenders import by
from harness import ask, peer, take_turns
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import set_span_in_context
from prometheus_client import CollectorRegistry
from rich import box
from rich.console import Console
from rich.table import Table

from aconnect import Dialer
from aconnect.telemetry.logs import log_dials
from aconnect.telemetry.opentelemetry import Telemetry
from aconnect.telemetry.prometheus import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from aconnect import Report

TURNS: Final = 6  # processes
ROUNDS: Final = 12  # of each contender, in each

SPANS: Final = "two spans, by hand"
NOBODY: Final = "nobody is told"
BARE: Final = "a listener that does nothing"

TARGETS: Final = {
    BARE: (2.0, NOBODY),
    "log_dials, level is off": (1.05, BARE),
    "Telemetry, no SDK": (1.25, BARE),
    "Telemetry, not sampled": (1.25, BARE),
    "Telemetry, spans": (2.4, BARE),
    "Metrics": (1.3, BARE),
}
"""How many times as long as another it may take at the most."""


class Forgets(SpanExporter):
    """An exporter that costs nothing."""

    def export(self, spans: Any) -> SpanExportResult:  # noqa: ARG002
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


def traced(*processors: SpanProcessor, **options: Any) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False, **options)
    for processor in processors:
        provider.add_span_processor(processor)
    return provider


def nothing(_: Report) -> None:
    pass


def spans_by_hand(provider: TracerProvider) -> Callable[[Report], object]:
    """What a listener costs that makes the two spans of a plain dial, and knows all about it."""
    tracer = provider.get_tracer("by hand")
    peer = {"network.peer.address": "127.0.0.1", "network.peer.port": 1, "network.type": "ipv4"}
    of_dial = {"server.address": "127.0.0.1", "server.port": 1, "aconnect.outcome": "connected"}
    of_attempt = {"aconnect.outcome": "connected", "aconnect.won": True, "aconnect.place": 0}

    def make(_: Report) -> None:
        span = tracer.start_span("connect 127.0.0.1:1", start_time=1)
        span.set_attributes(of_dial | peer)
        context = set_span_in_context(span, Context())
        child = tracer.start_span(
            "socket connect 127.0.0.1:1", context, attributes=peer | of_attempt, start_time=2
        )
        child.end(3)
        span.end(4)

    return make


def contenders() -> dict[str, Callable[[Report], object] | None]:
    quiet, loud = logging.Logger("quiet", logging.ERROR), logging.Logger("loud", logging.DEBUG)
    loud.addHandler(logging.NullHandler())
    sdk = traced(BatchSpanProcessor(Forgets()))
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    return {
        NOBODY: None,
        BARE: nothing,
        "log_dials, level is off": log_dials(quiet),
        "log_dials": log_dials(loud),
        "Telemetry, no SDK": Telemetry(),
        "Telemetry, not sampled": Telemetry(traced(sampler=ALWAYS_OFF)),
        SPANS: spans_by_hand(sdk),
        "Telemetry, spans": Telemetry(sdk),
        "Telemetry, spans='dial'": Telemetry(sdk, spans="dial"),
        "Telemetry, metrics": Telemetry(None, meters, spans=None),
        "Metrics": Metrics(CollectorRegistry()),
    }


async def rounds(port: int) -> dict[str, list[float]]:
    """Microseconds for a dial, of each contender, batch by batch."""
    dials = {name: by(Dialer(on_report=listens)) for name, listens in contenders().items()}
    about = {"": ("127.0.0.1", port)}
    found = await take_turns(dials, about, ROUNDS, lambda: asyncio.sleep(0), process_time)
    return {name: [took * 1e6 for took in seconds] for name, seconds in found.items()}


def measure() -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    with peer() as port:
        for _ in range(TURNS):
            for name, took in ask(__file__, "--work", str(port)).items():
                found.setdefault(name, []).extend(took)
    return found


def report(found: dict[str, list[float]]) -> bool:
    """Print the table, and return whether every target is met."""
    best = {name: min(times) for name, times in found.items()}
    met: list[bool] = []
    table = Table(title="One dial on loopback that is told of", box=box.SIMPLE_HEAD)
    table.add_column("", min_width=28)
    for column in ("best µs", "median µs", "× nobody", "× bare"):
        table.add_column(column, justify="right")
    table.add_column("target")
    table.add_column("")
    for name in contenders():
        verdict: tuple[str, ...] = ()
        if name in TARGETS:
            factor, of = TARGETS[name]
            met.append(best[name] / best[of] <= factor)
            sign = f"≤ {factor} × {'nobody' if of == NOBODY else 'bare'}"
            verdict = sign, "[green]met[/]" if met[-1] else "[red]missed[/]"
        table.add_row(
            name,
            f"{best[name]:.1f}",
            f"{median(found[name]):.1f}",
            f"{best[name] / best[NOBODY]:.2f}",
            f"{best[name] / best[BARE]:.2f}",
            *verdict,
        )
    Console(width=118).print(table)
    packages = ("aconnect-io", "opentelemetry-sdk", "prometheus-client")
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    print(f"{platform.python_implementation()} {platform.python_version()}, {versions}")
    print(f"{sum(met)} of {len(met)} targets are met.")
    return all(met)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what telemetry costs.")
    parser.add_argument("--check", action="store_true", help="fail if a target is missed")
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        print(json.dumps(asyncio.run(rounds(arguments.work))))
    elif not report(measure()) and arguments.check:
        sys.exit(1)


if __name__ == "__main__":
    main()
