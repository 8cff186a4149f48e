"""Names, for a thread without an event loop: it waits for the lookup itself.

Rules:

* With a deadline, the lookup is made in a thread for lookups, as ever: so the deadline holds, and
  Ctrl-C.  With none, the calling thread makes it.
* What it finds is dialled as what a resolver knows: the first address by the quick way, and the
  rest by a race that needs no task.  So a dial by name makes no event loop.
* What it does not find, the race comes across as well: its error is kept for that.
* Reports have the lookup with its own times.
"""

from __future__ import annotations

import time
from copy import copy
from typing import TYPE_CHECKING

from ..dial.plan import Plan
from ..resolvers.system import SystemResolver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ..addresses.target import Target
    from ..addresses.values import Endpoint, TCPAddress, UDPAddress
    from ..resolvers.base import Batch

__all__ = ["waiting"]


def waiting(plan: Plan, target: Target, until: float) -> Plan:
    """The plan of one dial in which the calling thread waits for the lookup, if that can be.

    It cannot for a resolver of the user's, nor where a proxy may be the one that knows the name,
    nor for several hosts, which are looked up side by side.
    """
    resolver = plan.resolver
    if type(plan) is not Plan or not target.is_name:
        return plan
    if type(resolver) is not SystemResolver or resolver.by_family:
        return plan
    waited = _Waited(resolver, until)
    plan = copy(plan)
    plan.resolver = waited
    plan.known = waited.known
    plan.waited = waited
    return plan


class _Waited:
    """A resolver that has been waited for.

    Attributes:
        since: when the lookup began; None if none has.
        done: when it was over.
    """

    def __init__(self, resolver: SystemResolver, until: float) -> None:
        self.since: float | None = None
        self.done = 0.0
        self._resolver = resolver
        self._until = until
        self._error: OSError | None = None

    def known(self, address: TCPAddress | UDPAddress) -> Sequence[Endpoint] | None:
        self.since = time.monotonic()
        try:
            batch = self._resolver.wait_for(address, self._until)
        except OSError as error:
            self._error = error
            return None
        self.done = time.monotonic()
        return None if batch is None else batch.endpoints

    async def resolve(self, address: TCPAddress | UDPAddress) -> AsyncIterator[Batch]:
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback leads to this frame
        async for batch in self._resolver.resolve(address):
            yield batch
