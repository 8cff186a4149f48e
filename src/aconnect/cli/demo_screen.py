"""How `aconnect demo` looks.

Rules:

* On a terminal, calls that are being made have bars that grow.  Elsewhere each has a line as soon
  as it is over.
* It reads well at 80 columns, does not spread beyond `WIDEST`, and says without colours all
  that it says with them.
"""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Final, Protocol

from rich.live import Live
from rich.rule import Rule
from rich.text import Text

from .formats import waterfall
from .screen import duration, printable, write_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from rich.console import Console

    from aconnect import Report

__all__ = ["DemoScreen", "Outcome", "Rows"]

WIDEST: Final = 100
"""Columns.  Longer lines of prose are hard to read."""

_CALL_WIDTH: Final = len("aconnect.open_connection")  # the longest
_TIME_WIDTH: Final = len("1000.0 ms")
_BAR_WIDTH: Final = 36  # what is left of 80, and a little less


class Outcome(Protocol):
    """What came of a call.

    Attributes:
        seconds: how long it took.
        outcome: in words, and the style of these.
        words: more words, if there are any.
    """

    @property
    def seconds(self) -> float: ...
    @property
    def outcome(self) -> tuple[str, str]: ...
    @property
    def words(self) -> str: ...


class DemoScreen:
    """What the demo writes on."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = min(console.width, WIDEST)
        self._scenes = 0
        self._unicode = (console.encoding or "").lower().startswith("utf")

    def paragraph(self, text: str, style: str = "") -> None:
        """A paragraph and an empty line."""
        self._wrapped(text, "", style)
        self._console.print()

    def scene(self, title: str) -> None:
        """The heading of a scene."""
        self._scenes += 1
        rule = Rule(
            Text(f"{self._scenes}. {title}", "bold"),
            align="left",
            style="default",
            characters="\u2500" if self._unicode else "-",
        )
        self._console.print(rule, width=self._width)

    def rows(self, calls: Sequence[str], whole: float) -> Rows:
        """Rows for calls that are made at the same time.

        Args:
            whole: seconds of the longest bar.
        """
        return Rows(self._console, calls, whole, self)

    def row(self, call: str, tried: Outcome) -> None:
        """What came of one call."""
        words, style = tried.outcome
        write_line(self._console, _row(call, tried.seconds).append(printable(words), style))
        self._wrapped(tried.words, "    ", "dim")

    def drawing(self, report: Report) -> None:
        """The drawing of a dial, and an empty line."""
        for line in waterfall(report, "green", self._width, self._unicode):
            write_line(self._console, line)
        self._console.print()

    def bar(self, columns: int) -> str:
        """A bar of that length."""
        return ("\u2501" if self._unicode else "=") * columns

    def verdict(self, text: str, differences: Sequence[str], last: str) -> None:
        """What was not as it should be, and the last word."""
        self._wrapped(text, "", "bold red" if differences else "bold")
        for difference in differences:
            self._wrapped(difference, "  ", "")
        self._wrapped(last, "", "")

    def _wrapped(self, text: str, indent: str, style: str) -> None:
        lines = wrap(
            printable(text),
            self._width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in lines:
            write_line(self._console, Text(line, style))


class Rows:
    """Rows for calls that are made at the same time; a context manager, which ends them with an
    empty line."""

    def __init__(
        self, console: Console, calls: Sequence[str], whole: float, screen: DemoScreen
    ) -> None:
        self._console = console
        self._calls = calls
        self._whole = whole
        self._screen = screen
        self._written: set[str] = set()
        self._tried: Mapping[str, Outcome] = {}
        grows = console.is_terminal and not console.is_dumb_terminal
        self._live = Live("", console=console, auto_refresh=False, transient=True)
        self._grows = grows

    def __enter__(self) -> Self:
        if self._grows:
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._grows:
            self._live.__exit__(kind, error, traceback)
            for call in self._calls:
                if call in self._tried:
                    self._screen.row(call, self._tried[call])
        self._console.print()

    def show(self, seconds: float, tried: Mapping[str, Outcome]) -> None:
        """Show how it stands.

        Args:
            seconds: since the calls were made.
            tried: what has come of those that are over.
        """
        self._tried = tried
        if self._grows:
            lines = [self._line(call, seconds) for call in self._calls]
            self._live.update(Text("\n").join(lines), refresh=True)
            return
        for call in tried:
            if call not in self._written:
                self._written.add(call)
                self._screen.row(call, tried[call])

    def _line(self, call: str, seconds: float) -> Text:
        over = self._tried.get(call)
        took = seconds if over is None else over.seconds
        columns = min(max(round(_BAR_WIDTH * took / self._whole), 1), _BAR_WIDTH)
        style = "yellow" if over is None else over.outcome[1]
        return _row(call, took).append(self._screen.bar(columns), style)


def _row(call: str, seconds: float) -> Text:
    return Text(
        f"  {call:<{_CALL_WIDTH}}  {duration(seconds):>{_TIME_WIDTH}}  ",
        no_wrap=True,
        overflow="crop",
    )
