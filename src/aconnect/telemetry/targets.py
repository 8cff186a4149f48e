"""Which targets have a name in metrics: those that the program has named, and no others.

Rules:

* Each name makes a time series of its own, and a program may dial any number of addresses; so no
  name comes from an address, unless the program says so.
* Where a convention requires the host, there are at most `MOST` different ones, and at most
  `MOST_FAILURES` pairs of one of them and a kind of error.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from .conventions import OTHER, server_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MOST", "MOST_FAILURES", "Hosts", "Namer", "Targets", "namer"]

MOST: Final = 100
"""Hosts that are told apart: a program that talks to more has no use for a series for each."""

MOST_FAILURES: Final = 80
"""Hosts with a kind of error.  With `MOST`, and a series of `OTHER` for each of a dozen kinds of
errors of lookups, this is less than the 200 series that the documentation promises."""

_T = TypeVar("_T")

Targets: TypeAlias = "Mapping[str, str] | Callable[[str], str | None] | None"
"""From the text of an address, as `Report.address` has it, to its name in metrics."""

Namer: TypeAlias = "Callable[[str], str]"


def namer(targets: Targets) -> Namer | None:
    """What names a target; None if nothing does.

    Raises:
        TypeError: ``targets`` is neither a mapping of str to str, nor callable, nor None.
    """
    if targets is None:
        return None
    if isinstance(targets, Mapping):
        named = dict(targets)
        for address, name in named.items():
            if not isinstance(address, str) or not isinstance(name, str):
                raise TypeError(
                    f"targets must be names by address, both str, not {name!r} for {address!r}"
                )
        return lambda address: named.get(address, OTHER)
    if not callable(targets):
        raise TypeError(
            f"targets must be a mapping, a callable of one argument or None, not {targets!r}"
        )

    def ask(address: str) -> str:
        name = targets(address)
        if name is not None and not isinstance(name, str):
            raise TypeError(f"targets must return a str or None, not {name!r} for {address!r}")
        return OTHER if name is None else name

    return ask


class Hosts:
    """Names the first hosts that it is asked about by themselves, and their first failures."""

    def __init__(self) -> None:
        self._hosts: set[str] = set()
        self._failures: set[tuple[str, str]] = set()
        self._lock = Lock()

    def __call__(self, address: str, error: str | None) -> str:
        """The name of a target whose lookup succeeded, or ended with an error of this kind."""
        host = server_of(address)[0]
        with self._lock:
            known = _keeps(self._hosts, host, MOST) and (
                error is None or _keeps(self._failures, (host, error), MOST_FAILURES)
            )
        return host if known else OTHER


def _keeps(known: set[_T], value: _T, most: int) -> bool:
    """Whether the value is one of the first so many."""
    if value not in known and len(known) < most:
        known.add(value)
    return value in known
