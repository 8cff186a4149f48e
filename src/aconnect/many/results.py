"""Carrying out many dials at a time, within limits.

Rules:

* `Pacing` says which dial may start and when; what is here carries it out.
* A worker is a task that makes one dial after the other.  A worker that has to wait has the
  dispatcher start another, if there is something for it; one that finds nothing to do ends.  So
  what needs no waiting needs no task of its own, and no task is there without a dial.
* Each target has one result.  Results that nobody has taken hold up further starts, not the dials
  that run.
* When the block is left, all tasks have ended, and each socket is closed that the caller has not
  got; then the exception goes on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterable, Iterable
from contextlib import ExitStack, aclosing
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, Final

from ..addresses.target import target_of
from ..drivers.select import running_driver
from ..errors.errors import ConnectError
from ..resolvers.answers import closable
from ..sansio.pacing import Pacing, TokenBucket
from .answers import SharedAnswers
from .dialling import How, result_of
from .handing import close_made
from .resources import check_ports, descriptors
from .result import Result, bare
from .shortage import Shortage
from .targets import Wanted, host_of, wanted
from .tasks import AllEnded

if TYPE_CHECKING:
    import socket
    from collections.abc import Hashable, Iterator
    from types import TracebackType
    from typing import Self

    from ..addresses.values import Endpoint
    from ..dial.dialer import Dialer
    from ..drivers.base import Driver, Watch
    from .limits import Limits

__all__ = ["Results"]

LATENESS: Final = 0.005
"""Seconds by which a timer may be late without the rate going down: asyncio's are rounded to a
millisecond, and wait for what else is due in that turn of the loop."""
_OUTSIDE: Final = "results are there inside `async with connect_many(...)` only"
IN_A_ROW: Final = 32
"""Dials that a worker makes before others get a turn, if it never has to wait for one."""


class Results:
    """The results of `connect_many`: a context manager, and an iterator in its block.

    Attributes:
        concurrency: how many dials there may be at a time, as this machine allows.
        most_descriptors: how many descriptors that may take at the most.
    """

    def __init__(
        self,
        targets: Iterable[Any] | AsyncIterable[Any],
        dialer: Dialer,
        limits: Limits,
        how: How,
        ordered: bool,
    ) -> None:
        if limits.reuse_answers:
            dialer = dialer.replace(resolver=SharedAnswers(dialer.resolver, limits.reuse_answers))
        self.concurrency: int = limits.concurrency
        self.most_descriptors: int = limits.concurrency * dialer.max_in_flight
        self._targets = targets
        self._dialer = dialer
        self._shortage = Shortage(dialer)
        self._limits = limits
        self._count_dials = limits.count == "dials"
        self._how = how
        self._until = inf if how.deadline is None else how.deadline.when
        self._ordered = ordered
        self._state = "new"
        self._iterator: Iterator[Any] | None = None
        self._pulled = 0
        self._exhausted = False
        self._unread: deque[Result] = deque()
        self._done: dict[int, Result] = {}  # that wait for one before them
        self._given = 0
        self._held_up = False
        self._broken: BaseException | None = None
        self._reading = False

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise RuntimeError("connect_many() can be entered once")
        self._driver: Driver = running_driver()
        with ExitStack() as cleanup:
            check_ports(self._targets, self._limits)
            self.concurrency = cleanup.enter_context(
                descriptors(self._limits, self._dialer.max_in_flight)
            )
            self.most_descriptors = self.concurrency * self._dialer.max_in_flight
            limits, bucket = self._limits, None
            if limits.rate is not None:
                bucket = TokenBucket(limits.rate, limits.burst, LATENESS)
            self._pacing: Pacing[Wanted] = Pacing(self.concurrency, limits.per_host, bucket)
            self._arrived: Watch = self._driver.watch()
            self._hungry: Watch = self._driver.watch()
            self._tasks = AllEnded(self._driver.watch())
            self._watch: Watch = await self._tasks.__aenter__()
            self._cleanup = cleanup.pop_all()
        self._state = "open"
        if isinstance(self._targets, Iterable):
            try:
                self._iterator = iter(self._targets)
            except Exception as error:
                self._break(error)
        else:
            self._watch.spawn(self._pull_all, self._targets)
        self._watch.spawn(self._dispatch)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._state == "closed":  # by an iteration that has raised
            return
        self._state = "closed"
        try:
            await self._tasks.__aexit__(kind, error, traceback)
        finally:
            self._broken = None
            self._cleanup.close()
            left = [*self._unread, *self._done.values()]
            self._unread.clear()
            self._done.clear()
            for result in left:
                await close_made(result.sock, [], False)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Result:
        """The next result.

        Raises:
            StopAsyncIteration: there are no more.
            RuntimeError: this is not inside the ``async with``; or another task is in here.
            Exception: what ``targets`` raised; a shortage.
        """
        if self._state != "open" or self._reading:
            raise RuntimeError(
                "another task is waiting for the next result" if self._reading else _OUTSIDE
            )
        if self._driver.checkpoint is not None:
            await self._driver.checkpoint()
        while not self._unread:
            if self._broken is not None:
                await self._end()
            if self._is_over():
                raise StopAsyncIteration
            self._reading = True
            try:
                await self._arrived.wait(inf)
            finally:
                self._reading = False
        result = self._unread.popleft()
        if self._held_up:
            self._held_up = False
            self._watch.notify()
            self._hungry.notify()
        return result

    def ended(self) -> list[Result]:
        """The results that are ready and have not been given, in order, which are given with this:
        for what an interrupted program still has to note.

        None are there before the ``async with``, nor after it.
        """
        results = [*self._unread, *(self._done[index] for index in sorted(self._done))]
        self._unread.clear()
        self._done.clear()
        return results

    async def _end(self) -> None:
        """End everything, and raise why."""
        broken = self._broken
        assert broken is not None
        try:
            await self.__aexit__(type(broken), broken, None)
            raise broken
        finally:
            del broken

    def _is_over(self) -> bool:
        return self._exhausted and not self._pacing.running and not self._pacing.waiting

    def _break(self, error: BaseException) -> None:
        """Take no more targets, and start nothing more."""
        self._exhausted = True
        self._broken = self._broken or error
        self._arrived.notify()

    # Targets.

    def _take(self) -> tuple[Hashable, Wanted] | None:
        """The next that may start now; None if none may: a watch that is being left takes no task
        any more."""
        while self._broken is None and self._state == "open":
            if len(self._unread) >= self.concurrency:
                self._held_up = True
                return None
            now = time.monotonic()
            if now >= self._until:
                self._give_up()
            else:
                if self._pacing.waiting:
                    found = self._pacing.next(now)
                    if found is not None:
                        return found
                    if not self._pacing.wants_more:
                        return None
                if self._pacing.wake_at(now) > now:
                    return None
            if not self._pull(now):
                return None
        return None

    def _pull(self, now: float) -> bool:
        """Take one target from an iterable; whether there was one."""
        if self._iterator is None or self._exhausted:
            return False
        if self._ordered and self._is_far_ahead():
            return False
        try:
            element = next(self._iterator)
        except StopIteration:
            self._exhausted = True
            self._arrived.notify()
            return False
        except Exception as error:
            self._break(error)
            return False
        self._admit(element, now)
        return True

    async def _pull_all(self, targets: AsyncIterable[Any]) -> None:
        """Take targets from an asynchronous iterable, as far ahead as that is of use."""
        try:
            async with aclosing(closable(aiter(targets))) as elements:
                async for element in elements:
                    self._admit(element, time.monotonic())
                    self._watch.notify()
                    while self._pacing.waiting >= self.concurrency or self._is_far_ahead():
                        await self._hungry.wait(inf)
        except Exception as error:
            self._break(error)
        self._exhausted = True
        self._arrived.notify()
        self._watch.notify()

    def _is_far_ahead(self) -> bool:
        """Whether results have to be taken, or a slow dial has to end, before the next target."""
        if len(self._unread) >= self.concurrency or len(self._done) > 2 * self.concurrency:
            self._held_up = True
            return True
        return False

    def _admit(self, element: Any, now: float) -> None:
        """Have one target wait for its turn, or give what is known of it at once."""
        index, self._pulled = self._pulled, self._pulled + 1
        key, address = wanted(element)
        if now >= self._until:
            self._deliver(Result(address, index, "not tried", key=key, time=time.time()))
            return
        try:
            target = target_of(address)
        except (TypeError, ValueError) as error:
            bare(error)
            invalid = Result(address, index, "invalid", error=error, key=key, time=time.time())
            self._deliver(invalid)
            return
        host = None if self._limits.per_host is None else host_of(target)
        self._pacing.add(host, (index, key, address, target))

    def _give_up(self) -> None:
        """The deadline has come: what waits is not tried."""
        for index, key, address, _ in self._pacing.drain():
            self._deliver(Result(address, index, "not tried", key=key, time=time.time()))

    def _deliver(self, result: Result) -> None:
        is_awaited = self._reading and not self._unread  # who is not reading looks before it waits
        if not self._ordered:
            self._unread.append(result)
        else:
            self._done[result.index] = result
            while self._given in self._done:
                self._unread.append(self._done.pop(self._given))
                self._given += 1
        if is_awaited:
            self._arrived.notify()

    # Dials.

    async def _dispatch(self) -> None:
        """Start workers, as soon as there is something for them."""
        while not self._is_over():
            found = self._take()
            if found is not None:
                self._watch.spawn(self._work, *found)
            await self._watch.wait(self._wake_at())
        self._arrived.notify()

    def _wake_at(self) -> float:
        """When another dial may start, if nothing else happens."""
        pacing = self._pacing
        if self._held_up or (self._exhausted and not pacing.waiting):
            return inf
        more = self._iterator is not None and not self._exhausted and pacing.wants_more
        if not (more or pacing.ready):
            return self._until
        return min(pacing.wake_at(time.monotonic()), self._until)

    async def _work(self, host: Hashable, dial: Wanted) -> None:
        """Make this dial, and others after it."""
        try:
            self._watch.notify()
            for _ in range(IN_A_ROW):
                dialer = self._dialer if self._count_dials else self._counting()
                result = await result_of(dialer, dial, self._how)
                if result.error is None or not await self._could_not(result.error, host, dial):
                    self._pacing.ended(host)
                    self._deliver(result)
                found = self._take()
                if found is None:
                    break
                host, dial = found
            else:
                self._watch.spawn(self._work, host, dial)
        except Exception as error:  # of ours, or of the dialer's: not one of the target's
            self._break(error)
        self._watch.notify()
        self._hungry.notify()

    async def _could_not(self, error: Exception, host: Hashable, dial: Wanted) -> bool:
        """Whether a dial has failed for want of something of this machine's; it waits again."""
        if not isinstance(error, ConnectError) or not await self._shortage.shows_in(error):
            return False
        if not self._pacing.put_back(time.monotonic(), host, dial):
            self._break(error)
        return True

    def _counting(self) -> Dialer:
        """The dialer for one dial, of which each socket after the first takes a token."""
        original = self._dialer.on_socket
        sockets = count()

        def on_socket(sock: socket.socket, endpoint: Endpoint) -> object:
            if next(sockets):
                self._pacing.opened(time.monotonic())
            return None if original is None else original(sock, endpoint)

        return self._dialer.replace(on_socket=on_socket)
