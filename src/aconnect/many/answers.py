"""One question for a name at a time, and its answer for all who ask.

Rules:

* Who asks for a name that is being asked for gets what has been answered so far, and what comes.
* If who was asking has gone away before the end, the next takes over, from the beginning.
* An answer, or a failure, is used again for some time, and forgotten then.
* The port of a question is not part of it, unless the resolver has answered with other ports.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import aclosing
from math import inf
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING, Any, TypeAlias

from ..drivers.select import running_driver
from ..resolvers.answers import check_batch, closable, service_of
from ..resolvers.base import for_family, translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ..addresses.values import Endpoint, TCPAddress, UDPAddress
    from ..resolvers.base import Batch, Resolver

__all__ = ["SharedAnswers"]

Key: TypeAlias = "tuple[object, ...]"


class _Question:
    """One question, and what has been answered."""

    def __init__(self, address: TCPAddress | UDPAddress) -> None:
        self.address = address
        self.batches: list[Batch] = []
        self.error: Exception | None = None
        self.ended: float | None = None
        self.abandoned = False
        self.listeners: set[Callable[[], None]] = set()

    def tell(self) -> None:
        """Wake those who wait for more."""
        for listener in list(self.listeners):
            listener()


class SharedAnswers:
    """A resolver that asks another once for all who want to know, on one event loop.

    Args:
        resolver: the other.
        reuse: seconds for which an answer is used again.
    """

    def __init__(self, resolver: Resolver, reuse: float) -> None:
        self._resolver = resolver
        self._reuse = reuse
        self._questions: OrderedDict[Key, _Question] = OrderedDict()
        self._port_matters = False

    def known(self, address: TCPAddress | UDPAddress) -> list[Endpoint] | None:
        """What the other knows, or what has been answered lately; None if it has to be asked."""
        ask: Any = getattr(self._resolver, "known", None)
        known: list[Endpoint] | None = None if ask is None else ask(address)
        if known is not None:
            return known
        question = self._questions.get(self._key(address))
        if question is None or question.ended is None or self._is_stale(question):
            return None
        if question.error is not None or not all(
            batch.sorted and not (batch.withdrawn or batch.rank) for batch in question.batches
        ):
            return None
        answers = (_with_port(each, question.address, address) for each in question.batches)
        return [endpoint for batch in answers for endpoint in batch.endpoints] or None

    def forget(self, address: TCPAddress | UDPAddress) -> None:
        """None of the addresses could be connected to; the other may want to know."""
        tell: Any = getattr(self._resolver, "forget", None)
        if tell is not None:
            tell(address)

    async def translate(self, endpoint: Endpoint) -> Endpoint | None:
        """What the other says of an IPv4 endpoint without a route."""
        return await translated(self._resolver, endpoint)

    def for_family(self, family: int) -> SharedAnswers:
        """For who keeps to a family: of the other nothing is to be known."""
        return SharedAnswers(for_family(self._resolver, family), self._reuse)

    async def resolve(self, address: TCPAddress | UDPAddress) -> AsyncIterator[Batch]:
        """What the other resolver gives."""
        while True:
            key = self._key(address)
            question = self._questions.get(key)
            if question is None or self._is_stale(question):
                async with aclosing(closable(self._ask(key, address))) as answers:
                    async for batch in answers:
                        yield batch
                return
            seen = 0
            while True:
                if self._port_matters and question.address.port != address.port:
                    break  # and ask for this port
                if seen < len(question.batches):
                    yield _with_port(question.batches[seen], question.address, address)
                    seen += 1
                elif question.error is not None:
                    raise question.error.with_traceback(None)
                elif question.ended is not None:
                    return
                elif question.abandoned:
                    break
                else:
                    await _more(question)

    async def _ask(self, key: Key, address: TCPAddress | UDPAddress) -> AsyncIterator[Batch]:
        self._forget()
        question = self._questions[key] = _Question(address)
        try:
            async with aclosing(closable(self._resolver.resolve(address))) as answers:
                async for answer in answers:
                    batch = check_batch(answer)
                    of_service = bool(service_of(address))
                    if not of_service and any(
                        _port(each) != address.port for each in batch.endpoints
                    ):
                        self._port_matters = True
                    question.batches.append(batch)
                    question.tell()
                    yield batch
            question.ended = time.monotonic()
        except Exception as error:
            question.error = error
            question.ended = time.monotonic()
            raise
        finally:
            if question.ended is None:
                question.abandoned = True
            if question.ended is None or not self._reuse:
                del self._questions[key]
            else:
                self._questions.move_to_end(key)
            question.tell()

    def _key(self, address: TCPAddress | UDPAddress) -> Key:
        name = (type(address), address.host.lower().removesuffix("."), *service_of(address))
        return (*name, address.port) if self._port_matters else name

    def _is_stale(self, question: _Question) -> bool:
        ended = question.ended
        return ended is not None and time.monotonic() - ended > self._reuse

    def _forget(self) -> None:
        """Forget what is too old: the oldest are at the front, behind those being asked."""
        for key, question in list(self._questions.items())[:2]:
            if self._is_stale(question):
                del self._questions[key]


async def _more(question: _Question) -> None:
    """Wait until more has been answered, or nothing will be."""
    watch = running_driver().watch()
    question.listeners.add(watch.notify)
    try:
        await watch.wait(inf)
    finally:
        question.listeners.discard(watch.notify)


def _port(endpoint: Endpoint) -> object:
    return endpoint.sockaddr[1] if endpoint.family in (AF_INET, AF_INET6) else None


def _with_port(
    batch: Batch, asked: TCPAddress | UDPAddress, address: TCPAddress | UDPAddress
) -> Batch:
    """The batch for the same name with another port."""
    if asked.port == address.port:
        return batch
    return batch._replace(
        endpoints=[_moved(each, address.port) for each in batch.endpoints],
        withdrawn=[_moved(each, address.port) for each in batch.withdrawn],
    )


def _moved(endpoint: Endpoint, port: int) -> Endpoint:
    sockaddr: Any = endpoint.sockaddr
    return endpoint._replace(sockaddr=(sockaddr[0], port, *sockaddr[2:]))
