"""The search for the addresses of one dial: tells the race what the resolver gives.

Rules:

* A resolver is anybody's: what it raises, and what is nonsense, ends the search and not the race,
  which goes on with the addresses there are.
* The race is told in turns of the dial, never in the middle of one.
"""

from __future__ import annotations

import errno as errnos
import os
import time
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from .flight import has_errno
from .handshakes.base import words
from .resolvers.answers import check_batch, closable, in_order
from .trace import ResolutionBatch, ResolutionEnded, ResolutionStarted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from .addresses import Endpoint
    from .resolvers.base import Batch
    from .sansio.race import Command, Race
    from .trace import Event, ResolutionOutcome

__all__ = ["Resolution"]

Commands: TypeAlias = "list[Command[Endpoint]]"


class Resolution:
    """One search.

    Args:
        text: the name as text.
        batches: begins to yield them as they come.
        family: the address family to keep to; AF_UNSPEC for any.
        race: is told of them.
        emit: is told of events; it raises nothing.

    Attributes:
        error: why there was no answer, or no further one.
        filtered: whether there were endpoints, but none of the family.
    """

    def __init__(
        self,
        text: str,
        batches: Callable[[], AsyncIterator[Batch]],
        family: int,
        race: Race[Endpoint],
        emit: Callable[[Event], None],
    ) -> None:
        self.error: Exception | None = None
        self._text = text
        self._batches = batches
        self._family = family
        self._race = race
        self._emit = emit
        self._running = False
        self._found = 0
        self._given = 0

    @property
    def filtered(self) -> bool:
        return self._given > 0 and not self._found

    def start(self) -> None:
        """It begins; `run` comes next."""
        self._running = True
        self._emit(ResolutionStarted(time.monotonic(), self._text))

    async def run(self, post: Callable[[Callable[[], Commands]], None]) -> None:
        """Ask the resolver, until it has no more to say.

        Args:
            post: has the next turn of the dial call something and carry out its commands.
        """
        error: Exception | None = OSError(errnos.ECANCELED, os.strerror(errnos.ECANCELED))
        try:
            async with aclosing(closable(self._batches())) as answers:
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
        endpoints = in_order(batch, self._family)
        self._given += len(batch.endpoints)
        self._found += len(endpoints)
        self._emit(ResolutionBatch(now, tuple(endpoints)))
        commands: Commands = []
        if batch.withdrawn:
            commands += self._race.addresses_withdrawn(now, batch.withdrawn)
        commands += self._race.addresses_added(now, endpoints)
        if batch.answered is not None:
            commands += self._race.family_answered(now, batch.answered)
        return commands

    def _finish(self, error: Exception | None) -> Commands:
        if self._race.over:
            return []
        self.error = error
        self.end("done" if error is None else "failed")
        return self._race.resolution_finished(time.monotonic())

    def end(self, outcome: ResolutionOutcome) -> None:
        """It is over, unless it was already, or never began."""
        if self._running:
            self._running = False
            errno = self.error.errno if self.error and has_errno(self.error) else None
            text = "" if self.error is None else words(self.error)
            self._emit(ResolutionEnded(time.monotonic(), outcome, self._found, errno, text))
