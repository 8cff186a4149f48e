"""A resolver that remembers what another one has answered.

Rules:

* What is kept is a whole answer: that of a lookup which came to its end; with its ranks, but not
  what they offer.
* That a name has no address is kept too, for a shorter time.  What says that nobody could tell
  (EAI_AGAIN and the like) is not.
* What is fresh is answered from memory, at once.  A stale answer is used when the resolver fails,
  or is silent for `PATIENCE`; if ``optimistic``, at once, with the resolver asked beside it.
* When the resolver has failed, or was silent, it is left alone for `PAUSE` as long as there is a
  stale answer.
* That a name has no address any more ends what was known of it.
* A name none of whose addresses could be connected to is forgotten.
* Where the resolver can be asked for one family alone, that answer serves who keeps to it, and an
  answer for both serves everybody.  Of what is known of a family, what came last counts.
* A lock is held for what takes no time, and never across an await.

Source: RFC 8767, sections 4 and 5.
"""

from __future__ import annotations

import socket
import time
from contextlib import aclosing
from copy import copy
from math import isfinite
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from ..drivers.select import running_driver
from ..sansio.memory import Memory
from ..sansio.value import plain
from .answers import check_batch, closable, in_order, service_of
from .base import Batch, Question, for_family, translated
from .clock import uptime
from .system import NO_ADDRESS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable

    from ..addresses.values import Endpoint, TCPAddress, UDPAddress
    from ..sansio.memory import Entry
    from .base import Resolver

__all__ = ["PATIENCE", "PAUSE", "CachingResolver"]

_BOTH: Final = int(socket.AF_UNSPEC)
_FAMILIES: Final = (int(socket.AF_INET), int(socket.AF_INET6))

PATIENCE: Final = 1.8
"""Seconds for which a resolver may be silent before a stale answer is used: RFC 8767, section 5,
as many programs give up after two."""

PAUSE: Final = 30.0
"""Seconds for which a resolver that has failed is not asked again where a stale answer serves: RFC
8767, section 5."""


class _Answer:
    """What came of a lookup.

    Attributes:
        ranks: the endpoints of each, in their order; empty for a negative answer.
        error: what a negative answer is raised as; None if it was an end without an endpoint.
        retry_at: the moment before which the resolver is not asked again.
    """

    __slots__ = ("error", "ranks", "retry_at")

    def __init__(
        self, ranks: list[list[Endpoint]], error: tuple[Any, ...] | None, retry_at: float = 0.0
    ) -> None:
        self.ranks = ranks
        self.error = error
        self.retry_at = retry_at

    @property
    def endpoints(self) -> list[Endpoint]:
        """Those of all ranks."""
        return [each for rank in self.ranks for each in rank]

    def leave_out(self, family: int) -> None:
        """Have none of a family any more."""
        left = [[each for each in rank if each.family != family] for rank in self.ranks]
        self.ranks = [rank for rank in left if rank]

    def batches(self, stale_for: str = "") -> list[Batch]:
        """The answer, as a resolver gives it.

        Args:
            stale_for: the name that it is a stale answer for; it is told, then, that it is.
        """
        questions: tuple[Question, ...] = ()
        if stale_for:
            found = len(self.endpoints)
            told = Question(stale_for, "", outcome="NOERROR", records=found, source="stale")
            questions = (told,)
        return [
            Batch(tuple(each), sorted=True, rank=rank, questions=() if rank else questions)
            for rank, each in enumerate(self.ranks or [[]])
        ]


class CachingResolver:
    """Remembers what another resolver answers, so that most dials need no lookup.

    A dial that is answered from memory has no task and takes hardly longer than one to a literal
    address.

    Args:
        inner: the resolver to ask.
        ttl: seconds for which an answer is fresh.  getaddrinfo(3) does not say how long an
            answer is valid.
        negative_ttl: seconds for which it is known that a name has no address.
        entries: the most answers that are kept.
        stale: seconds for which an expired answer may still be used when the resolver fails, or
            says nothing for 1.8 seconds; None for not at all.
        optimistic: use a stale answer at once, and ask again in the meantime: what has changed
            is added, or withdrawn.  A dial that connects before the answer is there leaves it to
            the next to ask, for nothing outlives a call.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument has an invalid value; or ``optimistic`` has nothing to use, as
            ``stale`` is None.

    An answer is that for one name and one port, of TCP or of UDP.  Lookups are shared while they
    run if ``inner`` shares them, as `SystemResolver` does.  For a dialer that keeps to one family,
    ``inner`` is asked for that one alone, if it can be, as a `DnsResolver` can.

    Safe to use from several tasks, loops and threads at once, which have the answers in common.
    """

    def __init__(
        self,
        inner: Resolver,
        *,
        ttl: float = 10.0,
        negative_ttl: float = 1.0,
        entries: int = 4096,
        stale: float | None = None,
        optimistic: bool = False,
    ) -> None:
        if not callable(getattr(inner, "resolve", None)):
            raise TypeError(f"inner must have a resolve() method, not {inner!r}")
        if isinstance(entries, bool) or not isinstance(entries, int):
            raise TypeError(f"entries must be an int, not {entries!r}")
        if not isinstance(optimistic, bool):
            raise TypeError(f"optimistic must be a bool, not {optimistic!r}")
        self._inner = inner
        self._ttl = _seconds("ttl", ttl)
        self._negative_ttl = _seconds("negative_ttl", negative_ttl)
        self._stale = None if stale is None else _seconds("stale", stale)
        if optimistic and not self._stale:
            raise ValueError(
                "optimistic=True needs stale=, the seconds for which an expired answer may be used"
            )
        self._optimistic = optimistic
        self._memory: Memory[Hashable, _Answer] = Memory(entries)
        self._entries = entries
        self._lock = Lock()
        self._family = _BOTH

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self._inner!r}, ttl={self._ttl!r}, "
            f"negative_ttl={self._negative_ttl!r}, entries={self._entries!r}, "
            f"stale={self._stale!r}, optimistic={self._optimistic!r})"
        )

    def known(self, address: TCPAddress | UDPAddress) -> list[Endpoint] | None:
        """The endpoints, if there is no reason to ask the resolver; else None."""
        now = uptime()
        entry = self._recall(address, now)
        ranks = [] if entry is None or not _serves(entry, now) else entry.value.ranks
        return [*ranks[0]] if len(ranks) == 1 else None  # of several, each has to be told apart

    def forget(self, address: TCPAddress | UDPAddress) -> None:
        """Have the resolver be asked the next time; and forget the name as well, if it can."""
        with self._lock:
            for family in (_BOTH, *_FAMILIES):
                self._memory.forget((family, *_key(address)))
        tell: Any = getattr(self._inner, "forget", None)
        if tell is not None:
            tell(address)

    def for_family(self, family: int) -> Resolver:
        """This resolver for who keeps to a family: the other one is asked for that alone, if it
        can be.  They remember in common.

        Args:
            family: `socket.AF_INET` or `socket.AF_INET6`.
        """
        inner = for_family(self._inner, family)
        if inner is self._inner:
            return self
        kept = copy(self)
        kept._inner, kept._family = inner, int(family)
        return kept

    async def translate(self, endpoint: Endpoint) -> Endpoint | None:
        """What the other resolver says of an IPv4 endpoint without a route."""
        return await translated(self._inner, endpoint)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._memory.clear()

    async def resolve(self, address: TCPAddress | UDPAddress) -> AsyncIterator[Batch]:
        """From memory one batch, or one of each rank; or what the resolver answers, as it comes.

        Raises:
            socket.gaierror: the name has no address, as the resolver says or has said.
            BaseException: what the resolver raises.
        """
        now = uptime()
        entry = self._recall(address, now)
        if entry is None:
            answers = self._ask(address)
        elif _serves(entry, now):
            if entry.value.error is not None:
                raise socket.gaierror(*entry.value.error)
            stale = now >= entry.fresh_until
            for batch in entry.value.batches(address.host if stale else ""):
                yield batch
            return
        elif self._optimistic:
            answers = self._ask_beside(address, entry.value)
        else:
            answers = self._ask_first(address, entry.value)
        async with aclosing(answers):
            async for batch in answers:
                yield batch

    async def _ask(self, address: TCPAddress | UDPAddress) -> Any:
        """What the resolver answers; when it has, it is remembered."""
        batches: list[Batch] = []
        try:
            async with aclosing(closable(self._inner.resolve(address))) as answers:
                async for given in answers:
                    batch = check_batch(given)
                    batches.append(batch)
                    yield batch
        except socket.gaierror as error:
            if error.errno in NO_ADDRESS and not _merged(batches):
                self._keep(address, _Answer([], error.args))
            raise
        self._keep(address, _Answer(_merged(batches), None))

    async def _ask_first(self, address: TCPAddress | UDPAddress, stale: _Answer) -> Any:
        """What the resolver answers, if it does so soon; else the stale answer."""
        batches: list[Batch] = []
        error: Exception | None = None
        ended = False

        async def ask() -> None:
            nonlocal error, ended
            try:
                batches.extend([batch async for batch in self._ask(address)])
            except Exception as caught:
                error = caught
            ended = True
            watch.notify()

        try:
            until = time.monotonic() + PATIENCE
            async with running_driver().watch() as watch:
                watch.spawn(ask)
                while not ended and time.monotonic() < until:
                    await watch.wait(until)
            if ended and error is None:
                for batch in batches:
                    yield batch
                return
            if error is None or not _says_no_address(error):
                stale.retry_at = uptime() + PAUSE
                for batch in stale.batches(address.host):
                    yield batch
            if error is not None:
                raise error
        finally:
            error = None  # its traceback leads to this frame

    async def _ask_beside(self, address: TCPAddress | UDPAddress, stale: _Answer) -> Any:
        """The stale answer; and what the resolver says, with what is not true any more."""
        left = dict.fromkeys(stale.endpoints)
        for batch in stale.batches(address.host):
            yield batch
        try:
            async with aclosing(self._ask(address)) as answers:
                async for batch in answers:
                    for endpoint in batch.endpoints:
                        left.pop(endpoint, None)
                    gone = [each for each in left if each.family == batch.answered]
                    for endpoint in gone:
                        del left[endpoint]
                    yield batch._replace(withdrawn=(*batch.withdrawn, *gone))
        except Exception as error:
            if _says_no_address(error):
                yield Batch((), withdrawn=tuple(left))
            else:
                stale.retry_at = uptime() + PAUSE
            raise
        yield Batch((), withdrawn=tuple(left))

    def _recall(self, address: TCPAddress | UDPAddress, now: float) -> Entry[_Answer] | None:
        key = _key(address)
        with self._lock:
            for_both = self._memory.get((_BOTH, *key), now)
            if self._family == _BOTH or (for_both is not None and now < for_both.fresh_until):
                return for_both
            return self._memory.get((self._family, *key), now) or for_both

    def _keep(self, address: TCPAddress | UDPAddress, answer: _Answer) -> None:
        fresh_for, stale_for = self._ttl, self._stale or 0.0
        if not answer.ranks:
            fresh_for, stale_for = self._negative_ttl, 0.0
        now, key = uptime(), _key(address)
        with self._lock:
            if self._family == _BOTH:
                for family in _FAMILIES:
                    self._memory.forget((family, *key))
            elif not answer.ranks and (for_both := self._memory.get((_BOTH, *key), now)):
                for_both.value.leave_out(self._family)
                if not for_both.value.ranks:
                    self._memory.forget((_BOTH, *key))
            self._memory.put((self._family, *key), answer, now, fresh_for, stale_for)


def _key(address: TCPAddress | UDPAddress) -> tuple[object, ...]:
    """What an answer is for.  A dot at the end counts: without it there may be a search list."""
    return (address.type, address.host.lower(), address.port, *service_of(address))


def _serves(entry: Entry[_Answer], now: float) -> bool:
    """Whether the resolver need not, or is not to, be asked."""
    return now < entry.fresh_until or now < entry.value.retry_at


def _merged(batches: list[Batch]) -> list[list[Endpoint]]:
    """The endpoints of an answer in their order, as if they had come at once; by their ranks."""
    ranks: dict[Endpoint, int] = {}
    for batch in batches:
        for endpoint in batch.withdrawn:
            ranks.pop(endpoint, None)
        for endpoint in dict.fromkeys(batch.endpoints):
            ranks.pop(endpoint, None)
            ranks[endpoint] = batch.rank
    return [
        _sorted(batches, [endpoint for endpoint, rank in ranks.items() if rank == each])
        for each in sorted(set(ranks.values()))
    ]


def _sorted(batches: list[Batch], endpoints: list[Endpoint]) -> list[Endpoint]:
    if not all(batch.sorted for batch in batches):
        return in_order([*endpoints])
    if any(batch.answered is not None for batch in batches):  # what comes late is waited for
        return sorted(endpoints, key=lambda each: each.family != socket.AF_INET6)
    return [*endpoints]


def _says_no_address(error: Exception) -> bool:
    return isinstance(error, socket.gaierror) and error.errno in NO_ADDRESS


def _seconds(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not (isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be finite and not negative, not {value!r}")
    return plain(value)
