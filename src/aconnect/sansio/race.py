"""The race of connection attempts (Happy Eyeballs), as a pure state machine.

The race is told what has happened and when, and returns what is to be done: commands.  It does
no I/O and reads no clock; `Race.wake_at` says when it must be told the time.

Rules:

* Resolving: an address that can be tried is tried; no answer waits for another, except that IPv4
  addresses that come first wait for IPv6 to answer, for ``resolution_delay`` at the most and
  before the first attempt only, and not at all if the race must be over by then.  IPv6 addresses
  that come meanwhile go first.  That one family has no answer ends the waiting for it, and
  nothing else (RFC 8305 section 3).
* Order: the families take turns as `interleave` has it, beginning with the first address's.
  Addresses that come late are placed as if they had been there, counting the attempts already
  made.  An address is tried once, however often it is added (section 4).
* Starts: one at a time, ``attempt_delay`` apart.  A failure starts the next at once, but never
  sooner than `SHORTEST_DELAY` after the start before (section 5).  A new attempt ends no other.
  A start counts from when it was made, if the race is told, and else from when it was asked for.
  At most ``max_in_flight`` are in flight: running, or connected and waiting for their handshake,
  or in their handshake.  A start that finds no room waits for a failure.
* The first success wins: the others are cancelled, the addresses not yet tried are left alone.
  Of several in one turn of the loop, the one that was started first wins.
* With a handshake, the first to finish its handshake wins.  Handshakes run one at a time, of those
  that wait the first started goes first.  When one begins, the moment of the next start moves out
  by one ``attempt_delay``.  After one that failed it is the next one's turn.
* ``attempt_timeout`` ends one attempt alone, and counts as a failure.  It runs anew for a
  handshake, and does not run while an attempt waits for one.
* One by one (``attempt_delay=None``), each attempt ends before the next begins, and with a
  deadline each address gets its share of the time, handshake included (`share`).
* A withdrawn address is not tried any more; an attempt on it that is running goes on.
* Every attempt that was started ends in one of: won, failed, cancelled.

Sources: RFC 8305; the Happy Eyeballs v3 draft of the IETF's HAPPY group (withdrawn addresses,
handshakes); GLib's GSocketClient (handshakes one at a time); Go's net.Dialer (shares).
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from heapq import heappop, heappush
from math import inf
from operator import attrgetter
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from .commands import BeginHandshake, Cancel, Failed, Start, Won
from .rules import LONGEST_DELAY, SHORTEST_DELAY, Rules
from .sequence import share

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from typing import TypeAlias

__all__ = [
    "LONGEST_DELAY",
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

Command: TypeAlias = "Start[A] | Cancel | BeginHandshake | Won | Failed"
"""All that the race can ask for.  `Won` and `Failed` are final: the last of the last list."""


class _State(Enum):
    RUNNING = "is running"
    CONNECTED = "has connected already"
    IN_HANDSHAKE = "is in its handshake"
    FAILED = "has failed already"
    WON = "has won already"
    CANCELLED = "was cancelled"


class _Family(Generic[A]):
    """The addresses of one family that have not been tried, and whose turn it is."""

    def __init__(self) -> None:
        self.turn = 0  # the lowest is next
        self.waiting: OrderedDict[A, None] = OrderedDict()


_turn: Final = attrgetter("turn")


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
    ) -> None:
        if until != until:
            raise ValueError(f"until must be a moment or infinity, not {until!r}")
        self._rules = rules
        self._family_of = family_of
        self._until = until
        # One by one, no time makes a start due: only a failure does.
        self._delay = inf if rules.attempt_delay is None else rules.attempt_delay
        self._timeout = inf if rules.attempt_timeout is None else rules.attempt_timeout
        self._now = -inf
        self._over = False
        # Addresses.  The families are in the order in which they take turns.
        self._families: dict[Hashable, _Family[A]] = {}
        self._known: set[A] = set()
        self._held_until = inf  # the end of the resolution delay
        self._ipv6_answered = False
        self._resolved = False
        # Attempts, by number.  Who started first is the first whose time is up.
        self._states: list[_State] = []
        self._running: OrderedDict[int, float] = OrderedDict()
        self._connected: list[int] = []  # a heap
        self._in_handshake: list[int] = []  # one at the most
        self._handshake_end = inf
        self._share_end = inf
        self._due = -inf  # when the next start is due; never sooner than the floor allows
        self._floor = -inf

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
        return sum(len(family.waiting) for family in self._families.values())

    @property
    def wake_at(self) -> float | None:
        """When `time_passed` must be called if nothing else happens before; None for never."""
        if self._over:
            return None
        first_timeout = next(iter(self._running.values()), inf)
        moment = min(self._until, first_timeout, self._handshake_end, self._next_start())
        return None if moment == inf else moment

    def addresses_added(self, now: float, addresses: Iterable[A]) -> list[Command[A]]:
        """There are more addresses, in order of preference; those known already are left out."""
        self._set_time(now)
        if self._over:
            return []
        if self._resolved:
            raise RuntimeError("addresses were added after resolution had finished")
        ipv4_waits = self._only_ipv4_waits()
        for address in addresses:
            if address not in self._known:
                family = self._family_of(address)
                self._families.setdefault(family, _Family()).waiting[address] = None
                self._known.add(address)
        if self._known:
            self._held_until = min(self._held_until, now + self._rules.resolution_delay)
        if ipv4_waits and AF_INET6 in self._families:
            # It is what was waited for.
            self._families = {AF_INET6: self._families[AF_INET6], **self._families}
        return self._proceed(now)

    def addresses_withdrawn(self, now: float, addresses: Iterable[A]) -> list[Command[A]]:
        """The resolver has taken addresses back; those not known, or tried, are left alone."""
        self._set_time(now)
        for address in addresses:
            family = self._family_of(address)
            waiting = self._families[family].waiting if family in self._families else {}
            if address in waiting:
                del waiting[address]
                self._known.remove(address)
                if not (waiting or self._states):
                    del self._families[family]  # it need not be the first any more
        return self._proceed(now)

    def family_answered(self, now: float, family: Hashable) -> list[Command[A]]:
        """Nothing more will come for ``family``: it has answered, or its lookup has failed."""
        self._set_time(now)
        self._ipv6_answered |= family == AF_INET6
        return self._proceed(now)

    def resolution_finished(self, now: float) -> list[Command[A]]:
        """No more addresses will be added; those there are may still be withdrawn."""
        self._set_time(now)
        self._resolved = True
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
        connected = [a for a in attempts if self._is(a, _State.RUNNING, "connected")]
        if len(set(connected)) < len(connected):
            raise RuntimeError(f"an attempt cannot have connected twice: {connected}")
        for attempt in connected:
            del self._running[attempt]
            self._states[attempt] = _State.CONNECTED
            heappush(self._connected, attempt)
        if self._connected and not self._rules.handshake:
            return self._win(heappop(self._connected))
        return self._proceed(now)

    def attempt_failed(self, now: float, attempt: int) -> list[Command[A]]:
        """The attempt could not connect."""
        self._set_time(now)
        if self._is(attempt, _State.RUNNING, "failed to connect"):
            del self._running[attempt]
            self._fail(attempt, _State.FAILED)
        return self._proceed(now)

    def handshake_done(self, now: float, attempt: int) -> list[Command[A]]:
        """The attempt's handshake has succeeded."""
        self._set_time(now)
        if self._is(attempt, _State.IN_HANDSHAKE, "done its handshake"):
            return self._win(self._end_handshake())
        return self._proceed(now)

    def handshake_failed(self, now: float, attempt: int) -> list[Command[A]]:
        """The attempt's handshake has failed."""
        self._set_time(now)
        if self._is(attempt, _State.IN_HANDSHAKE, "failed in its handshake"):
            self._fail(self._end_handshake(), _State.FAILED)
        return self._proceed(now)

    def time_passed(self, now: float) -> list[Command[A]]:
        """It is ``now``.  To be called at `wake_at`; sooner does no harm, later only delays."""
        self._set_time(now)
        return self._proceed(now)

    def _set_time(self, now: float) -> None:
        if not now >= self._now:
            raise ValueError(f"now must not go back: {now!r} after {self._now!r}")
        self._now = now

    def _is(self, attempt: int, state: _State, event: str) -> bool:
        """Whether the attempt is in the state that the event starts from; not if cancelled."""
        if not 0 <= attempt < len(self._states):
            raise ValueError(f"there is no attempt {attempt!r}")
        found = self._states[attempt]
        if found is not state and found is not _State.CANCELLED and not self._over:
            raise RuntimeError(f"attempt {attempt} cannot have {event}: it {found.value}")
        return found is state

    def _only_ipv4_waits(self) -> bool:
        """Whether the first start is held back for IPv6, or would be at this moment."""
        done = self._states or self._ipv6_answered or self._resolved
        too_long = self._held_until >= self._until
        return not (done or too_long) and self._families.keys() == {AF_INET}

    def _next_start(self) -> float:
        """When the next attempt is to start; infinity if there is none, or no room."""
        if self.in_flight >= self._rules.max_in_flight or not self.untried:
            return inf
        return self._held_until if self._only_ipv4_waits() else self._due

    def _has_lost(self) -> bool:
        return self._resolved and not self.in_flight and not self.untried

    def _proceed(self, now: float) -> list[Command[A]]:
        """What has come due, and what has become possible."""
        if self._over:
            return []
        commands: list[Command[A]] = []
        if now < self._until:
            while self._running and next(iter(self._running.values())) <= now:
                attempt, _ = self._running.popitem(last=False)
                self._fail(attempt, _State.CANCELLED)
                commands.append(Cancel(attempt, True))
            if self._handshake_end <= now:
                attempt = self._end_handshake()
                self._fail(attempt, _State.CANCELLED)
                commands.append(Cancel(attempt, True))
            if self._connected and not self._in_handshake:
                commands.append(self._begin_handshake(now))
            if self._next_start() <= now:
                commands.append(self._start(now))
        if self._has_lost():
            return self._finish(commands, Failed(False))
        if now >= self._until:
            return self._finish(commands, Failed(True))
        return commands

    def _start(self, now: float) -> Start[A]:
        family = min((f for f in self._families.values() if f.waiting), key=_turn)
        if not self._states:
            family.turn = 1 - self._rules.first_family_count
        family.turn += 1
        untried = self.untried
        if self._rules.one_by_one:
            # The last has all that is left, to the moment: then it is the race that times out.
            self._share_end = inf if untried == 1 else share(now, self._until, untried)
        address, _ = family.waiting.popitem(last=False)
        attempt = len(self._states)
        self._states.append(_State.RUNNING)
        self._count_from(now, attempt)
        return Start(attempt, address)

    def _count_from(self, now: float, attempt: int) -> None:
        """The newest attempt starts now."""
        self._running[attempt] = min(self._share_end, now + self._timeout)
        self._floor = now + SHORTEST_DELAY
        self._due = now + self._delay

    def _begin_handshake(self, now: float) -> BeginHandshake:
        attempt = heappop(self._connected)
        self._states[attempt] = _State.IN_HANDSHAKE
        self._in_handshake.append(attempt)
        self._handshake_end = min(self._share_end, now + self._timeout)
        self._due = max(self._due, now) + self._delay
        return BeginHandshake(attempt)

    def _end_handshake(self) -> int:
        self._handshake_end = inf
        return self._in_handshake.pop()

    def _fail(self, attempt: int, state: _State) -> None:
        self._states[attempt] = state
        self._due = self._floor

    def _win(self, attempt: int) -> list[Command[A]]:
        self._states[attempt] = _State.WON
        return self._finish([], Won(attempt))

    def _finish(self, commands: list[Command[A]], end: Won | Failed) -> list[Command[A]]:
        self._over = True
        for attempt in sorted([*self._running, *self._connected, *self._in_handshake]):
            self._states[attempt] = _State.CANCELLED
            commands.append(Cancel(attempt))
        self._running.clear()
        self._connected.clear()
        self._in_handshake.clear()
        commands.append(end)
        return commands
