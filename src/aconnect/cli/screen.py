"""What is written, and how.

Rules:

* Colours and line breaks are for terminals.  In a pipe or a file there is no colour, and a
  line is a line.
* Nothing that an address, a peer or an error brings along is markup, and none of it can
  command the terminal: what is not printable is written as its escape sequence.
* No text fails for want of an encoding.
* A reader that has gone away is a BrokenPipeError.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["duration", "make_console", "printable", "write_line"]


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # rich would raise SystemExit, through the event loop


def make_console() -> Console:
    """A console on what is standard output now."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return _Console(markup=False, emoji=False, highlight=False)


def write_line(console: Console, text: Text) -> None:
    """Write one line, of whatever length."""
    console.print(text, soft_wrap=True)


def printable(text: str) -> str:
    """``text`` with an escape sequence for each character that is not printable."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def duration(seconds: float) -> str:
    """A time as the library's errors write it."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
