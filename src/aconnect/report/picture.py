"""The drawing of a dial as SVG: what the drawing in text says, as a picture.

Rules:

* One file that asks for nothing: no script, no link, no font of its own, no foreign content.  So a
  page, a notebook or a mail can have it, and opening it tells nobody.
* Well-formed XML, whatever addresses and peers bring along: all text is escaped, and what cannot
  be printed is written in ASCII.
* The same events are the same bytes.
* It can be read without colours: each bar has its words beside it, what came to nothing is
  hatched, and what was called off is an outline.  Light or dark is the reader's choice.
* What has taken no time is one unit wide, and what is still running has no end.
"""

from __future__ import annotations

from html import escape
from math import floor, log10
from textwrap import wrap
from typing import TYPE_CHECKING, Final

from ..addresses.text import printable, shortened
from .rows import remarks, rows, title, unit_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .rows import Row, Unit
    from .story import Story

__all__ = ["NARROWEST", "markup", "picture"]

NARROWEST: Final = 480
"""Units of width that a picture has at least: below that, there is no room for bars."""

_LETTER: Final = 7.3  # units; of the widest usual monospaced font at 12 units
_MARGIN: Final = 16
_GAP: Final = 14
_ROW: Final = 22
_BAR: Final = 12
_SHORTEST_BARS: Final = 160  # units of the narrowest picture that bars always have
_MARKS: Final = {"lost": " h", "dropped": " o"}
_TICKS: Final = 6  # at most; more do not fit under their numbers

_STYLE: Final = """\
.aconnect{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.aconnect .p{fill:#fff}.aconnect text{fill:#1f2328;white-space:pre}.aconnect .t{font-weight:bold}
.aconnect .d{fill:#59636e}.aconnect .g{stroke:#d1d9e0}.aconnect .l{stroke:#cf222e}
.aconnect .resolve{fill:#8250df;stroke:#8250df}.aconnect .connect{fill:#0969da;stroke:#0969da}
.aconnect .handshake{fill:#1a7f37;stroke:#1a7f37}
.aconnect .h.resolve{fill:url(#aconnect-resolve)}.aconnect .h.connect{fill:url(#aconnect-connect)}
.aconnect .h.handshake{fill:url(#aconnect-handshake)}
.aconnect .o{fill-opacity:.12}.aconnect .r{fill-opacity:.35}
@media (prefers-color-scheme:dark){
.aconnect .p{fill:#0d1117}.aconnect text{fill:#f0f6fc}.aconnect .d{fill:#9198a1}
.aconnect .g{stroke:#3d444d}.aconnect .l{stroke:#f85149}
.aconnect .resolve{fill:#ab7df8;stroke:#ab7df8}.aconnect .connect{fill:#4493f8;stroke:#4493f8}
.aconnect .handshake{fill:#3fb950;stroke:#3fb950}}
"""


def picture(story: Story, width: int) -> str:
    """What `Report.to_svg` returns; ``width`` is at least `NARROWEST`."""
    return _Picture(story, width).drawn()


class _Picture:
    def __init__(self, story: Story, width: int) -> None:
        self._story = story
        self._width = width
        self._unit: Unit = unit_of(story.elapsed)
        self._rows: list[Row] = list(rows(story))
        self._letters = int((width - 2 * _MARGIN) / _LETTER)
        took = [self._took(row) for row in self._rows]
        self._number = max(map(len, took), default=0)
        self._words = max((len(printable(row.outcome)) for row in self._rows), default=0)
        room = self._letters - self._number - self._words
        room -= int((_SHORTEST_BARS + 3 * _GAP) / _LETTER)
        longest = max((len(printable(row.label)) for row in self._rows), default=0)
        self._label = max(min(longest, room), 8)
        self._bars = _MARGIN + 3 * _GAP + _LETTER * (self._label + self._number + self._words)
        self._scale = (width - 2 * _MARGIN - self._bars) / (story.elapsed or 1.0)

    def drawn(self) -> str:
        top = self._lines(title(self._story, self._letters), 24, "t")
        body = [*top]
        y = 24 + 18 * len(top)
        if self._rows:
            height = _ROW * len(self._rows)
            body += self._grid(y + 6, height)
            y += 12
            for row in self._rows:
                body.append(self._row(row, y))
                y += _ROW
            y += 14
        for remark in remarks(self._story):
            lines = self._lines(remark, y, "d")
            body += lines
            y += 18 * len(lines)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="aconnect" role="img" '
            f'aria-label="{markup(title(self._story, 200))}" xml:space="preserve" '
            f'width="{self._width}" height="{y}" viewBox="0 0 {self._width} {y}">'
        )
        return "\n".join(
            [
                head,
                f"<style>{_STYLE}</style>",
                "<defs>",
                *map(_hatch, ("resolve", "connect", "handshake")),
                "</defs>",
                f'<rect class="p" width="{self._width}" height="{y}" rx="6"/>',
                *body,
                "</svg>\n",
            ]
        )

    def _took(self, row: Row) -> str:
        end = self._story.elapsed if row.end is None else row.end
        return self._unit.text(max(0.0, end - row.start))

    def _lines(self, text: str, y: float, kind: str) -> list[str]:
        lines = wrap(printable(text), self._letters, break_on_hyphens=False)
        return [
            f'<text class="{kind}" x="{_MARGIN}" y="{y + 18 * number}">{markup(line)}</text>'
            for number, line in enumerate(lines)
        ]

    def _grid(self, y: float, height: float) -> Iterator[str]:
        """Lines at round times, each with its time; and one at the deadline, if it has come."""
        elapsed, timeout = self._story.elapsed, self._story.timeout
        step = _round_step(elapsed / _TICKS)
        for number in range(int(elapsed / step + 1e-9) + 1 if step else 1):
            x = self._x(number * step)
            yield f'<path class="g" d="M{x} {y}v{height}"/>'
            time = f"{number * step * self._unit.scale:g}"
            yield f'<text class="d" x="{x}" y="{y - 4}" text-anchor="middle">{time}</text>'
        yield f'<text class="d" x="{_MARGIN}" y="{y - 4}">{self._unit.name}</text>'
        if timeout is not None and timeout <= elapsed:
            yield (
                f'<path class="l" stroke-dasharray="4 3" d="M{self._x(timeout)} {y}v{height}">'
                "<title>the time limit</title></path>"
            )

    def _row(self, row: Row, y: float) -> str:
        label, outcome = printable(row.label), printable(row.outcome)
        took, line = self._took(row), y + _BAR
        words = _MARGIN + _LETTER * (self._label + self._number) + 2 * _GAP
        start = self._unit.text(row.start)
        return (
            f"<g><title>{markup(f'{label}: {outcome}; from {start}, for {took}')}</title>"
            f'<text x="{_MARGIN}" y="{line}">{markup(shortened(label, self._label))}</text>'
            f'<text class="d" x="{words - _GAP:g}" y="{line}" text-anchor="end">{took}</text>'
            f'<text x="{words:g}" y="{line}">{markup(outcome)}</text>'
            f"{self._bar(row, y + 2)}</g>"
        )

    def _bar(self, row: Row, y: float) -> str:
        x = self._x(row.start)
        end = self._x(self._story.elapsed if row.end is None else row.end)
        wide = max(round(end - x, 1), 1)
        kind = row.kind
        if row.end is None:
            return f'<path class="{kind} r" d="M{x + wide} {y}H{x}v{_BAR}h{wide}"/>'
        place = f'x="{x}" y="{y}" width="{wide}" height="{_BAR}"'
        return f'<rect class="{kind}{_MARKS.get(row.state, "")}" {place}/>'

    def _x(self, seconds: float) -> float:
        return round(self._bars + seconds * self._scale, 1)


def _round_step(at_least: float) -> float:
    """The next of 1, 2, 5, 10, 20, ... of any unit."""
    if at_least <= 0:
        return 0.0
    power = 10.0 ** floor(log10(at_least))
    return next(power * digit for digit in (1, 2, 5, 10, 20) if power * digit >= at_least)


def _hatch(kind: str) -> str:
    return (
        f'<pattern id="aconnect-{kind}" width="6" height="6" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate(45)"><path class="{kind}" stroke-width="3" d="M1.5 0v6"/>'
        "</pattern>"
    )


def markup(text: str) -> str:
    """Text as it may stand in XML and HTML."""
    return escape(printable(text))
