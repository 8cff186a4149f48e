"""Carries out the commands of a race on a driver.

Rules:

* The race decides; what is here opens, connects, watches and closes, and tells the race.
* What is watched is unregistered when the watch is left, whatever ends the dial, and closed next.
* What has begun before the race is taken up from where it has come to.
* One by one, a socket is opened when the one before it is closed.
* What a turn of the loop has brought counts before the time: success beats the deadline, the
  attempt that was started first beats the others, and a cancellation beats everything.
* Hooks and resolvers of the user's cannot break the dial: what they raise is an attempt, or a
  resolution, that has failed.
"""

from __future__ import annotations

import errno as errnos
import socket
import time
from collections import deque
from contextlib import ExitStack
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final

from ..errors.foreign import words
from ..report.attempt import OWN_TIME, AttemptRecord
from ..sansio.attempt import Action, RetryAt, Step, WaitWritable
from ..sansio.attempt import Failed as AttemptFailed
from ..sansio.race import BeginHandshake, Cancel, Command, Failed, Race, Start, Won
from ..sockets.connection import Packets, packets
from ..sockets.syscalls import abort, connected_now, local_address
from ..trace import AttemptEnded, DialConnected
from .attempt import advance, failed, note_of
from .flight import Flight, Running
from .preparation import Lost, broken, opened, refusal, unblocked, vetoed
from .shaking import Shaking
from .ways import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from ..addresses.target import Target
    from ..addresses.values import SockAddr
    from ..drivers.base import DialDriver, Watch
    from ..handshakes.base import Handshake
    from ..sansio.commands import Why
    from ..trace import Event
    from .begun import Begun
    from .plan import Plan
    from .preparation import Prepared
    from .resolution import Resolution
    from .ways import Commands, Detour, Way

__all__ = ["Runner"]

_ELSEWHERE: Final = "on_socket or socket_factory has connected the socket to another address"


class Runner:
    """One race, from its addresses to a winner or to failure.

    Args:
        race: the race, in which nothing has happened yet.
        plan: what the dial is made with.
        handshake: is called with a connected socket, and must succeed before it has won.
        emit: is told of events; it raises nothing.
        driver: the running event loop, or the calling thread.
        hosts: if the target has several parts, which of them each endpoint is one of; more come
            as they are found.
        started: when the dial began.
        detour: by way of proxies; None for a direct way.

    Attributes:
        errors: what the handshakes raised, by the number of the attempt.
        winner: the attempt that has won.
        timed_out: the deadline has passed.
    """

    def __init__(
        self,
        race: Race[Way],
        plan: Plan,
        handshake: Handshake[Any] | None,
        emit: Callable[[Event], None],
        driver: DialDriver,
        hosts: dict[Way, Target],
        started: float,
        detour: Detour | None = None,
    ) -> None:
        self.errors: dict[int, Exception] = {}
        self.winner: Running | None = None
        self.timed_out: bool = False
        self._race = race
        self._plan = plan
        self._emit = emit
        self._driver = driver
        self._hosts = hosts
        self._searches: Sequence[Resolution] = ()
        self._watch: Watch = driver.watch()
        self._detour = detour
        via = () if detour is None else detour.via
        self._flight = Flight(plan, self._watch, emit, self._closed_late, started, via)
        self.offered: dict[Way, tuple[int, str]] = self._flight.offered
        self._shaking = Shaking(
            race, self._flight, self._watch, handshake, hosts, detour, emit, self.errors
        )
        self._begun: Sequence[Begun] = ()
        self._one_by_one = race.rules.one_by_one

    async def run(
        self,
        known: Mapping[int, Sequence[Way]],
        searches: Sequence[Resolution],
        now: float,
        begun: Sequence[Begun] = (),
        told: bool = False,
        further: Sequence[Resolution] = (),
    ) -> Any:
        """Run the race.

        Args:
            known: all endpoints of some ranks.
            searches, further: what finds those of the others, and what may add to these.
            now: the moment of the first start, if they are known; before the race's end.
            begun: the attempts on the first endpoints of the first rank that there have been.
            told: whether the start of the first has been told of.

        Returns:
            The winner's socket, or what its handshake gave; None if nobody has won.

        When cancelled, nothing is open, registered or running when this is left.
        """
        self._searches = [*searches, *further]
        if begun:
            self._begun, now = begun, begun[0].start
            self._flight.enter(0, known[0][0], now, told=told).sock = begun[0].sock
        cut_off, over = True, False
        try:
            try:
                await self._until_over(known, now, {each.rank for each in further})
                cut_off = False
            finally:
                self._begun = ()
                with ExitStack() as stack:  # whatever a trace may raise
                    for search in self._searches:
                        stack.callback(search.abandon, self.timed_out)
                    stack.callback(self._flight.end_all, cut_off)
            if self.winner is None:
                return None
            over = True
            self._emit(DialConnected(time.monotonic(), self.winner.number))
        except BaseException:
            if self.winner is not None:
                self._flight.close(self.winner, tell=not over)
            raise
        return self.winner.result if self._shaking.gives else self.winner.given

    @property
    def records(self) -> dict[int, AttemptRecord]:
        """What became of each attempt that did not win, by its number."""
        return self._flight.records

    @property
    def untried(self) -> int:
        """How many addresses are known and have not been tried."""
        return self._race.untried

    async def _until_over(
        self, known: Mapping[int, Sequence[Way]], now: float, unfinished: Collection[int]
    ) -> None:
        error: Exception | None = None
        async with self._watch:
            try:
                for search in self._searches:
                    search.start()
                    self._watch.spawn(search.run, self._flight.post)
                commands: Commands = []
                for rank, endpoints in known.items():
                    if rank in unfinished:  # and is not waited for
                        commands += self._race.family_answered(now, socket.AF_INET6, rank)
                    if endpoints:
                        commands += self._race.addresses_added(now, endpoints, rank)
                    if rank not in unfinished:
                        commands += self._race.rank_finished(now, rank)
                self._do(commands)
                if self._begun:  # it may have taken the time to the next start
                    self._do(self._race.time_passed(time.monotonic()))
                while not self._race.over:
                    await self._turn()
            except Exception as caught:  # a task group would wrap it
                error = caught
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback leads to this frame

    async def _turn(self) -> None:
        moments = [running.wake_at for running in self._flight.running.values()]
        wake_at = self._race.wake_at
        if wake_at is not None:
            moments.append(wake_at)
        errors = dict(await self._watch.wait(min(moments, default=inf)))
        now = time.monotonic()
        # In the order of their start: of several that connect in one turn, the first wins.
        for running in list(self._flight.running.values()):
            if running.number not in self._flight.running:
                continue  # another has won meanwhile
            if running.sock in errors:
                action = running.attempt.woken(errors[running.sock], now)
                self._do(self._advance(running, action))
            elif running.ended is not None:
                ended, running.ended, running.cancel = running.ended, None, None
                self._do(ended())
            elif running.wake_at <= now:
                running.wake_at = inf
                self._do(self._advance(running, running.next))
        while self._flight.inbox:
            self._do(self._flight.inbox.popleft()())
        self._do(self._race.time_passed(time.monotonic()))

    def _do(self, commands: Iterable[Command[Way]]) -> None:
        """Carry out commands, and those that follow from them."""
        queue = deque(commands)
        while queue:
            if isinstance(queue[-1], Failed):
                self.timed_out = queue[-1].timed_out  # which is why the others are cancelled
            command = queue.popleft()
            if isinstance(command, Start):
                queue.extend(self._start(command.attempt, command.address))
            elif isinstance(command, BeginHandshake):
                begun = self._begun[command.attempt : command.attempt + 1]
                shaken = begun[0].shaken if begun else None
                running = self._flight.running[command.attempt]
                queue.extend(self._shaking.begin(running, shaken))
            elif isinstance(command, Cancel):
                self._cancel(command.attempt, command.why)
            elif isinstance(command, Won):
                self.winner = self._flight.running.pop(command.attempt)

    def _start(self, number: int, way: Way) -> Commands:
        if number == 0 and self._begun:
            return self._take_up(self._flight.running[number])
        known = number + 1 + self._race.untried
        if number < len(self._begun):
            begun = self._begun[number]
            assert begun.endpoint == way
            self._race.attempt_started(begun.start)
            running = self._flight.enter(number, way, begun.start, known)
            running.sock = begun.sock
            return self._take_up(running)
        now = time.monotonic()
        self._race.attempt_started(now)
        host = self._hosts[way].text if self._hosts else ""
        running = self._flight.enter(number, way, now, known, host)
        if self._detour is not None and isinstance(way, Route):
            refused = self._detour.refusal(way)
            if refused is not None:
                useless = self._detour.not_permitted(way, refused[0])
                return self._lose(running, refused[1], useless=useless)
        else:
            lost = refusal(self._plan, running.endpoint)
            if lost is not None:
                return self._lose(running, lost)
        if self._flight.dropped and self._one_by_one:
            return []  # `_closed_late` will open it
        return self._open(running)

    def _take_up(self, running: Running) -> Commands:
        begun, *later = self._begun[running.number :]
        if later:  # it had been refused when the next was begun
            lost = Lost("failed", begun.answer)
            return self._lose(running, lost, later[0].start)
        if begun.prepared is not None:
            return self._prepared(running, begun.prepared)
        if begun.shaken is not None:
            connected, local, note = begun.shaken[:3]
            return self._connected(running, connected, local, note)
        now = time.monotonic()
        running.attempt.begin()
        action = running.attempt.called(begun.answer, now)
        if begun.so_error is not None:
            action = running.attempt.woken(begun.so_error, now)
        return self._advance(running, action)

    def _open(self, running: Running) -> Commands:
        return self._prepared(running, opened(self._plan, running.endpoint))

    def _prepared(self, running: Running, prepared: Prepared) -> Commands:
        running.sock, lost, answer = prepared
        if lost is not None:
            return self._lose(running, lost)
        if answer is not None:
            self._flight.spawn(running, lambda: answer, self._hook_ended)
            return []
        return self._connect(running)

    def _hook_ended(self, running: Running, _: object, error: Exception | None) -> Commands:
        assert running.sock is not None
        lost = unblocked(running.sock) if error is None else vetoed(error)
        return self._connect(running) if lost is None else self._lose(running, lost)

    def _connect(self, running: Running) -> Commands:
        assert running.sock is not None
        if self._driver.completes and not running.attempt.immediate:
            running.attempt.begin()
            sockaddr = running.endpoint.sockaddr
            connect = partial(self._driver.sock_connect, running.sock, sockaddr, inf)
            self._flight.spawn(running, connect, self._completed)
            return []
        running.attempt.begin()
        try:
            calls = self._plan.settings.system_calls
            answer = connected_now(running.sock, running.endpoint, calls, self._plan.lends)
        except Exception:  # a unix path that is too long, or no address: it will say so again
            return self._advance(running, Step.CONNECT)
        if answer is None:
            return self._advance(running, Step.CONNECTED)
        return self._advance(running, running.attempt.called(answer, time.monotonic()))

    def _completed(self, running: Running, errno: int | None, error: Exception | None) -> Commands:
        if error is not None:
            return self._lose(running, Lost("failed", errnos.EINVAL, words(error)))
        now = time.monotonic()
        # The loop's success is but a wake-up: the probe has the last word.
        attempt = running.attempt
        action = attempt.called(errno, now) if errno else attempt.woken(0, now)
        return self._advance(running, action)

    def _advance(self, running: Running, action: Action) -> Commands:
        assert running.sock is not None
        try:
            if isinstance(action, WaitWritable):  # it was not to be before now
                self._watch.add(running.sock)
                return []
            calls = self._plan.settings.system_calls
            sockaddr = running.endpoint.sockaddr
            action = advance(running.attempt, action, running.sock, sockaddr, calls)
            if isinstance(action, WaitWritable) and action.not_before is None:
                self._watch.add(running.sock)
                return []
        except OSError as error:
            action = failed(error)
        except Exception as error:
            return self._lose(running, broken(error))
        if isinstance(action, AttemptFailed):
            elsewhere = action.errno == errnos.EISCONN  # ours are not, if nobody else had them
            note = _ELSEWHERE if elsewhere else note_of(action, running.endpoint.sockaddr)
            return self._lose(running, Lost("failed", action.errno, note))
        if action is Step.CONNECTED:
            local, note = local_address(running.sock), self._plan.settings.note(running.sock)
            return self._connected(running, time.monotonic(), local, note)
        if action is Step.REOPEN:
            abort(running.sock)
            return self._open(running)
        assert isinstance(action, (RetryAt, WaitWritable))  # `advance` leaves no other
        if isinstance(action, RetryAt):
            running.wake_at, running.next = action.when, Step.CONNECT
        else:
            running.wake_at, running.next = action.not_before or 0.0, WaitWritable()
        return []

    def _connected(
        self, running: Running, now: float, local: SockAddr | None, note: str
    ) -> Commands:
        running.connected = True
        running.local = local
        if self._plan.tells and running.sock is not None:
            running.packets = packets(running.sock)
        told = running.packets or Packets()
        self._emit(AttemptEnded(now, running.number, "connected", None, local, note, *told))
        return self._race.attempts_connected(now, [running.number])

    def _lose(
        self, running: Running, lost: Lost, now: float | None = None, useless: Iterable[Route] = ()
    ) -> Commands:
        """The attempt has failed, before it was connected."""
        now = time.monotonic() if now is None else now
        if lost.error is not None:
            self.errors[running.number] = lost.error
        self._flight.end(running, lost.outcome, lost.errno, lost.note, now=now)
        way = running.way
        if self._detour is not None and isinstance(way, Route) and lost.outcome == "failed":
            useless, _ = self._detour.failed(way, None, None)
        return self._race.attempt_failed(now, running.number, useless)

    def _cancel(self, number: int, why: Why) -> None:
        running = self._flight.running[number]
        if why == "timed out" or self.timed_out:
            errno = None if running.connected else running.attempt.errno
            self._flight.end(running, "timed out", errno, "" if self.timed_out else OWN_TIME)
        else:
            self._flight.end(running, why, None)

    def _closed_late(self) -> Commands:
        """Open what has waited for a socket to be closed."""
        waiting = (each for each in self._flight.running.values() if each.sock is None)
        first = next(waiting, None) if self._one_by_one else None
        return [] if first is None else self._open(first)
