"""What each errno of connect(2) means, in plain words.

Rules:

* The tables are data: `errnos` and `resolving`.
* One row per errno: what happened, what to check, and whether a later try may succeed.
* Where an errno means one thing for a unix socket and another for an internet socket,
  the row has both, and whoever knows the family says only the one that applies.
* An errno without a row is not guessed at: it gets the operating system's own words.
"""

from __future__ import annotations

import errno as errnos
import os
import socket
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .errnos import ERRNOS
from .resolving import RESOLVE_CODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["BY_CODE", "BY_ERRNO", "Explanation", "explain", "lookup"]


class Explanation(NamedTuple):
    """One errno, or one code of getaddrinfo(3), explained.

    ``what`` holds for every family but those that have words of their own in ``unix``
    and ``inet``.
    """

    name: str
    what: str
    check: str
    transient: bool
    unix: str = ""
    inet: str = ""

    def words(self, family: int | None) -> str:
        """What happened, on a socket of this family; of every family if it is None."""
        if family is None:
            parts = [self.what, self.unix and f"unix: {self.unix}"]
            parts.append(self.inet and f"inet: {self.inet}")
            return "; ".join(filter(None, parts))
        if family == getattr(socket, "AF_UNIX", None):
            return self.unix or self.what or self.inet
        return self.inet or self.what or self.unix


def _by_number(module: object, rows: Iterable[Sequence[Any]]) -> dict[int, Explanation]:
    """The rows that the platform has a number for, by that."""
    there = [Explanation(*row) for row in rows if hasattr(module, row[0])]
    return {getattr(module, row.name): row for row in there}


BY_ERRNO: Final = _by_number(errnos, ERRNOS)
BY_CODE: Final = _by_number(socket, RESOLVE_CODES)


def lookup(errno: int, *, resolving: bool = False) -> Explanation:
    """The row of an errno, or of a code of getaddrinfo(3) if ``resolving``."""
    if resolving and errno in BY_CODE:
        return BY_CODE[errno]
    row = BY_ERRNO.get(errno)
    if row is None:
        name = errnos.errorcode.get(errno, f"errno {errno}")
        try:
            what = os.strerror(errno)
        except OverflowError:
            what = "no system has such an errno"
        row = Explanation(name, what, "the manual page connect(2)", False)
    return row


def explain(errno_or_error: int | OSError) -> str:
    """Say in plain words what happened and what to check.

    Args:
        errno_or_error: an errno such as `errno.ECONNREFUSED`, a code of getaddrinfo(3) such
            as `socket.EAI_NONAME`, or an exception that carries one: a `ConnectError`, or
            any other OSError.  A `ConnectError` is explained for its address's family, and
            a `ConnectTimeout` for what was being waited for; an errno alone for all
            families.  Where the two numberings overlap (they do not on Linux), a number is
            an errno.

    Returns:
        One paragraph; no line breaks.

    Raises:
        TypeError: the argument is neither.
        ValueError: the exception carries no errno.

    Thread-safe; makes no system call.

    Source: connect(2) of Linux, OpenBSD and glibc; getaddrinfo(3).
    """
    if isinstance(errno_or_error, OSError):
        return _explain_error(errno_or_error)
    if isinstance(errno_or_error, bool) or not isinstance(errno_or_error, int):
        raise TypeError(f"errno_or_error must be an errno or an OSError, not {errno_or_error!r}")
    row = lookup(errno_or_error, resolving=errno_or_error not in errnos.errorcode)
    return f"{row.name}: {row.words(None)}. Check {row.check}."


def _explain_error(error: OSError) -> str:
    if not isinstance(error.errno, int):
        raise ValueError(f"errno_or_error carries no errno: {error!r}")
    family = getattr(error, "family", None)
    if error.errno == errnos.ETIMEDOUT:
        if getattr(error, "phase", None) == "resolve":
            again = BY_CODE[socket.EAI_AGAIN]
            return f"ETIMEDOUT: no name server answered in time. Check {again.check}."
        attempts = getattr(error, "attempts", ())
        if attempts and attempts[-1].outcome == "timed out" and attempts[-1].errno:
            # Time ran out, but on something that has a name.
            row = lookup(attempts[-1].errno)
            words = f"time ran out on {row.name}, {row.words(family)}"
            return f"ETIMEDOUT: {words}. Check {row.check}."
    row = lookup(error.errno, resolving=isinstance(error, socket.gaierror))
    return f"{row.name}: {row.words(family)}. Check {row.check}."
