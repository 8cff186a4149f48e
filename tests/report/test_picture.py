"""Pictures, pages and exports of a dial: the same words as the drawing, and nothing that runs.

The files in ``pictures`` are what the pictures are to be, byte for byte.  One that is to change is
written anew by ``ACONNECT_PICTURES=write``, and looked at.
"""

from __future__ import annotations

import json
import os
import re
from errno import ECONNREFUSED
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import dials
from support.dials import report_of

from aconnect import Report
from aconnect.addresses.values import Endpoint
from aconnect.trace import (
    AttemptEnded,
    AttemptStarted,
    DialConnected,
    DialFailed,
    DialStarted,
    HandshakeEnded,
    HandshakeStarted,
)

if TYPE_CHECKING:
    from aconnect.trace import Event

SVG = "{http://www.w3.org/2000/svg}"
PICTURES = Path(__file__).parent / "pictures"
NAMES = sorted(dials.DIALS)
HOSTILE = '<script>alert("x")</script>&amp;\x00\x1b[31m\ud800\ufffe\u202e]]>'


def texts(svg: str) -> list[str]:
    """All words of a picture, in their order."""
    return [each.text or "" for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_the_picture_in_the_documentation() -> None:
    documented = Path(__file__).parents[2] / "docs" / "pictures" / "waterfall.svg"
    assert documented.read_text() == dials.report("the first handshake fails").to_svg()


@pytest.mark.parametrize("name", NAMES)
class TestEachDial:
    def test_the_picture_is_the_same_to_the_byte(self, name: str) -> None:
        file = PICTURES / f"{name.replace(' ', '-').replace(',', '')}.svg"
        svg = dials.report(name).to_svg()
        if os.environ.get("ACONNECT_PICTURES") == "write":
            file.write_text(svg)
        assert svg == file.read_text()

    def test_its_rows_are_those_of_the_drawing(self, name: str) -> None:
        report = dials.report(name)
        drawn = [line for line in report.draw(200).splitlines() if line.endswith("|")]
        groups = list(ElementTree.fromstring(report.to_svg()).iter(f"{SVG}g"))
        for group, line in zip(groups, drawn, strict=True):
            label, took, words = (each.text or "" for each in group.iter(f"{SVG}text"))
            assert line.startswith(f"{label} ")
            assert took.split()[0] in line
            assert words in line
            assert (group[0].text or "").startswith(f"{label}: {words}; from ")
            assert group[0].tag == f"{SVG}title"

    def test_nothing_is_asked_for_and_nothing_runs(self, name: str) -> None:
        for text in (dials.report(name).to_svg(), dials.report(name).to_html()):
            outside = re.findall(r"https?://[^\"' ]+", text)
            assert set(outside) <= {"http://www.w3.org/2000/svg"}
            assert not re.search(r"<(script|link|img|iframe|foreignObject|a|use|image)\b", text)
            assert not re.search(r"@import|@font-face|href=|src=|\bon\w+=", text)
            assert set(re.findall(r"url\(([^)]*)\)", text)) <= {
                *("#aconnect-resolve", "#aconnect-connect", "#aconnect-handshake")
            }

    def test_trace_events(self, name: str) -> None:
        report = dials.report(name)
        events = json.loads(json.dumps(report.to_trace_events(process=7)))
        bars = [each for each in events if each["ph"] == "X"]
        assert {each["pid"] for each in events} == {7}
        handshakes = [shake for each in report.attempts for shake in each.handshakes]
        assert len(bars) == len(report.resolutions) + len(report.attempts) + len(handshakes)
        start = report.events[0].time * 1e6
        for each in bars:
            assert each["ts"] >= start - 1
            assert each["ts"] + each["dur"] <= start + report.elapsed * 1e6 + 1
        attempts = [each for each in bars if each["cat"] == "connect"]
        assert [each["tid"] for each in attempts] == list(range(1, len(report.attempts) + 1))
        for bar, attempt in zip(attempts, report.attempts, strict=True):
            end = report.elapsed if attempt.connect_end is None else attempt.connect_end
            assert bar["ts"] == pytest.approx(start + attempt.start * 1e6, abs=0.01)
            assert bar["dur"] == pytest.approx((end - attempt.start) * 1e6, abs=0.01)

    def test_timings_are_the_whole(self, name: str) -> None:
        report = dials.report(name)
        timings = report.timings()
        parts = [timings[part] for part in ("blocked", "dns", "connect") if timings[part] != -1]
        assert sum(parts) == pytest.approx(report.elapsed * 1000)
        assert timings["ssl"] <= max(timings["connect"], -1)
        assert (timings["dns"] == -1) == (not report.resolutions)
        assert (timings["connect"] == -1) == (not report.attempts)


def test_timings_are_milliseconds_and_tls_is_the_winners() -> None:
    assert dials.report("the first handshake fails").timings() == {
        "blocked": 0,
        "dns": 20,
        "connect": 140,
        "ssl": 40,  # within connect
    }


def refused(address: str, note: str = "", shake: tuple[str, str] | None = None) -> list[Event]:
    """A dial with words from outside."""
    endpoint = Endpoint(1, 1, 0, address)
    events: list[Event] = [DialStarted(0.0, address), AttemptStarted(0.0, 0, endpoint)]
    if shake is None:
        events += [AttemptEnded(0.1, 0, "failed", ECONNREFUSED, note=note)]
        return [*events, DialFailed(0.1, "failed", ECONNREFUSED, "connect")]
    name, details = shake
    return [
        *events,
        AttemptEnded(0.05, 0, "connected"),
        HandshakeStarted(0.05, 0, name),
        HandshakeEnded(0.1, 0, "done", details={details: details}),
        DialConnected(0.1, 0),
    ]


class TestWordsFromOutside:
    @given(st.text() | st.just(HOSTILE), st.text() | st.just(HOSTILE))
    def test_any(self, address: str, words: str) -> None:
        for events in (refused(address, words), refused(address, shake=(words, words))):
            svg = report_of(*events).to_svg()
            root = ElementTree.fromstring(svg.encode())
            assert {each.tag.removeprefix(SVG) for each in root.iter()} <= {
                *("svg", "style", "defs", "pattern", "path", "rect", "text", "title", "g")
            }
            report_of(*events).to_html().encode()

    def test_they_are_there(self) -> None:
        svg = report_of(*refused("/run/<b>&'\"", "a < b")).to_svg()
        assert any("/run/<b>&'\"" in text for text in texts(svg))
        assert any("a < b" in text for text in texts(svg))
        html = report_of(*refused("/run/<b>&'\"", "a < b")).to_html()
        assert "<b>" not in html

    def test_the_page_has_one_heading_a_table_and_the_drawing(self) -> None:
        class Seen(HTMLParser):
            def __init__(self) -> None:
                super().__init__()
                self.tags: list[str] = []

            def handle_starttag(self, tag: str, attrs: Any) -> None:
                self.tags.append(tag)

        seen = Seen()
        report = dials.report("IPv6 is silent, IPv4 wins")
        seen.feed(report.to_html())
        for tag in ("h1", "svg", "table", "pre"):
            assert seen.tags.count(tag) == 1
        assert seen.tags.count("tr") == 1 + 3


class TestBars:
    def bars(self, *events: Event, now: float = 0.0) -> list[Any]:
        svg = ElementTree.fromstring(report_of(*events, now=now).to_svg())
        return [list(group)[-1] for group in svg.iter(f"{SVG}g")]

    def test_no_time_at_all_is_one_unit_wide(self) -> None:
        [bar] = self.bars(
            DialStarted(0.0, "127.0.0.1:80"),
            AttemptStarted(0.0, 0, dials.inet()),
            AttemptEnded(0.0, 0, "connected"),
            DialConnected(0.0, 0),
        )
        assert float(bar.get("width")) == 1

    def test_what_is_running_has_no_end(self) -> None:
        [bar] = self.bars(
            DialStarted(0.0, "127.0.0.1:80"), AttemptStarted(0.0, 0, dials.inet()), now=1.0
        )
        assert bar.tag == f"{SVG}path"
        assert not bar.get("d").endswith("z")

    @pytest.mark.parametrize(
        ("outcome", "marked"),
        [
            ("connected", "connect"),
            ("failed", "connect h"),
            ("timed out", "connect h"),
            ("not permitted", "connect h"),
            ("cancelled", "connect o"),
        ],
    )
    def test_outcomes_can_be_told_without_colour(self, outcome: Any, marked: str) -> None:
        [bar] = self.bars(
            DialStarted(0.0, "127.0.0.1:80"),
            AttemptStarted(0.0, 0, dials.inet()),
            AttemptEnded(0.1, 0, outcome),
        )
        assert bar.get("class") == marked


def test_a_thousand_attempts_are_small() -> None:
    events: list[Event] = [DialStarted(0.0, "db.example:5432")]
    for number in range(1000):
        events += [
            AttemptStarted(number / 10, number, dials.inet(number % 256), number, 1000),
            AttemptEnded(number / 10 + 0.05, number, "failed", ECONNREFUSED),
        ]
    svg = report_of(*events, DialFailed(100.0, "failed", ECONNREFUSED, "connect")).to_svg()
    assert len(svg.encode()) <= 400_000
    assert len(list(ElementTree.fromstring(svg).iter(f"{SVG}g"))) == 1000


class TestArguments:
    @pytest.mark.parametrize("method", ["to_svg", "to_html"])
    @pytest.mark.parametrize("width", [None, 960.0, True, "960"])
    def test_a_width_that_is_no_number(self, method: str, width: Any) -> None:
        with pytest.raises(TypeError, match="width must be a number of units"):
            getattr(Report(), method)(width)

    @pytest.mark.parametrize("width", [0, -1, 479])
    def test_a_width_that_is_too_small(self, width: int) -> None:
        with pytest.raises(ValueError, match=f"width must be 480 or more units, not {width}"):
            Report().to_svg(width)

    def test_an_empty_report(self) -> None:
        report = Report()
        assert texts(report.to_svg()) == ["dial: not started"]
        assert report.to_trace_events() == [
            {"name": "process_name", "ph": "M", "pid": 1, "tid": 0}
            | {"args": {"name": "dial: not started"}}
        ]
        assert report.timings() == {"blocked": 0.0, "dns": -1, "connect": -1, "ssl": -1}

    @pytest.mark.parametrize("width", [480, 700, 2000])
    def test_it_is_as_wide_as_asked_for(self, width: int) -> None:
        for name in NAMES:
            svg = ElementTree.fromstring(dials.report(name).to_svg(width))
            assert svg.get("width") == str(width)
            for bar in (list(group)[-1] for group in svg.iter(f"{SVG}g")):
                if bar.tag == f"{SVG}rect":
                    assert float(bar.get("x")) + float(bar.get("width")) <= width

    def test_a_notebook_shows_it(self) -> None:
        report = dials.report("IPv6 is silent, IPv4 wins")
        assert report._repr_svg_() == report.to_svg()
        assert not hasattr(report, "_repr_html_")

    def test_a_notebook_has_the_text_of_what_cannot_be_drawn(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """P2: it never raises."""
        report = dials.report("still running")

        def fail(*_: object) -> None:
            raise RuntimeError("cannot be drawn")

        monkeypatch.setattr(type(report), "to_svg", fail)
        assert report._repr_svg_() is None
        assert "still running" in str(report)

    def test_it_has_a_line_for_who_does_not_see(self) -> None:
        svg = ElementTree.fromstring(dials.report("IPv6 is silent, IPv4 wins").to_svg())
        assert svg.get("role") == "img"
        assert svg.get("aria-label") == "example.com:443: connected after 300.0 ms"
