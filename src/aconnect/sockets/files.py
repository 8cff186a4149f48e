"""What descriptors and paths lead to, as the system has it.

Rules:

* Nothing is opened, and nothing waits: what is asked has just been used.
"""

from __future__ import annotations

import os
import stat
from typing import Final

__all__ = ["descriptor_identity", "kind_of_file"]

_stat: Final = os.stat


def descriptor_identity(number: int) -> tuple[int, int] | None:
    """What a descriptor is open on, as device and inode; None if it is not open.

    A number that was closed and has been given to something else is open on something else.
    """
    try:
        status = os.fstat(number)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def kind_of_file(path: str | bytes) -> str:
    """What is at a path, as "a directory"; empty if that is a socket, or is not known."""
    try:
        mode = _stat(path).st_mode  # connect(2) has just gone the same way, so nothing waits
    except (OSError, ValueError):  # it is gone; or an abstract name, with its NUL
        return ""
    if stat.S_ISSOCK(mode):
        return ""
    return "a directory" if stat.S_ISDIR(mode) else "a file"
