"""What a report says and draws: whole dials, event by event, and the exact text."""

from __future__ import annotations

import copy
import json
import pickle
import time
from errno import (
    ECONNREFUSED,
    EPROTONOSUPPORT,
    ETIMEDOUT,
)
from math import inf
from socket import EAI_NONAME, SOCK_STREAM
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dials import (
    ALL_FAIL,
    ANSWER_NOT_AWAITED,
    AT_ONCE,
    CANCELLED,
    DEADLINE_IN_RESOLVING,
    FIRST_HANDSHAKE_FAILS,
    FIRST_REFUSED,
    FULL_BACKLOG,
    NAME,
    NO_SUCH_NAME,
    RUNNING,
    TIME_RUNS_OUT,
    V6_SILENT,
    T,
    inet,
    inet6,
    report_of,
    resolved,
    unix,
)

from aconnect import AttemptRecord
from aconnect.addresses.values import Endpoint
from aconnect.report.report import HandshakeSummary, Report, ResolutionSummary
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
    guarded,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

DRAWINGS: dict[str, tuple[list[Event], str]] = {
    "IPv6 is silent, IPv4 wins": (
        V6_SILENT,
        """
        example.com:443: connected after 300.0 ms
        milliseconds         start   took
        resolve                0.0   20.0  2 addresses        |==                      |
        0 [2001:db8::1]:443   20.0  280.0  cancelled, closed  |  ======================|
        1 192.0.2.1:443      270.0   30.0  connected, won     |                      ==|
        """,
    ),
    "the first is refused": (
        FIRST_REFUSED,
        """
        example.com:443: connected after 80.0 ms
        milliseconds         start   took
        resolve                0.0   20.0  3 addresses           |=====                |
        0 [2001:db8::1]:443   20.0   10.0  ECONNREFUSED, closed  |     ===             |
        1 192.0.2.1:443       30.0   50.0  connected, won        |        =============|
        ECONNREFUSED: nothing is listening there
        not tried: 1 of 3 addresses
        """,
    ),
    "all fail": (
        ALL_FAIL,
        """
        example.com:443: failed after 70.0 ms while connecting: ECONNREFUSED
        milliseconds         start   took
        resolve                0.0   20.0  5 addresses           |======               |
        0 [2001:db8::1]:443   20.0    0.5  ENETUNREACH, closed   |      =              |
        1 192.0.2.1:443       30.0   20.0  ECONNREFUSED, closed  |         ======      |
        2 192.0.2.2:443       50.0   20.0  ECONNREFUSED, closed  |               ======|
        3 192.0.2.3:443       70.0    0.0  not permitted         |                    =|
        4 192.0.2.4:443       70.0    0.0  EMFILE                |                    =|
        ENETUNREACH: no route leads to that network, from here or a router on the way
        ECONNREFUSED: nothing is listening there
        attempt 3: 192.0.2.3 is no public address
        EMFILE: the process is out of file descriptors
        """,
    ),
    "the deadline passes in resolving": (
        DEADLINE_IN_RESOLVING,
        """
        example.com:443: timed out after 30.000 s while resolving
        seconds   start    took
        resolve   0.000  30.000  timed out  |==========================================|
        out of time: resolving took the most, 30.000 of 30.000 s
        """,
    ),
    "the first handshake fails": (
        FIRST_HANDSHAKE_FAILS,
        """
        example.com:443: connected after 160.0 ms
        milliseconds         start   took
        resolve                0.0   20.0  2 addresses        |===                     |
        0 [2001:db8::1]:443   20.0   30.0  connected, closed  |   =====                |
          TLS                 50.0   50.0  failed             |        =======         |
        1 192.0.2.1:443      100.0   20.0  connected, won     |               ===      |
          TLS                120.0   40.0  done               |                  ======|
        attempt 0: TLS: certificate verify failed: certificate has expired
        attempt 1: TLS: version TLSv1.3, protocol h2
        """,
    ),
    "cancelled from outside": (
        CANCELLED,
        """
        example.com:443: cancelled after 200.0 ms
        milliseconds         start   took
        resolve                0.0   20.0  2 addresses        |==                      |
        0 [2001:db8::1]:443   20.0   20.0  connected, closed  |  ===                   |
          SOCKS               40.0  160.0  cancelled          |     ===================|
        not tried: 1 of 2 addresses
        """,
    ),
    "still running": (
        RUNNING,
        """
        example.com:443: still running after 500.0 ms of 5000.0 ms
        milliseconds     start   took
        resolve            0.0  500.0  1 address, running  |========================...|
        0 192.0.2.1:443  150.0  350.0  running             |        ================...|
        """,
    ),
    "one address, at once": (
        AT_ONCE,
        """
        127.0.0.1:80: connected after 0.125 ms
        milliseconds    start   took
        0 127.0.0.1:80  0.020  0.090  connected, won  |     =======================    |
        """,
    ),
    "no such name": (
        NO_SUCH_NAME,
        """
        nowhere.invalid:443: failed after 12.0 ms while resolving: EAI_NONAME
        milliseconds  start   took
        resolve         0.0   12.0  EAI_NONAME  |======================================|
        resolve: no such name is known
        """,
    ),
    "the deadline passes in a handshake": (
        TIME_RUNS_OUT,
        """
        example.com:443: timed out after 10.000 s while handshaking
        seconds               start    took
        resolve               0.000   2.000  2 addresses        |====                  |
        0 [2001:db8::1]:443   2.000   8.000  timed out, closed  |    ==================|
        1 192.0.2.1:443       2.250   6.750  connected, closed  |     ===============  |
          TLS                 9.000   1.000  timed out          |                    ==|
        not tried: 2 of 4 addresses
        out of time: connecting took the most, 7.000 of 10.000 s
        """,
    ),
    "a full backlog": (
        FULL_BACKLOG,
        """
        unix:/run/server: timed out after 1000.0 ms while connecting
        milliseconds         start    took
        0 unix:/run/server     0.0  1000.0  timed out, closed  |=======================|
        EAGAIN: the listener's backlog is full
        out of time: connecting took the most, 1000.0 of 1000.0 ms
        """,
    ),
    "an answer that is not waited for": (
        ANSWER_NOT_AWAITED,
        """
        example.com:443: connected after 50.0 ms
        milliseconds         start   took
        resolve                0.0   50.0  1 address, cancelled  |=====================|
        0 [2001:db8::1]:443   10.0   40.0  connected, won        |    =================|
        """,
    ),
    "just called": (
        [DialStarted(T, NAME)],
        """
        example.com:443: still running after 0.000 ms
        """,
    ),
    "not started": (
        [],
        """
        dial: not started
        """,
    ),
}


def now_for(events: list[Event]) -> float:
    return T + 0.5 if events is RUNNING else T


@pytest.mark.parametrize("scenario", DRAWINGS)
class TestADrawing:
    def test_is_exactly_this(self, scenario: str) -> None:
        events, expected = DRAWINGS[scenario]
        report = report_of(*events, now=now_for(events))
        assert str(report) == dedent(expected).strip()

    @pytest.mark.parametrize("width", [60, 61, 79, 80, 132, 500])
    def test_fits_its_width_at_every_moment(self, scenario: str, width: int) -> None:
        events, _ = DRAWINGS[scenario]
        for count in range(len(events) + 1):
            check(report_of(*events[:count], now=T + 0.3), width)


def check(report: Report, width: int) -> None:
    """What is true of every report."""
    drawing = report.draw(width)
    assert drawing.isascii()
    for line in drawing.split("\n"):
        assert line.isprintable()
        assert line == line.rstrip()
        assert 0 < len(line) <= width
    plain = report.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert repr(report).isprintable()
    spent = report.phase_seconds
    assert all(seconds >= 0 for seconds in spent.values())
    assert sum(spent.values()) <= report.elapsed + 1e-6
    assert (report.slowest_phase is None) == (not any(spent.values()))


def test_the_default_width_is_80() -> None:
    report = report_of(*V6_SILENT)
    assert str(report) == report.draw() == report.draw(80) == report.draw(width=80)
    assert max(map(len, str(report).splitlines())) == 80


def test_a_wider_drawing_has_longer_bars() -> None:
    [title, *rows] = report_of(*AT_ONCE).draw(120).splitlines()
    assert title == "127.0.0.1:80: connected after 0.125 ms"
    assert {len(row) for row in rows[1:]} == {120}
    assert rows[1].count("=") == 51  # 90 of 125 microseconds; the bar has 71 columns


@pytest.mark.parametrize("width", [59, 0, -1])
def test_a_drawing_cannot_be_too_narrow(width: int) -> None:
    with pytest.raises(ValueError, match=f"^width must be 60 or more columns, not {width}$"):
        Report().draw(width)


@pytest.mark.parametrize("width", [True, 80.0, "80", None])
def test_a_width_is_an_int(width: Any) -> None:
    with pytest.raises(TypeError, match=r"^width must be a number of columns, not "):
        Report().draw(width)


def test_all_of_a_hundred_attempts_are_drawn() -> None:
    endpoints = [inet6(number + 1) for number in range(100)]
    events = resolved(*endpoints)
    for number, endpoint in enumerate(endpoints):
        start = T + 0.25 * number
        events += [
            AttemptStarted(start, number, endpoint, number, 100),
            AttemptEnded(start + 0.2, number, "failed", ECONNREFUSED),
        ]
    report = report_of(*events, DialFailed(T + 25, "failed", ECONNREFUSED, "connect"))
    lines = str(report).splitlines()
    assert len(lines) == 3 + 100 + 1
    assert lines[3].startswith(" 0 [2001:db8::1]:443    0.000   0.200  ECONNREFUSED   |= ")
    assert lines[102].startswith("99 [2001:db8::64]:443  24.750   0.200  ECONNREFUSED   |")
    assert lines[102].endswith(" =|")
    assert lines[103] == "ECONNREFUSED: nothing is listening there"


@pytest.mark.parametrize(
    ("endpoint", "label"),
    [
        (
            inet6()._replace(sockaddr=("2001:db8:1111:2222:3333:4444:5555:6666", 443, 0, 0)),
            "0 [2001:db8:1111:22...4444:5555:6666]:443",
        ),
        (unix("/run/" + "deep/" * 50 + "server"), "0 unix:/run/deep/de...ep/deep/deep/server"),
        (unix("/run/two\nlines"), "0 unix:/run/two\\nlines"),
        (unix("/run/\x1b[31mred"), "0 unix:/run/\\x1b[31mred"),
        (unix("/run/\u0436"), "0 unix:/run/\\u0436"),
        (unix("/run/\udcff"), "0 unix:/run/\\udcff"),
        (unix(b"\0abstract"), "0 unix:@abstract"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_address_is_one_label_of_ascii(endpoint: Endpoint, label: str) -> None:
    report = report_of(DialStarted(T, NAME), AttemptStarted(T, 0, endpoint))
    check(report, 80)
    assert str(report).splitlines()[2].startswith(f"{label}  0.000  0.000  running  |")


def test_a_long_address_leaves_room_for_the_outcome_in_the_title() -> None:
    path = "unix:/" + "long/" * 100 + "end"
    report = report_of(
        DialStarted(T, path), DialFailed(T + 0.001, "failed", ECONNREFUSED, "connect")
    )
    assert str(report) == (
        "unix:/long/l...ng/long/end: failed after 1.000 ms while connecting: ECONNREFUSED"
    )


def test_words_go_on_in_the_next_line() -> None:
    words = "the certificate is not valid for this name, " * 3
    report = report_of(
        *FIRST_HANDSHAKE_FAILS[:7],
        HandshakeEnded(T + 0.1, 0, "failed", words + "w" * 80),
    )
    check(report, 80)
    assert str(report).splitlines()[-5:] == [
        "attempt 0: TLS: the certificate is not valid for this name, the certificate is",
        "           not valid for this name, the certificate is not valid for this name,",
        f"           {'w' * 69}",
        f"           {'w' * 11}",
        *str(report).splitlines()[-1:],
    ]


def test_no_word_of_an_outcome_or_a_title_is_cut() -> None:
    report = report_of(
        DialStarted(T, "a." * 100 + "example:443"),
        AttemptStarted(T, 0, inet(1)),
        AttemptEnded(T + 2000.1, 0, "failed", EPROTONOSUPPORT),
        SocketClosed(T + 2000.1, 0),
        DialFailed(T + 123456, "failed", EPROTONOSUPPORT, "connect"),
    )
    check(report, 60)
    assert report.draw(60).splitlines() == [
        "a.a.a.a.a.a...xample:443: failed after 123456.000 s while",
        "  connecting: EPROTONOSUPPORT",
        "seconds        start        took",
        "0 1...43       0.000    2000.100  EPROTONOSUPPORT,  |=     |",
        "                                  closed",
        "EPROTONOSUPPORT: the system does not support this protocol,",
        "                 or not for this type of socket",
    ]


def test_a_handshake_that_says_nothing_needs_no_remark() -> None:
    events = [
        *FIRST_HANDSHAKE_FAILS[:7],
        HandshakeEnded(T + 0.1, 0, "done"),
    ]
    assert "attempt 0" not in str(report_of(*events))


def test_a_failure_without_errno_has_no_name() -> None:
    report = report_of(
        *FIRST_HANDSHAKE_FAILS[:8],
        AttemptStarted(T + 0.1, 1, inet(), 1, 2),
        AttemptEnded(T + 0.1, 1, "failed"),
        DialFailed(T + 0.1, "failed", None, "handshake"),
    )
    [title, *_, row, remark] = str(report).splitlines()
    assert title == "example.com:443: failed after 100.0 ms while handshaking"
    assert "  failed  " in row
    assert remark.startswith("attempt 0: TLS: certificate verify failed")
    assert report.to_dict()["error"] is None


def test_the_resolvers_own_words_come_first() -> None:
    report = report_of(
        *NO_SUCH_NAME[:2],
        ResolutionEnded(T + 0.01, "failed", 0, EAI_NONAME, "no interface of that name"),
    )
    assert str(report).splitlines()[-1] == "resolve: no interface of that name"
    assert report.to_dict()["resolution"]["error"] == "no interface of that name"


def test_a_lookup_that_failed_without_a_code() -> None:
    report = report_of(*NO_SUCH_NAME[:2], ResolutionEnded(T + 0.01, "failed", 0))
    assert "  failed  |" in str(report)


@pytest.mark.parametrize(
    ("seconds", "title"),
    [
        (0.0, "0.000 ms"),
        (0.0000004, "0.000 ms"),
        (0.0042, "4.200 ms"),
        (0.01, "10.0 ms"),
        (9.9, "9900.0 ms"),
        (30.0, "30.000 s"),
        (86400.0, "86400.000 s"),
        (1e9, "1000000000.000 s"),
    ],
)
def test_the_unit_fits_the_whole(seconds: float, title: str) -> None:
    report = report_of(
        *resolved(inet6(), inet(), after=0.0),
        AttemptStarted(T, 0, inet6(), 0, 2),
        AttemptEnded(T + seconds, 0, "cancelled"),
        SocketClosed(T + seconds, 0),
        DialCancelled(T + seconds),
    )
    assert str(report).splitlines()[0] == f"example.com:443: cancelled after {title}"
    for width in (60, 80, 100):
        check(report, width)


class TestProperties:
    def test_of_a_dial_that_connected(self) -> None:
        report = report_of(*V6_SILENT)
        assert report.events == tuple(V6_SILENT)
        assert report.address == NAME
        assert report.outcome == "connected"
        assert report.elapsed == 0.3
        assert report.resolve_seconds == 0.02
        assert report.resolution == ResolutionSummary(
            0.0, 0.02, "done", ((0.02, (inet6(), inet())),), address=NAME
        )
        assert report.resolution.endpoints == (inet6(), inet())
        loser = AttemptRecord(
            **inet6()._asdict(),
            local_address=None,
            number=0,
            place=0,
            start=0.02,
            end=0.3,
            outcome="cancelled",
            closed=0.3,
        )
        winner = AttemptRecord(
            **inet()._asdict(),
            local_address=("192.0.2.99", 50000),
            number=1,
            place=1,
            start=0.27,
            end=0.3,
            outcome="connected",
            connected=0.3,
            won=True,
        )
        assert report.attempts == (loser, winner)
        assert report.winner == winner
        assert (loser.peer, winner.peer) == ("[2001:db8::1]:443", "192.0.2.1:443")
        assert report.phase_seconds == {
            "resolve": 0.02,
            "connect": 0.28,
            "proxy": 0.0,
            "handshake": 0.0,
        }
        assert report.slowest_phase == "connect"
        assert repr(report) == "<Report example.com:443: connected after 300.0 ms>"

    def test_of_a_handshake(self) -> None:
        first, second = report_of(*FIRST_HANDSHAKE_FAILS).attempts
        assert (first.outcome, first.phase, first.end) == ("failed", "handshake", 0.1)
        assert first.connected == first.connect_end == 0.05
        assert first.note == (
            "the TLS handshake failed: certificate verify failed: certificate has expired"
        )
        assert first.endpoint == inet6()
        assert (second.outcome, second.phase) == ("connected", "handshake")
        assert second.end == second.handshakes[0].end
        assert first.handshake == HandshakeSummary(
            "TLS", 0.05, 0.1, "failed", "certificate verify failed: certificate has expired"
        )
        assert second.handshake is not None
        assert second.handshake.details == {"version": "TLSv1.3", "protocol": "h2"}
        assert len({first, second}) == 2

    def test_before_anything_has_happened(self) -> None:
        report = Report()
        assert report.events == ()
        assert report.address == ""
        assert report.outcome == "not started"
        assert report.elapsed == report.resolve_seconds == 0.0
        assert report.resolution is None
        assert report.attempts == ()
        assert report.winner is None
        assert report.slowest_phase is None
        assert repr(report) == "<Report dial: not started>"

    def test_a_running_dial_lasts_until_now(self) -> None:
        now = T + 1.0
        report = Report(clock=lambda: now)
        for event in RUNNING:
            report(event)
        assert (report.outcome, report.elapsed, report.resolve_seconds) == ("running", 1.0, 1.0)
        now = T + 2.0
        assert (report.elapsed, report.resolve_seconds) == (2.0, 2.0)
        assert report.attempts[0].end is None
        report(DialCancelled(T + 1.5))
        assert report.elapsed == 1.5

    def test_a_clock_that_lags_is_not_believed(self) -> None:
        assert report_of(*RUNNING, now=T - 1.0).elapsed == 0.15

    def test_the_clock_is_the_events_own(self) -> None:
        report = Report()
        report(DialStarted(time.monotonic() - 5.0, NAME))
        assert 5.0 <= report.elapsed < 30.0

    @pytest.mark.parametrize(
        ("events", "phase"),
        [
            (DEADLINE_IN_RESOLVING, "resolve"),
            (NO_SUCH_NAME, "resolve"),
            (TIME_RUNS_OUT, "connect"),
            (FIRST_HANDSHAKE_FAILS, "handshake"),
            (CANCELLED, "handshake"),
            ([DialStarted(T, NAME), DialCancelled(T + 1)], None),
        ],
    )
    def test_the_slowest_phase(self, events: list[Event], phase: str | None) -> None:
        assert report_of(*events).slowest_phase == phase

    def test_a_moment_counts_for_the_furthest_phase(self) -> None:
        report = report_of(*TIME_RUNS_OUT)
        assert report.phase_seconds == {
            "resolve": 2.0,
            "connect": 7.0,
            "proxy": 0.0,
            "handshake": 1.0,
        }

    def test_addresses_side_by_side_count_once(self) -> None:
        report = report_of(
            *resolved(inet6(), inet(), after=0.0),
            AttemptStarted(T, 0, inet6(), 0, 2),
            AttemptStarted(T + 1, 1, inet(), 1, 2),
            AttemptEnded(T + 2, 1, "failed", ECONNREFUSED),
            AttemptEnded(T + 3, 0, "failed", ECONNREFUSED),
            DialFailed(T + 4, "failed", ECONNREFUSED, "connect"),
        )
        assert report.phase_seconds["connect"] == 3.0


class TestPackets:
    """What became of the SYNs, where the first one was not answered."""

    @pytest.mark.parametrize(
        ("ended", "said"),
        [
            (("connected", None, None, "", 0.02, 0), None),
            (("connected", None, None, "", 0.02, 1), "the first SYN was lost and sent again"),
            (("connected", None, None, "", None, 2), "the first 2 SYNs were lost and sent again"),
            (
                ("failed", ECONNREFUSED, None, "", None, 1),
                "the first SYN was lost and sent again",
            ),
            (("failed", ECONNREFUSED, None, "", None, 0), None),
            (("failed", ETIMEDOUT, None, "", None, 6), "7 SYNs sent, no answer"),
            (("timed out", None, None, "", None, 2), "3 SYNs sent, no answer"),
            (("timed out", None, None, "", None, 0), "1 SYN sent, no answer"),
            (("timed out", None, None, "", None, None), None),
            (("cancelled", None, None, "", None, 0), None),
            (("cancelled", None, None, "", None, 1), "2 SYNs sent, no answer"),
        ],
    )
    def test_are_told_of(self, ended: Any, said: str | None) -> None:
        report = report_of(
            *resolved(inet()),
            AttemptStarted(T + 0.02, 0, inet(), 0, 1),
            AttemptEnded(T + 3, 0, *ended),
            now=T + 3,
        )
        remarks = [line for line in str(report).splitlines() if "SYN" in line]
        assert remarks == ([] if said is None else [f"attempt 0: {said}"])
        [attempt] = report.attempts
        assert (attempt.round_trip, attempt.resent) == ended[4:]
        plain = report.to_dict()["attempts"][0]
        assert (plain["round_trip"], plain["resent"]) == ended[4:]


class TestADict:
    def test_has_plain_values_only(self) -> None:
        plain = report_of(*TIME_RUNS_OUT).to_dict()
        assert plain.pop("resolutions") == [plain["resolution"]]
        for attempt in plain["attempts"]:
            assert attempt.pop("handshakes") == [attempt["handshake"]] * bool(attempt["handshake"])
        assert plain == {
            "address": NAME,
            "outcome": "timed out",
            "elapsed": 10.0,
            "timeout": 10.0,
            "errno": ETIMEDOUT,
            "error": "ETIMEDOUT",
            "phase": "handshake",
            "phases": {"resolve": 2.0, "connect": 7.0, "proxy": 0.0, "handshake": 1.0},
            "via": [],
            "slowest_phase": "connect",
            "resolution": {
                "address": NAME,
                "of": "target",
                "start": 0.0,
                "end": 2.0,
                "outcome": "done",
                "errno": None,
                "error": None,
                "remembered": False,
                "batches": [{"time": 2.0, "addresses": ["[2001:db8::1]:443", "192.0.2.1:443"]}],
            },
            "questions": [],
            "services": [],
            "attempts": [
                {
                    "number": 0,
                    "place": 0,
                    "peer": "[2001:db8::1]:443",
                    "family": "AF_INET6",
                    "start": 2.0,
                    "connected": None,
                    "end": 10.0,
                    "outcome": "timed out",
                    "errno": None,
                    "error": None,
                    "phase": "connect",
                    "local": None,
                    "note": "",
                    "reason": "still no answer",
                    "round_trip": None,
                    "resent": None,
                    "closed": 10.0,
                    "won": False,
                    "host": "",
                    "rank": 0,
                    "service": "",
                    "target": None,
                    "handshake": None,
                },
                {
                    "number": 1,
                    "place": 1,
                    "peer": "192.0.2.1:443",
                    "family": "AF_INET",
                    "start": 2.25,
                    "connected": 9.0,
                    "end": 10.0,
                    "outcome": "timed out",
                    "errno": None,
                    "error": None,
                    "phase": "handshake",
                    "local": None,
                    "note": "",
                    "reason": "connected, but its handshake had not finished",
                    "round_trip": None,
                    "resent": None,
                    "closed": 10.0,
                    "won": False,
                    "host": "",
                    "rank": 0,
                    "service": "",
                    "target": None,
                    "handshake": {
                        "name": "TLS",
                        "start": 9.0,
                        "end": 10.0,
                        "outcome": "timed out",
                        "error": None,
                        "details": {},
                        "layer": 0,
                        "phase": "handshake",
                    },
                },
            ],
            "winner": None,
            "untried": 2,
        }

    def test_names_the_winner_and_its_local_end(self) -> None:
        plain = report_of(*V6_SILENT).to_dict()
        assert plain["winner"] == 1
        assert plain["timeout"] is None
        assert plain["attempts"][1]["local"] == "192.0.2.99:50000"

    def test_names_what_failed(self) -> None:
        plain = report_of(*NO_SUCH_NAME).to_dict()
        assert (plain["errno"], plain["error"]) == (EAI_NONAME, "EAI_NONAME")
        assert plain["resolution"]["error"] == "no such name is known"
        errors = [each["error"] for each in report_of(*ALL_FAIL).to_dict()["attempts"]]
        assert errors == ["ENETUNREACH", "ECONNREFUSED", "ECONNREFUSED", None, "EMFILE"]

    def test_of_a_family_that_has_no_name(self) -> None:
        odd = Endpoint(4711, SOCK_STREAM, 0, ("somewhere", 1))
        report = report_of(DialStarted(T, NAME), AttemptStarted(T, 0, odd))
        assert report.to_dict()["attempts"][0]["family"] == "family 4711"


class TestOneDial:
    @pytest.mark.parametrize("first", [RUNNING, V6_SILENT])
    def test_a_second_dial_is_refused(self, first: list[Event]) -> None:
        report = report_of(*first)
        with pytest.raises(RuntimeError, match=r"^this report already holds a dial: make a new "):
            report(AT_ONCE[0])
        assert report.events == tuple(first)

    @pytest.mark.parametrize("last", [V6_SILENT, ALL_FAIL, CANCELLED])
    def test_nothing_follows_the_last_event(self, last: list[Event]) -> None:
        report = report_of(*last)
        with pytest.raises(RuntimeError):
            report(SocketClosed(T + 60, 0))
        assert report.events == tuple(last)

    def test_a_second_dial_at_the_same_time_does_not_mix_with_the_first(self) -> None:
        report = Report()
        first, second = guarded(report), guarded(report)
        assert first is not None
        assert second is not None
        first(V6_SILENT[0])
        with pytest.warns(RuntimeWarning, match="already holds a dial"):
            second(AT_ONCE[0])
        for one, other in zip(V6_SILENT[1:], AT_ONCE[1:] * 3, strict=False):
            first(one)
            second(other)
        assert report.events == tuple(V6_SILENT)


def test_an_event_of_another_kind_is_kept_and_not_drawn() -> None:
    report = report_of(*RUNNING)
    before = str(report)
    report(Event(T + 0.15))
    assert len(report.events) == len(RUNNING) + 1
    assert str(report) == before


def test_what_ended_without_a_start_is_not_drawn() -> None:
    report = report_of(
        DialStarted(T, NAME),
        ResolutionBatch(T, (inet(),)),
        ResolutionEnded(T, "done", 1),
        AttemptEnded(T, 7, "connected"),
        HandshakeStarted(T, 7),
        HandshakeEnded(T, 7, "done"),
        SocketClosed(T, 7),
        DialConnected(T, 7),
    )
    assert str(report) == "example.com:443: connected after 0.000 ms"
    assert report.winner is None


def test_a_handshake_that_only_ended_is_drawn_as_a_moment() -> None:
    report = report_of(*RUNNING, HandshakeEnded(T + 0.2, 0, "done"))
    [attempt] = report.attempts
    assert attempt.handshake == HandshakeSummary("handshake", 0.2, 0.2, "done")


def test_a_report_can_be_pickled_and_copied() -> None:
    report = Report()
    for event in V6_SILENT:
        report(event)
    for again in (pickle.loads(pickle.dumps(report)), copy.deepcopy(report)):
        assert str(again) == str(report)
        assert again.attempts == report.attempts


TEXTS = st.text(max_size=60) | st.just("x" * 300) | st.just("two\nlines")
NUMBERS = st.integers(0, 3)
ERRNOS = st.none() | st.integers(0, 140) | st.just(EAI_NONAME)
PATHS = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=120)
ENDPOINTS = st.one_of(
    st.builds(inet, st.integers(0, 255)),
    st.builds(inet6, st.integers(0, 0xFFFF)),
    st.builds(unix, PATHS),
    st.builds(unix, st.binary(min_size=1, max_size=100).map(lambda name: b"\0" + name)),
)
AT = st.just(0.0)  # the time comes later
MIDDLES: list[Any] = [
    st.builds(ResolutionStarted, AT, TEXTS),
    st.builds(ResolutionBatch, AT, st.lists(ENDPOINTS, max_size=5).map(tuple)),
    st.builds(
        ResolutionEnded,
        AT,
        st.sampled_from(["done", "failed", "timed out", "cancelled"]),
        NUMBERS,
        ERRNOS,
        TEXTS,
    ),
    st.builds(AttemptStarted, AT, NUMBERS, ENDPOINTS, NUMBERS, st.integers(1, 200)),
    st.builds(
        AttemptEnded,
        AT,
        NUMBERS,
        st.sampled_from(["connected", "failed", "timed out", "cancelled", "not permitted"]),
        ERRNOS,
        st.none() | ENDPOINTS.map(lambda endpoint: endpoint.sockaddr),
        TEXTS,
    ),
    st.builds(HandshakeStarted, AT, NUMBERS, TEXTS),
    st.builds(
        HandshakeEnded,
        AT,
        NUMBERS,
        st.sampled_from(["done", "failed", "timed out", "cancelled"]),
        st.none() | TEXTS,
        st.dictionaries(TEXTS, TEXTS, max_size=3),
    ),
    st.builds(SocketClosed, AT, NUMBERS),
]
LASTS: list[Any] = [
    st.builds(DialConnected, AT, NUMBERS),
    st.builds(
        DialFailed,
        AT,
        st.sampled_from(["failed", "timed out"]),
        ERRNOS,
        st.sampled_from(["resolve", "connect", "handshake"]),
    ),
    st.builds(DialCancelled, AT),
]
STARTS = st.builds(DialStarted, AT, TEXTS, st.just(inf) | st.floats(0, 1e6))
DELAYS = st.just(0.0) | st.floats(0, 0.001) | st.floats(0, 1) | st.floats(0, 1e5)


def at(time: float, event: Event) -> Event:
    names = [name for name in type(event).__match_args__ if name != "time"]
    return type(event)(time, *(getattr(event, name) for name in names))


def timed(events: Iterable[Event], delays: Iterable[float], origin: float) -> list[Event]:
    times = [origin]
    for delay in delays:
        times.append(times[-1] + delay)
    return [at(time, event) for time, event in zip(times, events, strict=False)]


@given(st.data())
def test_no_sequence_of_events_is_too_much(data: st.DataObject) -> None:
    """Any order of events between the first and the last: more than can happen."""
    middle = data.draw(st.lists(st.one_of(MIDDLES), max_size=30))
    last = data.draw(st.lists(st.one_of(LASTS), max_size=1))
    events = [data.draw(STARTS), *middle, *last]
    delays = data.draw(st.lists(DELAYS, min_size=len(events), max_size=len(events)))
    events = timed(events, delays, data.draw(st.floats(0, 1e6)))
    report = report_of(*events, now=events[-1].time + data.draw(DELAYS))
    for width in (60, 80, data.draw(st.integers(60, 300))):
        check(report, width)
    assert pickle.loads(pickle.dumps(report.events)) == report.events
