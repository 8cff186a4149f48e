"""What becomes of an attempt on a fake network.

Rules:

* An outcome is a value, checked when it is made.
* A sequence of outcomes is used up one by one; its last one stays.
"""

from __future__ import annotations

import errno as errnos
import math
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

__all__ = ["Outcome", "OutcomeLike", "Script", "lookup_code", "outcome_of", "seconds_of"]

T = TypeVar("T")

_CONNECTING: Final = ("connects", "closes", "silent", "itself")
_WORDS: Final = {
    "refused": errnos.ECONNREFUSED,
    "unreachable": errnos.EHOSTUNREACH,
    "no local port": errnos.EADDRNOTAVAIL,
    "backlog full": errnos.EAGAIN,
}
_AT_ONCE: Final = (errnos.EADDRNOTAVAIL, errnos.EAGAIN)
_NO_END: Final = (errnos.EINPROGRESS, errnos.EALREADY, errnos.EISCONN, errnos.EINTR)
"""What connect(2) says of an attempt that goes on, or that has succeeded."""
_LOOKUPS: Final = {
    "answers": 0,
    "no such name": socket.EAI_NONAME,
    "server failure": socket.EAI_AGAIN,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of an attempt.

    Args:
        what: ``"connects"``; ``"closes"``, connects and hangs up; ``"silent"``, never answers;
            ``"itself"``, is connected to itself, as happens when nobody listens on a local port;
            ``"refused"``, ``"unreachable"``, ``"no local port"``, ``"backlog full"``; or an errno,
            as a number or by its name.
            Datagrams are not answered, and connect(2) says nothing of ``"refused"``: the first
            call after a send does, as with a real socket.
        after: seconds from connect(2) to the answer; for a refused datagram, from the send.  0 is
            an answer that is there when the call returns.
        at_once: whether connect(2) itself gives the answer, rather than EINPROGRESS.  Lack of a
            local port and a full backlog always are like that.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: there is no such outcome, or it cannot take time.
    """

    what: str | int
    after: float = 0.0
    at_once: bool = False

    def __post_init__(self) -> None:
        errno = _errno(self.what)
        seconds_of(self.after, "after")
        if not isinstance(self.at_once, bool):
            raise TypeError(f"at_once must be a bool, not {self.at_once!r}")
        if errno in _AT_ONCE:
            object.__setattr__(self, "at_once", True)
        if self.at_once and (self.after or self.what == "silent"):
            raise ValueError(f"an answer that connect(2) gives at once cannot take time: {self!r}")

    @property
    def errno(self) -> int:
        """Why it fails; 0 if it does not."""
        return _errno(self.what)


OutcomeLike: TypeAlias = "Outcome | str | int"


def _errno(what: str | int) -> int:
    if isinstance(what, bool) or not isinstance(what, (str, int)):
        raise TypeError(f"an outcome must be a word or an errno, not {what!r}")
    if what in _CONNECTING:
        return 0
    number = _WORDS.get(what) or getattr(errnos, what, 0) if isinstance(what, str) else what
    if not isinstance(number, int) or number not in errnos.errorcode or number in _NO_END:
        words = ", ".join(map(repr, (*_CONNECTING, *_WORDS)))
        raise ValueError(
            f"an outcome must be one of {words}, or the errno of a failure, not {what!r}"
        )
    return number


def outcome_of(given: OutcomeLike, after: float) -> Outcome:
    """The outcome that is meant; ``after`` is for those that do not say.

    Raises:
        TypeError, ValueError: there is none.
    """
    if isinstance(given, Outcome):
        return given
    at_once = _errno(given) in _AT_ONCE
    return Outcome(given, 0.0 if at_once else after)


def lookup_code(given: str | int) -> int:
    """0, or the code of getaddrinfo(3) that a lookup fails with.

    Raises:
        TypeError, ValueError: it is neither a word for one nor a code.
    """
    if isinstance(given, bool) or not isinstance(given, (str, int)):
        raise TypeError(
            f"the outcome of a lookup must be a word or a code of getaddrinfo(3), not {given!r}"
        )
    code = _LOOKUPS.get(given) if isinstance(given, str) else given
    if code is None:
        words = ", ".join(map(repr, _LOOKUPS))
        raise ValueError(f"the outcome of a lookup must be one of {words}, not {given!r}")
    return code


def seconds_of(value: float, name: str, most: float = 1e9) -> float:
    """A number of seconds.

    Raises:
        TypeError, ValueError: it is none, or more than ``most``.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if math.isnan(value) or not 0 <= value <= most:
        raise ValueError(f"{name} must be from 0 to {most:g} seconds, not {value!r}")
    return value


class Script(Generic[T]):
    """One thing after another; the last one stays.

    Args:
        given: one thing, or an iterable of them.
        make: makes of each what is wanted; raises what it must.

    Raises:
        ValueError: there is none.
    """

    def __init__(self, given: Any, make: Callable[[Any], T]) -> None:
        several = isinstance(given, Iterable) and not isinstance(given, (str, Outcome))
        if isinstance(given, Iterator):
            things: Iterator[T] = map(make, given)  # it may be endless
        else:
            things = iter([make(each) for each in (given if several else [given])])
        self._things = things
        try:
            self._next = next(things)
        except StopIteration:
            raise ValueError("outcomes must not be empty") from None

    def next(self) -> T:
        """What comes now."""
        now = self._next
        self._next = next(self._things, now)
        return now
