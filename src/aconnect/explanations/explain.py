"""What each errno of connect(2) means, in plain words.

Rules:

* The tables are data: `errnos` and `resolving`.
* One row per errno: what happened, what to check, and whether a later try may succeed.
* Where an errno means one thing for a unix socket and another for an internet socket,
  the row has both, and whoever knows the family says only the one that applies.
* What an attempt has to say of its own failure comes before what the errno says of all.
* An errno without a row is not guessed at: it gets the operating system's own words.
"""

from __future__ import annotations

import errno as errnos
import os
import socket
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .errnos import ERRNOS
from .resolving import RESOLVE_CODES, RESPONSE_CODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["BY_CODE", "BY_ERRNO", "Explanation", "explain", "lookup"]


class Explanation(NamedTuple):
    """One errno, or one code of getaddrinfo(3), explained.

    ``what`` and ``check`` hold for every family but those that have words of their own.
    """

    name: str
    what: str
    check: str
    transient: bool
    unix: str = ""
    inet: str = ""
    check_unix: str = ""
    check_inet: str = ""

    def words(self, family: int | None) -> str:
        """What happened, on a socket of this family; of every family if it is None."""
        return _of_family(family, self.what, self.unix, self.inet)

    def advice(self, family: int | None) -> str:
        """What to check, in the same way."""
        return _of_family(family, self.check, self.check_unix, self.check_inet)


def _of_family(family: int | None, every: str, unix: str, inet: str) -> str:
    if family is None:
        return "; ".join(filter(None, (every, unix and f"unix: {unix}", inet and f"inet: {inet}")))
    if family == getattr(socket, "AF_UNIX", None):
        return unix or every or inet
    return inet or every or unix


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


def explain(errno_or_error: int | str | OSError) -> str:
    """Say in plain words what happened and what to check.

    Args:
        errno_or_error: an errno such as `errno.ECONNREFUSED`, a code of getaddrinfo(3) such
            as `socket.EAI_NONAME`, the name of either, or of a name server's response code such
            as ``"SERVFAIL"``, in any case, or an exception that carries
            one: a `ConnectError`, or any other OSError.  A `ConnectError` is explained for its
            address's family and by what its attempts say, and a `ConnectTimeout` for what was
            being waited for; an errno alone for all families.  Where the two numberings overlap
            (they do not on Linux), a number is an errno.

    Returns:
        One paragraph; no line breaks.

    Raises:
        TypeError: the argument is none of these.
        ValueError: the exception carries no errno, or no error has the name.

    Thread-safe; makes no system call.

    Source: connect(2) of Linux, OpenBSD and glibc; getaddrinfo(3).
    """
    if isinstance(errno_or_error, OSError):
        return _explain_error(errno_or_error)
    if isinstance(errno_or_error, str):
        row = _named(errno_or_error)
    elif isinstance(errno_or_error, int) and not isinstance(errno_or_error, bool):
        row = lookup(errno_or_error, resolving=errno_or_error not in errnos.errorcode)
    else:
        raise TypeError(
            "errno_or_error must be an errno, the name of one or an OSError, "
            f"not {errno_or_error!r}"
        )
    return _sentences(row.name, row.words(None), row.advice(None))


def _named(name: str) -> Explanation:
    """The row of an error with this name."""
    rows = {each: lookup(number) for each, number in vars(errnos).items() if each[0] == "E"}
    rows |= {row.name: row for row in BY_CODE.values()}
    rows |= {row[0]: Explanation(*row) for row in RESPONSE_CODES}
    known = rows.get(name.upper())
    if known is None:
        from difflib import get_close_matches  # only here

        close = " or ".join(get_close_matches(name.upper(), rows, n=3, cutoff=0.7))
        suggestion = f"; did you mean {close}?" if close else ""
        raise ValueError(f"errno_or_error {name!r} is not the name of a known error{suggestion}")
    return known


def _sentences(name: str, words: str, check: str) -> str:
    end = "" if words.endswith(("?", "...")) else "."
    return f"{name}: {words}{end} Check {check}."


def _explain_error(error: OSError) -> str:
    if not isinstance(error.errno, int):
        raise ValueError(f"errno_or_error carries no errno: {error!r}")
    # An error that is not ours has none of these.
    family: int | None = getattr(error, "family", None)
    if family is None and hasattr(getattr(error, "address", None), "host"):
        family = socket.AF_INET  # of either version, which makes no difference here
    phase: str | None = getattr(error, "phase", None)
    attempts: Sequence[Any] = getattr(error, "attempts", ())
    row = lookup(error.errno, resolving=isinstance(error, socket.gaierror))
    name, words, check = row.name, row.words(family), row.advice(family)
    late = error.errno == errnos.ETIMEDOUT
    if phase == "handshake":
        shaking = BY_ERRNO[errnos.EPROTO]
        words, check = shaking.what, shaking.check
        if late:
            words = "connected, but the handshake did not finish in time"
    elif phase == "proxy":
        about = getattr(error, "about", "proxy")
        refused = (error.errno, about) == (errnos.EACCES, "proxy")
        check = _OF_PROXIES["login" if refused else about]
        words = "connected to the proxy, but it did not answer in time" if late else words
    elif phase == "resolve" and late:
        words, check = "no name server answered in time", BY_CODE[socket.EAI_AGAIN].check
    elif late and attempts and attempts[-1].outcome == "timed out" and attempts[-1].errno:
        # Time ran out, but on something that has a name.
        row = lookup(attempts[-1].errno)
        words, check = f"time ran out on {row.name}, {row.words(family)}", row.advice(family)
    if phase == "connect" and attempts and attempts[0].via:
        words = f"the proxy {attempts[0].via[0]} could not be reached: {words}"
    for record in attempts:
        if (record.errno, record.phase) == (error.errno, phase) and record.note:
            check = _POLICY if record.outcome == "not permitted" else check
            return _sentences(name, record.fate, check)
    return _sentences(name, words, check)


_OF_PROXIES: Final = {
    "login": "the user and the password that the proxy is given",
    "proxy": "the scheme and the port of the proxy: it may be of another kind, or not do this",
    "target": "the address that the proxy was asked for, and the proxy's rules and its log",
}
_POLICY: Final = "the policy (permit), and which addresses the name has"
