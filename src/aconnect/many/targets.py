"""What is to be dialled, one by one as it is asked for.

Rules:

* Nothing is asked of an iterable before there is room for what it gives.
* What makes no sense is a target too, and has its result.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from ..addresses.values import UnixAddress

if TYPE_CHECKING:
    from collections.abc import Hashable

    from ..addresses.target import Target

__all__ = ["Wanted", "check_targets", "host_of", "wanted"]


Wanted: TypeAlias = "tuple[int, Any, Any, Target]"
"""One target: its place, what was given with it, the address, and what that stands for.

There is one for every dial: with names for its parts it would take ten times as long to make."""


def check_targets(targets: object) -> None:
    """See that they are something to go through.

    Raises:
        TypeError: they are not.
    """
    if isinstance(targets, (str, bytes)) or not isinstance(targets, (Iterable, AsyncIterable)):
        raise TypeError(
            f"targets must be an iterable of addresses, asynchronous or not, not {targets!r}"
        )


def wanted(element: Any) -> tuple[Any, Any]:
    """The key and the address of an element: two are a key and an address, unless they are a host
    and a port."""
    if isinstance(element, tuple) and len(element) == 2:
        key, address = element
        if not (type(key) is str and type(address) is int) and not _is_address(key, address):
            return key, address
    return element, element


def _is_address(host: object, port: object) -> bool:
    """Whether they are a host and a port, by number or by name, rather than a key and an address,
    which has a ``:`` or a ``/`` if it is text."""
    if not isinstance(host, (str, bytes)):
        return False
    if isinstance(port, str):
        return not (":" in port or "/" in port)
    return isinstance(port, (int, bytes))


def host_of(target: Target) -> Hashable:
    """What dials are counted by: the host as it is written, or the path."""
    first = target.parts[0].address
    if isinstance(first, UnixAddress):
        return first.path
    host = getattr(first, "host", None)
    return target.text if host is None else str(host).casefold()
