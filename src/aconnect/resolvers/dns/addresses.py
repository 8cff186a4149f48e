"""The addresses of a name looked up, with the answers of the cache and of name servers.

Rules:

* The questions about a name are put in one turn; what has been answered is passed on at once.
* The next candidate of the search list follows when none of the families of the one before has an
  address.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

from ..answers import endpoints_for
from ..base import Batch
from .cache import error_of
from .telling import taken
from .wire import AAAA, A, Question

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ...addresses.values import Endpoint, TCPAddress, UDPAddress
    from .asking import Asking
    from .cache import Answer
    from .telling import Told

__all__ = ["FAMILIES", "look_up"]

FAMILIES: Final = {AAAA: socket.AF_INET6, A: socket.AF_INET}
"""Of the addresses in each type of record."""


async def look_up(
    address: TCPAddress | UDPAddress,
    candidates: list[str],
    asking: Asking,
    types: list[int],
    preferred: int,
) -> AsyncGenerator[Batch, None]:
    """What is found, in batches; unsorted.

    Args:
        candidates: the names to try, one after the other.
        asking: puts the questions; it is closed in the end.
        types: of addresses, in the order in which they are asked for.
        preferred: the one that is worth waiting for.

    Raises:
        OSError: there is no address.
    """
    failures: list[Answer] = []
    awaited: frozenset[Any] = frozenset({FAMILIES[preferred]})
    try:
        for candidate in candidates:
            asking.begin()
            answered = asking.ask([Question(candidate, type) for type in types])
            yield Batch((), awaiting=awaited, questions=asking.told())
            negative: list[int] = []
            found: dict[int, tuple[Endpoint, ...]] = {}
            told: list[Told] = []
            while True:
                for question, answer, said, for_now in answered:
                    told.append(said)
                    family = FAMILIES[question.type]
                    endpoints = tuple(endpoints_for(address, answer.addresses))
                    gone = [each for each in found.pop(family, ()) if each not in endpoints]
                    if endpoints:
                        found[family], awaited = endpoints, awaited - {family}
                        done = None if for_now else family
                        yield Batch(endpoints, done, False, gone, 0, awaited, None, taken(told))
                    else:
                        failures.append(answer)
                        negative.append(family)
                        if gone:
                            yield Batch((), withdrawn=gone)
                    if found or candidate == candidates[-1]:
                        while negative:
                            awaited -= {negative[0]}
                            gone_for = negative.pop(0)
                            yield Batch((), gone_for, False, (), 0, awaited, None, taken(told))
                answered = await asking.more()
                if not answered:
                    break
            if told:
                yield Batch((), questions=taken(told))
            if found:
                return
    finally:
        asking.close()
    raise error_of(failures, searched=len(candidates) > 1)
