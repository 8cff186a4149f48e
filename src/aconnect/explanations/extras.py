"""What to install where a library is missing that is not of the standard library."""

from __future__ import annotations

from typing import Final

__all__ = ["DISTRIBUTION", "not_installed"]

DISTRIBUTION: Final = "aconnect-io"
"""What this library is called where packages come from; ``aconnect`` there is somebody else's."""


def not_installed(library: str, extra: str) -> str:
    """The words for it.

    Args:
        library: what is missing.
        extra: the extra of ours that brings it.
    """
    return f"{library} is not installed: install it, or {DISTRIBUTION}[{extra}]"
