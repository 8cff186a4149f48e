"""The attempts in flight, which own the sockets of a race.

Rules:

* One owner: every socket of the race is in `Flight` until it has won; or, once its attempt is
  over, in the hands of the task that still works on it, whose last act is to close it.  That may
  be after the race.
* A socket is unregistered, then closed.
* Hooks and handshakes are the user's.  What they raise is an attempt that has failed; what they
  give and nobody will get is closed.
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

from ..addresses.values import Endpoint
from ..report.attempt import AttemptRecord
from ..sansio.attempt import Action, Attempt, Step
from ..sockets.connection import Packets, packets
from ..sockets.syscalls import abort, local_address
from ..trace import AttemptEnded, AttemptStarted, HandshakeEnded, SocketClosed
from .ways import Route

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from ..addresses.values import SockAddr
    from ..drivers.base import Watch
    from ..report.attempt import Outcome, Phase
    from ..trace import Event
    from .layers import Layers
    from .plan import Plan
    from .ways import Commands, Way

__all__ = ["Flight", "Running", "dispose"]


class Running:
    """An attempt in flight.

    Attributes:
        number: its place in the order of the starts.
        way: what the race has given: the endpoint, or the route that begins with it.
        endpoint: what it is to connect to.
        host: which of several it is an endpoint of, as text; else empty.
        start: when it began.
        attempt: its state machine.
        sock: its socket, as soon as there is one.
        next: what is to be done at the moment `wake_at`.
        local: the local end, as far as it is known.
        connected: whether it is.
        in_handshake: whether its handshake has begun, and has not succeeded.
        layers: its handshakes.
        packets: how those of TCP have fared, if that has been asked.
        result: what its handshake has given.
        cancel: ends the task that works on it.
        ended: what is to be done now that the task has ended.
    """

    __slots__ = (
        *("attempt", "cancel", "connected", "ended", "endpoint", "in_handshake", "layers"),
        *("host", "local", "next", "number", "packets", "result", "sock", "start", "wake_at"),
        "way",
    )

    def __init__(self, number: int, way: Way, host: str, start: float, attempt: Attempt) -> None:
        self.number = number
        self.host = host
        self.way = way
        self.endpoint: Endpoint = way if isinstance(way, Endpoint) else way.endpoint
        self.start = start
        self.attempt = attempt
        self.sock: socket.socket | None = None
        self.next: Action = Step.CONNECT
        self.wake_at: float = inf
        self.local: SockAddr | None = None
        self.connected: bool = False
        self.in_handshake: bool = False
        self.layers: Layers | None = None
        self.packets: Packets | None = None
        self.result: Any = None
        self.cancel: Callable[[], object] | None = None
        self.ended: Callable[[], Commands] | None = None

    @property
    def given(self) -> Any:
        """The connection: what the last of its handshakes gave that gave something, or else its
        socket."""
        given = None if self.layers is None else self.layers.given
        return self.sock if given is None else given


class Flight:
    """The attempts of one race, their sockets and the tasks that work on them.

    Args:
        plan: what the dial is made with.
        watch: waits for the race.
        emit: is told of events; it raises nothing.
        closed_late: is called in a turn after a task of `dropped` has closed its socket.
        started: when the dial began.
        via: the proxies on the way, as text.

    Attributes:
        running: the attempts in flight, by their numbers.
        dropped: those that are over, but for the tasks that work on them.
        records: what became of the others, for the message of an error.
        inbox: what the next turn has to deal with.
        offered: rank and service of addresses that a record has led to.
    """

    def __init__(
        self,
        plan: Plan,
        watch: Watch,
        emit: Callable[[Event], None],
        closed_late: Callable[[], Commands],
        started: float,
        via: tuple[str, ...] = (),
    ) -> None:
        self.running: dict[int, Running] = {}
        self.dropped: dict[int, Running] = {}
        self.records: dict[int, AttemptRecord] = {}
        self.inbox: deque[Callable[[], Commands]] = deque()
        self.offered: dict[Way, tuple[int, str]] = {}
        self._plan = plan
        self._watch = watch
        self._emit = emit
        self._closed_late = closed_late
        self._started = started
        self._via = via
        self._over = False

    def enter(
        self,
        number: int,
        way: Way,
        now: float,
        known: int = 1,
        host: str = "",
        told: bool = False,
    ) -> Running:
        endpoint = way if isinstance(way, Endpoint) else way.endpoint
        target = way.target if isinstance(way, Route) else None
        if not told:
            offered = self.offered.get(target or way, ()) if self.offered else ()
            self._emit(
                AttemptStarted(now, number, endpoint, number, known, host, target, *offered)
            )
        port_fixed = self._plan.settings.port_fixed(endpoint.family)
        family, type, lent = endpoint.family, endpoint.type, self._plan.lends
        attempt = Attempt(family, type, owned=True, port_fixed=port_fixed, lent=lent)
        running = Running(number, way, host, now, attempt)
        self.running[number] = running
        return running

    def end_all(self, cut_off: bool) -> None:
        """End whatever is left, whatever a trace may raise; nobody is told of what comes later.

        Args:
            cut_off: whether the race was broken off, so that no task is to keep a socket.
        """
        self._over = True
        with ExitStack() as stack:
            while cut_off and self.dropped:  # the watch could not wait for their tasks
                stack.callback(self.close, self.dropped.popitem()[1])
            for running in reversed(list(self.running.values())):
                running.cancel = None  # its task has ended with the watch
                stack.callback(self.end, running, "cancelled", None)

    def end(
        self,
        running: Running,
        outcome: Outcome,
        errno: int | None,
        note: str = "",
        reason: str = "",
        now: float | None = None,
    ) -> None:
        """The attempt has ended, and has not won; ``reason`` is why its handshake failed."""
        del self.running[running.number]
        now = time.monotonic() if now is None else now
        if running.sock is not None and running.local is None:
            running.local = local_address(running.sock)
        local = running.local
        # Only who is told of an attempt that has not failed learns what became of its packets.
        if running.sock is not None and (outcome != "cancelled" or self._plan.tells):
            running.packets = running.packets or packets(running.sock)
        told = running.packets or Packets()
        layers = running.layers
        phase: Phase = "handshake" if running.connected else "connect"
        if layers is not None:
            phase = layers.current.phase
        elif running.connected and self._via:
            phase = "proxy"
        unfinished = ""
        if layers is not None and running.in_handshake and outcome == "timed out":
            unfinished = layers.current.unfinished
        target = running.way.target if isinstance(running.way, Route) else None
        rank, service = (0, "")
        if self.offered:
            rank, service = self.offered.get(target or running.way, (0, ""))
        self.records[running.number] = AttemptRecord(
            **running.endpoint._asdict(),
            local_address=local,
            start=running.start - self._started,
            end=now - self._started,
            outcome=outcome,
            errno=errno,
            note=note,
            phase=phase,
            round_trip=told.round_trip,
            resent=told.resent,
            number=running.number,
            place=running.number,
            via=self._via,
            host=running.host,
            target=target,
            layer=0 if layers is None else layers.at,
            proxy="" if layers is None else layers.current.proxy,
            unfinished=unfinished,
            rank=rank,
            service=service,
        )
        try:
            if running.in_handshake:
                assert running.layers is not None
                ended: Any = outcome  # no handshake is "not permitted"
                why, layer = reason or note or None, running.layers.at
                event = HandshakeEnded(now, running.number, ended, why, layer=layer, errno=errno)
                self._emit(event.replace(unfinished=unfinished) if unfinished else event)
            elif not running.connected:
                self._emit(AttemptEnded(now, running.number, outcome, errno, local, note, *told))
        finally:
            if running.cancel is None or running.ended is not None:
                self.close(running)
            else:
                self.dropped[running.number] = running
                running.cancel()

    def close(self, running: Running, tell: bool = True) -> None:
        running.ended = None
        running.cancel = None  # its task's traceback leads to this attempt
        result = running.result
        if result is None and running.layers is not None:
            result = running.layers.given
        try:
            if result is not running.sock:
                dispose(result)
        finally:
            if running.sock is not None:
                self._watch.discard(running.sock)
                abort(running.sock)
                if tell:
                    self._emit(SocketClosed(time.monotonic(), running.number))

    def spawn(
        self,
        running: Running,
        begin: Callable[[], Awaitable[Any]],
        then: Callable[[Running, Any, Exception | None], Commands],
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
        then: Callable[[Running, Any, Exception | None], Commands],
    ) -> None:
        result = None
        error: Exception | None = OSError(errnos.ECANCELED, os.strerror(errnos.ECANCELED))
        try:
            try:
                awaitable = begin()
                if not self._over:
                    result, error = await awaitable, None
                elif inspect.iscoroutine(awaitable):  # of a dial that was closed before this began
                    awaitable.close()
            except Exception as caught:
                error = caught
        finally:
            if running.in_handshake:
                running.result = result  # to be disposed of, if nobody gets to it
            if self.dropped.pop(running.number, None) is not None:
                self.close(running, tell=not self._over)
                self.post(self._closed_late)
            else:
                running.ended = partial(then, running, result, error)
                self._watch.notify()
            del error  # its traceback leads to this frame

    def post(self, event: Callable[[], Commands]) -> None:
        """Have the next turn deal with it."""
        self.inbox.append(event)
        self._watch.notify()


def dispose(result: Any) -> None:
    """Close what a handshake gave and nobody will get."""
    try:
        close = getattr(result, "close", None)
        closing = close() if callable(close) else None
    except Exception:
        return  # it is being thrown away
    if inspect.iscoroutine(closing):
        closing.close()  # it cannot be awaited here; the socket is closed next
