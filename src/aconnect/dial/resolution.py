"""The search for the addresses of one name: tells the race what the resolver gives.

Rules:

* A resolver is anybody's: what it raises, and what is nonsense, ends the search and not the race,
  which goes on with the addresses there are.
* Batches that are not sorted are sorted together with the others of their rank, at each.
* Families that the dial does not want are not waited for.
* The race is told in turns of the dial, never in the middle of one.
"""

from __future__ import annotations

import errno as errnos
import os
import time
from contextlib import aclosing
from functools import partial
from socket import AF_INET, AF_INET6, AF_UNSPEC
from typing import TYPE_CHECKING, Any

from ..addresses.text import printable
from ..errors.foreign import has_errno, words
from ..resolvers.answers import Sources, check_batch, closable, in_order, of_family
from ..trace import (
    QuestionAnswered,
    QuestionAsked,
    ResolutionBatch,
    ResolutionEnded,
    ResolutionStarted,
    ServiceFound,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..addresses.target import Target
    from ..addresses.values import Endpoint
    from ..resolvers.base import Batch, Service
    from ..sansio.race import Race
    from ..trace import Event, ResolutionOf, ResolutionOutcome
    from .history import Past
    from .plan import Plan
    from .ways import Commands, Way

__all__ = ["Resolution"]


class Resolution:
    """One search.

    Args:
        plan: has the resolver, and the address family to keep to.
        target: what has to be resolved.
        rank: that of its addresses in the race.
        race: is told of the addresses.
        hosts: is told which of them are this target's; None if there is no other.
        way: what races for an endpoint; None for itself.
        past: what is known of endpoints; None for nothing.
        offered: is told which rank and which service they are of, if of any; None if nobody
            wants to know.
        emit: is told of events; it raises nothing.
        family: the address family to keep to; None for the plan's.
        of: whose name it is.

    Attributes:
        error: why there was no answer, or no further one.
        target: what has to be resolved.
        rank, of: likewise.
        found: how many endpoints there have been.
        filtered: whether there were any, but none of the family.
        over: whether the resolver has no more to say.
    """

    def __init__(
        self,
        plan: Plan,
        target: Target,
        rank: int,
        race: Race[Way],
        hosts: dict[Way, Target] | None,
        emit: Callable[[Event], None],
        family: int | None = None,
        of: ResolutionOf = "target",
        way: Callable[[Endpoint], Way] | None = None,
        past: Past | None = None,
        offered: dict[Way, tuple[int, str]] | None = None,
    ) -> None:
        self.error: Exception | None = None
        self._plan = plan
        self._family = plan.family if family is None else family
        self.of = of
        self.target = target
        self._text = target.text
        self.rank = rank
        self._race = race
        self._hosts = hosts
        self._way = way
        self._past = past
        self._offered = offered
        self._services: set[Service] = set()  # that have been told of
        self._sources = Sources()
        self._unsorted: dict[int, list[Endpoint]] = {}  # all there have been, by their rank
        self._emit = emit
        self._running = False
        self.found: int = 0
        self.over: bool = False
        self._given = 0

    @property
    def filtered(self) -> bool:
        return self._given > 0 and not self.found

    def start(self) -> None:
        """It begins; `run` comes next."""
        self._running = True
        waited = self._plan.waited
        now = time.monotonic() if waited is None else waited.since
        self._emit(ResolutionStarted(now, self._text, self.of))

    async def run(self, post: Callable[[Callable[[], Commands]], None]) -> None:
        """Ask the resolver, until it has no more to say.

        Args:
            post: has the next turn of the dial call something and carry out its commands.
        """
        error: Exception | None = OSError(errnos.ECANCELED, os.strerror(errnos.ECANCELED))
        try:
            async with aclosing(
                closable(self._plan.resolver.resolve(self.target.name))
            ) as answers:
                async for batch in answers:
                    post(partial(self._add, check_batch(batch)))
            error = None
        except Exception as caught:
            error = caught
        finally:
            post(partial(self._finish, error))
            del error  # its traceback leads to this frame

    def _add(self, batch: Batch) -> Commands:
        if self._race.over:
            return []
        now = time.monotonic()
        endpoints = of_family(batch, self._family)
        order: list[Endpoint] = []
        if not batch.sorted:
            order = self._sorted(endpoints, batch.rank)
            new = frozenset(endpoints)
            endpoints = [each for each in order if each in new]
        elif self._past is not None:
            endpoints = self._past.in_order(endpoints, is_sorted=True)
        self._given += len(batch.endpoints)
        self.found += len(endpoints)
        if endpoints or batch.answered is not None or batch.withdrawn:
            self._emit(ResolutionBatch(now, tuple(endpoints), self._text, self.of))
        ways, withdrawn = self._ways(endpoints), self._ways(batch.withdrawn)
        if batch.questions or batch.service is not None or batch.rank or self._offered:
            self._tell(now, batch, ways)
        if self._hosts is not None:
            for way in ways:  # of two hosts' it stays the first's: it may be in use
                self._hosts.setdefault(way, self.target)
        commands: Commands = []
        if withdrawn:
            commands += self._race.addresses_withdrawn(now, withdrawn)
        awaited = batch.awaiting
        if awaited and self._family != AF_UNSPEC:
            awaited -= {AF_INET, AF_INET6} - {self._family}
        sorted_ways, group = self._ways(order), batch.rank
        commands += self._race.addresses_added(
            now, ways, self.rank, order=sorted_ways, group=group, awaiting=awaited
        )
        if batch.answered is not None:
            commands += self._race.family_answered(now, batch.answered, self.rank)
        return commands

    def _tell(self, now: float, batch: Batch, ways: Sequence[Way]) -> None:
        """What a batch says besides."""
        about: Any = {"address": self._text, "of": self.of}
        for each in batch.questions:
            told = each._asdict()
            if not each.outcome:
                self._emit(QuestionAsked(now, each.name, each.type, **about))
            else:
                self._emit(QuestionAnswered(time=now, **told, **about))
        service, text = batch.service, ""
        if service is not None:
            text = f"{printable(service.target)}:{service.port}"
            service = service._replace(hint=False)
            if service not in self._services:
                self._services.add(service)
                target, priority, port, alpn, ech, _, refused = service
                found = target, priority, port, alpn, len(ech), refused
                self._emit(ServiceFound(now, batch.rank, *found, **about))
        if self._offered is not None:
            for way in ways:
                self._offered[way] = (batch.rank, text)

    def _sorted(self, endpoints: list[Endpoint], rank: int) -> list[Endpoint]:
        """All of a rank that have come, with these, best first."""
        new = frozenset(endpoints)
        for each, others in self._unsorted.items():
            self._unsorted[each] = [known for known in others if known not in new]
        sort = in_order if self._past is None else self._past.in_order
        order = sort([*self._unsorted.get(rank, ()), *endpoints], sources=self._sources)
        self._unsorted[rank] = order
        return order

    def _ways(self, endpoints: Sequence[Endpoint]) -> Sequence[Way]:
        return endpoints if self._way is None else list(map(self._way, endpoints))

    def _finish(self, error: Exception | None) -> Commands:
        if self._race.over:
            return []
        self.error = error
        self.over = True
        self._end("done" if error is None else "failed")
        return self._race.rank_finished(time.monotonic(), self.rank)

    def abandon(self, timed_out: bool) -> None:
        """Nobody waits for it any more, because the time is up or for another reason."""
        self._end("timed out" if timed_out else "cancelled")

    def _end(self, outcome: ResolutionOutcome) -> None:
        """It is over, unless it was already, or never began."""
        if self._running:
            self._running = False
            errno = self.error.errno if self.error and has_errno(self.error) else None
            text = "" if self.error is None else words(self.error)
            now = time.monotonic()
            told = (outcome, self.found, errno, text, self._text, self.of)
            self._emit(ResolutionEnded(now, *told))
