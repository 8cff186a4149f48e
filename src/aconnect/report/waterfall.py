"""The drawing of a dial: a row with a bar for each lookup, attempt and handshake.

Rules:

* A drawing is ASCII, so that it survives any log file; no line is longer than the width, and
  nothing that an address or a peer brings along can break a line.
* All times of a drawing are in one unit, so that they can be compared.
* An address that is too long is cut in its middle, with ``...``.  Words are never cut: they go on
  in the next line, under the words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..addresses.text import printable, shortened
from .rows import remarks, rows, title, unit_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .rows import Row
    from .story import Story

__all__ = ["NARROWEST", "draw"]

NARROWEST: Final = 60
"""Columns that a drawing has at least: below that, there is no room for bars."""

_SHORTEST_BAR: Final = 12  # columns; what is left of 80 has room for "[2001:db8::1234]:443"


def draw(story: Story, width: int) -> str:
    """What `Report.draw` returns; ``width`` is at least `NARROWEST`."""
    return "\n".join(line.rstrip() for line in _lines(story, width))


def _lines(story: Story, width: int) -> Iterator[str]:
    yield from _wrapped(title(story, width, _ascii), width, 2)
    table = [
        row.replace(label=_ascii(row.label), outcome=_ascii(row.outcome)) for row in rows(story)
    ]
    if table:
        yield from _table(story, table, width)
    for remark in map(_ascii, remarks(story)):
        yield from _wrapped(remark, width, remark.find(": ") + 2)


def _wrapped(text: str, width: int, indent: int) -> list[str]:
    from textwrap import wrap  # only here

    indented = " " * min(indent, width // 2)
    return wrap(text, width, subsequent_indent=indented, break_on_hyphens=False)


def _table(story: Story, rows: list[Row], width: int) -> Iterator[str]:
    unit = unit_of(story.elapsed)
    ends = [story.elapsed if row.end is None else row.end for row in rows]
    took = [max(0.0, end - row.start) for row, end in zip(rows, ends, strict=True)]
    number = max(len("start"), len(unit.number(story.elapsed)))
    room = width - 2 * number - 10  # 10: the gaps between columns and the ends of the bars
    outcome = min(max(len(row.outcome) for row in rows), room * 2 // 5)
    outcome = max(outcome, *(len(word) for row in rows for word in row.outcome.split()))
    label = max(len(unit.name), *(len(row.label) for row in rows))
    label = min(label, max(room - outcome - _SHORTEST_BAR, 8))
    columns = max(room - outcome - label, 1)
    yield f"{shortened(unit.name, label):{label}}  {'start':>{number}}  {'took':>{number}}"
    for row, lasted in zip(rows, took, strict=True):
        first, *others = _wrapped(row.outcome, outcome, 0)
        yield (
            f"{shortened(row.label, label):{label}}  {unit.number(row.start):>{number}}  "
            f"{unit.number(lasted):>{number}}  {first:{outcome}}  "
            f"|{_bar(row, story.elapsed, columns):{columns}}|"
        )
        for words in others:
            yield " " * (label + 2 * number + 6) + words


def _bar(row: Row, whole: float, columns: int) -> str:
    """The bar of a row: at least one column, at its place in the ``whole``."""
    start = end = 0.0
    if whole > 0:
        start = columns * (row.start / whole)
        end = columns * (whole if row.end is None else row.end) / whole
    first = min(round(start), columns - 1)
    last = min(max(round(end), first + 1), columns)
    bar = "=" * (last - first)
    if row.end is None:
        bar = (bar[:-3] + "...")[: columns - first]
    return " " * first + bar


def _ascii(text: str) -> str:
    return printable(text).encode("ascii", "backslashreplace").decode("ascii")
