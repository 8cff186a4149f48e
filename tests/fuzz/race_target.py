"""Target: a race, told whatever can happen, in any order, at any time.

Rules:

* The model knows what it has told and what it was asked for, and the rules; nothing of the
  race's own.
* Every race is run twice, and the second time it is told as well what must not matter: that no
  time has passed, late news of what was cancelled, what cannot be.  Both must ask for the same.
* A race that is left to itself comes to an end.
"""

from __future__ import annotations

from math import inf, nan, nextafter
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING, Any, NamedTuple

from fuzz.reader import Reader

from aconnect.sansio.race import (
    MAKES_ROOM_AFTER,
    SHORTEST_DELAY,
    BeginHandshake,
    Cancel,
    Command,
    Failed,
    Race,
    Rules,
    Start,
    Won,
)
from aconnect.sansio.sequence import LEAST_SHARE

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["race"]


class _Address(NamedTuple):
    family: Hashable
    number: int


_FAMILIES = [AF_INET6, AF_INET, "another"]
_DELAYS = [0.25, None, 0.0, 0.02, 0.1, 2.0, 60.0]
_HELD = [0.05, 0.0, 0.001, 10.0]
_COUNTS = [1, 2, 3, 6, 100]
_TIMEOUTS = [None, 0.001, 0.25, 1.0, 30.0]
_UNTIL = [inf, inf, 0.0, 0.01, 0.3, 5.0, 30.0]
_GAPS = [0.0, 0.001, 0.009, 0.01, 0.05, 0.25, 2.0, 1e6]
_PREFERRED = [None, None, AF_INET, AF_INET6]
_RANKS = [1, 1, 2, 3]
_AWAITED = [None, None, [], ["service"], [AF_INET6, "service"]]
_MOST_EVENTS = 300
_ROUNDING = 1e-6

IN_FLIGHT = ("running", "connected", "handshake")


class _Model:
    """A race, what it was told, and what it has asked for."""

    def __init__(self, choices: Reader, noisy: bool) -> None:
        self.choices = choices
        self.noisy = noisy
        self.rules = Rules(
            attempt_delay=choices.choice(_DELAYS),
            resolution_delay=choices.choice(_HELD),
            first_family_count=choices.choice(_COUNTS),
            max_in_flight=choices.choice(_COUNTS),
            attempt_timeout=choices.choice(_TIMEOUTS),
            handshake=choices.choice([False, True]),
            prefer=choices.choice(_PREFERRED),
        )
        self.until = choices.choice(_UNTIL)
        ranks = choices.choice(_RANKS)
        self.pending = set(range(ranks))
        self.race: Race[_Address] = Race(self.rules, until=self.until, ranks=ranks)
        self.now = 0.0
        self.end: Won | Failed | None = None
        self.waiting: dict[_Address, tuple[int, int]] = {}  # and its rank, and its group
        self.known: set[_Address] = set()
        self.states: list[str] = []
        self.starts: list[float] = []
        self.limits: list[float] = []
        self.failed_since_start = False
        self.handshakes_since_start = 0
        self.handshake_at = -inf
        self.failed_since_handshake = False
        self.final = False  # a handshake has failed for good
        self.log: list[object] = []

    def run(self) -> list[object]:
        while self.choices.more and len(self.log) < _MOST_EVENTS:
            self.event()
        self.come_to_an_end()
        return self.log

    @property
    def resolved(self) -> bool:
        return not self.pending

    # ------------------------------------------------------------------ what is told

    def event(self) -> None:
        kind = self.choices.byte() % 16
        if kind < 3:
            self.add()
        elif kind == 3:
            self.withdraw()
        elif kind == 4:
            self.tell("family_answered", self.choices.choice(_FAMILIES))
        elif kind == 5:
            self.finish()
        elif kind < 8:
            self.connect()
        elif kind < 10:
            self.fail()
        elif kind < 12:
            self.shake(well=kind == 10)
        elif kind < 14:
            self.now += self.choices.choice(_GAPS)
            self.tell("time_passed")
        elif kind == 14:
            self.order()
        else:
            self.wake(self.choices.byte())

    def finish(self) -> None:
        which = self.choices.byte() % 4
        if which:
            self.pending.discard(which - 1)
            self.tell("rank_finished", which - 1)
        else:
            self.pending.clear()
            self.tell("resolution_finished")

    def order(self) -> None:
        some = [self.address() for _ in range(self.choices.byte() % 5)]
        if self.resolved and self.end is None:
            return
        for each in some:
            if each in self.waiting:
                self.waiting[each] = self.waiting.pop(each)
        self.tell("addresses_added", [], order=some)

    def add(self) -> None:
        byte = self.choices.byte()
        rank, group, awaiting = byte % 3, byte // 3 % 3, _AWAITED[byte // 9 % len(_AWAITED)]
        some = [self.address() for _ in range(self.choices.byte() % 5)]
        if self.resolved and self.end is None:
            self.refused(RuntimeError, "addresses_added", self.now, some, rank)
            return
        if self.end is None:
            for each in dict.fromkeys(some):
                if each not in self.known or each in self.waiting:
                    self.known.add(each)
                    self.waiting.pop(each, None)
                    self.waiting[each] = (rank, group)
        self.tell("addresses_added", some, rank, group=group, awaiting=awaiting)

    def withdraw(self) -> None:
        some = [self.address() for _ in range(self.choices.byte() % 5)]
        if self.end is None:
            for each in some:
                if self.waiting.pop(each, None) is not None:
                    self.known.remove(each)
        self.tell("addresses_withdrawn", some)

    def address(self) -> _Address:
        byte = self.choices.byte()
        return _Address(_FAMILIES[byte % 3], byte // 3 % 8)

    def connect(self) -> None:
        mask = self.choices.byte()
        running = [n for i, n in enumerate(self.of("running")) if mask >> (i % 8) & 1]
        if mask % 3 == 0:
            running.reverse()
        self.happened(running, "connected")
        self.tell("attempts_connected", running)
        if running and not self.rules.handshake:
            assert self.end == Won(min(running)), "of several, the one that was started first"

    def fail(self) -> None:
        running = self.of("running")
        if running:
            attempt = self.choices.choice(running)
            self.happened([attempt], "failed")
            self.failed_since_start = True
            self.tell("attempt_failed", attempt)

    def shake(self, well: bool, may_be_final: bool = True) -> None:
        for attempt in self.of("handshake"):
            if not well and may_be_final and self.choices.byte() % 4 == 3:
                self.happened([attempt], "failed")
                self.final = True
                self.tell("handshake_failed", attempt, final=True)
                assert self.end == Failed(False)
                return
            self.happened([attempt], "done" if well else "failed")
            self.failed_since_start |= not well
            self.failed_since_handshake |= not well
            self.tell("handshake_done" if well else "handshake_failed", attempt)
            assert not well or self.end == Won(attempt)

    def happened(self, attempts: list[int], state: str) -> None:
        for attempt in attempts:
            self.states[attempt] = state

    def wake(self, when: int) -> None:
        """At the moment to wake up at, or just before, or just after."""
        moment = self.race.wake_at
        if moment is None:
            return
        if when % 4 == 1:
            moment = max(self.now, nextafter(moment, -inf))
        elif when % 4 == 2:
            moment = nextafter(moment, inf)
        self.now = moment
        self.tell("time_passed")

    def tell(self, name: str, *arguments: Any, **more: Any) -> None:
        was_over = self.race.over
        commands = getattr(self.race, name)(self.now, *arguments, **more)
        assert not (was_over and commands), "nothing is asked for after the end"
        self.log.append((self.now, name, tuple(commands)))
        for command in commands:
            assert self.end is None, "nothing comes after the end"
            self.obey(command)
        self.what_holds()
        if self.noisy:
            self.noise()

    # -------------------------------------------------------------- what is asked for

    def obey(self, command: Command[_Address]) -> None:
        if isinstance(command, Start):
            self.start(command)
        elif isinstance(command, Cancel):
            state = self.states[command.attempt]
            assert state in IN_FLIGHT
            if command.why == "timed out":
                assert state != "connected", "its time does not run while it waits"
                assert self.now >= self.limits[command.attempt] - _ROUNDING
                self.failed_since_start = True
                self.failed_since_handshake |= state == "handshake"
            elif command.why == "made room":
                assert command.attempt == self.of("running")[0], "the longest"
                assert self.now >= self.starts[command.attempt] + MAKES_ROOM_AFTER - _ROUNDING
                assert len(self.of(*IN_FLIGHT)) == self.rules.max_in_flight
                assert self.waiting
                assert not self.rules.one_by_one
            self.states[command.attempt] = "cancelled"
        elif isinstance(command, BeginHandshake):
            assert self.rules.handshake
            if self.of("handshake") and not self.failed_since_handshake:
                assert self.rules.attempt_delay is not None, "one at a time"
                since = self.now - self.handshake_at
                assert since >= self.rules.attempt_delay - _ROUNDING
            self.handshake_at, self.failed_since_handshake = self.now, False
            assert command.attempt == min(self.of("connected"))
            self.states[command.attempt] = "handshake"
            self.limits[command.attempt] = self.limit()
            self.handshakes_since_start += 1
        elif isinstance(command, Won):
            state = self.states[command.attempt]
            assert state == ("done" if self.rules.handshake else "connected")
            self.states[command.attempt] = "won"
            self.end = command
        else:
            if not self.final:
                assert self.now >= self.until if command.timed_out else not self.waiting
                assert command.timed_out or self.resolved
            self.end = command

    def start(self, command: Start[_Address]) -> None:
        assert command.attempt == len(self.states)
        assert self.now < self.until
        room = 1 if self.rules.one_by_one else self.rules.max_in_flight
        assert len(self.of(*IN_FLIGHT)) < room
        rank, family = self.waiting[command.address], command.address.family
        assert rank == min(self.waiting.values()), "all of a rank come before the next"
        alike = [
            each for each, its in self.waiting.items() if (its, each.family) == (rank, family)
        ]
        assert command.address == alike[0], "the order inside a family is kept"
        if self.starts:
            since = self.now - self.starts[-1]
            if not self.failed_since_start:
                assert since >= SHORTEST_DELAY - _ROUNDING
                assert self.rules.attempt_delay is not None, (
                    "one by one, a failure starts the next"
                )
                # A handshake that begins moves the next start out.
                delays = 1 + self.handshakes_since_start
                assert since >= self.rules.attempt_delay * delays - _ROUNDING
        del self.waiting[command.address]
        self.states.append("running")
        self.starts.append(self.now)
        self.limits.append(self.limit())
        self.failed_since_start = False
        self.handshakes_since_start = 0

    def limit(self) -> float:
        """No attempt is out of time before this."""
        own = inf if self.rules.attempt_timeout is None else self.rules.attempt_timeout
        if self.rules.one_by_one:
            # A share begins with the attempt, and goes on in its handshake.
            began = self.starts[-1] if self.starts else self.now
            return min(self.now + own, min(began + LEAST_SHARE, self.until))
        return self.now + own

    # -------------------------------------------------------------------- what holds

    def what_holds(self) -> None:
        in_flight = self.of(*IN_FLIGHT)
        assert self.race.over is (self.end is not None)
        assert self.race.in_flight == len(in_flight)
        wake_at = self.race.wake_at
        if self.end is not None:
            assert wake_at is None
            assert set(self.states) <= {"won", "failed", "cancelled"}
            assert self.states.count("won") == isinstance(self.end, Won)
            return
        assert self.race.untried == len(self.waiting)
        assert wake_at is None or self.now < wake_at <= self.until
        assert bool(self.of("handshake")) or not self.of("connected")
        assert in_flight or self.waiting or not self.resolved, "it has lost"
        if self.waiting and not in_flight:
            assert wake_at is not None, "nothing would start the next"
            assert not self.starts, "any but the first starts at once"
            assert wake_at <= self.now + self.rules.resolution_delay + _ROUNDING

    def of(self, *states: str) -> list[int]:
        return [attempt for attempt, state in enumerate(self.states) if state in states]

    def noise(self) -> None:
        """What changes nothing, or is refused and changes nothing."""
        race = self.race
        assert race.time_passed(self.now) == []
        assert race.attempts_connected(self.now, []) == []
        assert race.addresses_withdrawn(self.now, [_Address("unknown", 0)]) == []
        for attempt in self.of("cancelled"):
            assert race.attempts_connected(self.now, [attempt, attempt]) == []
            assert race.attempt_failed(self.now, attempt) == []
            assert race.handshake_failed(self.now, attempt, final=True) == []
            assert race.handshake_done(self.now, attempt) == []
        self.refused(ValueError, "time_passed", nan)
        self.refused(ValueError, "time_passed", nextafter(self.now, -inf))
        self.refused(ValueError, "attempt_failed", self.now, len(self.states))
        self.refused(ValueError, "handshake_done", self.now, -1)
        if self.end is None:
            for attempt in self.of("failed"):
                self.refused(RuntimeError, "attempts_connected", self.now, [attempt])
                self.refused(RuntimeError, "attempt_failed", self.now, attempt)
            for attempt in self.of("running"):
                self.refused(RuntimeError, "handshake_done", self.now, attempt)
                self.refused(RuntimeError, "attempts_connected", self.now, [attempt, attempt])

    def refused(self, error: type[Exception], name: str, *arguments: Any) -> None:
        before = self.seen()
        refusal: Exception | None = None
        try:
            getattr(self.race, name)(*arguments)
        except error as raised:
            refusal = raised
        assert type(refusal) is error, f"{name}{arguments} must be refused"
        assert str(refusal)
        assert self.seen() == before

    def seen(self) -> tuple[object, ...]:
        return (self.race.over, self.race.in_flight, self.race.untried, self.race.wake_at)

    def come_to_an_end(self) -> None:
        """No more addresses, and everything fails."""
        self.pending.clear()
        self.tell("resolution_finished")
        for _ in range(4 * (len(self.known) + len(self.states) + 1)):
            if self.end is not None:
                return
            if self.of("handshake"):
                self.shake(well=False, may_be_final=False)
            elif self.of("running"):
                self.fail()
            else:
                self.wake(0)
        raise AssertionError("it does not end")


def race(data: bytes) -> None:
    """Every race keeps the rules, whatever it is told, and ends."""
    quiet = _Model(Reader(data), noisy=False).run()
    noisy = _Model(Reader(data), noisy=True).run()
    assert quiet == noisy, "what must not matter has mattered"
