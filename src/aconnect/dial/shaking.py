"""The handshakes of a race: they are begun, and the race is told what became of them.

Rules:

* What is said to proxies comes first, then what the caller asked for.
* A handshake that fails may take more with it than its attempt: of a detour, whatever cannot do
  better is not tried any more.
"""

from __future__ import annotations

import errno as errnos
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors.foreign import errno_of
from ..trace import HandshakeEnded
from .layers import Layers
from .ways import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..addresses.target import Target
    from ..drivers.base import Watch
    from ..handshakes.base import Handshake
    from ..sansio.race import Race
    from ..trace import Event
    from .begun import Shaken
    from .flight import Flight, Running
    from .ways import Commands, Detour

__all__ = ["Shaking"]


class Shaking:
    """The handshakes of a race.

    Args:
        race: is told what becomes of them.
        flight: has the attempts.
        watch: waits for the race.
        handshake: what was asked for; None if there is none but with proxies.
        hosts: if the target has several parts, which of them each way leads to.
        detour: by way of proxies; None for a direct way.
        emit: is told of events; it raises nothing.
        errors: gets what was raised, by the number of the attempt.
    """

    def __init__(
        self,
        race: Race[Any],
        flight: Flight,
        watch: Watch,
        handshake: Handshake[Any] | None,
        hosts: Mapping[Any, Target],
        detour: Detour | None,
        emit: Callable[[Event], None],
        errors: dict[int, Exception],
    ) -> None:
        self._race = race
        self._flight = flight
        self._watch = watch
        self._handshake = handshake
        self._hosts = hosts
        self._detour = detour
        self._emit = emit
        self._errors = errors

    @property
    def gives(self) -> bool:
        """Whether what the call returns is the result of a handshake."""
        return self._handshake is not None

    def begin(self, running: Running, shaken: Shaken | None) -> Commands:
        """Begin those of an attempt.

        Args:
            shaken: what has come of it, if the quick way has carried it out.
        """
        number = running.number
        layers = None if shaken is None else shaken.layers
        running.layers = layers = layers or Layers(self._layers_of(running))
        running.in_handshake = True
        now = time.monotonic() if shaken is None else shaken.connected
        for event in layers.started(now, number):
            self._emit(event)
        if shaken is None:
            assert running.sock is not None
            goes_on = partial(self._flight.running.__contains__, number)
            work = partial(layers.carry_out, running.sock, number, goes_on, self._emit)
            self._flight.spawn(running, work, self._ended)
        elif shaken.error is not None:
            return self._ended(running, None, shaken.error)
        return []  # if its time was up, that moment is now

    def _layers_of(self, running: Running) -> tuple[Handshake[Any], ...]:
        layers: tuple[Handshake[Any], ...] = ()
        if self._detour is not None:
            assert isinstance(running.way, Route)
            layers = self._detour.layers(running.way, self._watch.ready)
        handshake = self._handshake
        if handshake is None:
            return layers
        if self._hosts:
            handshake = handshake.towards(self._hosts[running.way].host)
        return (*layers, *handshake.layers)

    def _ended(self, running: Running, result: Any, error: Exception | None) -> Commands:
        assert running.layers is not None
        handshake, number = running.layers.current, running.number
        details: Mapping[str, Any] = {}
        if error is None:
            try:
                details = handshake.details(result)
            except Exception as caught:
                error = caught
        if error is None:
            running.in_handshake = False
            running.result = result
            now = time.monotonic()
            self._emit(HandshakeEnded(now, number, "done", None, details, running.layers.at))
            return self._race.handshake_done(now, number)
        self._errors[number] = error
        reason = handshake.reason(error)
        note = reason if handshake.proxy else f"the {handshake.kind} failed: {reason}"
        self._flight.end(running, "failed", errno_of(error, errnos.EPROTO), note, reason)
        now, final = time.monotonic(), handshake.is_final(error)
        withdrawn: list[Route] = []
        if self._detour is not None and isinstance(running.way, Route):
            withdrawn, last = self._detour.failed(running.way, handshake, error)
            final = final or last
        return self._race.handshake_failed(now, number, final, withdrawn)
