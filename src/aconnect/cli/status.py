"""The exit status of the command, where it is neither 0, 1 nor 2."""

from __future__ import annotations

from typing import Final

__all__ = ["INTERRUPTED", "TERMINATED"]

INTERRUPTED: Final = 130
"""What a shell reports of a command that SIGINT (2) ended: 128 + 2."""

TERMINATED: Final = 143
"""The same for SIGTERM (15)."""
