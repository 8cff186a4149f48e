"""One dial: carries out the commands of the race on a driver.

Rules:

* The race decides; what is here opens, connects, watches and closes, and tells the race.
* One owner: every socket of the dial is in `_flight` until it has won; or, once its attempt is
  over, in the hands of the task that still works on it, whose last act is to close it.
* A socket is unregistered, then closed.  What is watched is unregistered when the watch is
  left, whatever ends the dial, and closed next.
* One by one, a socket is opened when the one before it is closed.
* What a turn of the loop has brought counts before the time: success beats the deadline, the
  attempt that was started first beats the others, and a cancellation beats everything.
* Hooks and resolvers of the user's cannot break the dial: what they raise is an attempt, or a
  resolution, that has failed.
"""

from __future__ import annotations

import errno as errnos
import inspect
import os
import time
from collections import deque
from contextlib import ExitStack
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from .attempts import TO_ITSELF, advance, failed
from .errors import OWN_TIME, AttemptRecord
from .flight import Hooks, Running, dispose, errno_of
from .handshakes.base import words
from .sansio.attempt import Action, Attempt, RetryAt, Step, WaitWritable
from .sansio.attempt import Failed as AttemptFailed
from .sansio.race import BeginHandshake, Cancel, Command, Failed, Race, Start, Won
from .syscalls import abort, local_address
from .trace import (
    AttemptEnded,
    AttemptStarted,
    DialConnected,
    HandshakeEnded,
    HandshakeStarted,
    SocketClosed,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from .addresses import Endpoint
    from .drivers.base import Driver, Watch
    from .errors import Outcome
    from .handshakes.base import Handshake
    from .resolution import Resolution
    from .syscalls import Begun

__all__ = ["Dial"]


class Dial:
    """One dial, from its addresses to a winner or to failure.

    Args:
        race: the race, in which nothing has happened yet.
        hooks: what it is made with.
        driver: the running event loop.
        resolution: what finds the addresses, if they are not known.

    Attributes:
        records: what became of each attempt that did not win, by its number.
        errors: what the handshakes raised, by the number of the attempt.
        winner: the attempt that has won.
        timed_out: the deadline has passed.
    """

    def __init__(
        self, race: Race[Endpoint], hooks: Hooks, driver: Driver, resolution: Resolution
    ) -> None:
        self.records: dict[int, AttemptRecord] = {}
        self.errors: dict[int, Exception] = {}
        self.winner: Running | None = None
        self.timed_out: bool = False
        self._race = race
        self._hooks = hooks
        self._driver = driver
        self._resolution = resolution
        self._watch: Watch = driver.watch()
        self._flight: dict[int, Running] = {}
        self._inbox: deque[Callable[[], list[Command[Endpoint]]]] = deque()
        self._one_by_one = race.rules.one_by_one
        self._dropped: dict[int, Running] = {}  # over, but for the tasks that work on them

    async def run(
        self, endpoints: Sequence[Endpoint] | None, now: float, begun: Begun | None = None
    ) -> Any:
        """Run the race.

        Args:
            endpoints: all there are, or None if they have to be found.
            now: the moment of the first start, if they are known: it is before the race's end,
                however long the processor is away.
            begun: the attempt on the first of the endpoints, if it has been begun.

        Returns:
            The winner's socket, or what its handshake gave; None if nobody has won.

        When cancelled, nothing is open, registered or running when this is left.
        """
        if begun is not None and endpoints is not None:
            running = self._enter(0, endpoints[0], begun.start, known=1)
            running.sock = begun.sock
            running.begun = begun
        try:
            try:
                await self._until_over(endpoints, now)
            finally:
                self._end_all()
            if self.winner is None:
                return None
            self._hooks.emit(DialConnected(time.monotonic(), self.winner.number))
        except BaseException:
            if self.winner is not None:
                self._close(self.winner)
            raise
        return self.winner.sock if self._hooks.handshake is None else self.winner.result

    @property
    def untried(self) -> int:
        """How many addresses are known and have not been tried."""
        return self._race.untried

    def _end_all(self) -> None:
        """End whatever is left, whatever a trace may raise."""
        with ExitStack() as stack:
            stack.callback(self._resolution.end, "timed out" if self.timed_out else "cancelled")
            while self._dropped:  # the watch could not wait for their tasks
                stack.callback(self._close, self._dropped.popitem()[1])
            for running in reversed(list(self._flight.values())):
                running.cancel = None  # its task has ended with the watch
                stack.callback(self._end, running, "cancelled", None)

    async def _until_over(self, endpoints: Sequence[Endpoint] | None, now: float) -> None:
        error: Exception | None = None
        async with self._watch:
            try:
                if endpoints is not None:
                    self._do(self._race.addresses_added(now, endpoints))
                    self._do(self._race.resolution_finished(time.monotonic()))
                else:
                    self._resolution.start()
                    self._watch.spawn(self._resolution.run, self._post)
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
        moments = [running.wake_at for running in self._flight.values()]
        wake_at = self._race.wake_at
        if wake_at is not None:
            moments.append(wake_at)
        errors = dict(await self._watch.wait(min(moments, default=inf)))
        now = time.monotonic()
        # In the order of their start: of several that connect in one turn, the first wins.
        for running in list(self._flight.values()):
            if running.number not in self._flight:
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
        while self._inbox:
            self._do(self._inbox.popleft()())
        self._do(self._race.time_passed(time.monotonic()))

    def _do(self, commands: Iterable[Command[Endpoint]]) -> None:
        """Carry out commands, and those that follow from them."""
        queue = deque(commands)
        while queue:
            if isinstance(queue[-1], Failed):
                self.timed_out = queue[-1].timed_out  # which is why the others are cancelled
            command = queue.popleft()
            if isinstance(command, Start):
                queue.extend(self._start(command.attempt, command.address))
            elif isinstance(command, BeginHandshake):
                self._begin_handshake(command.attempt)
            elif isinstance(command, Cancel):
                self._cancel(command.attempt, command.timed_out)
            elif isinstance(command, Won):
                self._win(command.attempt)

    # Attempts.

    def _start(self, number: int, endpoint: Endpoint) -> list[Command[Endpoint]]:
        running = self._flight.get(number)
        if running is not None and running.begun is not None:
            now = time.monotonic()
            running.attempt.begin()
            action = running.attempt.called(running.begun.errno, now)
            if running.begun.so_error is not None:
                action = running.attempt.woken(running.begun.so_error, now)
            return self._advance(running, action)
        known = number + 1 + self._race.untried
        now = time.monotonic()
        self._race.attempt_started(now)
        running = self._enter(number, endpoint, now, known)
        if self._hooks.permit is not None:
            try:
                permitted = self._hooks.permit(endpoint)
                note = "the address policy does not permit it"
            except Exception as error:
                name = type(error).__name__
                permitted, note = False, f"the address policy failed: {name}: {words(error)}"
            if not permitted:
                return self._lose(running, "not permitted", errnos.EPERM, note)
        if self._dropped and self._one_by_one:
            return []  # `_closed_late` will open it
        return self._open(running)

    def _enter(self, number: int, endpoint: Endpoint, now: float, known: int) -> Running:
        self._hooks.emit(AttemptStarted(now, number, endpoint, number, known))
        port_fixed = self._hooks.port_fixed(endpoint.family)
        attempt = Attempt(endpoint.family, endpoint.type, owned=True, port_fixed=port_fixed)
        running = Running(number, endpoint, now, attempt)
        self._flight[number] = running
        return running

    def _open(self, running: Running) -> list[Command[Endpoint]]:
        try:
            running.sock = self._hooks.open_socket(running.endpoint)
        except OSError as error:
            return self._lose(running, "failed", failed(error).errno, words(error))
        if self._hooks.on_socket is not None:
            try:
                answer = self._hooks.on_socket(running.sock, running.endpoint)
            except Exception as error:
                return self._veto(running, error)
            if inspect.isawaitable(answer):
                self._spawn(running, lambda: answer, self._hook_ended)
                return []
        return self._connect(running)

    def _hook_ended(
        self, running: Running, _: object, error: Exception | None
    ) -> list[Command[Endpoint]]:
        return self._connect(running) if error is None else self._veto(running, error)

    def _veto(self, running: Running, error: Exception) -> list[Command[Endpoint]]:
        self.errors[running.number] = error
        code = errno_of(error, errnos.EPERM)
        return self._lose(running, "failed", code, f"on_socket refused it: {words(error)}")

    def _connect(self, running: Running) -> list[Command[Endpoint]]:
        assert running.sock is not None
        if running.sock.gettimeout() != 0 and running.sock.fileno() >= 0:
            try:
                running.sock.setblocking(False)  # a hook has made it block, and the loop with it
            except OSError as error:
                return self._lose(running, "failed", failed(error).errno, words(error))
        if self._driver.completes and not running.attempt.immediate:
            running.attempt.begin()
            sockaddr = running.endpoint.sockaddr
            connect = partial(self._driver.sock_connect, running.sock, sockaddr, inf)
            self._spawn(running, connect, self._completed)
            return []
        return self._advance(running, running.attempt.begin())

    def _completed(
        self, running: Running, errno: int | None, error: Exception | None
    ) -> list[Command[Endpoint]]:
        if error is not None:
            return self._lose(running, "failed", errnos.EINVAL, words(error))
        now = time.monotonic()
        # The loop's success is but a wake-up: the probe has the last word.
        attempt = running.attempt
        action = attempt.called(errno, now) if errno else attempt.woken(0, now)
        return self._advance(running, action)

    def _advance(self, running: Running, action: Action) -> list[Command[Endpoint]]:
        assert running.sock is not None
        try:
            if isinstance(action, WaitWritable):  # it was not to be before now
                self._watch.add(running.sock)
                return []
            action = advance(running.attempt, action, running.sock, running.endpoint.sockaddr)
            if isinstance(action, WaitWritable) and action.not_before is None:
                self._watch.add(running.sock)
                return []
        except OSError as error:
            action = failed(error)
        if isinstance(action, AttemptFailed):
            note = TO_ITSELF if action.to_itself else ""
            return self._lose(running, "failed", action.errno, note)
        if action is Step.CONNECTED:
            return self._connected(running)
        if action is Step.REOPEN:
            abort(running.sock)
            return self._open(running)
        assert isinstance(action, (RetryAt, WaitWritable))  # `advance` leaves no other
        if isinstance(action, RetryAt):
            running.wake_at, running.next = action.when, Step.CONNECT
        else:
            running.wake_at, running.next = action.not_before or 0.0, WaitWritable()
        return []

    def _connected(self, running: Running) -> list[Command[Endpoint]]:
        assert running.sock is not None
        now = time.monotonic()
        running.connected = True
        local = running.local = local_address(running.sock)
        note = self._hooks.note(running.sock)
        self._hooks.emit(AttemptEnded(now, running.number, "connected", None, local, note))
        return self._race.attempts_connected(now, [running.number])

    def _lose(
        self, running: Running, outcome: Outcome, errno: int | None, note: str
    ) -> list[Command[Endpoint]]:
        """The attempt has failed, before it was connected."""
        self._end(running, outcome, errno, note)
        return self._race.attempt_failed(time.monotonic(), running.number)

    def _cancel(self, number: int, timed_out: bool) -> None:
        running = self._flight[number]
        if timed_out or self.timed_out:
            errno = None if running.connected else running.attempt.errno
            self._end(running, "timed out", errno, "" if self.timed_out else OWN_TIME)
        else:
            self._end(running, "cancelled", None)

    def _end(
        self,
        running: Running,
        outcome: Outcome,
        errno: int | None,
        note: str = "",
        reason: str = "",
    ) -> None:
        """The attempt has ended, and has not won; ``reason`` is why its handshake failed."""
        del self._flight[running.number]
        now = time.monotonic()
        if running.sock is not None and running.local is None:
            running.local = local_address(running.sock)
        local = running.local
        self.records[running.number] = AttemptRecord(
            family=running.endpoint.family,
            type=running.endpoint.type,
            sockaddr=running.endpoint.sockaddr,
            local_address=local,
            start=running.start,
            end=now,
            outcome=outcome,
            errno=errno,
            note=note,
            phase="handshake" if running.connected else "connect",
        )
        try:
            if running.in_handshake:
                ended: Any = outcome  # no handshake is "not permitted"
                self._hooks.emit(
                    HandshakeEnded(now, running.number, ended, reason or note or None)
                )
            elif not running.connected:
                self._hooks.emit(AttemptEnded(now, running.number, outcome, errno, local, note))
        finally:
            if running.cancel is None or running.ended is not None:
                self._close(running)
            else:
                self._dropped[running.number] = running
                running.cancel()

    def _close(self, running: Running) -> None:
        running.ended = None
        running.cancel = None  # its task's traceback leads to this attempt
        try:
            if running.result is not running.sock:
                dispose(running.result)
        finally:
            if running.sock is not None:
                self._watch.discard(running.sock)
                abort(running.sock)
                self._hooks.emit(SocketClosed(time.monotonic(), running.number))

    def _closed_late(self) -> list[Command[Endpoint]]:
        """Open what has waited for a socket to be closed."""
        if self._one_by_one:
            for running in self._flight.values():
                if running.sock is None:
                    return self._open(running)
        return []

    def _win(self, number: int) -> None:
        running = self._flight.pop(number)
        assert running.sock is not None
        self.winner = running

    # Handshakes.

    def _begin_handshake(self, number: int) -> None:
        running = self._flight[number]
        handshake = self._hooks.handshake
        assert handshake is not None
        assert running.sock is not None
        running.in_handshake = True
        self._hooks.emit(HandshakeStarted(time.monotonic(), number, handshake.name))
        then = partial(self._handshake_ended, handshake)
        self._spawn(running, partial(handshake, running.sock), then)

    def _handshake_ended(
        self, handshake: Handshake[Any], running: Running, result: Any, error: Exception | None
    ) -> list[Command[Endpoint]]:
        details: Mapping[str, Any] = {}
        if error is None:
            try:
                details = handshake.details(result)
            except Exception as caught:
                error = caught
        if error is None:
            running.in_handshake = False
            now = time.monotonic()
            self._hooks.emit(HandshakeEnded(now, running.number, "done", None, details))
            return self._race.handshake_done(now, running.number)
        self.errors[running.number] = error
        reason = handshake.reason(error)
        note = f"the {handshake.kind} failed: {reason}"
        self._end(running, "failed", errno_of(error, errnos.EPROTO), note, reason)
        return self._race.handshake_failed(time.monotonic(), running.number)

    # Tasks.

    def _spawn(
        self,
        running: Running,
        begin: Callable[[], Awaitable[Any]],
        then: Callable[[Running, Any, Exception | None], list[Command[Endpoint]]],
    ) -> None:
        """Await something on behalf of an attempt; ``then`` is told what came of it.

        Args:
            begin: makes what is awaited, in the task: nothing is left of one that never runs.
        """
        running.cancel = self._watch.spawn(self._await, running, begin, then)

    async def _await(
        self,
        running: Running,
        begin: Callable[[], Awaitable[Any]],
        then: Callable[[Running, Any, Exception | None], list[Command[Endpoint]]],
    ) -> None:
        result = None
        error: Exception | None = OSError(errnos.ECANCELED, os.strerror(errnos.ECANCELED))
        try:
            try:
                result, error = await begin(), None
            except Exception as caught:
                error = caught
        finally:
            if running.in_handshake:
                running.result = result  # to be disposed of, if nobody gets to it
            if self._dropped.pop(running.number, None) is not None:
                self._close(running)
                self._post(self._closed_late)
            else:
                running.ended = partial(then, running, result, error)
                self._watch.notify()
            del error  # its traceback leads to this frame

    def _post(self, event: Callable[[], list[Command[Endpoint]]]) -> None:
        """Have the next turn deal with it."""
        self._inbox.append(event)
        self._watch.notify()
