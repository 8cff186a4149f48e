"""The questions of one lookup: answered from memory, or put to name servers.

Rules:

* What is remembered is told at once; what is not is asked.  More may be asked at any time.
* Who begins with the same questions, for the same purpose, shares one `Lookup`, and draws the same
  where there is something to be drawn: so all ask the same in the end.
* Names that are not DNS's are not asked for, whatever has led to them.
* With ``rotate`` all questions of a lookup go to one server first, those of the next to the next.
* More than `MOST_QUESTIONS` are not put, whatever candidates and targets there are.
* What is stale serves if a question fails, or if nobody has said anything for too long; to who is
  optimistic it serves at once, and what is answered takes its place.

Source: RFC 8767 section 5.
"""

from __future__ import annotations

import socket
import threading
import time
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ...sansio.draws import Draws
from ...sansio.finding import AAAA, A
from ..caching import PATIENCE, PAUSE
from ..clock import uptime
from .cache import Answer
from .lookup import Lookup, new_seed
from .names import business_of, words_of
from .telling import MOST_QUESTIONS, TOO_MANY, answered, asked, not_asked, recalled

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, MutableMapping

    from ...drivers.base import Driver, Watch
    from ...sansio.asking import Servers
    from ...sansio.memory import Entry
    from .cache import Answers
    from .lookup import Found
    from .settings import Settings
    from .telling import Told
    from .wire import Question

__all__ = ["Answered", "Asking", "of_nobody"]


def of_nobody(name: str) -> Answer | None:
    """The answer to a question that nobody is asked; None if somebody is."""
    business = business_of(name)
    return Answer((), socket.EAI_NONAME, words_of(business)) if business else None


_TOO_MANY: Final = Answer((), socket.EAI_FAIL, TOO_MANY, failed=True)


class Answered(NamedTuple):
    """An answer, and what is to be told of it; perhaps for now, until another takes its place."""

    question: Question
    answer: Answer
    told: Told
    for_now: bool = False


class Asking:
    """The questions of one lookup: answered from memory, or put to name servers.

    Args:
        driver: the running event loop.
        settings, servers: as for `Lookup`.
        cache: what is remembered; None for nothing.
        network: which part of it.
        keep: as for `Lookup`.
        lookups: those that are under way.

    Attributes:
        random: draws the same for all who share a lookup.
    """

    def __init__(
        self,
        driver: Driver,
        settings: Settings,
        servers: Servers,
        cache: Answers | None,
        network: Hashable,
        keep: Callable[[Hashable, Found], object],
        lookups: MutableMapping[Hashable, Lookup],
    ) -> None:
        self.random: Draws = Draws(new_seed)
        self._driver = driver
        self._settings = settings
        self._servers = servers
        self._cache = cache
        self._optimistic = cache is not None and cache.optimistic
        self._network = network
        self._keep = partial(keep, network)
        self._lookups = lookups
        self._lookup: Lookup | None = None
        self._key: Any = ()
        self._watch: Watch | None = None
        self._told = 0
        self._pending: dict[Question, Entry[Answer] | None] = {}  # and what is stale
        self._until = inf
        self._said: list[Told] = []
        self._left = MOST_QUESTIONS
        self._first: int | None = None

    def told(self) -> tuple[Told, ...]:
        """The questions that have been put since it was asked last, to be told."""
        said, self._said = tuple(self._said), []
        return said

    def begin(self, key: tuple[object, ...] = ()) -> None:
        """Another lookup begins; who begins with an equal key asks the same."""
        self.close()
        self._key = (threading.get_ident(), self._driver, self._network, *key)

    def ask(self, questions: list[Question]) -> list[Answered]:
        """Put questions.

        Returns:
            The answers to those that are remembered.
        """
        remembered: list[Answered] = []
        new: list[Question] = []
        now = uptime()
        for each in questions:
            nobody = of_nobody(each.name)
            if nobody is not None:
                remembered.append(Answered(each, nobody, not_asked(each, nobody.words)))
                continue
            if self._left <= 0:
                remembered.append(Answered(each, _TOO_MANY, not_asked(each, TOO_MANY)))
                continue
            self._left -= 1
            self._said += asked((each,))
            entry = None if self._cache is None else self._cache.get((self._network, *each), now)
            if entry is not None and (now < entry.fresh_until or now < entry.value.retry_at):
                remembered.append(Answered(each, entry.value, recalled(each, entry, now)))
                continue
            new.append(each)
            stale = entry if entry is not None and entry.value.addresses else None
            self._pending[each] = stale
            if stale is not None and self._optimistic:
                told = recalled(each, stale, now)
                remembered.append(Answered(each, stale.value, told, for_now=True))
            elif stale is not None:
                self._until = min(self._until, time.monotonic() + PATIENCE)
        if new:
            if self._settings.one_by_one:
                new.sort(key=lambda each: each.type not in (AAAA, A))
            self._put(new)
        return remembered

    def _put(self, questions: list[Question]) -> None:
        if self._lookup is None:
            self._key = (*self._key, *questions)
            self._lookup = self._lookups.get(self._key)
            if self._lookup is None:
                told = self._settings, self._servers, self._keep, self._server_to_begin_with()
                made = Lookup((), *told)
                self._lookup = self._lookups[self._key] = made
            self._watch = self._lookup.join(self._driver)
            self.random.restart(self._lookup.seed)
        self._lookup.ask(questions)
        self._told = 0  # one of them may have been answered before

    def _server_to_begin_with(self) -> int:
        if self._first is None:  # which is not as long as everything is remembered
            self._first = self._servers.turn() if self._settings.rotate else 0
        return self._first

    async def more(self) -> list[Answered]:
        """Wait for an answer.

        Returns:
            What has been answered; nothing if nothing more will be.
        """
        while self._pending:
            assert self._lookup is not None
            assert self._watch is not None
            found, self._told = self._lookup.found[self._told :], len(self._lookup.found)
            news = [self._better(each) for each in found if each.question in self._pending]
            if news:
                for each in news:
                    del self._pending[each.question]
                return news
            if time.monotonic() >= self._until:
                return self._out_of_patience()
            await self._lookup.go_on(self._driver, self._watch, self._until)
        return []

    def _better(self, found: Found) -> Answered:
        """What was answered, or what is remembered if that was a failure."""
        question = found.question
        answer, stale = Answer.of(found.outcome), self._pending[question]
        if stale is not None and answer.failed:
            return Answered(question, stale.value, recalled(question, stale, uptime()))
        return Answered(question, answer, answered(question, found.outcome))

    def _out_of_patience(self) -> list[Answered]:
        """Nobody has said anything for too long: what is stale will do."""
        self._until = inf
        now = uptime()
        old = [(each, stale) for each, stale in self._pending.items() if stale is not None]
        for question, stale in old:
            stale.value.retry_at = now + PAUSE
            del self._pending[question]
        return [Answered(each, stale.value, recalled(each, stale, now)) for each, stale in old]

    def close(self) -> None:
        """Ask nothing more."""
        lookup, watch = self._lookup, self._watch
        if lookup is not None and watch is not None:
            # Those who come now have one of their own; another's may be there already.
            ends = lookup.over or len(lookup.waiting) == 1
            if ends and self._lookups.get(self._key) is lookup:
                del self._lookups[self._key]
            lookup.leave(watch)
        self._lookup = self._watch = None
        self._told = 0
        self._pending.clear()
        self._until = inf
