"""The command `aconnect`.

Rules:

* Nobody imports this package but the entry points, and it uses of aconnect what every program
  can: its public names, and the words for what is not installed.
* This module imports nothing of an extra.  Where click or rich is missing, it says so in one
  line.
* The exit status is 0 if all went well, 1 if what was asked for failed or could not be written,
  2 for a bad command line or a missing extra, 130 for Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from ..explanations.extras import not_installed
from .status import INTERRUPTED

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["main"]

_EXTRA = frozenset({"click", "rich"})


def main() -> None:
    """Run the command on `sys.argv`; ends in SystemExit."""
    try:
        from .commands import command

        command()
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in _EXTRA:
            raise
        print(f"aconnect: {not_installed(name, 'cli')}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:  # while modules were being imported
        sys.exit(INTERRUPTED)
    except OSError as error:  # of a disk that is full; click sees to a reader that has gone away
        with suppress(OSError):  # the disk of the other stream may be full as well
            print(f"aconnect: {error.strerror or error}", file=sys.stderr, flush=True)
        for stream in filter(None, (sys.stdout, sys.stderr)):
            _discard(stream)
        sys.exit(1)


def _discard(stream: TextIO) -> None:
    """Drop what could not be written: Python would try again when it ends."""
    with suppress(OSError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
