"""Races on a virtual clock: rows in, a timeline out.

A row is an address, how long its attempt takes, how it ends, and the same for its handshake::

    "v6a 300 ok"             connects after 300 ms
    "v6a 20 refused"         fails after 20 ms
    "v6a silent"             never answers
    "v6a 30 ok 50 refused"   connects after 30 ms; its handshake fails after another 50
    "v6a 30 ok 50 final"     the same, and no other can do better
    "v6a 30 ok silent"       connects, and its handshake never ends

What the resolver does is rows too, `(moment, what)`: ``"add v6a v4a"``, ``"withdraw v4a"``,
``"answered v6"``, ``"finished"``; of a rank other than 0, ``"add:1 v4a"``, ``"answered:1 v6"`` and
``"finished:1"``, and ``"finished:0"`` of that one alone; ``"order v4b v4a"``.  ``"add:0.2 v4a"``
is the third group of rank 0; ``"await v6 service"`` says what is awaited, and ``"await"`` nothing.
One row may say several, ``"add v6a & await"``, which are told at once.

A timeline is what the race asked for and what failed, in milliseconds, `(250.0, "start", "v4a")`:

* start, handshake, won: as the race asked;
* cancel, timeout, room: it asked to end an attempt that has lost, that has had its time, that has
  to make room;
* failed, broken: an attempt could not connect, could not do its handshake;
* lost, expired: the race failed, because nothing is left to try, because its time was up;
* stuck: the race is not over, and waits for nothing.

What happens at the same moment is told before the time is, in the order in which it was bound to
happen; attempts that connect at the same moment are told last, together, the last started first.
"""

from __future__ import annotations

from math import inf
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING, Any

from aconnect.sansio.race import BeginHandshake, Cancel, Command, Failed, Race, Rules, Start, Won

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

Timeline = list[tuple[float, str, str]]

FAMILIES = {"v4": AF_INET, "v6": AF_INET6}
ENDS = {"cancelled": "cancel", "timed out": "timeout", "made room": "room"}
SAME_MOMENT = 1e-9  # seconds; sums of fractions differ by less


def family_of(address: str) -> Hashable:
    """The family of "v6a" is AF_INET6; that of "xa", which is neither, is "xa" without the a."""
    return FAMILIES.get(address[:-1], address[:-1])


def timeline(text: str) -> Timeline:
    """``"0 start v6a; 30 won v6a"`` as a timeline."""
    entries = []
    for entry in filter(None, map(str.strip, text.split(";"))):
        moment, what, *address = entry.split(" ")
        entries.append((float(moment), what, " ".join(address)))
    return entries


class VirtualRace:
    """A race, and a network that does what the rows say.

    ``live`` are the attempts that a driver would have to end if it were cancelled now.
    """

    def __init__(
        self,
        rows: Sequence[str],
        rules: Rules,
        *,
        until: float = inf,
        resolved: Sequence[tuple[float, str]] | None = None,
        origin: float = 0.0,
        ranks: int = 1,
        delays: dict[str, float] | None = None,
    ) -> None:
        split = [row.split(" ") for row in rows]
        self._connects = {words[0]: _fate(words[1:]) for words in split}
        self._handshakes = {words[0]: _fate(words[3:]) for words in split}
        if resolved is None:
            resolved = [(0, "add " + " ".join(self._connects)), (0, "finished")]
        self._origin = self._now = origin
        self._pending: list[tuple[float, str, Any]] = [
            (origin + moment / 1000, "resolver", what) for moment, what in resolved
        ]
        self.race: Race[str] = Race(
            rules,
            family_of=family_of,
            until=origin + until / 1000,
            ranks=ranks,
            delay_of=delays.get if delays else None,
        )
        self._over = False
        self.addresses: list[str] = []
        self.live: set[int] = set()
        self.timeline: Timeline = []

    def run(self) -> Timeline:
        for _ in self.steps():
            pass
        return self.timeline

    def steps(self) -> Iterator[None]:
        """Runs the race; stops after each event, and can be left there."""
        while not self.race.over:
            wake_at = inf if self.race.wake_at is None else self.race.wake_at
            event_at = min((moment for moment, *_ in self._pending), default=inf)
            if event_at == wake_at == inf:
                self._note("stuck")
                return
            if event_at <= wake_at + SAME_MOMENT:
                self._now = max(self._now, event_at)
                yield from self._tell_what_is_due()
            else:
                self._now = wake_at
                self._obey(self.race.time_passed(self._now))
                yield

    def _tell_what_is_due(self) -> Iterator[None]:
        due = [event for event in self._pending if event[0] <= self._now + SAME_MOMENT]
        self._pending = [event for event in self._pending if event not in due]
        connected = []
        for _, event, argument in due:
            if event == "resolver":
                commands = self._resolver(*argument.split(" "))
            elif argument not in self.live:
                continue  # it was cancelled, and its socket closed
            elif event == "attempts_connected":
                connected.append(argument)
                continue
            else:
                if event != "handshake_done":
                    self._end("failed" if event == "attempt_failed" else "broken", argument)
                final = {"final": True} if event == "handshake_final" else {}
                told = "handshake_failed" if final else event
                commands = getattr(self.race, told)(self._now, argument, **final)
            self._obey(commands)
            yield
        connected = sorted(self.live.intersection(connected), reverse=True)
        if connected:
            self._obey(self.race.attempts_connected(self._now, connected))
            yield

    def _resolver(self, what: str, *words: str) -> list[Command[str]]:
        what, of_a_rank, digits = what.partition(":")
        of, _, group = digits.partition(".")
        rank = int(of or 0)
        awaiting = None
        if "await" in (what, *words):
            at = [what, *words].index("await")
            awaiting = [FAMILIES.get(each, each) for each in words[at:]]
            words = words[: max(at - 2, 0)]  # before the "&"
        if what in ("add", "await"):
            more = {"group": int(group or 0), "awaiting": awaiting}
            return self.race.addresses_added(self._now, words, rank, **more)
        if what == "order":
            return self.race.addresses_added(self._now, (), order=words)
        if what == "withdraw":
            return self.race.addresses_withdrawn(self._now, words)
        if what == "answered":
            return self.race.family_answered(self._now, FAMILIES[words[0]], rank)
        assert what == "finished"
        if of_a_rank:
            return self.race.rank_finished(self._now, rank)
        return self.race.resolution_finished(self._now)

    def _obey(self, commands: list[Command[str]]) -> None:
        if self._over:
            assert not commands, "nothing is asked for after the end"
        for command in commands:
            if isinstance(command, Start):
                assert command.attempt == len(self.addresses)
                self.addresses.append(command.address)
                self.live.add(command.attempt)
                self._note("start", command.attempt)
                ends = {"ok": "attempts_connected", "refused": "attempt_failed"}
                self._expect(self._connects[command.address], ends, command.attempt)
            elif isinstance(command, BeginHandshake):
                self._note("handshake", command.attempt)
                address = self.addresses[command.attempt]
                ends = {
                    "ok": "handshake_done",
                    "refused": "handshake_failed",
                    "final": "handshake_final",
                }
                self._expect(self._handshakes[address], ends, command.attempt)
            elif isinstance(command, Cancel):
                self._end(ENDS[command.why], command.attempt)
            elif isinstance(command, Won):
                self._end("won", command.attempt)
            else:
                assert isinstance(command, Failed)
                self._note("expired" if command.timed_out else "lost")
        self._over |= any(isinstance(command, (Won, Failed)) for command in commands[-1:])
        assert self.race.over is self._over
        wake_at = self.race.wake_at
        assert wake_at is None or wake_at > self._now, "the time has been told"

    def _expect(self, fate: Fate, ends: dict[str, str], attempt: int) -> None:
        if fate is not None:
            seconds, end = fate
            self._pending.append((self._now + seconds, ends[end], attempt))

    def _end(self, what: str, attempt: int) -> None:
        self.live.remove(attempt)
        self._note(what, attempt)

    def _note(self, what: str, attempt: int | None = None) -> None:
        moment = round((self._now - self._origin) * 1000, 6)
        self.timeline.append((moment, what, "" if attempt is None else self.addresses[attempt]))


Fate = tuple[float, str] | None


def _fate(words: list[str]) -> Fate:
    return None if not words or words[0] == "silent" else (float(words[0]) / 1000, words[1])
