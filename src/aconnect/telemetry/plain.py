"""The plainest dials: one attempt, on a single address, that connects.

Rules:

* There are a hundred of them to each of the others, so they are read without a story.
* What is made of a `Plain` is what the story would have given; what is not plain has a story.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..trace import AttemptEnded, AttemptStarted, DialConnected, DialStarted

if TYPE_CHECKING:
    from ..addresses.values import Endpoint
    from ..trace import Event

__all__ = ["Plain", "plain"]


class Plain(NamedTuple):
    """A dial that was one attempt and no more.  Times are seconds from its start."""

    address: str
    endpoint: Endpoint
    place: int
    start: float
    connected: float
    elapsed: float


def plain(events: tuple[Event, ...]) -> Plain | None:
    """The plainest dial that the events are of; None if they are of another."""
    if len(events) != 4:
        return None
    asked, begun, ended, over = events
    if (
        isinstance(asked, DialStarted)
        and isinstance(begun, AttemptStarted)
        and isinstance(ended, AttemptEnded)
        and isinstance(over, DialConnected)
        and ended.outcome == "connected"
        and begun.attempt == ended.attempt == over.attempt
        and not asked.via
        and begun.target is None
    ):
        origin = asked.time
        return Plain(
            asked.address,
            begun.endpoint,
            begun.place,
            begun.time - origin,
            ended.time - origin,
            over.time - origin,
        )
    return None
