"""How `aconnect demo` looks.

Rules:

* Each row is written as soon as it is known: a wait on the screen is a wait of the connect.
* It reads well at 80 columns, does not spread beyond `WIDEST`, and says without colours all
  that it says with them.
"""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Final

from rich.rule import Rule
from rich.text import Text

from .screen import duration, printable, write_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

__all__ = ["DemoScreen"]

WIDEST: Final = 100
"""Columns.  Longer lines of prose are hard to read."""

_CALL_WIDTH: Final = len("trio.socket connect")  # the longest
_TIME_WIDTH: Final = len("1000.0 ms")


class DemoScreen:
    """What the demo writes on."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = min(console.width, WIDEST)

    def paragraph(self, text: str, style: str = "") -> None:
        """A paragraph and an empty line."""
        self._wrapped(text, "", style)
        self._console.print()

    def space(self) -> None:
        """An empty line."""
        self._console.print()

    def loop(self, name: str) -> None:
        """The heading of what is shown on one event loop."""
        rule = Rule(Text(name, "bold"), align="left", style="default")
        self._console.print(rule, width=self._width)

    def scene(self, text: str) -> None:
        """The heading of what is shown with one peer."""
        self._console.print()
        self._wrapped(text, "", "")

    def row(self, call: str, seconds: float, outcome: str, style: str, detail: str = "") -> None:
        """One call, how long it took and what came of it."""
        row = Text(f"  {call:<{_CALL_WIDTH}}  {duration(seconds):>{_TIME_WIDTH}}  ")
        write_line(self._console, row.append(printable(outcome), style))
        self._wrapped(detail, "    ", "dim")

    def verdict(self, text: str, differences: Sequence[str]) -> None:
        """The last word, and what was not as it should be."""
        self._wrapped(text, "", "bold red" if differences else "bold")
        for difference in differences:
            self._wrapped(difference, "  ", "")

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
