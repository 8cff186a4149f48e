"""What `aconnect watch` keeps of each target, and how it looks.

Rules:

* Without colours all is said that is said with them; without Unicode too.
* Memory does not grow with time.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from aconnect.many import Statistics

from .screen import duration, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aconnect.many import Result

__all__ = ["Row", "sparkline", "table"]

_KEPT: Final = 60
_HEIGHTS: Final = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
_ASCII_HEIGHTS: Final = "._-^"
_NARROW: Final = 64
"""Columns that an address of middling length and what is always told of it take."""
_NARROWER: Final = 32
_WIDE: Final = 116
_SHORTEST: Final = 8  # of the sparkline


class Row:
    """One target.

    Args:
        text: the address.
    """

    def __init__(self, text: str) -> None:
        self.text: str = text
        self.statistics: Statistics = Statistics()
        self.recent: deque[float | None] = deque(maxlen=_KEPT)
        self.last: Result | None = None
        self.skipped: int = 0
        self.longest_outage: float = 0.0
        self._since = 0.0
        self._next = 0

    def add(self, result: Result) -> int:
        """Take note of a try.

        Returns:
            How many intervals were skipped before it.
        """
        skipped = result.index - self._next
        self._next = result.index + 1
        self.skipped += skipped
        if self.last is None or self.last.connected is not result.connected:
            self._since = result.time
        self.last = result
        self.statistics.add(result)
        self.recent.append(result.seconds if result.connected else None)
        if not result.connected:
            outage = result.time + result.seconds - self._since
            self.longest_outage = max(self.longest_outage, outage)
        return skipped

    @property
    def lasting(self) -> float:
        """Seconds for which it has been up, or down."""
        return 0.0 if self.last is None else self.last.time + self.last.seconds - self._since

    @property
    def loss(self) -> float:
        """How much of a hundred tries fail."""
        count = self.statistics.count
        return 0.0 if not count else 100 * (1 - self.statistics.outcomes["connected"] / count)


def sparkline(values: Sequence[float | None], unicode: bool) -> str:
    """The latencies as heights, and ``x`` for a failure."""
    heights = _HEIGHTS if unicode else _ASCII_HEIGHTS
    most = max((value for value in values if value is not None), default=0.0) or 1.0
    return "".join(
        "x" if value is None else heights[min(int(value / most * len(heights)), len(heights) - 1)]
        for value in values
    )


def table(rows: Sequence[Row], width: int, unicode: bool) -> Table:
    """All targets, in rows; as many columns as there is room for."""
    made = Table(box=None, pad_edge=False)
    columns = ["address", "state"]
    if width >= _NARROW:
        columns += ["for", "tries", "loss", "last"]
    elif width >= _NARROWER:
        columns += ["loss"]
    longer = ["p50", "p95", "p99", "outage"]
    columns += longer if width >= _WIDE else []
    room = width - _NARROW - 11 * max(len(columns) - 6, 0)
    if room >= _SHORTEST:
        columns.append("lately")
    for column in columns:
        flexible = column == "address"
        made.add_column(
            column,
            justify="left" if column in ("address", "state", "lately") else "right",
            no_wrap=not flexible,
            overflow="fold",
        )
    for row in rows:
        cells = _cells(row, unicode, max(room, 0))
        made.add_row(*(cells[column] for column in columns))
    return made


def _cells(row: Row, unicode: bool, room: int) -> dict[str, Text]:
    last, statistics = row.last, row.statistics
    state = Text("-")
    if last is not None:
        state = Text("up", "green") if last.connected else Text("down", "red")

    def time(seconds: float | None) -> Text:
        return Text("-" if seconds is None else duration(seconds))

    recent = list(row.recent)[-min(room, _KEPT) :] if room else []
    return {
        "address": Text(printable(row.text)),
        "state": state,
        "for": Text(f"{row.lasting:.0f} s"),
        "tries": Text(str(statistics.count)),
        "loss": Text(f"{row.loss:.1f} %", "red" if row.loss else ""),
        "last": time(last.seconds if last is not None and last.connected else None),
        "p50": time(statistics.percentile("all", 50)),
        "p95": time(statistics.percentile("all", 95)),
        "p99": time(statistics.percentile("all", 99)),
        "outage": Text(f"{row.longest_outage:.1f} s"),
        "lately": Text(sparkline(recent, unicode)),
    }
