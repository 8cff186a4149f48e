"""What became of one attempt, as errors, reports and the command's JSON have it.

Rules:

* A record is a value: it can be pickled and copied, and it holds no socket.
* It says of itself in words what happened.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final, Literal

from ..addresses.text import clipped, format_sockaddr, printable, shortened
from ..addresses.values import Endpoint
from ..explanations.explain import lookup
from ..sansio.value import Value, as_dict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from ..addresses.values import SockAddr
    from ..trace import HandshakeOutcome

__all__ = [
    "LONGEST_ADDRESS",
    "LONGEST_WORDS",
    "OWN_TIME",
    "AttemptRecord",
    "HandshakeSummary",
    "Outcome",
    "Phase",
    "asked",
    "duration",
    "kind_of_handshake",
    "lasting",
    "sentence",
    "way",
]

LONGEST_WORDS: Final = 300
"""Characters of somebody else's words in a message of ours."""
LONGEST_ADDRESS: Final = 285
"""Characters of an address in a message: the longest name there is, and what stands around it."""

OWN_TIME: Final = "its own time limit was up"
"""The note of an attempt that ran into a limit that was not the deadline of all."""

Phase: TypeAlias = Literal["resolve", "connect", "proxy", "handshake"]
Outcome: TypeAlias = Literal[
    "connected", "failed", "timed out", "made room", "cancelled", "not permitted"
]


class HandshakeSummary(Value):
    """How a handshake went.  Times are seconds from the start of the dial.

    Attributes:
        name: what kind of handshake it is.
        start: when it began.
        end: when it ended; None as long as it is running.
        outcome: as in `HandshakeEnded`, or "running".
        error, details, layer: as in `HandshakeEnded`.
        phase: "proxy" if it is with a proxy, or about one; else "handshake".
    """

    name: str
    start: float
    end: float | None = None
    outcome: HandshakeOutcome | Literal["running"] = "running"
    error: str | None = None
    details: Mapping[str, str] = {}  # nobody changes it
    layer: int = 0
    phase: Literal["proxy", "handshake"] = "handshake"

    @property
    def kind(self) -> str:
        """What it is called in a sentence."""
        return kind_of_handshake(self.name)

    @property
    def why(self) -> str:
        """Why it failed, as the record has it; empty if nothing is known."""
        failed = self.outcome == "failed" and self.phase != "proxy"  # whose words say it all
        return f"the {self.kind} failed: {self.error}" if failed else self.error or ""

    def __hash__(self) -> int:
        return hash((self.name, self.start, self.end, self.outcome, self.error, self.layer))


def kind_of_handshake(name: str) -> str:
    """What a handshake of that name is called in a sentence."""
    return "handshake" if name == "handshake" else f"{name} handshake"


class AttemptRecord(Value):
    """What became of the attempt on one resolved address, for errors, reports and JSON.

    Times are seconds from the start of the dial, or of the call.

    Attributes:
        family: the socket's address family.
        type: the socket's type.
        sockaddr: the resolved address that connect(2) was given; None if somebody else called
            it, and it is not known.
        local_address: the local end, if the socket had been bound to one by then, by its owner
            or by the kernel; else None.
        start: when it began.
        end: when it ended; None as long as it is running.
        outcome: "connected", "failed", "timed out" if its time was up first (the deadline's, its
            own share of it, or its ``attempt_timeout``), "made room" if it had not been answered
            when another address was due and as many as may be were in flight, "cancelled" if
            others were to be first, or "not permitted" if no socket was opened for it; "running"
            before that.
        errno: why it failed; of an attempt that timed out, why the kernel had not begun it
            (EAGAIN for a full backlog), or None if the peer had not answered.
        note: what else there is to say, in words; often empty.
        phase: how far it got: "connect"; if it had connected and there was more to do, "proxy" as
            long as that was with a proxy, else "handshake".
        round_trip: seconds for which a packet and its answer were under way, as TCP has measured
            it; None if it has not, or the platform does not tell.
        resent: how many packets TCP sent again, which of an attempt are all SYNs; None if it had
            sent none, or the platform does not tell.
        number: its place in the order of the starts, from 0.
        place: the place of the address in the order of all addresses, from 0.
        host: of several addresses, the one that this is an endpoint of, as text; else empty.
        proto: the socket's protocol; 0 if it is not known.
        connected: when connect(2) had succeeded; None if it had not.
        handshakes: what followed, in the order of the layers.
        closed: when its descriptor was closed; None if it was not.
        won: whether it is the one that the call returned.
        via: the proxies on the way, the nearest first, as text; empty if there is none.
        target: what the last of them was to connect to, if its address was known here; else None.
        layer: which of its handshakes had begun last, from 0.
        proxy: the proxy that this one was with, as text; empty if it was with none.
        unfinished: what it was doing when its time was up, in words; empty if that was connecting,
            or there is nothing to say.
        rank: that of the address, as its resolver has said.
        service: of a service that a record has led to, its host and port, as text; else empty.
    """

    family: int
    type: int
    sockaddr: SockAddr | None
    local_address: SockAddr | None
    start: float
    end: float | None = None
    outcome: Outcome | Literal["running"] = "running"
    errno: int | None = None
    note: str = ""
    phase: Phase = "connect"
    round_trip: float | None = None
    resent: int | None = None
    number: int = 0
    place: int = 0
    host: str = ""
    proto: int = 0
    connected: float | None = None
    handshakes: tuple[HandshakeSummary, ...] = ()
    closed: float | None = None
    won: bool = False
    via: tuple[str, ...] = ()
    target: Endpoint | None = None
    layer: int = 0
    proxy: str = ""
    unfinished: str = ""
    rank: int = 0
    service: str = ""

    def __str__(self) -> str:
        return sentence(self, LONGEST_ADDRESS, LONGEST_WORDS)

    @property
    def peer(self) -> str:
        """The resolved address as text."""
        return format_sockaddr(self.family, self.sockaddr)

    @property
    def local(self) -> str | None:
        """The local end as text; None if there was none."""
        local = self.local_address
        return None if local is None else format_sockaddr(self.family, local)

    @property
    def endpoint(self) -> Endpoint:
        """What the socket was opened for and connected to."""
        return Endpoint(self.family, self.type, self.proto, self.sockaddr)  # type: ignore[arg-type]  # if known

    @property
    def handshake(self) -> HandshakeSummary | None:
        """The last of the handshakes; None if none has begun."""
        return self.handshakes[-1] if self.handshakes else None

    @property
    def connect_end(self) -> float | None:
        """When connect(2) ended, successfully or not; None while it is running."""
        return self.end if self.connected is None else self.connected

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, ready for `json.dumps`.

        Returns:
            A dict with the keys ``number``, ``peer``, ``local``, ``host``, ``family``, ``place``,
            ``start``, ``connected``, ``end``, ``outcome``, ``errno``, ``error`` (its name),
            ``phase``, ``note``, ``reason`` (in words), ``round_trip``, ``resent``, ``closed``,
            ``won``, ``rank``, ``service``, ``target``, ``handshakes``: dicts with ``name``,
            ``layer``, ``phase``, ``start``, ``end``, ``outcome``, ``error`` and ``details``, and
            ``handshake``: the last of these, or None.
        """
        handshakes = [as_dict(each) for each in self.handshakes]
        try:
            family = socket.AddressFamily(self.family).name
        except ValueError:
            family = f"family {self.family}"
        return {
            "number": self.number,
            "peer": self.peer,
            "local": self.local,
            "host": self.host,
            "family": family,
            "place": self.place,
            "start": self.start,
            "connected": self.connected,
            "end": self.end,
            "outcome": self.outcome,
            "errno": self.errno,
            "error": None if self.errno is None else lookup(self.errno).name,
            "phase": self.phase,
            "note": self.note,
            "reason": self.fate,
            "round_trip": self.round_trip,
            "resent": self.resent,
            "closed": self.closed,
            "won": self.won,
            "rank": self.rank,
            "service": self.service,
            "target": asked(self),
            "handshakes": handshakes,
            "handshake": handshakes[-1] if handshakes else None,
        }

    @property
    def fate(self) -> str:
        """The outcome in words, and the reason, if there is one."""
        note = clipped(printable(self.note[: LONGEST_WORDS + 1]), LONGEST_WORDS)
        if self.outcome in ("connected", "cancelled", "not permitted", "running"):
            return note or self.outcome
        if self.outcome == "made room":
            return "no answer so far, given up to make room for another address"
        words = lookup(self.errno or 0).words(self.family)
        if self.outcome == "failed":
            return note or words
        if self.phase in ("proxy", "handshake"):
            return f"connected, but {self.unfinished or 'its handshake had not finished'}"
        if self.errno is not None:
            return f"not started: {words}"
        return (
            f"{self.resent + 1} SYNs sent, still no answer" if self.resent else "still no answer"
        )


def sentence(record: AttemptRecord, longest_address: int, longest_fate: int) -> str:
    """What became of it, with so many characters of an address and of the reason."""
    fate = clipped(record.fate, longest_fate)
    named = record.host not in ("", record.peer)
    host = f"{shortened(record.host, longest_address)} at " if named else ""
    return f"{host}{way(record, longest_address)}: {fate} after {duration(lasting(record))}"


def lasting(record: AttemptRecord) -> float:
    """Seconds from its start to its end; 0 as long as it is running."""
    return 0.0 if record.end is None else record.end - record.start


def way(record: AttemptRecord, longest: int, *, peer: bool = True) -> str:
    """The peer, and the local end if it is known, with so many characters of each."""
    ends = [shortened(record.peer, longest)] if peer else []
    if record.local is not None:
        ends.append(f"from {shortened(record.local, longest)}")
    if record.target is not None:
        ends.append(f"for {shortened(asked(record) or '', longest)}")
    return " ".join(ends)


def asked(record: AttemptRecord) -> str | None:
    """What a proxy was to connect to, as text; None if there was none, or it got a name."""
    target = record.target
    return None if target is None else format_sockaddr(target.family, target.sockaddr)


AttemptRecord.__module__ = "aconnect"  # where users import it from


def duration(seconds: float) -> str:
    """As messages show it."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
