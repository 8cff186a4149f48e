"""`aconnect.cli.screen`."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stdout

import pytest
from rich.text import Text

from aconnect.cli.screen import duration, make_console, printable, write_line


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("unix:/run/x", "unix:/run/x"),
        ("bücher.example", "bücher.example"),
        ("a\nb\tc\\", "a\\nb\\tc\\"),
        ("\x1b[31m\x7f", "\\x1b[31m\\x7f"),
        ("\udcff", "\\udcff"),
        ("\u202e", "\\u202e"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, written: str) -> None:
    assert printable(text) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0.0 ms"), (0.0123, "12.3 ms"), (0.9999, "999.9 ms"), (1, "1.00 s"), (61.239, "61.24 s")],
)
def test_durations(seconds: float, written: str) -> None:
    assert duration(seconds) == written


def test_a_line_is_a_line_and_nothing_in_it_is_markup() -> None:
    with redirect_stdout(io.StringIO()) as stdout:
        write_line(make_console(), Text("[red]:smile: 127.0.0.1" + " x" * 100, "green"))
    assert stdout.getvalue() == "[red]:smile: 127.0.0.1" + " x" * 100 + "\n"


def test_what_cannot_be_encoded_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    write_line(make_console(), Text("ä"))
    assert written.getvalue() == b"\\xe4\n"


def test_a_reader_that_has_gone_away_is_a_broken_pipe() -> None:
    with pytest.raises(BrokenPipeError, match="gone"):
        try:
            raise BrokenPipeError("gone")
        except BrokenPipeError:
            make_console().on_broken_pipe()
