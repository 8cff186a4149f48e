"""What a race of connection attempts can ask for: commands.

Rules:

* A command is a value: it says what is to be done with which attempt, and does nothing.
* Attempts are told apart by their numbers, which count from 0 in the order of the starts.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

from .value import Value

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["BeginHandshake", "Cancel", "Command", "Failed", "Start", "State", "Why", "Won"]

A = TypeVar("A", bound="Hashable")


class Start(Value, Generic[A]):
    """Start to connect to ``address``; the attempt's number is ``attempt``.

    The numbers count from 0 in the order of the starts.
    """

    attempt: int
    address: A


Why: TypeAlias = Literal["cancelled", "timed out", "made room"]


class Cancel(Value):
    """End the attempt, close its socket.

    Attributes:
        why: "cancelled": it has lost, or the race is over; "timed out": its own time limit was up,
            and it counts as failed; "made room": another address was due, and so it does.
    """

    attempt: int
    why: Why = "cancelled"


class BeginHandshake(Value):
    """Begin the handshake of an attempt that has connected."""

    attempt: int


class Won(Value):
    """The attempt has won and the race is over; what else was in flight has been cancelled."""

    attempt: int


class Failed(Value):
    """The race is over, and nobody has won.

    Attributes:
        timed_out: ``until`` has passed; otherwise every attempt has failed, if there were any,
            and there will be no more addresses; or a handshake has failed for good.
    """

    timed_out: bool


Command: TypeAlias = "Start[A] | Cancel | BeginHandshake | Won | Failed"
"""All that the race can ask for.  `Won` and `Failed` are final: the last of the last list."""


class State(Enum):
    """How far an attempt has come."""

    RUNNING = "is running"
    CONNECTED = "has connected already"
    IN_HANDSHAKE = "is in its handshake"
    FAILED = "has failed already"
    WON = "has won already"
    CANCELLED = "was cancelled"
