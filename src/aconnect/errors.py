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
from typing import TYPE_CHECKING, Any, Literal

from .address_text import format_sockaddr, printable
from .explanations import lookup

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self, TypeAlias

    from .addresses import Address, Endpoint, SockAddr

__all__ = ["AttemptRecord", "ConnectError", "ConnectTimeout", "ResolveError"]

Phase: TypeAlias = Literal["resolve", "connect"]
Outcome: TypeAlias = Literal["connected", "failed", "timed out"]


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
        outcome: "connected", "failed", or "timed out" if its time was up first: the deadline, or
            of several addresses its share of what was left.
        errno: why it failed; of an attempt that timed out, why the kernel had not begun it
            (EAGAIN for a full backlog), or None if the peer had not answered.
        note: what else there is to say, in words; often empty.
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
        if self.outcome == "connected":
            return "connected"
        if self.outcome == "timed out" and self.errno is None:
            return "still no answer"
        reason = self.note or lookup(self.errno or 0).words(self.family)
        return reason if self.outcome == "failed" else f"not started: {reason}"


class ConnectError(OSError):
    """Connecting failed.

    Also an instance of the OSError subclass that belongs to its errno: an ECONNREFUSED is a
    ConnectionRefusedError too.  No socket is left open by the call that raised it, but for
    a socket that the caller had handed in.

    Args:
        errno: the reason, as in `errno`.
        message: the sentence for people.
        address: what was asked for.
        phase: how far it got: "resolve" or "connect".
        elapsed: seconds since the call.
        attempts: a record for each address tried, in the order of their start.
        family: the address family of the attempt that gave the errno, or None.

    Attributes:
        address: what was asked for: an `Address`, the caller's list of getaddrinfo results
            (as a tuple), or the sockaddr that a primitive was given.
        phase, elapsed, attempts, family: as above.
    """

    address: Address | tuple[Any, ...] | SockAddr | None
    phase: Phase
    elapsed: float
    attempts: tuple[AttemptRecord, ...]
    family: int | None

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

    Raised when the caller's deadline has passed and when the kernel gives up.  The records in
    ``attempts`` tell which: where the kernel gave up, one has "failed" with ETIMEDOUT.  There is
    none if the time went into resolving.
    """


class ResolveError(ConnectError, socket.gaierror):
    """The name could not be resolved.

    ``errno`` is a code of getaddrinfo(3), such as `socket.EAI_NONAME`; or an errno, if the
    lookup failed for want of resources.
    """


# Tracebacks and the documentation name the classes by where users import them from.
for _public in (AttemptRecord, ConnectError, ConnectTimeout, ResolveError):
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
    untried: int = 0,
) -> ConnectError:
    """The one error for attempts that all came to nothing.

    Of several, its errno is ETIMEDOUT if the deadline put an end to them, else that of the
    first that failed before its share of the time was used up; and its ``__cause__`` is an
    ExceptionGroup of an error for each.

    Args:
        records: the attempts in the order of their start; at least one.
        address: the address as the caller gave it.
        text: the same as text.
        elapsed: seconds since the caller's call.
        untried: how many more addresses there were.
    """
    if len(records) == 1 and not untried:
        return _attempt_error(records[0], address, text, elapsed)
    out_of_time = untried > 0 or records[-1].outcome == "timed out"
    failures = [record for record in records if record.outcome == "failed"]
    chosen = records[-1] if out_of_time else failures[0]
    tried = f"{len(records)} of {len(records) + untried} addresses tried"
    error = ConnectError(
        errnos.ETIMEDOUT if out_of_time else _code(chosen),
        f"could not connect to {text} in {_duration(elapsed)}: {tried}: "
        f"{'; '.join(map(str, records))}",
        address=address,
        elapsed=elapsed,
        attempts=records,
        family=chosen.family,
    )
    if len(records) > 1:
        causes = [_attempt_error(each, address, text, each.end - each.start) for each in records]
        error.__cause__ = ExceptionGroup("each attempt", causes)
    return error


def _attempt_error(record: AttemptRecord, address: Any, text: str, elapsed: float) -> ConnectError:
    details = [] if record.sockaddr is None or record.peer == text else [record.peer]
    if record.local_address is not None:
        details.append(f"from {format_sockaddr(record.family, record.local_address)}")
    where = f" ({' '.join(details)})" if details else ""
    code = _code(record)
    name = "deadline passed" if record.outcome == "timed out" else lookup(code).name
    what = "could not connect to" if record.sockaddr is not None else "no connection on"
    return ConnectError(
        code,
        f"{what} {text}{where} in {_duration(elapsed)}: {name}: {record.fate}",
        address=address,
        elapsed=elapsed,
        attempts=(record,),
        family=record.family,
    )


def _code(record: AttemptRecord) -> int:
    return errnos.ETIMEDOUT if record.outcome == "timed out" else record.errno or 0


def resolve_error(code: int, address: Address, elapsed: float, words: str = "") -> ResolveError:
    """The error for a lookup that failed with ``code``, of getaddrinfo(3) or of errno(3)."""
    row = lookup(code, resolving=True)
    return ResolveError(
        code,
        f"could not resolve {address} in {_duration(elapsed)}: "
        f"{row.name}: {words or row.words(socket.AF_INET)}",
        address=address,
        phase="resolve",
        elapsed=elapsed,
    )


def resolve_timeout(address: Address, elapsed: float) -> ConnectTimeout:
    """The error for a deadline that passed while a name was being resolved."""
    return ConnectTimeout(
        errnos.ETIMEDOUT,
        f"could not resolve {address} in {_duration(elapsed)}: deadline passed: "
        "no name server has answered yet, so no address was tried",
        address=address,
        phase="resolve",
        elapsed=elapsed,
    )


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
