"""Questions and services in a report, from their events and from a dial."""

from __future__ import annotations

import errno
import json
import socket
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.listeners import listening, refusing

from aconnect import Batch, ConnectError, Dialer, Endpoint, Question, Report, Service
from aconnect.report.questions import QuestionSummary
from aconnect.trace import (
    AttemptStarted,
    DialCancelled,
    DialStarted,
    QuestionAnswered,
    QuestionAsked,
    ResolutionEnded,
    ResolutionStarted,
    ServiceFound,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TARGET = "https://a.test"


def report_of(*events: Any, clock: float = 9.0) -> Report:
    report = Report(clock=lambda: clock)
    for event in (DialStarted(1.0, TARGET), ResolutionStarted(1.0, TARGET), *events):
        report(event)
    return report


ASKED = [
    QuestionAsked(1.0, "a.test", "HTTPS", TARGET),
    QuestionAsked(1.0, "a.test", "AAAA", TARGET),
    QuestionAsked(1.0, "a.test", "A", TARGET),
]
TTL = 60
ANSWERED = [
    QuestionAnswered(
        1.5, "a.test", "HTTPS", "NOERROR", "192.0.2.53:53", "udp", 2, TTL, address=TARGET
    ),
    QuestionAnswered(2.0, "a.test", "A", "SERVFAIL", address=TARGET),
    QuestionAnswered(2.0, "s.test", "A", "NOERROR", "", "", 1, None, "additional", address=TARGET),
]
FOUND = [
    ServiceFound(1.5, 0, "s.test", 1, 8443, ("h2", "h3"), 5, address=TARGET),
    ServiceFound(1.5, 0, "t.test", 2, 443, (), 0, "it is not", address=TARGET),
]


def test_a_question_is_what_its_events_say() -> None:
    report = report_of(*ASKED, *ANSWERED)
    https, aaaa, a, additional = report.questions
    assert (https.start, https.end, https.outcome, https.records) == (0.0, 0.5, "NOERROR", 2)
    assert (https.server, https.over, https.ttl, https.source) == (
        *("192.0.2.53:53", "udp", TTL),
        "network",
    )
    assert (aaaa.end, aaaa.outcome, aaaa.words) == (None, "running", "running")
    assert (a.outcome, a.words) == ("SERVFAIL", "SERVFAIL")
    assert additional.start == additional.end == 1.0
    assert additional.words == "1 record, additional"


def test_what_has_no_answer_when_the_lookup_ends_is_cancelled() -> None:
    ended = ResolutionEnded(3.0, "cancelled", 1, address=TARGET)
    report = report_of(*ASKED, *ANSWERED, ended, DialCancelled(4.0))
    outcomes = [(each.type, each.outcome, each.end) for each in report.questions]
    assert outcomes[1] == ("AAAA", "cancelled", 2.0)


def test_the_drawing_has_a_row_for_each_question() -> None:
    report = report_of(*ASKED, *ANSWERED, *FOUND)
    lines = report.draw(100).splitlines()
    rows = [line.split("  ")[0:2] for line in lines if line.startswith("  ")]
    assert [row[1].split()[0] for row in rows] == ["HTTPS", "AAAA", "A", "A"]
    assert "2 records" in lines[3]
    assert "...|" in lines[4]  # it is still running
    assert "service s.test:8443: rank 0, priority 1, alpn h2,h3, ech" in lines
    assert "service t.test:443: not used: it is not, priority 2" in lines
    assert report.to_svg().count("HTTPS a.test") >= 1


def test_each_lookup_has_its_own_questions() -> None:
    other = QuestionAsked(1.0, "b.test", "A", "b.test:1")
    report = report_of(*ASKED, ResolutionStarted(1.0, "b.test:1"), other)
    rows = [line.split()[:2] for line in report.draw(100).splitlines()[2:]]
    assert [row[1] for row in rows if row[0] in ("A", "resolve")] == [
        *(TARGET, "a.test"),
        *("b.test:1", "b.test"),
    ]


def test_an_attempt_says_of_which_service_it_is() -> None:
    endpoint = Endpoint(socket.AF_INET, socket.SOCK_STREAM, 6, ("192.0.2.1", 8443))
    report = report_of(AttemptStarted(2.0, 0, endpoint, rank=1, service="s.test:8443"))
    (attempt,) = report.attempts
    assert (attempt.rank, attempt.service) == (1, "s.test:8443")
    assert "192.0.2.1:8443 of s.test:8443" in report.draw(120)


def test_a_dict_has_them_all() -> None:
    plain = json.loads(json.dumps(report_of(*ASKED, *ANSWERED, *FOUND).to_dict()))
    assert [each["type"] for each in plain["questions"]] == ["HTTPS", "AAAA", "A", "A"]
    assert plain["questions"][0]["ttl"] == TTL
    assert plain["services"][0]["alpn"] == ["h2", "h3"]
    assert plain["services"][1]["refused"] == "it is not"


# ----------------------------------------------------------------------------- a dial


class Says:
    def __init__(self, *batches: Batch) -> None:
        self.batches = batches

    async def resolve(self, _: Any) -> AsyncIterator[Batch]:
        for batch in self.batches:
            yield batch


def endpoint(sockaddr: Any) -> Endpoint:
    return Endpoint(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, sockaddr)


def service(port: int, **more: Any) -> Service:
    return Service("s.test", 1, port, **more)


@pytest.mark.anyio
async def test_a_dial_tells_of_what_a_resolver_says() -> None:
    events: list[Any] = []
    with refusing() as dead, listening() as listener:
        good = listener.getsockname()
        resolver = Says(
            Batch((), questions=[Question("a.test", "HTTPS")], awaiting=frozenset({"service"})),
            Batch((), questions=[Question("a.test", "HTTPS", outcome="NOERROR", records=1)]),
            Batch((), service=service(dead[1], refused="no")),
            Batch((), service=service(dead[1])),
            Batch([endpoint(good)], rank=1, sorted=True),
            Batch([endpoint(dead)], sorted=True, service=service(dead[1], hint=True)),
            Batch((), awaiting=frozenset()),
        )
        dialer = Dialer(resolver=resolver, trace=events.append)
        report = Report()
        with await dialer.connect("a.test:1", timeout=30, report=report):
            pass
    kinds = [type(each).__name__ for each in events]
    assert kinds[2:4] == ["QuestionAsked", "QuestionAnswered"]
    assert kinds.count("ServiceFound") == 2  # each once
    assert [(each.rank, each.service) for each in report.attempts] == [
        (0, f"s.test:{dead[1]}"),
        (1, ""),
    ]
    assert report.questions[0].address == "a.test:1"
    assert [each.refused for each in report.services] == ["no", ""]


@pytest.mark.anyio
async def test_an_error_has_them_too() -> None:
    with refusing() as dead:
        batch = Batch([endpoint(dead)], rank=2, sorted=True, service=service(dead[1]))
        with pytest.raises(ConnectError) as caught:
            await Dialer(resolver=Says(batch)).connect("a.test:1", timeout=30)
    assert caught.value.errno == errno.ECONNREFUSED
    (attempt,) = caught.value.attempts
    assert (attempt.rank, attempt.service) == (2, f"s.test:{dead[1]}")
    assert caught.value.report is not None
    assert caught.value.report.attempts[0].service == attempt.service


@pytest.mark.anyio
async def test_the_lookup_of_a_proxys_name_is_told_of_as_that() -> None:
    with refusing() as dead:
        batch = Batch([endpoint(dead)], sorted=True, rank=1, service=service(dead[1]))
        dialer = Dialer(proxy="socks5h://proxy.example:1", resolver=Says(batch))
        with pytest.raises(ConnectError) as caught:
            await dialer.connect("a.test:1", timeout=30)
    assert caught.value.report is not None
    assert [each.of for each in caught.value.report.services] == ["proxy"]


@pytest.mark.anyio
async def test_names_are_escaped() -> None:
    """X3: whatever DNS says is printed escaped."""
    evil = "\x1b[31m\n.test"
    with listening() as listener:
        sockaddr = listener.getsockname()
        told = Service(evil, 1, sockaddr[1])
        asked = Question(evil, "A", outcome=f"{evil} says")
        batch = Batch([endpoint(sockaddr)], sorted=True, service=told, questions=[asked])
        report = Report()
        with await Dialer(resolver=Says(batch)).connect("a.test:1", timeout=30, report=report):
            pass
    assert "\x1b" not in report.draw()
    assert "\x1b" not in report.to_svg()
    assert "\x1b" not in report.to_html()
    assert report.attempts[0].service.isprintable()
    await anyio.lowlevel.checkpoint()


def test_what_was_left_out_is_said() -> None:
    summary = QuestionSummary("a.test", "A", 0.0, outcome="NOERROR", records=256, left_out=44)
    assert summary.words == "256 records, 44 left out"
    assert summary.replace(source="cache").words == "256 records, 44 left out, cache"
