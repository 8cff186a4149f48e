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

import traceback
import warnings
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from .sansio.value import Value, set_derived

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
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
    "ResolutionBatch",
    "ResolutionEnded",
    "ResolutionStarted",
    "SocketClosed",
    "Trace",
    "each",
    "guarded",
]

T = TypeVar("T")

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
    """

    attempt: int
    endpoint: Endpoint
    place: int = 0
    known: int = 1
    host: str = ""
    target: Endpoint | None = None


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


def guarded(
    listener: Callable[[T], object] | None, name: str = "trace"
) -> Callable[[T], None] | None:
    """Make a callable that tells ``listener`` of the events of one dial, and never fails.

    An exception from ``listener`` is issued as one RuntimeWarning with its text, and it gets no
    more events of this dial.  A filter that makes the warning an error does not harm the dial
    either: the error goes to `sys.unraisablehook`.

    Args:
        listener: the user's callable, or None.
        name: which one it is.

    Returns:
        A callable for this dial alone; None if ``listener`` is.

    Raises:
        TypeError: ``listener`` is neither None nor callable.

    What is not an Exception (KeyboardInterrupt, SystemExit, a cancellation) goes through.
    """
    if listener is None:
        return None
    if not callable(listener):
        raise TypeError(f"{name} must be a callable of one argument, not {listener!r}")
    if isinstance(listener, _Each):
        return _Each([_Guard(one, name) for one in listener.listeners])
    return _Guard(listener, name)


def each(*listeners: Callable[[T], object]) -> Callable[[T], None]:
    """Make one listener of several, for ``on_report`` or ``trace`` of a `Dialer`.

    Args:
        listeners: what is called, in this order.

    Returns:
        A callable.  A dial that is given it guards each of them alone: what one raises is one
        warning, it gets no more of that dial, and the others go on.

    Raises:
        TypeError: one of them is not callable.

    It keeps nothing of a dial, and may be shared by dialers and threads as the listeners may.
    """
    for listener in listeners:
        if not callable(listener):
            raise TypeError(f"each listener must be a callable of one argument, not {listener!r}")
    alone: list[Any] = []
    for listener in listeners:
        alone += listener.listeners if isinstance(listener, _Each) else [listener]
    return _Each(alone)


class _Each:
    __slots__ = ("listeners",)

    def __init__(self, listeners: Iterable[Callable[[Any], object]]) -> None:
        self.listeners = tuple(listeners)

    def __call__(self, event: Any) -> None:
        for listener in self.listeners:
            listener(event)


class _Guard:
    __slots__ = ("_listener", "_name")

    def __init__(self, listener: Callable[[Any], object], name: str) -> None:
        self._listener: Callable[[Any], object] | None = listener
        self._name = name

    def __call__(self, event: Any) -> None:
        if self._listener is None:
            return
        try:
            self._listener(event)
        except Exception as error:
            self._listener = None
            _Complaint(self._name, error)


class _Complaint:
    """Issues its warning from its finalizer, which cannot raise into the dial."""

    __slots__ = ("_text",)

    def __init__(self, name: str, error: Exception) -> None:
        at = error.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        where = "" if at is None else f" ({at.tb_frame.f_code.co_filename}:{at.tb_lineno})"
        words = "".join(traceback.format_exception_only(error)).strip()
        self._text = f"{name} raised {words}{where}; it gets no more events of this dial"

    def __del__(self) -> None:
        warnings.warn(self._text, RuntimeWarning, stacklevel=2)
