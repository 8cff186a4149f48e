"""What is said beside the results, on standard error: how far it has come, and the sum of it.

Rules:

* Progress is drawn on a terminal only, and a pipe sees the same bytes with and without it.
* It is drawn now and then, not for each result.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from .screen import duration, printable

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from aconnect.many import Result, Statistics

__all__ = ["NoProgress", "Progress", "say", "summary"]

_EVERY: Final = 0.2  # seconds


class NoProgress:
    """Where there is nobody to see it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        pass

    def add(self, result: Result) -> None:
        """Take note of a result."""


class Progress(NoProgress):
    """A line that says how far it has come.

    Args:
        total: how many there will be; None if nobody knows.
        statistics: of those that there have been.
    """

    def __init__(self, total: int | None, statistics: Statistics) -> None:
        self._total = total
        self._statistics = statistics
        self._started = time.monotonic()
        self._drawn = 0.0
        console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._live = Live(
            "",
            console=console,
            auto_refresh=False,
            transient=True,
            # On one terminal, results go above the line; elsewhere they are none of its business.
            redirect_stdout=sys.stdout.isatty(),
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._live.__exit__(kind, error, traceback)

    def add(self, result: Result) -> None:  # noqa: ARG002  # the statistics have it
        now = time.monotonic()
        if now - self._drawn >= _EVERY:
            self._drawn = now
            self._live.update(Text(self.line(now), overflow="ellipsis", no_wrap=True))
            self._live.refresh()

    def line(self, now: float) -> str:
        """What it says at a moment."""
        outcomes, count = self._statistics.outcomes, self._statistics.count
        lasted = max(now - self._started, 1e-9)
        said = [f"{count}/{self._total}" if self._total else str(count)]
        said.append(f"{count / lasted:.0f}/s")
        said.append(f"{outcomes['connected']} ok")
        said += [f"{n} {name}" for name, n in sorted(outcomes.items()) if name != "connected"]
        if self._total and count:
            said.append(f"{duration(lasted * (self._total - count) / count)} left")
        return "  ".join(said)


def summary(statistics: Statistics) -> list[str]:
    """The sum of it, in lines."""
    outcomes = ", ".join(f"{n} {name}" for name, n in sorted(statistics.outcomes.items()))
    rate = f", {statistics.rate:.1f} a second" if statistics.rate else ""
    lines = [f"{statistics.count} checked: {outcomes or 'nothing'}{rate}"]
    lines += [f"  {name}: {n}" for name, n in statistics.errors.most_common()]
    lasted = statistics.to_dict()["seconds"]
    header = f"  {'':<9}  {'count':>8}" + "".join(
        f"  {name:>9}" for name in ("least", "mean", "50 %", "90 %", "95 %", "99 %", "most")
    )
    rows = []
    for phase, each in lasted.items():
        if each["count"]:
            times = (each["least"], each["mean"], *each["percentiles"].values(), each["most"])
            shown = "".join(f"  {duration(seconds):>9}" for seconds in times)
            rows.append(f"  {phase:<9}  {each['count']:>8}{shown}")
    return [*lines, header, *rows] if rows else lines


def say(*lines: str) -> None:
    """Write lines to standard error."""
    print(*map(printable, lines), sep="\n", file=sys.stderr, flush=True)
