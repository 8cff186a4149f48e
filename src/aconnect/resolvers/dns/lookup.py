"""The lookup of one name: all its questions, for all who ask for it on one event loop.

Rules:

* AAAA is asked before A, in one turn of the loop; with ``single-request``, one after the other.
* One question never waits for the other.  More may be put while it goes on; each is put once.
* Whoever waits for a lookup may carry it on: one does, and when he leaves, another.  The last to
  leave ends it.  So it has no task, and a thousand dials at a time cost one exchange.
"""

from __future__ import annotations

import os
import time
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from .exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ...drivers.base import Driver, Watch
    from ...sansio.asking import Servers
    from .outcome import Outcome
    from .settings import Settings
    from .wire import Question

__all__ = ["Found", "Lookup", "new_seed"]


class Found(NamedTuple):
    """What came of one question."""

    question: Question
    outcome: Outcome


class Lookup:
    """One lookup.

    Args:
        questions: in the order in which they are asked.
        settings, servers: as for `Exchange`.
        keep: is called with each that is found.
        first: the server to begin with.

    Attributes:
        found: what came of the questions so far.
        waiting: who waits.
    """

    def __init__(
        self,
        questions: Iterable[Question],
        settings: Settings,
        servers: Servers,
        keep: Callable[[Found], object],
        first: int = 0,
    ) -> None:
        self.found: list[Found] = []
        self._settings = settings
        self._servers = servers
        self._put: dict[Question, None] = {}
        self._to_ask: list[Question] = []
        self._running: dict[Question, Exchange] = {}
        self._keep = keep
        self._first = first
        self.waiting: dict[Watch, None] = {}
        self._led = False
        self._seed: int | None = None
        self.ask(questions)

    def seed(self) -> int:
        """For all who wait to draw the same."""
        if self._seed is None:
            self._seed = new_seed()
        return self._seed

    @property
    def over(self) -> bool:
        """Whether all questions have come to something."""
        return not (self._running or self._to_ask)

    def ask(self, questions: Iterable[Question]) -> None:
        """Put more questions; those that have been put already are not put again."""
        new = [each for each in questions if each not in self._put]
        self._put.update(dict.fromkeys(new))
        self._to_ask += new
        self._begin()

    def join(self, driver: Driver) -> Watch:
        """Somebody waits for it, who has to `leave`."""
        watch = driver.watch()
        self.waiting[watch] = None
        return watch

    def leave(self, watch: Watch) -> None:
        """He waits no more; if he was the last, it is ended."""
        del self.waiting[watch]
        self._wake()
        if self.waiting:
            return
        for exchange in self._running.values():
            exchange.close()
        self._running.clear()
        self._to_ask.clear()

    async def go_on(self, driver: Driver, watch: Watch, until: float) -> None:
        """Wait for the next that comes of it, or for the moment ``until``."""
        if self._led:
            await watch.wait(until)
            return
        self._led = True
        try:
            exchanges = self._running.values()
            reads = [sock for each in exchanges for sock in each.reads]
            writes = [sock for each in exchanges for sock in each.writes]
            until = min(until, *(each.wake_at for each in exchanges), inf)
            ready = await driver.wait_readable(reads, until, writable=writes)
            now = time.monotonic()
            for exchange in [*exchanges]:
                for sock in ready:
                    exchange.ready(sock, now)
                if exchange.wake_at <= now:
                    exchange.time_passed(now)
            self._collect()
            self._begin()
        finally:
            self._led = False
            self._wake()

    def _begin(self) -> None:
        while self._to_ask and not (self._settings.one_by_one and self._running):
            question = self._to_ask.pop(0)
            now = time.monotonic()
            told = self._settings, self._servers, now, self._first
            self._running[question] = Exchange(question, *told)
            self._collect()

    def _collect(self) -> None:
        for question, exchange in [*self._running.items()]:
            if exchange.outcome is not None:
                del self._running[question]
                found = Found(question, exchange.outcome)
                self.found.append(found)
                self._keep(found)

    def _wake(self) -> None:
        for watch in self.waiting:
            watch.notify()


def new_seed() -> int:
    """A seed of as many bits as nobody guesses; all that a generator has take time."""
    return int.from_bytes(os.urandom(8), "big")
