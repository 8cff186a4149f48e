"""Which targets have a name in metrics: those that the program has named, and no others.

Rules:

* Each name makes a time series of its own, and a program may dial any number of addresses; so no
  name comes from an address, unless the program says so.
* Where a convention requires the host, there are at most `MOST` different ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeAlias

from .conventions import OTHER, server_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MOST", "Hosts", "Namer", "Targets", "namer"]

MOST: Final = 100
"""Hosts that are told apart: a program that talks to more has no use for a series for each."""

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
    """A `Namer` that names the first hosts that it is asked about by themselves."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._lock = Lock()

    def __call__(self, address: str) -> str:
        known = self._known
        host = server_of(address)[0]
        if host in known:
            return host
        with self._lock:
            if len(known) >= MOST:
                return OTHER
            known.add(host)
        return host
