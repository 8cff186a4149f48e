"""Which names may be looked up at all.

Rules:

* A name is compared as DNS does it: without regard to case, and to a dot at the end; international
  ones by their A-labels.
* ``*.example.org`` is every name below ``example.org``, and not that itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from ..addresses.redacting import shown
from ..addresses.redirects import canonical
from ..addresses.values import TCPAddress
from ..sansio.value import Value, derived, set_derived

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NamePolicy", "allow_names"]

NamePolicy: TypeAlias = "Callable[[str], bool]"
"""Anything that answers True or False when it is asked with a host: a name as DNS has it, in
A-labels, lowered, without a dot at the end; or a literal address."""

_BELOW: Final = "*."


def allow_names(*patterns: str) -> NamePolicy:
    """Let through the hosts of ``patterns``, and no other.

    Args:
        patterns: at least one: a name such as ``"example.org"``; ``"*.example.org"`` for all names
            below it; or a literal address, without a port.

    Raises:
        TypeError: a pattern is not a str.
        ValueError: a pattern is none, or there is none.
    """
    if not patterns:
        raise ValueError("allow_names() needs at least one name")
    return _AllowNames(patterns)


class _AllowNames(Value):
    patterns: tuple[str, ...]

    _names: frozenset[str] = derived()
    _domains: frozenset[str] = derived()

    def __post_init__(self) -> None:
        names: set[str] = set()
        domains: set[str] = set()
        for pattern in self.patterns:
            if not isinstance(pattern, str):
                raise TypeError(f"a pattern must be a str, not {shown(pattern)}")
            try:
                host = canonical(TCPAddress(pattern.removeprefix(_BELOW), 0).host)
            except ValueError as error:
                raise ValueError(
                    f"a pattern must be a name or *.name, not {shown(pattern)}: {error}"
                ) from None
            (domains if pattern.startswith(_BELOW) else names).add(host)
        set_derived(self, "_names", frozenset(names))
        set_derived(self, "_domains", frozenset(domains))

    def __call__(self, name: str) -> bool:
        if name in self._names:
            return True
        if not self._domains:
            return False
        _, dot, above = name.partition(".")
        while dot:
            if above in self._domains:
                return True
            _, dot, above = above.partition(".")
        return False

    def __repr__(self) -> str:
        return f"allow_names({', '.join(map(repr, self.patterns))})"
