"""The command `aconnect`.

Rules:

* Nobody imports this package but the entry points, and it uses of aconnect what every program
  can: its public names, and the words for what is not installed.
* This module imports nothing of an extra.  Where click or rich is missing, it says so in one
  line.
* The exit status is 0 if all went well, 1 if what was asked for failed, 2 for a bad command
  line or a missing extra, 130 for Ctrl-C.
"""

from __future__ import annotations

import sys

from ..explanations.extras import not_installed
from .status import INTERRUPTED

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
