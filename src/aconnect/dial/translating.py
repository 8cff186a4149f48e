"""An IPv4 address to which there is no route, by way of a translator to it (NAT64).

Rules:

* A resolver may have a method ``translate``, which is asked about a literal IPv4 address that
  connect(2) refuses with ENETUNREACH: what it gives is tried next, once.
* It is anybody's, and may wait.  What it raises, or gives that makes no sense, counts as nothing,
  and so does no answer: the error is that of the address itself.
* A policy is asked about both; see `judged`.
"""

from __future__ import annotations

import errno as errnos
import socket
from copy import copy
from typing import TYPE_CHECKING, Any

from ..addresses.translated import Translated
from ..addresses.values import Endpoint
from ..resolvers.base import Batch
from ..sockets.datagrams import source_address
from .preparation import refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from ..addresses.target import Target
    from .begun import Begun
    from .plan import Plan

__all__ = ["translating"]


def translating(plan: Plan, part: Target, begun: Sequence[Begun]) -> Plan | None:
    """The plan whose resolver says how a part can be reached all the same; None if it needs none.

    Args:
        begun: the attempts on it that there have been.
    """
    endpoint = part.only
    if plan.translate is None or endpoint is None or endpoint.family != socket.AF_INET:
        return None
    answer = begun[0].answer if begun else 0
    if answer != errnos.ENETUNREACH and (answer or source_address(endpoint) is not None):
        return None
    if refusal(plan, endpoint) is not None:  # which is why it is not connected to
        return None
    translate, plan = plan.translate, copy(plan)
    plan.resolver = _Translating(translate, endpoint)
    return plan


class _Translating:
    """Has what leads to an endpoint, as the only one there is."""

    def __init__(
        self, translate: Callable[[Endpoint], Awaitable[Any]], endpoint: Endpoint
    ) -> None:
        self._translate = translate
        self._endpoint = endpoint

    async def resolve(self, _: object) -> AsyncIterator[Batch]:
        found = await self._translate(self._endpoint)
        if isinstance(found, Endpoint):
            trusted = isinstance(found, Translated) and found.trusted
            yield Batch((Translated(Endpoint(*found), self._endpoint, trusted),))
