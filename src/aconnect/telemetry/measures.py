"""What is counted and timed of a dial, for metrics of any kind.

Rules:

* Labels are of closed sets; what a peer or an address brings is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ..report.story import read
from .conventions import attempt_error, dial_error, lookup_error, network_type, outcome
from .plain import plain

if TYPE_CHECKING:
    from ..trace import Event

__all__ = ["BUCKETS", "Attempt", "Lookup", "Measures", "measure"]

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Bounds of histograms, in seconds: those that the conventions advise for lookups."""


class Lookup(NamedTuple):
    """One lookup; ``name`` is what was looked up, as text, and ``of`` the target or a proxy."""

    name: str
    of: str
    seconds: float
    error: str | None


class Attempt(NamedTuple):
    """What tells attempts apart."""

    network: str | None
    outcome: str
    error: str | None


class Measures(NamedTuple):
    """A dial that is over.

    ``network`` is that of the winner; ``phases`` has those that there were.
    """

    target: str
    seconds: float
    outcome: str
    error: str | None
    network: str | None
    phases: dict[str, float]
    lookups: list[Lookup]
    attempts: list[Attempt]


def measure(events: tuple[Event, ...]) -> Measures:
    """The measures of all that happened in a dial."""
    if (dial := plain(events)) is not None:
        network = network_type(dial.endpoint.family)
        attempts = [Attempt(network, "connected", None)]
        phases = {"connect": dial.connected - dial.start}
        return Measures(
            dial.address, dial.elapsed, "connected", None, network, phases, [], attempts
        )
    story = read(events, 0.0)
    seconds = story.phase_seconds()
    records = story.attempts.values()
    there: set[str] = {shake.phase for each in records for shake in each.handshakes}
    there |= {"resolve"} if story.resolutions else set()
    there |= {"connect"} if records else set()
    return Measures(
        story.address,
        story.elapsed,
        outcome(story.outcome),
        dial_error(story),
        next((network_type(each.family) for each in records if each.won), None),
        {phase: took for phase, took in seconds.items() if phase in there},
        [
            Lookup(each.address, each.of, story.lasting(each), lookup_error(each))
            for each in story.resolutions.values()
            if not each.remembered  # nobody was asked
        ],
        [
            Attempt(network_type(each.family), outcome(each.outcome), attempt_error(each))
            for each in records
        ],
    )
