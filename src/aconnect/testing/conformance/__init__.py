"""Whether a driver or a resolver does what its protocol says: for those who write one.

Rules:

* What is checked is what the protocol says, each rule by itself.  A rule that is broken does not
  keep the others from being checked.
* The checks use loopback and pairs of sockets only; a resolver is asked for the names that it is
  given.
* They run on the event loop that is running: asyncio's kind, or trio.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ...addresses.values import TCPAddress
from .bench import Broken, NotConformant, Rules
from .blocking import RULES as BLOCKING_RULES
from .conversing import RULES as CONVERSING_RULES
from .driver import RULES as WAITING_RULES
from .readable import RULES as READABLE_RULES
from .resolver import RULES as RESOLVER_RULES
from .resolver import Names
from .watch import RULES as WATCH_RULES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...drivers.base import Driver
    from ...resolvers.base import Resolver

__all__ = [
    "DRIVER_RULES",
    "RESOLVER_RULES",
    "Broken",
    "NotConformant",
    "check_driver",
    "check_resolver",
]

DRIVER_RULES = Rules(
    [*WAITING_RULES, *READABLE_RULES, *CONVERSING_RULES, *WATCH_RULES, *BLOCKING_RULES]
)
"""What `check_driver` checks, in its order: each has a ``name`` and ``words``."""


async def check_driver(driver: Driver, *, limit: float = 10.0) -> tuple[str, ...]:
    """Check that a driver keeps the rules of `aconnect.drivers.base`.

    To be awaited on an event loop that the driver is for.  It takes a few seconds, and up to 40
    threads at once.

    Args:
        driver: waits for nothing else meanwhile.
        limit: seconds for what happens at once when all is well; a check may take twice as long.

    Returns:
        The names of the rules that were checked.  Not all say something of every driver:
        ``sock_connect`` is for those that complete.

    Raises:
        NotConformant: rules are broken.  It lists them all, with what was seen.
        TypeError, ValueError: ``limit`` is not a number of seconds.
        RuntimeError: no event loop is running.

    When cancelled, it ends the check that is running, and leaves nothing.
    """
    return await DRIVER_RULES.check(driver, _limit(limit))


async def check_resolver(
    resolver: Resolver,
    exists: str,
    *,
    missing: str,
    port: int = 443,
    hosts: Iterable[str] | None = None,
    limit: float = 30.0,
) -> tuple[str, ...]:
    """Check that a resolver keeps the rules of `aconnect.resolvers.base`.

    To be awaited on an event loop that the resolver is for.  Each name is looked up many times.

    Args:
        exists: a name that has addresses.
        missing: a name that has none.
        port: is asked for with the names.
        hosts: the addresses of ``exists``, as text; None to take any.
        limit: seconds for a lookup, and for what it leaves to go away; a check may take twice as
            long.

    Returns:
        The names of the rules that were checked.

    Raises:
        NotConformant: rules are broken.  It lists them all, with what was seen.
        TypeError, ValueError: a name is none, or ``port`` or ``limit``.
        RuntimeError: no event loop is running.

    When cancelled, it ends the check that is running, and leaves nothing of its own.
    """
    names = Names(
        TCPAddress(exists, port),
        TCPAddress(missing, port),
        None if hosts is None else frozenset(hosts),
    )
    return await RESOLVER_RULES.check(resolver, _limit(limit), names)


def _limit(limit: float) -> float:
    if isinstance(limit, bool) or not isinstance(limit, (int, float)):
        raise TypeError(f"limit must be a number of seconds, not {limit!r}")
    if not 0 < limit < math.inf:
        raise ValueError(f"limit must be a finite number of seconds above 0, not {limit!r}")
    return limit
