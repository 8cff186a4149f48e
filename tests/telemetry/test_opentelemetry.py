"""T1 to T7: a dial as spans of the real SDK, in memory and on the wire."""

from __future__ import annotations

import errno
import http.server
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from socket import AF_INET, AF_INET6, AF_UNIX, IPPROTO_TCP, IPPROTO_UDP, SOCK_DGRAM, SOCK_STREAM
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from conftest import ASYNCIO_LOOPS
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler, SamplingResult
from opentelemetry.trace import NoOpTracerProvider, SpanKind, StatusCode
from support import dials
from support.dials import T, inet, inet6, report_of
from support.fake_proxy import HOLD, FakeProxy
from support.listeners import listening, refusing
from support.tls import NAME, Certificates, serving

from aconnect import (
    ConnectError,
    Dialer,
    Report,
    StaticResolver,
    open_connection,
)
from aconnect.addresses.text import format_sockaddr
from aconnect.addresses.values import Endpoint
from aconnect.telemetry.measures import BUCKETS
from aconnect.telemetry.opentelemetry import Telemetry
from aconnect.telemetry.plain import plain
from aconnect.trace import (
    AttemptEnded,
    AttemptStarted,
    DialCancelled,
    DialConnected,
    DialFailed,
    DialStarted,
    Event,
    HandshakeEnded,
    HandshakeStarted,
    ResolutionBatch,
    ResolutionEnded,
    ResolutionStarted,
    SocketClosed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

ENDED = [name for name in dials.DIALS if name != "still running"]
FAILED = {"failed", "timed_out", "not_permitted"}


class Recorded:
    """A provider, and the spans that it has got."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False, **options)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("the program")

    @property
    def spans(self) -> list[ReadableSpan]:
        """In the order of their start."""
        return sorted(self.exporter.get_finished_spans(), key=lambda each: each.start_time or 0)

    def named(self, beginning: str) -> list[ReadableSpan]:
        return [each for each in self.spans if each.name.startswith(beginning)]

    def root(self) -> ReadableSpan:
        [root] = self.named("connect ")
        return root


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def spans_of(report: Report, **options: Any) -> Recorded:
    recorded = Recorded()
    Telemetry(recorded.provider, **options)(report)
    return recorded


@pytest.mark.parametrize("name", ENDED)
class TestEachDial:
    def test_t1_a_span_and_children_that_are_siblings(self, name: str) -> None:
        report = dials.report(name)
        recorded = spans_of(report)
        root = recorded.root()
        assert {each.kind for each in recorded.spans} == {SpanKind.INTERNAL}
        children = [each for each in recorded.spans if each is not root]
        assert root.parent is None
        assert root.context is not None
        assert {each.parent and each.parent.span_id for each in children} == {root.context.span_id}
        shakes = [shake for each in report.attempts for shake in each.handshakes]
        assert len(recorded.named("DNS lookup ")) == len(report.resolutions)
        assert len(recorded.named("socket connect ")) == len(report.attempts)
        assert len(children) == len(report.resolutions) + len(report.attempts) + len(shakes)

    def test_t2_times_are_those_of_the_events(self, name: str) -> None:
        before = time.time_ns() - time.monotonic_ns()
        recorded = spans_of(dials.report(name))
        after = time.time_ns() - time.monotonic_ns()
        root, report = recorded.root(), dials.report(name)
        assert root.start_time is not None
        assert root.end_time is not None
        assert before - 1e6 <= root.start_time - T * 1e9 <= after + 1e6
        assert root.end_time - root.start_time == pytest.approx(report.elapsed * 1e9, abs=2)
        shakes = [shake for each in report.attempts for shake in each.handshakes]
        expected: dict[str, list[tuple[float, float | None]]] = {
            "DNS lookup ": [(each.start, each.end) for each in report.resolutions],
            "socket connect ": [(each.start, each.connect_end) for each in report.attempts],
            " handshake": [(each.start, each.end) for each in shakes],
        }
        for kind, times in expected.items():
            found = [
                ((each.start_time or 0) - root.start_time, (each.end_time or 0) - root.start_time)
                for each in recorded.spans
                if kind in each.name
            ]
            wanted = [(start * 1e9, (end or report.elapsed) * 1e9) for start, end in times]
            for one, other in zip(sorted(found), sorted(wanted), strict=True):
                assert one == pytest.approx(other, abs=2)

    def test_t6_errors_are_what_failed_and_nothing_else(self, name: str) -> None:
        for span in spans_of(dials.report(name)).spans:
            assert span.attributes is not None
            outcome = span.attributes["aconnect.outcome"]
            failed = outcome in FAILED
            assert span.status.status_code is (StatusCode.ERROR if failed else StatusCode.UNSET)
            assert ("error.type" in span.attributes) is failed
            assert span.status.description is None
            assert span.events == ()

    def test_spans_may_be_that_of_the_dial_alone_or_none(self, name: str) -> None:
        report = dials.report(name)
        assert [each.name for each in spans_of(report, spans="dial").spans] == [
            spans_of(report).root().name
        ]
        assert spans_of(report, spans=None).spans == []


def test_t1_the_reference_has_every_span_and_attribute() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "telemetry.md").read_text()
    documented = page.partition("### Spans")[2].partition("### Metrics")[0]
    rows = re.findall(r"^\| `(.*?)\{?(?:\w|\.)*\}.* \|$", documented, re.MULTILINE)
    assert rows == ["connect ", "DNS lookup ", "socket connect ", "TLS client handshake ", ""]
    names = set(re.findall(r"`([a-z.]+)`", documented))
    for name in ENDED:
        for span in spans_of(dials.report(name)).spans:
            assert attributes_of(span).keys() <= names


MOMENTS = st.integers(-5, 30).map(lambda tenths: tenths / 10)
NUMBERS = st.integers(0, 2)
ENDPOINTS = st.sampled_from([inet(), inet6(), dials.unix("/run/x")])
OUTCOMES = st.sampled_from(
    ["connected", "failed", "timed out", "made room", "cancelled", "not permitted"]
)
SHAKEN = st.sampled_from(["done", "failed", "timed out", "cancelled"])
ERRNOS = st.sampled_from([None, errno.ECONNREFUSED, errno.EXDEV, socket.EAI_NONAME])
NAMES = st.sampled_from(["a:1", "b:2"])
PHASES: Any = st.sampled_from(["proxy", "handshake"])
MIDDLE = st.one_of(
    st.builds(ResolutionStarted, MOMENTS, NAMES),
    st.builds(ResolutionBatch, MOMENTS, st.tuples(ENDPOINTS), NAMES),
    st.builds(ResolutionEnded, MOMENTS, SHAKEN, st.just(0), ERRNOS, st.just(""), NAMES),
    st.builds(AttemptStarted, MOMENTS, NUMBERS, ENDPOINTS),
    st.builds(AttemptEnded, MOMENTS, NUMBERS, OUTCOMES, ERRNOS),
    st.builds(HandshakeStarted, MOMENTS, NUMBERS, st.sampled_from(["TLS", "x"]), NUMBERS, PHASES),
    st.builds(HandshakeEnded, MOMENTS, NUMBERS, SHAKEN, st.none(), errno=ERRNOS),
    st.builds(SocketClosed, MOMENTS, NUMBERS),
)
LAST = st.one_of(
    st.builds(DialConnected, MOMENTS, NUMBERS),
    st.builds(
        DialFailed,
        MOMENTS,
        st.sampled_from(["failed", "timed out"]),
        ERRNOS,
        st.sampled_from(["resolve", "connect", "proxy", "handshake"]),
    ),
    st.builds(DialCancelled, MOMENTS),
)


@given(st.lists(MIDDLE, max_size=12), LAST, st.booleans())
def test_t2_children_lie_within_their_parent(
    middle: list[Event], last: Event, ordered: bool
) -> None:
    events = [DialStarted(0.0, "a:1"), *middle, last]
    if ordered:
        times = sorted(each.time for each in events)
        events = [each.replace(time=at) for each, at in zip(events, times, strict=True)]
    report = report_of(*events)
    recorded = Recorded()
    Telemetry(recorded.provider)(report)
    root = recorded.root()
    assert root.start_time is not None
    assert root.end_time is not None
    assert root.start_time <= root.end_time
    for each in recorded.spans:
        assert each.start_time is not None
        assert each.end_time is not None
        assert root.start_time <= each.start_time <= each.end_time <= root.end_time
    whole = (root.end_time - root.start_time) / 1e9
    assert sum(report.phase_seconds.values()) <= whole + 1e-6 or not ordered


def test_t2_no_step_of_the_clock_tears_a_dial_apart(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaps = count(time.time_ns(), 3600 * 10**9)  # an hour at each look
    clock = SimpleNamespace(time_ns=lambda: next(leaps), monotonic_ns=time.monotonic_ns)
    monkeypatch.setattr("aconnect.telemetry.opentelemetry.time", clock)
    report = dials.report("all fail")
    Telemetry(recorded.provider)(report)
    times = [at or 0 for each in recorded.spans for at in (each.start_time, each.end_time)]
    assert max(times) - min(times) == pytest.approx(report.elapsed * 1e9, abs=2)


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


AT_ONCE = {
    "IPv4": inet(),
    "IPv6": inet6(),
    "IPv6 with a zone": Endpoint(AF_INET6, SOCK_STREAM, IPPROTO_TCP, ("fe80::1", 443, 0, 1)),
    "UDP": Endpoint(AF_INET, SOCK_DGRAM, IPPROTO_UDP, ("192.0.2.1", 53)),
    "unix": Endpoint(AF_UNIX, SOCK_STREAM, 0, "/run/db.sock"),
}


@pytest.mark.parametrize("kind", AT_ONCE)
@pytest.mark.parametrize("spans", ["attempts", "dial"])
def test_the_plainest_dials_have_the_spans_of_all_others(
    monkeypatch: pytest.MonkeyPatch, kind: str, spans: Any
) -> None:
    endpoint = AT_ONCE[kind]
    report = report_of(
        DialStarted(T, format_sockaddr(endpoint.family, endpoint.sockaddr)),
        AttemptStarted(T + 0.001, 0, endpoint),
        AttemptEnded(T + 0.02, 0, "connected"),
        DialConnected(T + 0.021, 0),
    )
    assert plain(report.events) is not None

    def told() -> list[Any]:
        kept = Recorded()
        Telemetry(kept.provider, spans=spans)(report)
        return [
            (
                each.name,
                each.parent is None,
                dict(each.attributes or {}),
                each.status.status_code,
                (each.start_time or 0) - (kept.spans[0].start_time or 0),
                (each.end_time or 0) - (each.start_time or 0),
            )
            for each in kept.spans
        ]

    quick = told()
    monkeypatch.setattr("aconnect.telemetry.opentelemetry.plain", lambda _: None)
    assert quick == told()
    assert len(quick) == (2 if spans == "attempts" else 1)


@pytest.mark.parametrize(
    "events",
    [
        [DialStarted(T, "h:1", via=("http://proxy:1",))],
        [AttemptStarted(T, 1, inet(), target=inet(2))],
        [AttemptEnded(T, 0, "failed")],
        [DialConnected(T, 1)],
        [DialCancelled(T)],
        [DialConnected(T, 0), SocketClosed(T, 0)],
    ],
    ids=lambda events: "-".join(type(each).__name__ for each in events),
)
def test_what_is_not_plain(events: list[Event]) -> None:
    known = [
        DialStarted(T, "h:1"),
        AttemptStarted(T, 0, inet()),
        AttemptEnded(T, 0, "connected"),
        DialConnected(T, 0),
    ]
    assert plain(tuple(known)) is not None
    kinds = [type(each) for each in known]
    for each in events:
        at = kinds.index(type(each)) if type(each) in kinds else len(known)
        known[at : at + 1] = [each]
    assert plain(tuple(known)) is None


class TestT5:
    def test_the_place_is_that_of_the_address(self) -> None:
        """And not the number of the attempt, which goes by when it began."""
        begun = AttemptStarted(T, 0, inet(), place=2, known=3)
        report = report_of(DialStarted(T, "a:1"), begun, DialFailed(T, "failed", 111, "connect"))
        [attempt] = spans_of(report).named("socket connect ")
        assert attributes_of(attempt)["aconnect.place"] == 2

    def test_a_race(self) -> None:
        recorded = spans_of(dials.report("IPv6 is silent, IPv4 wins"))
        assert recorded.root().name == "connect example.com:443"
        assert attributes_of(recorded.root()) == {
            "server.address": "example.com",
            "server.port": 443,
            "network.peer.address": "192.0.2.1",
            "network.peer.port": 443,
            "network.type": "ipv4",
            "aconnect.outcome": "connected",
        }
        [lookup] = recorded.named("DNS lookup ")
        assert lookup.name == "DNS lookup example.com"
        assert attributes_of(lookup) == {
            "dns.question.name": "example.com",
            "dns.answers": ("2001:db8::1", "192.0.2.1"),
            "aconnect.outcome": "done",
        }
        loser, winner = recorded.named("socket connect ")
        assert loser.name == "socket connect 2001:db8::1:443"
        assert attributes_of(loser) == {
            "network.peer.address": "2001:db8::1",
            "network.peer.port": 443,
            "network.type": "ipv6",
            "aconnect.outcome": "cancelled",
            "aconnect.won": False,
            "aconnect.place": 0,
        }
        assert attributes_of(winner)["aconnect.won"] is True
        assert attributes_of(winner)["aconnect.place"] == 1

    def test_answers_are_so_many_and_no_more(self) -> None:
        endpoints = tuple(map(inet, range(40)))
        report = report_of(*dials.resolved(*endpoints), DialCancelled(T + 1))
        [lookup] = spans_of(report).named("DNS lookup ")
        assert len(attributes_of(lookup)["dns.answers"]) == 16

    def test_what_is_remembered(self) -> None:
        ended = ResolutionEnded(T, "done", 1, address=dials.NAME, remembered=True)
        begun = ResolutionStarted(T, dials.NAME)
        events = [DialStarted(T, dials.NAME), begun, ended, DialCancelled(T)]
        [lookup] = spans_of(report_of(*events)).named("DNS lookup ")
        assert attributes_of(lookup)["aconnect.remembered"] is True

    def test_of_a_unix_socket_the_path_and_no_port(self) -> None:
        recorded = spans_of(dials.report("a full backlog"))
        assert recorded.root().name == "connect /run/server"
        assert attributes_of(recorded.root()) == {
            "server.address": "/run/server",
            "aconnect.outcome": "timed_out",
            "error.type": "timed_out",
        }
        [attempt] = recorded.named("socket connect /run/server")
        assert attributes_of(attempt) == {
            "network.peer.address": "/run/server",
            "network.transport": "unix",
            "aconnect.outcome": "timed_out",
            "aconnect.won": False,
            "aconnect.place": 0,
            "error.type": "timed_out",
        }

    def test_tls(self) -> None:
        details = {"version": "TLSv1.3", "cipher": "C", "ALPN": "h2", "session": "resumed"}
        report = report_of(
            DialStarted(T, "example.com:443"),
            AttemptStarted(T, 0, inet()),
            AttemptEnded(T, 0, "connected"),
            HandshakeStarted(T, 0, "TLS"),
            HandshakeEnded(T, 0, "done", details=details),
            DialConnected(T, 0),
        )
        [shake] = spans_of(report).named("TLS client handshake example.com")
        tls = {key: value for key, value in attributes_of(shake).items() if key[:4] == "tls."}
        assert tls == {
            "tls.protocol.name": "tls",
            "tls.protocol.version": "1.3",
            "tls.cipher": "C",
            "tls.next_protocol": "h2",
            "tls.resumed": True,
        }

    def test_tls_that_failed_says_nothing_of_what_was_not_agreed(self) -> None:
        [first, _] = spans_of(dials.report("the first handshake fails")).named("TLS client ")
        attributes = attributes_of(first)
        assert not [key for key in attributes if key.startswith("tls.")]
        assert attributes["error.type"] == "tls_error"  # it is no certificate's words
        assert attributes["aconnect.outcome"] == "failed"

    def test_messages_are_nowhere(self) -> None:
        secret = "a peer's own words"
        report = report_of(
            DialStarted(T, "example.com:443"),
            ResolutionStarted(T, dials.NAME),
            ResolutionEnded(T, "failed", 0, socket.EAI_FAIL, secret),
            AttemptStarted(T, 0, inet()),
            AttemptEnded(T, 0, "connected", note=secret),
            HandshakeStarted(T, 0, "TLS"),
            HandshakeEnded(T, 0, "failed", secret, {"subject": secret}, errno=errno.EPROTO),
            DialFailed(T, "failed", errno.EPROTO, "handshake"),
        )
        assert secret not in "".join(each.to_json() for each in spans_of(report).spans)


@pytest.mark.anyio
class TestRealDials:
    async def test_proxies_and_no_credentials(
        self, anyio_backend: Any, recorded: Recorded
    ) -> None:
        reply = b"\x05\x00\x00\x01\0\0\0\0\0\0"
        with FakeProxy([4, b"\x05\x02", 16, b"\x01\x00", 10, reply, HOLD]) as proxy:
            telemetry = Telemetry(recorded.provider)
            dialer = Dialer(proxy=proxy.url("socks5h", "gandalf:mellon1@"), on_report=telemetry)
            (await dialer.connect(("192.0.2.7", 443), timeout=10)).close()
            where = f"socks5h://***@127.0.0.1:{proxy.port}"
        assert recorded.root().name == "connect 192.0.2.7:443"
        root = attributes_of(recorded.root())
        assert root["server.address"] == "192.0.2.7"
        assert root["network.peer.port"] == proxy.port
        assert root["aconnect.proxy"] == (where,)
        [attempt] = recorded.named("socket connect ")
        assert attributes_of(attempt)["aconnect.proxy"] == where
        [shake] = recorded.named("SOCKS5 handshake")
        assert attributes_of(shake)["aconnect.proxy"] == where
        everything = "".join(each.to_json() for each in recorded.spans)
        assert "gandalf" not in everything
        assert "mellon1" not in everything

    async def test_t3_the_parent_is_what_is_current(
        self, anyio_backend: Any, recorded: Recorded
    ) -> None:
        """In two tasks at once."""
        dialer = Dialer(on_report=Telemetry(recorded.provider))
        met = anyio.Event()

        async def work(name: str, address: Any) -> None:
            with recorded.tracer.start_as_current_span(name):
                if name == "two":
                    met.set()
                await met.wait()
                if name == "three":
                    with pytest.raises(ConnectError):
                        await dialer.connect(address)
                else:
                    (await dialer.connect(address)).close()

        with listening() as one, listening() as two, refusing() as three:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(work, "one", one.getsockname())
                tasks.start_soon(work, "three", three)
                tasks.start_soon(work, "two", two.getsockname())
            ports = {"one": one.getsockname()[1], "two": two.getsockname()[1], "three": three[1]}
        for name, port in ports.items():
            [dial] = recorded.named(f"connect 127.0.0.1:{port}")
            [parent] = [each for each in recorded.spans if each.name == name]
            assert dial.parent == parent.context

    async def test_t3_of_a_handshake_and_a_cancellation(
        self, anyio_backend: Any, recorded: Recorded
    ) -> None:
        """A handshake's own spans are beside those of the dial."""
        telemetry = Telemetry(recorded.provider)
        scope = anyio.CancelScope()

        async def hello(sock: socket.socket) -> None:
            with recorded.tracer.start_as_current_span("inside"):
                scope.cancel()
                await anyio.sleep_forever()

        with listening() as listener, recorded.tracer.start_as_current_span("outside") as outside:
            with scope:
                dialer = Dialer(on_report=telemetry)
                await dialer.connect(listener.getsockname(), handshake=hello)
        root = recorded.root()
        assert root.parent == outside.get_span_context()
        [inside] = recorded.named("inside")
        assert inside.parent == outside.get_span_context()
        assert attributes_of(root)["aconnect.outcome"] == "cancelled"
        assert root.status.status_code is StatusCode.UNSET
        [shake] = [each for each in recorded.spans if each.name == "handshake"]
        assert attributes_of(shake)["aconnect.outcome"] == "cancelled"

    async def test_a_link_in_place_of_a_parent(
        self, anyio_backend: Any, recorded: Recorded
    ) -> None:
        dialer = Dialer(on_report=Telemetry(recorded.provider, link=True))
        with listening() as listener, recorded.tracer.start_as_current_span("request"):
            (await dialer.connect(listener.getsockname())).close()
        root = recorded.root()
        assert root.parent is None
        [request] = recorded.named("request")
        assert [link.context for link in request.links] == [root.context]
        [attempt] = recorded.named("socket connect ")
        assert attempt.parent == root.context

    async def test_what_fails_in_it_harms_no_dial(self, anyio_backend: Any) -> None:
        class Broken(SimpleSpanProcessor):
            def on_start(self, span: Any, parent_context: Any = None) -> None:
                raise OSError("the disk is full")

        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(Broken(InMemorySpanExporter()))
        dialer = Dialer(on_report=Telemetry(provider))
        with listening() as listener, pytest.warns(RuntimeWarning, match="the disk is full"):
            (await dialer.connect(listener.getsockname())).close()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS)
async def test_t5_real_tls(anyio_backend: Any, recorded: Recorded) -> None:
    made = Certificates()
    dialer = Dialer(on_report=Telemetry(recorded.provider))
    with serving(made.server()) as server:
        _, writer = await open_connection(
            server.address, ssl=made.client(), server_hostname=NAME, timeout=10, dialer=dialer
        )
        writer.close()
        await writer.wait_closed()
    [shake] = recorded.named("TLS client handshake 127.0.0.1")
    attributes = attributes_of(shake)
    assert attributes["tls.protocol.version"] == "1.3"
    assert attributes["tls.resumed"] is False
    assert attributes["aconnect.outcome"] == "done"


class TestT4:
    """What is not recorded costs next to nothing."""

    @pytest.fixture(autouse=True)
    def nothing_is_worked_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def never(*_: Any) -> Any:
            raise AssertionError("it is not wanted")

        for worked_out in ("read", "plain", "measure"):
            monkeypatch.setattr(f"aconnect.telemetry.opentelemetry.{worked_out}", never)

    @pytest.mark.parametrize(
        "provider",
        [None, NoOpTracerProvider(), TracerProvider(ALWAYS_OFF, shutdown_on_exit=False)],
    )
    @pytest.mark.parametrize("link", [False, True])
    def test_not_recording(self, provider: Any, link: bool) -> None:
        Telemetry(provider, link=link)(dials.report("all fail"))

    def test_the_first_span_is_all_that_is_asked_for(self) -> None:
        asked: list[tuple[Any, ...]] = []

        class Never(Sampler):
            def should_sample(
                self,
                parent_context: Any,
                trace_id: int,
                name: str,
                kind: Any = None,
                attributes: Any = None,
                *more: Any,
                **others: Any,
            ) -> SamplingResult:
                asked.append((name, dict(attributes or {})))
                return ALWAYS_OFF.should_sample(parent_context, trace_id, name)

            def get_description(self) -> str:
                return "never"

        Telemetry(TracerProvider(Never(), shutdown_on_exit=False))(dials.report("all fail"))
        assert asked == [("connect example.com:443", {})]

    def test_recording(self, recorded: Recorded) -> None:
        with pytest.raises(AssertionError, match="not wanted"):  # or these would prove nothing
            Telemetry(recorded.provider)(dials.report("all fail"))


def test_a_parent_that_is_not_sampled_is_followed(recorded: Recorded) -> None:
    off = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False).get_tracer("the program")
    with off.start_as_current_span("request"):
        Telemetry(recorded.provider)(dials.report("all fail"))
    assert recorded.spans == []


def test_a_provider_that_is_set_later(tmp_path: Any) -> None:
    code = f"""
import sys; sys.path.insert(0, {str(dials.__file__).rpartition("/support")[0]!r})
from support import dials
from aconnect.telemetry.opentelemetry import Telemetry
telemetry = Telemetry()
telemetry(dials.report("all fail"))
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider([reader]))
telemetry(dials.report("one address, at once"))
names = [each.name for each in exporter.get_finished_spans()]
found = reader.get_metrics_data().resource_metrics[0].scope_metrics[0]
print(names, found.scope.name, sorted(each.name for each in found.metrics))
"""
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout == (
        "['socket connect 127.0.0.1:80', 'connect 127.0.0.1:80'] aconnect "
        "['aconnect.attempts', 'aconnect.dial.duration', 'aconnect.phase.duration']\n"
    )


def test_the_api_is_enough() -> None:
    code = """
import sys; sys.modules["opentelemetry.sdk"] = None
from aconnect import Report
from aconnect.telemetry.opentelemetry import Telemetry
from aconnect.trace import DialCancelled, DialStarted
report, telemetry = Report(), Telemetry()
for event in (DialStarted(1.0, "a:1"), DialCancelled(2.0)):
    report(event)
    telemetry.trace(event)
telemetry(report)
"""
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")


@contextmanager
def collector() -> Iterator[tuple[int, list[tuple[str, bytes]]]]:
    """Takes what OTLP's exporter posts."""
    posted: list[tuple[str, bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = False
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1], posted
        server.shutdown()
        thread.join()


def value_of(any_value: Any) -> Any:
    return getattr(any_value, any_value.WhichOneof("value"))


@pytest.mark.anyio
async def test_on_the_wire(anyio_backend: Any) -> None:
    """By the SDK's own OTLP exporter, and its batches, to a collector."""
    with collector() as (port, posted):
        provider = TracerProvider(shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"http://127.0.0.1:{port}/v1/traces", timeout=10)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        dialer = Dialer(on_report=Telemetry(provider))
        with listening() as listener, refusing() as refused:
            address = listener.getsockname()
            (await dialer.connect(address)).close()
            with pytest.raises(ConnectError):
                await dialer.connect(refused)
        await anyio.to_thread.run_sync(provider.shutdown)
    assert {path for path, _ in posted} == {"/v1/traces"}
    spans: dict[str, Any] = {}
    for _, body in posted:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                assert scope.scope.name == "aconnect"
                spans |= {each.name: each for each in scope.spans}
    where = f"127.0.0.1:{address[1]}"
    assert set(spans) == {
        *(f"connect {where}", f"socket connect {where}"),
        *(f"connect 127.0.0.1:{refused[1]}", f"socket connect 127.0.0.1:{refused[1]}"),
    }
    dial, attempt = spans[f"connect {where}"], spans[f"socket connect {where}"]
    assert attempt.parent_span_id == dial.span_id
    assert dial.start_time_unix_nano <= attempt.start_time_unix_nano
    assert attempt.end_time_unix_nano <= dial.end_time_unix_nano
    assert abs(dial.start_time_unix_nano - time.time_ns()) < 60e9
    attributes = {each.key: value_of(each.value) for each in dial.attributes}
    assert attributes["server.port"] == address[1]
    failed = spans[f"connect 127.0.0.1:{refused[1]}"]
    assert failed.status.code == 2
    attributes = {each.key: value_of(each.value) for each in failed.attributes}
    assert attributes["error.type"] == "connection_refused"


@pytest.mark.anyio
async def test_metrics_on_the_wire(anyio_backend: Any) -> None:
    """By the SDK's own OTLP exporter to a collector: names, units, kinds and bounds arrive."""
    with collector() as (port, posted):
        exporter = OTLPMetricExporter(f"http://127.0.0.1:{port}/v1/metrics", timeout=10)
        provider = MeterProvider([PeriodicExportingMetricReader(exporter, 1e9)])
        telemetry = Telemetry(None, provider, spans=None)
        known = StaticResolver({"db.example": ["127.0.0.1"]})
        names: Any = SimpleNamespace(resolve=known.resolve)  # has to be asked
        dialer = Dialer(on_report=telemetry, trace=telemetry.trace, resolver=names)
        with listening() as listener, refusing() as refused:
            (await dialer.connect(listener.getsockname())).close()
            (await dialer.connect(f"db.example:{listener.getsockname()[1]}")).close()
            with pytest.raises(ConnectError):
                await dialer.connect(refused)
        await anyio.to_thread.run_sync(provider.shutdown)
    assert {path for path, _ in posted} == {"/v1/metrics"}
    found: dict[str, Any] = {}
    for _, body in posted:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for scope in resource.scope_metrics:
                assert scope.scope.name == "aconnect"
                found |= {each.name: each for each in scope.metrics}
    assert {name: each.unit for name, each in found.items()} == {
        "aconnect.dial.duration": "s",
        "aconnect.phase.duration": "s",
        "aconnect.attempts": "{attempt}",
        "aconnect.dials.active": "{dial}",
        "dns.lookup.duration": "s",
    }
    kept = {name: each.WhichOneof("data") for name, each in found.items()}
    counts = {name: found[name].sum.is_monotonic for name in kept if kept[name] == "sum"}
    assert counts == {"aconnect.attempts": True, "aconnect.dials.active": False}
    for name in found.keys() - counts.keys():
        assert {tuple(each.explicit_bounds) for each in found[name].histogram.data_points} == {
            BUCKETS
        }

    def points(name: str) -> dict[frozenset[tuple[str, Any]], Any]:
        data = getattr(found[name], found[name].WhichOneof("data")).data_points
        return {
            frozenset((each.key, value_of(each.value)) for each in point.attributes): point
            for point in data
        }

    dials = points("aconnect.dial.duration")
    kinds = {dict(each)["aconnect.outcome"]: point for each, point in dials.items()}
    assert {kind: point.count for kind, point in kinds.items()} == {"connected": 2, "failed": 1}
    [failed] = [dict(each) for each in dials if dict(each)["aconnect.outcome"] == "failed"]
    assert failed == {"aconnect.outcome": "failed", "error.type": "connection_refused"}
    [lookup] = points("dns.lookup.duration")
    assert dict(lookup) == {"dns.question.name": "db.example"}
    [(_, active)] = points("aconnect.dials.active").items()
    assert active.as_int == 0
    assert sum(point.as_int for point in points("aconnect.attempts").values()) == 3


class TestArguments:
    @pytest.mark.parametrize("name", ["tracer_provider", "meter_provider"])
    @pytest.mark.parametrize("given", ["sdk", 1, object()])
    def test_a_provider_is_one(self, name: str, given: Any) -> None:
        with pytest.raises(TypeError, match=rf"^{name} must be a \w+Provider or None, not "):
            Telemetry(**{name: given})

    @pytest.mark.parametrize("spans", ["all", "", 1, True, ["dial"]])
    def test_spans_is_one_of_three(self, spans: Any) -> None:
        with pytest.raises(ValueError, match=r"^spans must be 'attempts', 'dial' or None, not "):
            Telemetry(spans=spans)

    def test_link_is_a_bool(self) -> None:
        link: Any = 1
        with pytest.raises(TypeError, match=r"^link must be a bool, not 1"):
            Telemetry(link=link)

    def test_targets(self) -> None:
        targets: Any = 1
        with pytest.raises(TypeError, match=r"^targets must be "):
            Telemetry(targets=targets)


@pytest.mark.parametrize("module", ["opentelemetry", "prometheus"])
def test_without_the_library_it_is_said_what_to_install(module: str) -> None:
    extra = {"opentelemetry": "otel", "prometheus": "prometheus"}[module]
    library = {"opentelemetry": "opentelemetry", "prometheus": "prometheus_client"}[module]
    code = f"import sys; sys.modules[{library!r}] = None; import aconnect.telemetry.{module}"
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 1
    last = answer.stderr.splitlines()[-1]
    assert last.endswith(f"{library} is not installed: install it, or aconnect-io[{extra}]")
