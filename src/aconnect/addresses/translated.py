"""An IPv4 address that is connected to by way of a translator (NAT64).

It is the endpoint that the kernel is given, of IPv6, and knows which one of IPv4 it stands for.
"""

from __future__ import annotations

from typing import Any

from .values import Endpoint

__all__ = ["Translated"]


class Translated(Endpoint):
    """The endpoint of IPv6 that stands for one of IPv4.

    Args:
        endpoint: what is connected to.
        ipv4: what is meant.
        trusted: whether the prefix is the user's own, and not what a name server has said.

    To its equality and its hash it is the endpoint.
    """

    ipv4: Endpoint
    trusted: bool

    def __new__(cls, endpoint: Endpoint, ipv4: Endpoint, trusted: bool) -> Translated:  # noqa: PYI034
        made: Translated = super().__new__(cls, *endpoint)
        made.ipv4 = ipv4
        made.trusted = trusted
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Translated, (Endpoint(*self), self.ipv4, self.trusted)
