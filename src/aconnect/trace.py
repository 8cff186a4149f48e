"""What happens in a dial, as events for whoever wants to know.

Rules:

* An event is a value: frozen, compared by its fields, hashable, picklable.  It holds no
  socket and no exception, so whoever keeps it keeps nothing else alive.
* The first event of a dial is `DialStarted`; the last is `DialConnected`, `DialFailed` or
  `DialCancelled`, and nothing follows it.  What has ended had started.
* The events come in the order in which things happen, in the thread of the event loop.
* Whoever listens cannot harm the dial: `guarded` sees to that.
* A dial always has a `Report` that listens, for the error that it may come to.
"""

from __future__ import annotations

from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from .listeners import each as each
from .listeners import guarded as guarded
from .sansio.value import Value, set_derived

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from .addresses.values import Endpoint, SockAddr

__all__ = [
    "AttemptEnded",
    "AttemptStarted",
    "DialCancelled",
    "DialConnected",
    "DialFailed",
    "DialStarted",
    "Event",
    "HandshakeEnded",
    "HandshakeStarted",
    "QuestionAnswered",
    "QuestionAsked",
    "ResolutionBatch",
    "ResolutionEnded",
    "ResolutionStarted",
    "ServiceFound",
    "SocketClosed",
    "Trace",
    "each",
    "guarded",
]

Trace: TypeAlias = "Callable[[Event], None]"
"""What is told of the events of a dial: any callable of one argument.

It is called in the middle of the dial, so it must be quick and must not block.  What it
returns is ignored.
"""

Phase: TypeAlias = Literal["resolve", "connect", "proxy", "handshake"]
ResolutionOf: TypeAlias = Literal["target", "proxy"]
ResolutionOutcome: TypeAlias = Literal["done", "failed", "timed out", "cancelled"]
AttemptOutcome: TypeAlias = Literal[
    "connected", "failed", "timed out", "made room", "cancelled", "not permitted"
]
HandshakeOutcome: TypeAlias = Literal["done", "failed", "timed out", "cancelled"]


class Event(Value):
    """Something happened.

    Attributes:
        time: when, in seconds of `time.monotonic`.
    """

    time: float


class DialStarted(Event):
    """The call was made, and its arguments were good.

    Attributes:
        address: what is to be connected to, as text.
        deadline: the moment by which all of it must be done, in seconds of
            `time.monotonic`; infinity if there is none.
        via: the proxies on the way, the nearest first, as text without user and password.
    """

    address: str
    deadline: float = inf
    via: tuple[str, ...] = ()


class ResolutionStarted(Event):
    """A name is being looked up.

    Attributes:
        address: the name with its port, as text.
        of: whose name it is: "target", or "proxy".
    """

    address: str
    of: ResolutionOf = "target"


class ResolutionBatch(Event):
    """The resolver gave addresses; there may be more to come.

    Attributes:
        endpoints: the new ones, best first.
        address, of: what they are of, as `ResolutionStarted` has it.
    """

    endpoints: tuple[Endpoint, ...]
    address: str = ""
    of: ResolutionOf = "target"


class ResolutionEnded(Event):
    """No more addresses will come.

    Attributes:
        outcome: "done", "failed", "timed out" if the deadline came first, or "cancelled" if
            the answer was not waited for any longer, be it because an attempt has won.
        found: how many addresses there were in all.
        errno: why it failed, a code of getaddrinfo(3) or of errno(3); else None.
        error: the reason in words, if the resolver has words of its own.
        address, of: what was looked up, as `ResolutionStarted` has it.
        remembered: whether the resolver knew it, so that nobody was asked.
    """

    outcome: ResolutionOutcome
    found: int
    errno: int | None = None
    error: str = ""
    address: str = ""
    of: ResolutionOf = "target"
    remembered: bool = False


class QuestionAsked(Event):
    """A question has been put to name servers, or to what is remembered.

    Attributes:
        name: what it is about, as DNS has it.
        type: the records that are asked for: "A", "AAAA", "HTTPS" and the like; empty for all.
        address, of: for what, as `ResolutionStarted` has it.
    """

    name: str
    type: str
    address: str = ""
    of: ResolutionOf = "target"


class QuestionAnswered(Event):
    """What came of a question.

    Attributes:
        name, type: as in `QuestionAsked`.
        outcome: the response code, or why there is no answer, in words.
        server, over, records, ttl, source, seconds, ignored, left_out: as in `aconnect.Question`.
        address, of: as in `QuestionAsked`.
    """

    name: str
    type: str
    outcome: str
    server: str = ""
    over: str = ""
    records: int = 0
    ttl: int | None = None
    source: str = "network"
    seconds: float = 0.0
    ignored: int = 0
    left_out: int = 0
    address: str = ""
    of: ResolutionOf = "target"


class ServiceFound(Event):
    """A record says where a service is.

    Attributes:
        rank: that of its addresses.
        target: the host.
        priority, port, alpn: as in `aconnect.Service`.
        ech: how many octets its configuration for Encrypted Client Hello has.
        refused: why it is not used; empty if it is.
        address, of: for what, as `ResolutionStarted` has it.
    """

    rank: int
    target: str
    priority: int
    port: int
    alpn: tuple[str, ...] = ()
    ech: int = 0
    refused: str = ""
    address: str = ""
    of: ResolutionOf = "target"


class AttemptStarted(Event):
    """An address is being connected to.

    Attributes:
        attempt: the number of the attempt in the order of their start, from 0.
        endpoint: the resolved address; its sockaddr is None where somebody else has called
            connect(2), and it is not known (`wait_connected`).
        place: the place of the address in the order of all addresses, from 0.
        known: how many addresses were known at that moment.
        host: of a dial to several addresses, the one that this is an endpoint of, as text; else
            empty.
        target: what a proxy will be asked to connect to, if its address is known here; else None.
        rank: that of the address, as its resolver has said; all of a rank are started before any
            of the next.
        service: of a service that a record has led to, its host and port, as text; else empty.
    """

    attempt: int
    endpoint: Endpoint
    place: int = 0
    known: int = 1
    host: str = ""
    target: Endpoint | None = None
    rank: int = 0
    service: str = ""


class AttemptEnded(Event):
    """connect(2) on an address came to its end; a handshake may follow if it is connected.

    There is one for each `AttemptStarted`.

    Attributes:
        attempt: the number of the attempt.
        outcome: "connected"; "failed"; "timed out" if its time was over; "made room" if it had
            not been answered when another address was due and no more could be in flight;
            "cancelled" if another attempt had won, or the whole call was cancelled; "not
            permitted" if the policy forbids the address, and nothing was sent.
        errno: why it failed; of an attempt that timed out, why the kernel had not begun it;
            else None.
        local_address: the local end, if the socket was bound to one; else None.
        note: what else there is to say, in words.
        round_trip: seconds for which a packet and its answer were under way, as TCP has measured
            it; None if it has not, or the platform does not tell.
        resent: how many packets TCP sent again, which of an attempt are all SYNs; None if it had
            sent none, or the platform does not tell.
    """

    attempt: int
    outcome: AttemptOutcome
    errno: int | None = None
    local_address: SockAddr | None = None
    note: str = ""
    round_trip: float | None = None
    resent: int | None = None


class HandshakeStarted(Event):
    """What makes a connected socket ready (TLS, a proxy) has begun; once for each of its layers.

    Attributes:
        attempt: the number of the attempt.
        name: what kind of handshake it is, in a word.
        layer: which of several handshakes it is that follow one another, from 0.
        phase: "proxy" if it is with a proxy, or about one; else "handshake".
        proxy: the proxy that it is with, as text without user and password; empty if with none.
    """

    attempt: int
    name: str = "handshake"
    layer: int = 0
    phase: Literal["proxy", "handshake"] = "handshake"
    proxy: str = ""


class HandshakeEnded(Event):
    """The handshake of an attempt came to its end.

    Attributes:
        attempt: the number of the attempt.
        outcome: "done", "failed", "timed out" or "cancelled".
        error: why it failed, in words; else None.
        details: what was agreed upon, such as the version of TLS.  Keys and values are made
            text, in a copy.
        layer: as in `HandshakeStarted`.
        errno: of what failed, as the error has it; else None.
        unfinished: of one that timed out, what it was doing, in words.
    """

    attempt: int
    outcome: HandshakeOutcome
    error: str | None = None
    details: Mapping[str, str] = MappingProxyType({})
    layer: int = 0
    errno: int | None = None
    unfinished: str = ""

    def __post_init__(self) -> None:
        copied = {str(key): str(value) for key, value in self.details.items()}
        set_derived(self, "details", copied)

    def __hash__(self) -> int:
        return hash((self.time, self.attempt, self.outcome, self.error, self.layer, self.errno))


class SocketClosed(Event):
    """The descriptor of an attempt that did not win was closed.

    There is none for an attempt that never had a descriptor, or whose hook or handshake cleans up
    longer than the dial lasts.

    Attributes:
        attempt: the number of the attempt.
    """

    attempt: int


class DialConnected(Event):
    """The call returns a connection.

    Attributes:
        attempt: the number of the attempt that won.
    """

    attempt: int


class DialFailed(Event):
    """The call raises an error.

    Attributes:
        outcome: "failed", or "timed out" if the deadline has passed.
        errno: the error's errno, or code of getaddrinfo(3).
        phase: how far it got: "resolve", "connect", "proxy" or "handshake".
    """

    outcome: Literal["failed", "timed out"]
    errno: int | None
    phase: Phase


class DialCancelled(Event):
    """The whole call was cancelled from outside."""


def is_last(event: Event) -> bool:
    """Whether nothing follows it."""
    return isinstance(event, (DialConnected, DialFailed, DialCancelled))
