"""What became of one attempt, as errors carry it.

Rules:

* A record is a value: it can be pickled and copied, and it holds no socket.
* It says of itself in words what happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from ..addresses.text import clipped, format_sockaddr, printable, shortened
from ..explanations.explain import lookup
from ..sansio.value import Value

if TYPE_CHECKING:
    from typing import TypeAlias

    from ..addresses.values import SockAddr

__all__ = [
    "LONGEST_ADDRESS",
    "LONGEST_WORDS",
    "OWN_TIME",
    "AttemptRecord",
    "Outcome",
    "Phase",
    "duration",
    "sentence",
    "way",
]

LONGEST_WORDS: Final = 300
"""Characters of somebody else's words in a message of ours."""
LONGEST_ADDRESS: Final = 285
"""Characters of an address in a message: the longest name there is, and what stands around it."""

OWN_TIME: Final = "its own time was up"
"""The note of an attempt that ran into a limit that was not the deadline of all."""

Phase: TypeAlias = Literal["resolve", "connect", "handshake"]
Outcome: TypeAlias = Literal[
    "connected", "failed", "timed out", "made room", "cancelled", "not permitted"
]


class AttemptRecord(Value):
    """What became of the attempt on one resolved address.

    Attributes:
        family: the socket's address family.
        type: the socket's type.
        sockaddr: the resolved address that connect(2) was given; None if somebody else called
            it, and it is not known.
        local_address: the local end, if the socket had been bound to one by then, by its owner
            or by the kernel; else None.
        start: when it began, in seconds of `time.monotonic`.
        end: when it ended, on the same clock.
        outcome: "connected", "failed", "timed out" if its time was up first (the deadline's, its
            own share of it, or its ``attempt_timeout``), "made room" if it had not been answered
            when another address was due and as many as may be were in flight, "cancelled" if
            others were to be first, or "not permitted" if no socket was opened for it.
        errno: why it failed; of an attempt that timed out, why the kernel had not begun it
            (EAGAIN for a full backlog), or None if the peer had not answered.
        note: what else there is to say, in words; often empty.
        phase: how far it got: "connect", or "handshake" if it had connected.
        round_trip: seconds for which a packet and its answer were under way, as TCP has measured
            it; None if it has not, or the platform does not tell.
        resent: how many packets TCP sent again, which of an attempt are all SYNs; None if it had
            sent none, or the platform does not tell.
    """

    family: int
    type: int
    sockaddr: SockAddr | None
    local_address: SockAddr | None
    start: float
    end: float
    outcome: Outcome
    errno: int | None
    note: str = ""
    phase: Phase = "connect"
    round_trip: float | None = None
    resent: int | None = None

    def __str__(self) -> str:
        return sentence(self, LONGEST_ADDRESS, LONGEST_WORDS)

    @property
    def peer(self) -> str:
        """The resolved address as text."""
        return format_sockaddr(self.family, self.sockaddr)

    @property
    def fate(self) -> str:
        """The outcome in words, with the reason where there is one."""
        note = clipped(printable(self.note[: LONGEST_WORDS + 1]), LONGEST_WORDS)
        if self.outcome in ("connected", "cancelled", "not permitted"):
            return note or self.outcome
        if self.outcome == "made room":
            return "no answer so far, and it made room for another address"
        words = lookup(self.errno or 0).words(self.family)
        if self.outcome == "failed":
            return note or words
        if self.phase == "handshake":
            return "connected, and its handshake was not done"
        if self.errno is not None:
            return f"not started: {words}"
        return (
            f"{self.resent + 1} SYNs sent, still no answer" if self.resent else "still no answer"
        )


def sentence(record: AttemptRecord, longest_address: int, longest_fate: int) -> str:
    """What became of it, with so many characters of an address and of the reason."""
    fate = clipped(record.fate, longest_fate)
    return f"{way(record, longest_address)}: {fate} after {duration(record.end - record.start)}"


def way(record: AttemptRecord, longest: int, *, peer: bool = True) -> str:
    """The peer, and the local end if it is known, with so many characters of each."""
    ends = [shortened(record.peer, longest)] if peer else []
    if record.local_address is not None:
        local = format_sockaddr(record.family, record.local_address)
        ends.append(f"from {shortened(local, longest)}")
    return " ".join(ends)


AttemptRecord.__module__ = "aconnect"  # where users import it from


def duration(seconds: float) -> str:
    """As messages show it."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
