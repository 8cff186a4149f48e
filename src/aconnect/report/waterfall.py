"""The drawing of a dial: a row with a bar for each lookup, attempt and handshake.

Rules:

* A drawing is ASCII, so that it survives any log file; no line is longer than the width, and
  nothing that an address or a peer brings along can break a line.
* All times of a drawing are in one unit, so that they can be compared.
* An address that is too long is cut in its middle, with ``...``.  Words are never cut: they go on
  in the next line, under the words.
"""

from __future__ import annotations

import errno as errnos
from typing import TYPE_CHECKING, Final, NamedTuple

from ..addresses.text import printable, shortened
from ..explanations.explain import lookup
from .story import reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..trace import Phase
    from .attempt import AttemptRecord
    from .story import ResolutionSummary, Story

__all__ = ["NARROWEST", "draw", "title"]

NARROWEST: Final = 60
"""Columns that a drawing has at least: below that, there is no room for bars."""

_SHORTEST_BAR: Final = 12  # columns; what is left of 80 has room for "[2001:db8::1234]:443"
_ANSWERS: Final = (errnos.ECONNREFUSED, errnos.ECONNRESET)
_WHILE: Final[dict[Phase, str]] = {
    "resolve": "resolving",
    "connect": "connecting",
    "handshake": "handshaking",
}


def draw(story: Story, width: int) -> str:
    """What `Report.draw` returns; ``width`` is at least `NARROWEST`."""
    return "\n".join(line.rstrip() for line in _lines(story, width))


def title(story: Story, width: int) -> str:
    """What was dialled, and what it came to; the address is cut so that it fits, if it can."""
    unit = _unit(story.elapsed)
    state: str = story.outcome
    if story.outcome == "running":
        limit = "" if story.timeout is None else f" of {unit.text(story.timeout)}"
        state = f"still running after {unit.text(story.elapsed)}{limit}"
    elif story.outcome != "not started":
        state = f"{story.outcome} after {unit.text(story.elapsed)}"
    if story.phase:
        state += f" while {_WHILE[story.phase]}"
    if story.outcome == "failed" and story.errno is not None:
        state += f": {story.error_name()}"
    address = _ascii(story.address) or "dial"
    return f"{shortened(address, max(24, width - len(state) - 2))}: {state}"


def _lines(story: Story, width: int) -> Iterator[str]:
    yield from _wrapped(title(story, width), width, 2)
    rows = list(_rows(story))
    if rows:
        yield from _table(story, rows, width)
    for remark in _remarks(story):
        yield from _wrapped(remark, width, remark.find(": ") + 2)


def _wrapped(text: str, width: int, indent: int) -> list[str]:
    from textwrap import wrap  # only here

    indented = " " * min(indent, width // 2)
    return wrap(text, width, subsequent_indent=indented, break_on_hyphens=False)


class _Row(NamedTuple):
    label: str
    start: float
    end: float | None
    outcome: str


class _Unit(NamedTuple):
    """How times are written: all of a drawing in one unit, so that they can be compared."""

    name: str
    sign: str
    scale: int
    digits: int

    def number(self, seconds: float) -> str:
        return f"{seconds * self.scale:.{self.digits}f}"

    def text(self, seconds: float) -> str:
        return f"{self.number(seconds)} {self.sign}"


def _unit(longest: float) -> _Unit:
    if longest < 0.01:
        return _Unit("milliseconds", "ms", 1000, 3)
    if longest < 10:
        return _Unit("milliseconds", "ms", 1000, 1)
    return _Unit("seconds", "s", 1, 3)


def _rows(story: Story) -> Iterator[_Row]:
    for search in story.resolutions.values():
        yield _Row(_ascii(_resolve(story, search)), search.start, search.end, _found(search))
    digits = len(str(max(story.attempts, default=0)))
    for number, each in story.attempts.items():
        words: list[str] = [each.outcome if each.connected is None else "connected"]
        if words == ["failed"] and each.errno is not None:
            words = [lookup(each.errno).name]
        words += ["won"] * each.won + ["closed"] * (each.closed is not None)
        of_host = f" ({each.host})" if each.host not in ("", each.peer) else ""
        label = f"{number:>{digits}} {_ascii(each.peer + of_host)}"
        yield _Row(label, each.start, each.connect_end, ", ".join(words))
        for shake in each.handshakes:
            name = f"{' ' * digits} {_ascii(shake.name)}"
            yield _Row(name, shake.start, shake.end, shake.outcome)


def _resolve(story: Story, resolution: ResolutionSummary) -> str:
    """What a lookup is called: by its name where there are several."""
    return f"resolve {resolution.address}" if len(story.resolutions) > 1 else "resolve"


def _found(resolution: ResolutionSummary) -> str:
    count = len(resolution.endpoints)
    addresses = f"{count} address{'es' * (count != 1)}"
    if resolution.outcome == "done":
        return addresses
    what: str = resolution.outcome
    if resolution.outcome == "failed" and resolution.errno is not None:
        what = lookup(resolution.errno, resolving=True).name
    return f"{addresses}, {what}" if count else what


def _table(story: Story, rows: list[_Row], width: int) -> Iterator[str]:
    unit = _unit(story.elapsed)
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


def _bar(row: _Row, whole: float, columns: int) -> str:
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


def _remarks(story: Story) -> Iterator[str]:
    """What does not fit into a row; each remark once."""
    failed = (each for each in story.resolutions.values() if reason(each))
    remarks = [f"{_resolve(story, search)}: {reason(search)}" for search in failed]
    for number, each in story.attempts.items():
        # What is said of a handshake is said below.
        note = each.note
        if each.handshake is not None:
            note = note.removesuffix(each.handshake.why).removesuffix("; ")
        if note:
            remarks.append(f"attempt {number}: {note}")
        elif each.errno is not None and each.connected is None:
            row = lookup(each.errno)
            remarks.append(f"{row.name}: {row.words(each.family)}")
        if _sent(each):
            remarks.append(f"attempt {number}: {_sent(each)}")
        for shake in each.handshakes:
            facts = [f"{key} {value}" for key, value in shake.details.items()]
            facts = [shake.error, *facts] if shake.error else facts
            if facts:
                remarks.append(f"attempt {number}: {shake.name}: {', '.join(facts)}")
    if story.untried:
        remarks.append(f"not tried: {story.untried} of {story.known} addresses")
    slowest = story.slowest_phase()
    if story.outcome == "timed out" and slowest:
        unit = _unit(story.elapsed)
        spent = f"{unit.number(story.phase_seconds()[slowest])} of {unit.text(story.elapsed)}"
        remarks.append(f"out of time: {_WHILE[slowest]} took the most, {spent}")
    yield from map(_ascii, dict.fromkeys(remarks))


def _sent(each: AttemptRecord) -> str:
    """What became of the SYNs, if that was not the first one's answer."""
    resent = each.resent
    connected = each.connected is not None
    silent = not connected and (each.outcome == "timed out" or each.errno == errnos.ETIMEDOUT)
    if resent is None or not (resent or silent):
        return ""
    if connected or each.errno in _ANSWERS:
        return (
            f"the first {'SYN was' if resent == 1 else f'{resent} SYNs were'} lost and sent again"
        )
    return f"{resent + 1} SYN{'s' * (resent > 0)} sent, no answer"


def _ascii(text: str) -> str:
    return printable(text).encode("ascii", "backslashreplace").decode("ascii")
