"""The lookup of a name that the call itself waits for.

Rules:

* The system's resolver has one answer, and before that is there, there is nothing to race: the
  call waits for it, without a task.
* What it finds is dialled as what a resolver remembers.  What it does not find, and its error,
  the race comes across as well.
* Who is told of everything as it happens is told that a lookup has begun before it is over: that
  is the race's to tell.  But for a thread without an event loop, which would have to make one.
* Reports have the lookup with its own times.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..resolvers.system import look_up as ask
from .recall import wanted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..addresses.target import Target
    from ..addresses.values import Endpoint, TCPAddress, UDPAddress
    from ..drivers.base import DialDriver
    from ..resolvers.base import Batch
    from ..resolvers.system import SystemResolver
    from .plan import Plan, Waited

__all__ = ["look_up"]


async def look_up(
    plan: Plan, target: Target, driver: DialDriver, until: float
) -> tuple[Waited, tuple[Endpoint, ...] | None]:
    """Look a name up, by the system's resolver, which the plan has.

    Args:
        until: when this has waited long enough.

    Returns:
        The lookup, which a race of the same dial has for its resolver; and the endpoints of the
        plan's family, None if there are none.
    """
    assert plan.looks_up is not None
    waited = _Waited(plan.looks_up)
    batch = await waited.wait(target.name, driver, until)
    return waited, None if batch is None else wanted(plan, tuple(batch.endpoints))


class _Waited:
    """A resolver that has been waited for.

    Attributes:
        since, done: when the lookup began, and when it was over.
    """

    def __init__(self, resolver: SystemResolver) -> None:
        self.since: float = time.monotonic()
        self.done: float = self.since
        self._resolver = resolver
        self._batch: Batch | None = None
        self._error: OSError | None = None

    async def wait(
        self, address: TCPAddress | UDPAddress, driver: DialDriver, until: float
    ) -> Batch | None:
        try:
            self._batch = await ask(self._resolver, address, driver, until)
        except OSError as error:
            self._error = error
        self.done = time.monotonic()
        return self._batch

    async def resolve(self, address: TCPAddress | UDPAddress) -> AsyncIterator[Batch]:
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback leads to this frame
        if self._batch is not None:
            yield self._batch
            return
        async for batch in self._resolver.resolve(address):  # a clock was early, which may be
            yield batch
