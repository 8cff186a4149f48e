"""The race of connection attempts (Happy Eyeballs), as a pure state machine.

The race is told what has happened and when, and returns what is to be done: commands.  It does
no I/O and reads no clock; `Race.wake_at` says when it must be told the time.

Rules:

* Resolving: an address that can be tried is tried; no answer waits for another, but for the first
  start, as `Resolving` has it.
* Order: that of `Waiting`: ranks, their groups, and the families of a group by turns.  Attempts
  that run go on when the next begins.  An address is tried once, however often it is added.
* Starts: one at a time, ``attempt_delay`` apart; an address may have a delay of its own.  A
  failure starts the next at once (section 5).  A start counts from when it was made, if the race
  is told, and else from when it was asked for.
* At most ``max_in_flight`` are in flight: running, or connected and waiting for their handshake,
  or in their handshake.  When a start is due and finds no room, the attempt that has been
  connecting the longest ends, as soon as it has had `MAKES_ROOM_AFTER`.  No other event ends an
  attempt for another's sake but a success.
* The first success wins: the others are cancelled, the addresses not yet tried are left alone.
  Of several in one turn of the loop, the one that was started first wins.
* With a handshake, the first to finish its handshake wins.  Handshakes overlap as attempts do:
  of those that wait the first started goes first, an ``attempt_delay`` after the one before has
  begun, or at once when any has failed.  When one begins, the moment of the next start moves out
  by one ``attempt_delay``; when one fails, the next start is due.  A failure that is final ends
  the race.
* ``attempt_timeout`` ends one attempt alone, and counts as a failure.  It runs anew for a
  handshake, and does not run while an attempt waits for one.
* One by one (``attempt_delay=None``), each attempt ends before the next begins, and with a
  deadline each address gets its share of the time, handshake included (`share`).
* A withdrawn address is not tried any more; an attempt on it that is running goes on.
* Every attempt that was started ends in one of: won, failed, cancelled.

Sources: RFC 8305; the Happy Eyeballs v3 draft of the IETF's HAPPY group (withdrawn addresses,
handshakes); Go's net.Dialer (shares).
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappop, heappush
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Generic, TypeVar

from .commands import BeginHandshake, Cancel, Command, Failed, Start, State, Won
from .resolving import Resolving
from .rules import LONGEST_DELAY, MAKES_ROOM_AFTER, SHORTEST_DELAY, SHORTEST_OWN_DELAY, Rules
from .sequence import share
from .waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from .commands import Why

__all__ = [
    "LONGEST_DELAY",
    "MAKES_ROOM_AFTER",
    "SHORTEST_DELAY",
    "BeginHandshake",
    "Cancel",
    "Command",
    "Failed",
    "Race",
    "Rules",
    "Start",
    "Won",
]

A = TypeVar("A", bound="Hashable")


class Race(Generic[A]):
    """One race, from the first address to a winner or to failure.

    Tell it what happens, carry out the commands that each call returns, in their order, and call
    `time_passed` at `wake_at`.  A race can be dropped between any two calls: in flight are then
    the attempts that were started and have not ended.

    Every event takes the moment ``now`` in seconds, on any clock that never goes back, and
    returns a list of commands, often empty; nothing follows from `attempt_started`.  What is
    reported counts before what is due: a win that is reported at a time limit, or after it, is a
    win.

    An event about an attempt that was cancelled is ignored: it was under way.  After the end,
    every event is.  What cannot be is an error, and the race stays as it was:

    * ValueError: ``now`` is earlier than before, or no attempt has the number.
    * RuntimeError: the attempt cannot have come to this (connected twice, failed after it had
      connected), or there are addresses after resolution has finished.

    Args:
        rules: how it is run.
        family_of: tells an address's family: `socket.AF_INET`, `socket.AF_INET6`, or anything
            hashable.  By default its attribute ``family``, as an `Endpoint` has it.
        until: the moment at which the race is over, won or not; infinity for no limit.
        ranks: how many ranks of addresses are looked up, from 0; there may be more, of which
            nothing is expected.
        delay_of: the seconds from the start of an address to the next, where something is known
            of it, moved into the range from 0.1 to 2; None for the rules' delay.

    Raises:
        ValueError: ``until`` is not a number.

    Not thread-safe.  Every event takes the same time, however many addresses there are.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        family_of: Callable[[A], Hashable] = attrgetter("family"),
        until: float = inf,
        ranks: int = 1,
        delay_of: Callable[[A], float | None] | None = None,
    ) -> None:
        if until != until:
            raise ValueError(f"until must be a moment or infinity, not {until!r}")
        self._rules = rules
        self._until = until
        # One by one, no time makes a start due: only a failure does.
        self._delay = inf if rules.attempt_delay is None else rules.attempt_delay
        self._delay_of = None if rules.one_by_one else delay_of
        self._timeout = inf if rules.attempt_timeout is None else rules.attempt_timeout
        self._now = -inf
        self._over = False
        self._waiting: Waiting[A] = Waiting(family_of, rules.first_family_count, rules.prefer)
        self._resolving = Resolving(ranks, rules.prefer, rules.resolution_delay, until)
        # By number: who started first has the first limit, and is the first to make room.
        self._states: list[State] = []
        self._started: list[float] = []
        self._running: OrderedDict[int, float] = OrderedDict()  # the time limit of each
        self._connected: list[int] = []  # a heap
        self._in_handshake: OrderedDict[int, float] = OrderedDict()  # the time limit of each
        self._share_end = inf
        self._due = -inf  # when the next start is due
        self._handshake_due = -inf
        self._newest_delay = self._delay

    @property
    def rules(self) -> Rules:
        """How it is run."""
        return self._rules

    @property
    def over(self) -> bool:
        """Whether the race has been won or has failed."""
        return self._over

    @property
    def in_flight(self) -> int:
        """How many attempts have been started and have not ended."""
        return len(self._running) + len(self._connected) + len(self._in_handshake)

    @property
    def untried(self) -> int:
        """How many addresses are known and have not been tried."""
        return len(self._waiting)

    @property
    def wake_at(self) -> float | None:
        """When `time_passed` must be called if nothing else happens before; None for never."""
        if self._over:
            return None
        limit = min(self._until, _first(self._running), _first(self._in_handshake))
        handshake = self._handshake_due if self._connected else inf
        moment = min(limit, handshake, self._next_start())
        return None if moment == inf else moment

    def addresses_added(
        self,
        now: float,
        addresses: Iterable[A],
        rank: int = 0,
        *,
        order: Iterable[A] = (),
        group: int = 0,
        awaiting: Iterable[Hashable] | None = None,
    ) -> list[Command[A]]:
        """There are more addresses, in order of preference.  One that is known already, and has
        not been tried, moves to the place that it has now.

        Args:
            order: those of these that have not been tried come in this order from now on, behind
                the others of their group; the first says which family begins.
            group: all of a group are started before any of the next of their rank.
            awaiting: what this rank's first start waits for from now on, families and whatever
                else, until ``resolution_delay`` after the first address; None for no change.
        """
        self._set_time(now)
        if self._over:
            return []
        resolving, waiting = self._resolving, self._waiting
        if resolving.over:
            raise RuntimeError("addresses were added after resolution had finished")
        place = (rank, group)
        awaits = resolving.awaits_family(rank, waiting.families(place))
        waiting.add(addresses, place)
        if waiting.known:
            resolving.addresses_there(now)
        if awaits and resolving.awaited in waiting.families(place):
            waiting.begin_with(resolving.awaited, place)  # it is what was waited for
        waiting.order(order)
        if awaiting is not None:
            resolving.awaiting(awaiting, rank)
        return self._proceed(now)

    def addresses_withdrawn(self, now: float, addresses: Iterable[A]) -> list[Command[A]]:
        """The resolver has taken addresses back; those not known, or tried, are left alone."""
        self._set_time(now)
        self._waiting.withdraw(addresses)
        return self._proceed(now)

    def family_answered(self, now: float, family: Hashable, rank: int = 0) -> list[Command[A]]:
        """Nothing more will come for ``family``: it has answered, or its lookup has failed."""
        self._set_time(now)
        self._resolving.answered(family, rank)
        return self._proceed(now)

    def rank_finished(self, now: float, rank: int) -> list[Command[A]]:
        """No more addresses of this rank will be added; after the last rank, none at all."""
        self._set_time(now)
        self._resolving.finished(rank)
        return self._proceed(now)

    def resolution_finished(self, now: float) -> list[Command[A]]:
        """No more addresses will be added; those there are may still be withdrawn."""
        self._set_time(now)
        self._resolving.finished()
        return self._proceed(now)

    def attempt_started(self, now: float) -> None:
        """The start that was asked for last is made only now.

        To be told before anything else that comes of the start.  If its time is up, it moves
        nothing.
        """
        self._set_time(now)
        newest = len(self._states) - 1
        if newest in self._running:
            self._count_from(now, newest)

    def attempts_connected(self, now: float, attempts: Iterable[int]) -> list[Command[A]]:
        """The attempts have connected: all that did in one turn of the loop."""
        self._set_time(now)
        connected = [a for a in attempts if self._is(a, State.RUNNING, "connected")]
        if len(set(connected)) < len(connected):
            raise RuntimeError(f"an attempt cannot have connected twice: {connected}")
        for attempt in connected:
            del self._running[attempt]
            self._states[attempt] = State.CONNECTED
            heappush(self._connected, attempt)
        if self._connected and not self._rules.handshake:
            return self._win(heappop(self._connected))
        return self._proceed(now)

    def attempt_failed(
        self, now: float, attempt: int, withdrawn: Iterable[A] = ()
    ) -> list[Command[A]]:
        """The attempt could not connect; nor would the addresses that this has ``withdrawn``."""
        self._set_time(now)
        self._waiting.withdraw(withdrawn)
        if self._is(attempt, State.RUNNING, "failed to connect"):
            del self._running[attempt]
            self._states[attempt] = State.FAILED
            self._due = now
        return self._proceed(now)

    def handshake_done(self, now: float, attempt: int) -> list[Command[A]]:
        """The attempt's handshake has succeeded."""
        self._set_time(now)
        if self._is(attempt, State.IN_HANDSHAKE, "done its handshake"):
            del self._in_handshake[attempt]
            return self._win(attempt)
        return self._proceed(now)

    def handshake_failed(
        self, now: float, attempt: int, final: bool = False, withdrawn: Iterable[A] = ()
    ) -> list[Command[A]]:
        """Likewise, in its handshake; if that is ``final``, no other address could do better."""
        self._set_time(now)
        self._waiting.withdraw(withdrawn)
        if self._is(attempt, State.IN_HANDSHAKE, "failed in its handshake"):
            del self._in_handshake[attempt]
            self._states[attempt] = State.FAILED
            self._due = self._handshake_due = now
            if final:
                return self._finish([], Failed(False))
        return self._proceed(now)

    def time_passed(self, now: float) -> list[Command[A]]:
        """It is ``now``.  To be called at `wake_at`; sooner does no harm, later only delays."""
        self._set_time(now)
        return self._proceed(now)

    def _set_time(self, now: float) -> None:
        if not now >= self._now:
            raise ValueError(f"now must not go back: {now!r} after {self._now!r}")
        self._now = now

    def _is(self, attempt: int, state: State, event: str) -> bool:
        """Whether the attempt is in the state that the event starts from; not if cancelled."""
        if not 0 <= attempt < len(self._states):
            raise ValueError(f"there is no attempt {attempt!r}")
        found = self._states[attempt]
        if found is not state and found is not State.CANCELLED and not self._over:
            raise RuntimeError(f"attempt {attempt} cannot have {event}: it {found.value}")
        return found is state

    def _next_start(self) -> float:
        """When the next attempt is to start; infinity if there is none, or no room."""
        best = self._waiting.best
        if best is None:
            return inf
        due = self._due
        if not self._states and self._resolving.holds(best[0], self._waiting.families(best)):
            due = self._resolving.held_until
        if self.in_flight < self._rules.max_in_flight:
            return due
        longest = next(iter(self._running), None)
        return inf if longest is None else max(due, self._started[longest] + MAKES_ROOM_AFTER)

    def _proceed(self, now: float) -> list[Command[A]]:
        """What has come due, and what has become possible."""
        if self._over:
            return []
        commands: list[Command[A]] = []
        if now < self._until:
            while _first(self._running) <= now:
                commands.append(self._cancel_first(self._running, "timed out"))
                self._due = now
            while _first(self._in_handshake) <= now:
                commands.append(self._cancel_first(self._in_handshake, "timed out"))
                self._due = self._handshake_due = now
            if self._connected and self._handshake_due <= now:
                commands.append(self._begin_handshake(now))
            if self._next_start() <= now:
                if self.in_flight >= self._rules.max_in_flight:
                    commands.append(self._cancel_first(self._running, "made room"))
                commands.append(self._start(now))
        if self._resolving.over and not (self.in_flight or self._waiting):
            return self._finish(commands, Failed(False))
        if now >= self._until:
            return self._finish(commands, Failed(True))
        return commands

    def _start(self, now: float) -> Start[A]:
        if self._rules.one_by_one:
            # The last has all that is left, to the moment: then it is the race that times out.
            left = self.untried
            self._share_end = inf if left == 1 else share(now, self._until, left)
        address = self._waiting.take()
        own = None if self._delay_of is None else self._delay_of(address)
        if own is not None:
            own = min(max(SHORTEST_OWN_DELAY, own), LONGEST_DELAY)
        self._newest_delay = self._delay if own is None else own
        attempt = len(self._states)
        self._states.append(State.RUNNING)
        self._started.append(now)
        self._count_from(now, attempt)
        return Start(attempt, address)

    def _count_from(self, now: float, attempt: int) -> None:
        """The newest attempt starts now."""
        self._started[attempt] = now
        self._running[attempt] = min(self._share_end, now + self._timeout)
        self._due = now + self._newest_delay

    def _begin_handshake(self, now: float) -> BeginHandshake:
        attempt = heappop(self._connected)
        self._states[attempt] = State.IN_HANDSHAKE
        self._in_handshake[attempt] = min(self._share_end, now + self._timeout)
        self._handshake_due = now + self._delay
        self._due = max(self._due, now) + self._delay
        return BeginHandshake(attempt)

    def _cancel_first(self, limits: OrderedDict[int, float], why: Why) -> Cancel:
        """The attempt that has been there the longest ends."""
        attempt, _ = limits.popitem(last=False)
        self._states[attempt] = State.CANCELLED
        return Cancel(attempt, why)

    def _win(self, attempt: int) -> list[Command[A]]:
        self._states[attempt] = State.WON
        return self._finish([], Won(attempt))

    def _finish(self, commands: list[Command[A]], end: Won | Failed) -> list[Command[A]]:
        self._over = True
        for attempt in sorted([*self._running, *self._connected, *self._in_handshake]):
            self._states[attempt] = State.CANCELLED
            commands.append(Cancel(attempt))
        for kind in (self._running, self._connected, self._in_handshake):
            kind.clear()
        commands.append(end)
        return commands


def _first(limits: OrderedDict[int, float]) -> float:
    """The first time limit: they are in their order; infinity if there is none."""
    return next(iter(limits.values()), inf)
