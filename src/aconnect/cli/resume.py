"""Taking up a run that was interrupted, from the JSON Lines that it has left.

Rules:

* What has a whole line with an outcome other than "not tried" is not tried again; an address that
  is listed several times, as often as it has no line.
* A run may be killed in the middle of a line.  What is not a whole line is cut off, and what is
  appended begins a line.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NotResumable", "take_up"]

_NOT_TRIED: Final = "not tried"


class NotResumable(ValueError):
    """The file is not what such a run leaves."""


def take_up(path: Path) -> tuple[Counter[str], BinaryIO]:
    """What is done, and the file to append to.

    Raises:
        NotResumable: a whole line of it is none of ours; the file is as it was.
        OSError: it cannot be read or written.
    """
    done: Counter[str] = Counter()
    file = open(path, "a+b")  # noqa: SIM115  # the caller's
    try:
        file.seek(0)
        whole = 0
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            try:
                fields = json.loads(line)
                address, outcome = fields["address"], fields["outcome"]
            except (ValueError, KeyError, TypeError):
                raise NotResumable(
                    f"{path}, line {number}, is no result of aconnect check --format json"
                ) from None
            if outcome != _NOT_TRIED:
                done[address] += 1
        file.truncate(whole)
        file.seek(0, os.SEEK_END)
    except BaseException:
        file.close()
        raise
    return done, file
