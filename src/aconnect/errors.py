"""What connecting raises, and the record that it carries.

Rules:

* Every failure to connect is a `ConnectError`, which is an OSError.  For errno E it is an
  instance of the class that ``OSError(E, "")`` would be as well, so that
  ``except ConnectionRefusedError`` goes on working.
* ETIMEDOUT is a `ConnectTimeout`, whether the caller's deadline or the kernel ran out of
  patience; the attempts' records tell which.
* The message says what was attempted, on which address as written and as resolved, how
  long it took, how far it got, and what happened in plain words.
* Errors are values: they can be pickled and copied, and they hold no socket.
"""

from __future__ import annotations

import errno as errnos
import socket
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

from .address_text import format_sockaddr, printable
from .explanations import lookup

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self, TypeAlias

    from .addresses import Address, Endpoint, SockAddr
    from .report import Report

__all__ = [
    "AddressNotPermitted",
    "AttemptRecord",
    "ConnectError",
    "ConnectTimeout",
    "HandshakeError",
    "ResolveError",
]

OWN_TIME: Final = "its own time was up"
"""The note of an attempt that ran into a limit that was not the deadline of all."""

Phase: TypeAlias = Literal["resolve", "connect", "handshake"]
Outcome: TypeAlias = Literal["connected", "failed", "timed out", "cancelled", "not permitted"]


@dataclass(frozen=True, slots=True)
class AttemptRecord:
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
            own share of it, or its ``attempt_timeout``), "cancelled" if others were to be first,
            or "not permitted" if no socket was opened for it.
        errno: why it failed; of an attempt that timed out, why the kernel had not begun it
            (EAGAIN for a full backlog), or None if the peer had not answered.
        note: what else there is to say, in words; often empty.
        phase: how far it got: "connect", or "handshake" if it had connected.
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

    def __str__(self) -> str:
        took = _duration(self.end - self.start)
        local = ""
        if self.local_address is not None:
            local = f" from {format_sockaddr(self.family, self.local_address)}"
        return f"{self.peer}{local}: {self.fate} after {took}"

    @property
    def peer(self) -> str:
        """The resolved address as text."""
        return format_sockaddr(self.family, self.sockaddr)

    @property
    def fate(self) -> str:
        """The outcome in words, with the reason where there is one."""
        if self.outcome in ("connected", "cancelled", "not permitted"):
            return self.note or self.outcome
        words = lookup(self.errno or 0).words(self.family)
        if self.outcome == "failed":
            return self.note or words
        if self.phase == "handshake":
            return "connected, and its handshake was not done"
        return "still no answer" if self.errno is None else f"not started: {words}"


class ConnectError(OSError):
    """Connecting failed.

    Also an instance of the OSError subclass that belongs to its errno: an ECONNREFUSED is a
    ConnectionRefusedError too.  No socket is left open by the call that raised it, but for
    a socket that the caller had handed in.

    Args:
        errno: the reason, as in `errno`.
        message: the sentence for people.
        address: what was asked for.
        phase: how far it got: "resolve", "connect" or "handshake".
        elapsed: seconds since the call.
        attempts: a record for each address tried, in the order of their start.
        family: the address family of the attempt that gave the errno, or None.

    Attributes:
        address: what was asked for: an `Address`, the caller's list of getaddrinfo results
            (as a tuple), or the sockaddr that a primitive was given.
        phase, elapsed, attempts, family: as above.
        report: what happened and when, as a `Report`; None from the primitives.
    """

    address: Address | tuple[Any, ...] | SockAddr | None
    phase: Phase
    elapsed: float
    attempts: tuple[AttemptRecord, ...]
    family: int | None
    report: Report | None

    def __new__(cls, errno: int, message: str, **_: Any) -> Self:
        """Make an instance of the class that goes with the errno."""
        kind: Any = cls
        builtin: Any = type(OSError(errno, ""))
        if errno == errnos.ETIMEDOUT and cls is ConnectError:
            kind = ConnectTimeout
        error: Self = super().__new__(_class_for(kind, builtin), errno, message)
        return error

    def __init__(
        self,
        errno: int,  # noqa: ARG002  # __new__ has taken these two
        message: str,  # noqa: ARG002
        *,
        address: Address | tuple[Any, ...] | SockAddr | None = None,
        phase: Phase = "connect",
        elapsed: float = 0.0,
        attempts: Sequence[AttemptRecord] = (),
        family: int | None = None,
    ) -> None:
        self.address = address
        self.phase = phase
        self.elapsed = elapsed
        self.attempts = tuple(attempts)
        self.family = family
        self.report = None

    @property
    def transient(self) -> bool:
        """Whether a later try may succeed; what a retry library wants to know."""
        resolving = isinstance(self, ResolveError)
        return lookup(self.errno or 0, resolving=resolving).transient

    def __reduce__(self) -> tuple[Any, ...]:
        plain = next(kind for kind in type(self).__mro__ if kind.__dict__.get("_plain", True))
        return _rebuild, (plain, self.errno, self.strerror), dict(self.__dict__)


class ConnectTimeout(ConnectError, TimeoutError):
    """No connection in time; errno is ETIMEDOUT.

    Raised when the caller's deadline has passed, when each attempt has run out of its own time,
    and when the kernel gives up.  In the first two cases there are records in ``attempts`` with
    the outcome "timed out", or the time went into resolving; in the last all are "failed".
    """


class ResolveError(ConnectError, socket.gaierror):
    """The name could not be resolved.

    ``errno`` is a code of getaddrinfo(3), such as `socket.EAI_NONAME`; or an errno, if the
    lookup failed for want of resources.
    """


class HandshakeError(ConnectError):
    """A peer was reached, and the handshake with it failed.

    What the handshake raised is the ``__cause__``; ``errno`` is its errno if it had one, else
    EPROTO.
    """


class AddressNotPermitted(ConnectError, PermissionError):
    """The address policy permits none of the addresses; errno is EPERM.

    None of them was connected to.
    """


# Tracebacks and the documentation name the classes by where users import them from.
for _public in (
    AddressNotPermitted,
    AttemptRecord,
    ConnectError,
    ConnectTimeout,
    HandshakeError,
    ResolveError,
):
    _public.__module__ = "aconnect"


def _rebuild(kind: type[ConnectError], errno: int, message: str) -> ConnectError:
    # Without __init__: what a subclass asks for there is in the state.
    return kind.__new__(kind, errno, message)


@cache
def _class_for(kind: Any, builtin: Any) -> Any:
    """``kind`` that is a ``builtin`` as well, under the name of ``kind``."""
    if issubclass(kind, builtin):
        return kind
    members = {"__module__": kind.__module__, "__doc__": kind.__doc__, "_plain": False}
    return type(kind.__name__, (kind, builtin), members)


def describe(address: object, endpoints: Sequence[Endpoint]) -> str:
    """What was asked for, as text."""
    if isinstance(address, tuple):
        more = f" and {len(address) - 1} more" if len(address) > 1 else ""
        return format_sockaddr(endpoints[0].family, endpoints[0].sockaddr) + more
    return printable(str(address))


def attempts_error(
    records: Sequence[AttemptRecord],
    address: Any,
    text: str,
    elapsed: float,
    *,
    causes: Sequence[BaseException | None] = (),
    timed_out: bool = False,
    untried: int = 0,
) -> ConnectError:
    """The one error for attempts that all came to nothing.

    It is that of the attempt that got furthest: a handshake is further than a connect, and
    that further than an address that was not permitted.  Among equals it has the errno on
    which all agree, else that of the first.  If the deadline put an end to them, it is a
    ConnectTimeout.

    Its ``__cause__`` is an ExceptionGroup of an error for each, if there are several.

    Args:
        records: the attempts in the order of their start; at least one.
        address: the address as the caller gave it.
        text: the same as text.
        elapsed: seconds since the caller's call.
        causes: what a handshake or a hook raised in each attempt, or None.
        timed_out: the deadline has passed.
        untried: how many more addresses there were.
    """
    causes = causes or [None] * len(records)
    if len(records) == 1 and not untried:
        return _attempt_error(records[0], address, text, elapsed, causes[0])
    chosen = max(records, key=_how_far)  # the first of those
    tried = f"{len(records)} of {len(records) + untried} addresses tried"
    error = _kind_of(chosen, timed_out or chosen.outcome == "timed out")(
        errnos.ETIMEDOUT if timed_out else _code(chosen),
        f"could not connect to {text} in {_duration(elapsed)}: {tried}: "
        f"{'; '.join(map(str, records))}",
        address=address,
        phase=chosen.phase,
        elapsed=elapsed,
        attempts=records,
        family=chosen.family,
    )
    if len(records) > 1:
        each = [
            _attempt_error(record, address, text, record.end - record.start, cause)
            for record, cause in zip(records, causes, strict=True)
        ]
        error.__cause__ = ExceptionGroup("each attempt", each)
    else:
        error.__cause__ = causes[0]
    return error


def _how_far(record: AttemptRecord) -> tuple[bool, bool, bool]:
    return (
        record.phase == "handshake",
        record.outcome != "not permitted",
        record.outcome == "failed",  # an answer says more than silence
    )


def _kind_of(record: AttemptRecord, timed_out: bool) -> type[ConnectError]:
    if timed_out:
        return ConnectTimeout
    if record.outcome == "not permitted":
        return AddressNotPermitted
    return HandshakeError if record.phase == "handshake" else ConnectError


def _attempt_error(
    record: AttemptRecord,
    address: Any,
    text: str,
    elapsed: float,
    cause: BaseException | None = None,
) -> ConnectError:
    details = [] if record.sockaddr is None or record.peer == text else [record.peer]
    if record.local_address is not None:
        details.append(f"from {format_sockaddr(record.family, record.local_address)}")
    where = f" ({' '.join(details)})" if details else ""
    code = _code(record)
    timed_out = record.outcome == "timed out"
    name = record.note or "deadline passed" if timed_out else lookup(code).name
    what = "could not connect to" if record.sockaddr is not None else "no connection on"
    error = _kind_of(record, timed_out)(
        code,
        f"{what} {text}{where} in {_duration(elapsed)}: {name}: {record.fate}",
        address=address,
        phase=record.phase,
        elapsed=elapsed,
        attempts=(record,),
        family=record.family,
    )
    error.__cause__ = cause
    return error


def _code(record: AttemptRecord) -> int:
    return errnos.ETIMEDOUT if record.outcome == "timed out" else record.errno or 0


def resolve_error(
    code: int, text: str, address: Any, elapsed: float, words: str = ""
) -> ResolveError:
    """The error for a lookup that failed with ``code``, of getaddrinfo(3) or of errno(3)."""
    row = lookup(code, resolving=True)
    return ResolveError(
        code,
        f"could not resolve {text} in {_duration(elapsed)}: "
        f"{row.name}: {words or row.words(socket.AF_INET)}",
        address=address,
        phase="resolve",
        elapsed=elapsed,
    )


def resolve_timeout(text: str, address: Any, elapsed: float) -> ConnectTimeout:
    """The error for a deadline that passed while a name was being resolved."""
    return ConnectTimeout(
        errnos.ETIMEDOUT,
        f"could not resolve {text} in {_duration(elapsed)}: deadline passed: "
        "no name server has answered yet, so no address was tried",
        address=address,
        phase="resolve",
        elapsed=elapsed,
    )


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
