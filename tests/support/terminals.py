"""The command on a terminal of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def on_a_terminal(
    *arguments: str, width: int = 80, answer: Callable[[bytes], bytes] = lambda shown: b""
) -> tuple[int, bytes]:
    """Run ``aconnect`` on a terminal; its exit status, and what it has shown.

    Args:
        width: the terminal's, in columns.
        answer: what is typed, given all that has been shown so far, whenever there is more.
    """
    ours, theirs = os.openpty()
    with open(ours, "rb+", buffering=0) as terminal:
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "aconnect", *arguments],
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
                env={**os.environ, "TERM": "xterm-256color", "COLUMNS": str(width), "LINES": "24"},
            )
        finally:
            os.close(theirs)
        shown = b""
        with process:
            try:
                while block := terminal.read(4096):
                    shown += block
                    if typed := answer(shown):
                        terminal.write(typed)
            except OSError:  # as a terminal ends
                pass
    return process.returncode, shown
