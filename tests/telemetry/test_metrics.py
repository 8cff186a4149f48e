"""The metrics of section 3, and M1 to M3: of the real SDK, and as prometheus_client shows them."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import threading
import tomllib
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from opentelemetry.sdk.metrics import Meter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_parsed
from prometheus_client.parser import text_string_to_metric_families as parsed
from support import dials
from support.dials import T, inet, inet6, report_of, unix
from support.listeners import listening, refusing

import aconnect
from aconnect import ConnectError, Dialer, Report, StaticResolver
from aconnect.explanations.errnos import ERRNOS
from aconnect.explanations.explain import BY_CODE, BY_ERRNO
from aconnect.report.story import read
from aconnect.telemetry.conventions import ERROR_TYPES, OTHER
from aconnect.telemetry.measures import BUCKETS, measure
from aconnect.telemetry.opentelemetry import Telemetry
from aconnect.telemetry.prometheus import Metrics
from aconnect.trace import (
    AttemptEnded,
    AttemptStarted,
    DialCancelled,
    DialConnected,
    DialFailed,
    DialStarted,
    HandshakeEnded,
    HandshakeStarted,
    ResolutionEnded,
    ResolutionStarted,
    each,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    Points = dict[str, dict[frozenset[tuple[str, Any]], Any]]

ENDED = [name for name in dials.DIALS if name != "still running"]


def by_otel(targets: Any = None) -> tuple[Telemetry, Callable[[], Points]]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    telemetry = Telemetry(None, provider, spans=None, targets=targets)

    def points() -> Points:
        data = reader.get_metrics_data()
        if data is None:
            return {}
        [scope] = data.resource_metrics[0].scope_metrics
        assert scope.scope.name == "aconnect"
        return {
            metric.name: {
                frozenset(point.attributes.items()): point for point in metric.data.data_points
            }
            for metric in scope.metrics
        }

    return telemetry, points


@pytest.mark.parametrize("name", ENDED)
class TestEachDial:
    def test_the_quick_way_to_measure_is_the_other_too(self, name: str) -> None:
        report = dials.report(name)
        found, story = measure(report.events), read(report.events, 0.0)
        assert found.target == report.address
        assert found.seconds == pytest.approx(report.elapsed)
        assert found.outcome == report.outcome.replace(" ", "_")
        there = {phase for phase, took in report.phase_seconds.items() if took}
        assert there <= set(found.phases)
        assert sum(found.phases.values()) == pytest.approx(sum(story.phase_seconds().values()))
        assert [each.outcome for each in found.attempts] == [
            each.outcome.replace(" ", "_") for each in report.attempts
        ]
        assert [each.name for each in found.lookups] == [
            each.address for each in report.resolutions
        ]

    def test_of_opentelemetry(self, name: str) -> None:
        report = dials.report(name)
        telemetry, points = by_otel()
        telemetry(report)
        found = points()
        [(attributes, point)] = found["aconnect.dial.duration"].items()
        assert point.count == 1
        assert point.sum == pytest.approx(report.elapsed)
        assert tuple(point.explicit_bounds) == BUCKETS
        assert ("aconnect.outcome", report.outcome.replace(" ", "_")) in attributes
        assert ("error.type" in dict(attributes)) is (report.outcome in ("failed", "timed out"))
        winner = report.winner
        assert ("network.type" in dict(attributes)) is (winner is not None)
        lookups = found.get("dns.lookup.duration", {})
        assert sum(each.count for each in lookups.values()) == len(report.resolutions)
        attempts = found.get("aconnect.attempts", {})
        assert sum(each.value for each in attempts.values()) == len(report.attempts)
        phases = {
            dict(key)["aconnect.phase"]: each.sum
            for key, each in found.get("aconnect.phase.duration", {}).items()
        }
        assert {phase: took for phase, took in phases.items() if took} == pytest.approx(
            {phase: took for phase, took in report.phase_seconds.items() if took}
        )

    def test_of_prometheus(self, name: str) -> None:
        report, registry = dials.report(name), CollectorRegistry()
        Metrics(registry)(report)
        found = {each.name: each for each in registry.collect()}
        assert set(found) == {
            *("aconnect_dial_duration_seconds", "aconnect_dns_lookup_duration_seconds"),
            *("aconnect_phase_duration_seconds", "aconnect_attempts"),
        }
        [took] = [
            each
            for each in found["aconnect_dial_duration_seconds"].samples
            if each.name.endswith("_sum")
        ]
        assert took.value == pytest.approx(report.elapsed)
        assert took.labels["outcome"] == report.outcome.replace(" ", "_")
        counted = [
            each for each in found["aconnect_attempts"].samples if each.name.endswith("_total")
        ]
        assert sum(each.value for each in counted) == len(report.attempts)


@pytest.mark.parametrize(
    ("name", "phases"),
    [
        ("one address, at once", {"connect"}),
        ("no such name", {"resolve"}),
        ("all fail", {"resolve", "connect"}),
        ("the first handshake fails", {"resolve", "connect", "handshake"}),
    ],
)
def test_phases_are_those_that_there_were(name: str, phases: set[str]) -> None:
    """However short: but what there was not has no time, and is not counted."""
    assert set(measure(dials.report(name).events).phases) == phases


def test_bounds_are_those_that_the_conventions_advise() -> None:
    advised = "0.005 0.01 0.025 0.05 0.075 0.1 0.25 0.5 0.75 1 2.5 5 7.5 10"
    assert tuple(map(float, advised.split())) == BUCKETS


def test_the_network_of_a_dial_is_that_of_the_winner() -> None:
    registry, (telemetry, points) = CollectorRegistry(), by_otel()
    for listener in (Metrics(registry), telemetry):
        listener(dials.report("IPv6 is silent, IPv4 wins"))
    [found] = map(dict, points()["aconnect.dial.duration"])
    assert found["network.type"] == "ipv4"
    [labels] = prometheus_labels(registry, "aconnect_dial_duration_seconds_count")
    assert labels["network_type"] == "ipv4"


@pytest.mark.parametrize(
    "last", [DialConnected(T, 0), DialFailed(T, "failed", 111, "connect"), DialCancelled(T)]
)
def test_a_dial_that_is_over_is_not_active(last: Any) -> None:
    registry, (telemetry, points) = CollectorRegistry(), by_otel()
    trace = each(telemetry.trace, Metrics(registry).trace)
    for event in (DialStarted(T, "a:1"), DialStarted(T, "b:1"), last):
        trace(event)
    [point] = points()["aconnect.dials.active"].values()
    assert point.value == registry.get_sample_value("aconnect_dials_active") == 1


def test_m1_these_are_all_attributes() -> None:
    """Whatever dials come to: no peer, no port, no number of an attempt, no word of anybody's."""
    targets = {dials.NAME: "the example"}
    registry, (telemetry, points) = CollectorRegistry(), by_otel(targets)
    metrics = Metrics(registry, targets=targets)
    for name in ENDED:
        for listener in (metrics, telemetry):
            listener(dials.report(name))
    found = {
        name: {attribute for key in series for attribute in dict(key)}
        for name, series in points().items()
    }
    assert found == {
        "aconnect.dial.duration": {
            *("aconnect.outcome", "error.type", "network.type", "server.address")
        },
        "dns.lookup.duration": {"dns.question.name", "error.type"},
        "aconnect.phase.duration": {"aconnect.phase"},
        "aconnect.attempts": {"aconnect.outcome", "error.type", "network.type"},
    }
    page = (Path(__file__).parents[2] / "docs" / "reference" / "telemetry.md").read_text()
    for name, attributes in found.items():
        [row] = re.findall(rf"^\| `{name}` .*$", page, re.MULTILINE)
        assert attributes <= set(re.findall(r"`([\w.]+)`", row))
        end = "attempts_total" if name == "aconnect.attempts" else f"{name}_seconds_count"
        metric = "aconnect_" + end.removeprefix("aconnect.").replace(".", "_")
        labels = {each.removeprefix("aconnect.").replace(".", "_") for each in attributes}
        assert {label for each in prometheus_labels(registry, metric) for label in each} == labels


def test_it_is_glue_and_nothing_instruments_by_itself() -> None:
    for file in (Path(aconnect.__file__).parent / "telemetry").glob("*.py"):
        assert len(file.read_text().splitlines()) <= 250, file
    with (Path(__file__).parents[2] / "pyproject.toml").open("rb") as project:
        assert "entry-points" not in tomllib.load(project)["project"]


def test_m2_how_long_a_connection_lives_is_not_measured() -> None:
    """Nor by an adapter, of which none knows of metrics: who has the connection counts that."""
    package = Path(aconnect.__file__).parent
    library = re.compile(
        r"^\s*(?:from|import) (?:opentelemetry|prometheus_client)\b", re.MULTILINE
    )
    knowing = {
        file.relative_to(package).parts[0]
        for file in package.rglob("*.py")
        if library.search(file.read_text())
    }
    assert knowing == {"telemetry"}
    for file in package.rglob("*.py"):
        assert not re.search(r"http[._]client[._](open_)?connection", file.read_text()), file


class TestOpenTelemetry:
    def test_m3_instruments_are_made_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        telemetry, points = by_otel()

        def never(*_: Any, **options: Any) -> Any:
            raise AssertionError("it has been made")

        for kind in ("histogram", "counter", "up_down_counter"):
            monkeypatch.setattr(Meter, f"create_{kind}", never)
        with pytest.raises(AssertionError, match="been made"):  # or this would prove nothing
            by_otel()
        for name in ("no such name", "all fail"):
            telemetry.trace(DialStarted(T, "a:1"))
            telemetry(dials.report(name))
        assert len(points()) == 5

    def test_attempts_by_what_became_of_them(self) -> None:
        telemetry, points = by_otel()
        telemetry(dials.report("all fail"))
        found = points()["aconnect.attempts"]
        assert {key: each.value for key, each in found.items()} == {
            frozenset(
                {
                    ("network.type", kind),
                    ("aconnect.outcome", outcome),
                    ("error.type", error),
                }
            ): count
            for kind, outcome, error, count in [
                ("ipv6", "failed", "network_unreachable", 1),
                ("ipv4", "failed", "connection_refused", 2),
                ("ipv4", "not_permitted", "not_permitted", 1),
                ("ipv4", "failed", "too_many_open_sockets", 1),
            ]
        }

    def test_m1_the_host_is_that_of_a_lookup_alone(self) -> None:
        telemetry, points = by_otel()
        telemetry(dials.report("no such name"))
        found = points()
        [lookup] = map(dict, found["dns.lookup.duration"])
        assert lookup == {"dns.question.name": "nowhere.invalid", "error.type": "host_not_found"}
        [dial] = map(dict, found["aconnect.dial.duration"])
        assert dial == {"aconnect.outcome": "failed", "error.type": "host_not_found"}

    def test_m1_targets_name_them(self) -> None:
        telemetry, points = by_otel({"example.com:443": "the example"})
        telemetry(dials.report("no such name"))
        telemetry(dials.report("all fail"))
        found = points()
        assert {dict(key)["server.address"] for key in found["aconnect.dial.duration"]} == {
            *("the example", OTHER)
        }
        assert {dict(key)["dns.question.name"] for key in found["dns.lookup.duration"]} == {
            *("the example", OTHER)
        }

    def test_a_lookup_that_asked_nobody_is_none(self) -> None:
        telemetry, points = by_otel()
        begun = ResolutionStarted(T, dials.NAME)
        ended = ResolutionEnded(T, "done", 1, address=dials.NAME, remembered=True)
        events = [DialStarted(T, dials.NAME), begun, ended, DialCancelled(T)]
        telemetry(report_of(*events))
        assert "dns.lookup.duration" not in points()


def prometheus_labels(registry: CollectorRegistry, metric: str) -> list[dict[str, str]]:
    return [
        {key: value for key, value in sample.labels.items() if key != "le"}
        for family in registry.collect()
        for sample in family.samples
        if sample.name == metric
    ]


class TestPrometheus:
    def test_m1_nothing_is_named_without_targets(self) -> None:
        registry = CollectorRegistry()
        Metrics(registry)(dials.report("no such name"))
        [dial] = prometheus_labels(registry, "aconnect_dial_duration_seconds_count")
        assert dial == {"outcome": "failed", "error_type": "host_not_found", "network_type": ""}
        [lookup] = prometheus_labels(registry, "aconnect_dns_lookup_duration_seconds_count")
        assert lookup == {"error_type": "host_not_found"}

    def test_m1_targets_name_them(self) -> None:
        registry = CollectorRegistry()
        metrics = Metrics(registry, targets={"example.com:443": "the example"})
        metrics(dials.report("no such name"))
        metrics(dials.report("all fail"))
        for metric, label in (("dial", "server_address"), ("dns_lookup", "dns_question_name")):
            found = prometheus_labels(registry, f"aconnect_{metric}_duration_seconds_count")
            assert {each[label] for each in found} == {"the example", OTHER}

    def test_m3_two_on_one_registry(self) -> None:
        registry = CollectorRegistry()
        Metrics(registry)
        with pytest.raises(ValueError, match="share one Metrics among dialers, or give each a na"):
            Metrics(registry)
        Metrics(registry, namespace="mine")(dials.report("all fail"))

    def test_m3_nothing_is_registered_where_one_is_there(self) -> None:
        from prometheus_client import Counter

        registry = CollectorRegistry()
        theirs = Counter("aconnect_attempts", "of somebody else", registry=registry)
        with pytest.raises(ValueError, match="the registry has aconnect_attempts already"):
            Metrics(registry)
        assert [each.name for each in registry.collect()] == ["aconnect_attempts"]
        registry.unregister(theirs)
        Metrics(registry)

    def test_m3_a_gauge_that_is_there_leaves_the_others(self) -> None:
        from prometheus_client import Gauge

        registry = CollectorRegistry()
        Gauge("aconnect_dials_active", "of somebody else", registry=registry)
        metrics = Metrics(registry)
        with pytest.raises(ValueError, match="the registry has aconnect_dials_active already"):
            _ = metrics.trace
        metrics(dials.report("all fail"))
        assert prometheus_labels(registry, "aconnect_dial_duration_seconds_count")

    def test_m3_several_threads(self) -> None:
        registry = CollectorRegistry()
        metrics = Metrics(registry)

        def count() -> None:
            for _ in range(50):
                metrics.trace(DialStarted(T, "a:1"))
                metrics(dials.report("one address, at once"))

        threads = [threading.Thread(target=count) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert registry.get_sample_value("aconnect_dials_active") == 400
        of_dial = {"outcome": "connected", "error_type": "", "network_type": "ipv4"}
        name = "aconnect_dial_duration_seconds_count"
        assert registry.get_sample_value(name, of_dial) == 400

    def test_m3_several_processes(self, tmp_path: Any) -> None:
        support = str(dials.__file__).rpartition("/support")[0]
        code = f"""
import os, sys; sys.path.insert(0, {support!r})
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
from support import dials
from aconnect.telemetry.prometheus import Metrics
metrics = Metrics()
metrics(dials.report("one address, at once"))
for _ in range(2):
    if os.fork() == 0:
        metrics.trace(dials.DialStarted(1.0, "a:1"))
        metrics(dials.report("one address, at once"))
        os._exit(0)
    os.wait()
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
of_dial = {{"outcome": "connected", "error_type": "", "network_type": "ipv4"}}
print(registry.get_sample_value("aconnect_dial_duration_seconds_count", of_dial))
print(registry.get_sample_value("aconnect_dials_active"))
"""
        answer = subprocess.run(
            [sys.executable, "-c", code],
            env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        assert answer.stdout == "3.0\n2.0\n"

    @pytest.mark.parametrize(
        ("argument", "given"),
        [("registry", None), ("registry", "default"), ("namespace", b"x"), ("exemplars", 1)],
    )
    def test_another_type(self, argument: str, given: Any) -> None:
        arguments: dict[str, Any] = {"registry": CollectorRegistry(), argument: given}
        with pytest.raises(TypeError, match=rf"^{argument} must be a .*, not "):
            Metrics(**arguments)

    @pytest.mark.parametrize("namespace", ["", "a-b", "1a", "a b", "ä"])
    def test_a_namespace_that_begins_no_name(self, namespace: str) -> None:
        with pytest.raises(ValueError, match=r"^namespace must be letters, digits and _, not "):
            Metrics(CollectorRegistry(), namespace)

    def test_exemplars_need_the_other_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
        with pytest.raises(ImportError, match=r"aconnect-io\[otel\]"):
            Metrics(CollectorRegistry(), exemplars=True)


def scraped(port: int, accept: str) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


class Asked:
    """A resolver that has to be asked."""

    def __init__(self, resolver: StaticResolver) -> None:
        self.resolve = resolver.resolve


@pytest.mark.anyio
async def test_as_it_is_scraped(anyio_backend: Any) -> None:
    """By prometheus_client's own server, in both of its formats, parsed back."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, exemplars=True)
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("the program")
    off = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False).get_tracer("the program")
    seen: list[float | None] = []
    dialer = Dialer(
        on_report=metrics,
        trace=each(
            metrics.trace,
            lambda _: seen.append(registry.get_sample_value("aconnect_dials_active")),
        ),
        resolver=Asked(StaticResolver({"db.example": ["127.0.0.1"]})),
    )
    with listening() as listener, refusing() as refused:
        port = listener.getsockname()[1]
        with tracer.start_as_current_span("request") as span:
            (await dialer.connect(f"db.example:{port}")).close()
        with off.start_as_current_span("another"), pytest.raises(ConnectError):
            await dialer.connect(refused)
    assert set(seen) == {0.0, 1.0}
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        formats = ("text/plain", "application/openmetrics-text; version=1.0.0")
        classic, modern = [
            await anyio.to_thread.run_sync(scraped, server.server_port, accept)
            for accept in formats
        ]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    for text, parse in ((classic, parsed), (modern, open_parsed)):
        families = {family.name: family for family in parse(text)}
        samples = {
            (sample.name, *sorted(sample.labels.items())): sample
            for family in families.values()
            for sample in family.samples
        }

        def value(name: str, samples: Any = samples, **labels: str) -> float:
            return float(samples[name, *sorted(labels.items())].value)

        count = "aconnect_dial_duration_seconds_count"
        assert value(count, outcome="connected", error_type="", network_type="ipv4") == 1
        why = "connection_refused"
        assert value(count, outcome="failed", error_type=why, network_type="") == 1
        assert value("aconnect_dns_lookup_duration_seconds_count", error_type="") == 1
        assert value("aconnect_phase_duration_seconds_count", phase="connect") == 2
        attempts = "aconnect_attempts_total"
        assert value(attempts, network_type="ipv4", outcome="connected", error_type="") == 1
        assert value(attempts, network_type="ipv4", outcome="failed", error_type=why) == 1
        assert value("aconnect_dials_active") == 0
        bounds = {
            float(dict(key[1:])["le"])
            for key in samples
            if key[0] == "aconnect_phase_duration_seconds_bucket"
        }
        assert bounds == {*BUCKETS, float("inf")}
    exemplars = [
        sample.exemplar.labels
        for family in open_parsed(modern)
        for sample in family.samples
        if sample.exemplar
    ]
    context = span.get_span_context()
    assert exemplars == [
        {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
    ]


@pytest.mark.anyio
async def test_dials_that_run_by_opentelemetry(anyio_backend: Any) -> None:
    telemetry, points = by_otel()
    running: list[Any] = []

    def hook(sock: socket.socket, endpoint: Any) -> None:
        [point] = points()["aconnect.dials.active"].values()
        running.append(point.value)

    dialer = Dialer(on_report=telemetry, trace=telemetry.trace, on_socket=hook)
    with listening() as listener:
        (await dialer.connect(listener.getsockname())).close()
    [point] = points()["aconnect.dials.active"].values()
    assert [*running, point.value] == [1, 0]
    assert dict(point.attributes) == {}


# M1


CODES = sorted({*BY_ERRNO, *BY_CODE, 0, 77777, *range(1, 134)})


def random_report(dice: random.Random) -> Report:
    """A dial to anywhere, by five names and five addresses, that comes to anything."""
    what = f"a peer's words {dice.random()}"
    events: list[Any] = [DialStarted(T, f"host{dice.random()}.example:{dice.randrange(1, 65536)}")]
    for _ in range(5):
        host = dice.choice([dice.random(), dice.randrange(150)])  # asked about again, or not
        name = f"host{host}.example:{dice.randrange(1, 65536)}"
        events.append(ResolutionStarted(T, name))
        outcome: Any = dice.choice(["done", "failed", "timed out", "cancelled"])
        events.append(ResolutionEnded(T, outcome, 0, dice.choice(CODES), what, name))
    for number in range(5):
        code = dice.choice(CODES)
        endpoint = dice.choice(
            [inet(dice.randrange(1, 255)), inet6(dice.randrange(1, 9999)), unix("/x")]
        )
        outcome = dice.choice(["connected", "failed", "timed out", "cancelled", "not permitted"])
        events.append(AttemptStarted(T, number, endpoint))
        events.append(AttemptEnded(T, number, outcome, code, note=what))
        if outcome == "connected" and dice.random() < 0.5:
            kind, phase = dice.choice(["TLS", what]), dice.choice(["proxy", "handshake"])
            events.append(HandshakeStarted(T, number, kind, 0, phase, what))
            outcome = dice.choice(["done", "failed", "timed out", "cancelled"])
            events.append(HandshakeEnded(T, number, outcome, what, {what: what}, errno=code))
    phase = dice.choice(["resolve", "connect", "proxy", "handshake"])
    outcome = dice.choice(["failed", "timed out"])
    last = [
        DialConnected(T, 0),
        DialFailed(T, outcome, dice.choice(CODES), phase),
        DialCancelled(T),
    ]
    return report_of(*events, dice.choice(last))


@pytest.mark.slow
def test_m1_whatever_happens_there_are_at_most_200_series_of_each() -> None:
    dice = random.Random(1)
    registry = CollectorRegistry()
    metrics, (telemetry, points) = Metrics(registry, targets={"a:1": "a"}), by_otel()
    for _ in range(10_000):  # 10^5 names and errors
        report = random_report(dice)
        metrics(report)
        telemetry(report)
    counted = [
        len(prometheus_labels(registry, f"aconnect_{metric}"))
        for metric in (
            "dial_duration_seconds_count",
            "dns_lookup_duration_seconds_count",
            "phase_duration_seconds_count",
            "attempts_total",
        )
    ]
    assert max(counted) <= 200, counted
    found = points()
    names = {dict(key)["dns.question.name"] for key in found["dns.lookup.duration"]}
    assert len(names) == 101
    assert OTHER in names
    counted = [len(series) for series in found.values()]
    assert len(counted) == 4
    assert max(counted) <= 200, counted
    everything = repr([list(each) for each in found.values()]) + repr(
        [prometheus_labels(registry, "aconnect_attempts_total")]
    )
    assert "a peer's words" not in everything
    assert "192.0.2" not in everything
    kinds = {dict(key).get("error.type") for key in found["aconnect.attempts"]}
    ours = {"timed_out", "not_permitted", "tls_error", "proxy_refused", OTHER, None}
    assert kinds <= {*ERROR_TYPES.values()} | ours
    assert len(ERRNOS) < 60  # of which the bound above comes
