"""The one error that a dial ends with, made from the records of what was tried.

Rules:

* The message says what was attempted, on which address as written and as resolved, how
  long it took, how far it got, and what happened in plain words.
* Of several attempts it is the error of the one that got furthest; all are in it.
* The message is for a line of a log, and what caused it for one screen: of many attempts they name
  the first few, and the one that decides.  What is too long is cut.
"""

from __future__ import annotations

import errno as errnos
import socket
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..addresses.text import clipped, shortened
from ..explanations.explain import lookup
from ..report.attempt import (
    LONGEST_ADDRESS,
    LONGEST_WORDS,
    OWN_TIME,
    AttemptRecord,
    duration,
    lasting,
    sentence,
    way,
)
from ..sansio.negotiation import Refusal
from .errors import (
    AddressNotPermitted,
    ConnectError,
    ConnectTimeout,
    HandshakeError,
    ProxyError,
    ResolveError,
)
from .foreign import begin_with_theirs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..addresses.target import Target

__all__ = [
    "attempts_error",
    "driver_error",
    "each_error",
    "not_permitted",
    "resolve_error",
    "resolve_timeout",
    "unresolved_error",
]

_SILENT: Final = ("timed out", "made room")

_NONE: Final[Mapping[int, ConnectError]] = {}

_NAMED: Final = 4
"""Attempts that a message names: as many as two addresses of each family make."""
_BRIEF: Final = (56, 155)
"""Characters of an address, and of what became of it, in what is said of one of several."""


def attempts_error(
    records: Sequence[AttemptRecord],
    target: Target,
    elapsed: float,
    *,
    causes: Sequence[BaseException | None] = (),
    timed_out: bool = False,
    untried: int = 0,
    unresolved: Mapping[int, ConnectError] = _NONE,
) -> ConnectError:
    """The one error for attempts that all came to nothing.

    It is that of the attempt that got furthest: a handshake is further than a connect, and
    that further than an address that was not permitted.  Among equals it has the errno on
    which all agree, else that of the first.  If the deadline put an end to them, it is a
    ConnectTimeout.

    Its ``__cause__`` is an ExceptionGroup of an error for each that it names, if there are
    several.

    Args:
        records: the attempts in the order of their start; at least one.
        target: what was to be connected to.
        elapsed: seconds since the caller's call.
        causes: what a handshake or a hook raised in each attempt, or None.
        timed_out: the deadline has passed.
        untried: how many more addresses there were.
        unresolved: the errors of the parts of the target, by their rank, that have no address, or
            whose lookup was not done.
    """
    causes = causes or [None] * len(records)
    silent = records[0].outcome in _SILENT
    if len(records) == 1 and not (untried or unresolved) and timed_out <= silent:
        return _attempt_error(records[0], target, elapsed, causes[0])
    numbers = range(len(records))
    decisive = max(numbers, key=lambda number: _how_far(records[number]))  # the first of those
    chosen, cause = records[decisive], causes[decisive]
    hosts = sorted(unresolved)[: max(_NAMED // 2, _NAMED - len(records))]
    named = list(numbers[: _NAMED - len(hosts)])
    if decisive not in named:
        named[-1] = decisive
    said = [sentence(records[number], *_BRIEF) for number in named]
    if len(records) > len(named):
        said.append(f"and {len(records) - len(named)} more")
    said += _of_hosts(unresolved, target, hosts)
    tried = f"{len(records)} of {len(records) + untried} addresses tried"
    error = _kind_of(chosen, timed_out or chosen.outcome in _SILENT, cause)(
        errnos.ETIMEDOUT if timed_out else _code(chosen),
        f"could not connect to {_text(target)}{_through(chosen)} in {duration(elapsed)}: "
        f"{tried}: {'; '.join(said)}",
        address=target.address,
        phase=chosen.phase,
        elapsed=elapsed,
        attempts=records,
        family=chosen.family,
    )
    if len(records) > 1 or hosts:
        each = [
            _attempt_error(records[number], target, None, causes[number], *_BRIEF)
            for number in named
        ]
        which = "each attempt" if len(each) == len(records) else f"{len(each)} of the attempts"
        if hosts:
            each_of_them = "each" if len(hosts) == len(unresolved) else len(hosts)
            which += f" and {each_of_them} of the hosts without an address"
        error.__cause__ = ExceptionGroup(which, [*each, *(unresolved[rank] for rank in hosts)])
    else:
        error.__cause__ = begin_with_theirs(cause)
    return error


def each_error(
    error: ConnectError, target: Target, call: str
) -> ExceptionGroup[ConnectError] | None:
    """What asyncio raises for ``all_errors``: a group of the errors of all attempts.

    Args:
        error: what there is without it.
        target: what was to be connected to.
        call: who asks.

    Returns:
        None if there was no attempt, or if the deadline has put an end to one.
    """
    ended = [each.outcome != "timed out" or each.note == OWN_TIME for each in error.attempts]
    if not ended or not all(ended):
        return None
    group = error.__cause__ if len(error.attempts) > 1 else None
    named = group.exceptions if isinstance(group, ExceptionGroup) else (error,)
    of_attempts = (one for one in named if isinstance(one, ConnectError) and one.attempts)
    known = {one.attempts[0].number: one for one in of_attempts}
    errors = [
        known.get(each.number) or _attempt_error(each, target, None, None, *_BRIEF)
        for each in error.attempts
    ]
    return ExceptionGroup(f"{call} failed", errors)


def _how_far(record: AttemptRecord) -> tuple[bool, bool, bool, bool]:
    return (
        record.phase == "handshake",
        record.phase == "proxy",
        record.outcome != "not permitted",
        record.outcome == "failed",  # an answer says more than silence
    )


def _kind_of(
    record: AttemptRecord, timed_out: bool, cause: BaseException | None
) -> Callable[..., ConnectError]:
    if timed_out:
        return ConnectTimeout
    if record.outcome == "not permitted":
        return AddressNotPermitted
    if record.phase == "handshake":
        return partial(HandshakeError, cause=cause)
    if record.phase == "proxy":
        return partial(ProxyError, cause=cause, **_of_proxy(record, cause))
    return ConnectError


def _of_proxy(record: AttemptRecord, cause: BaseException | None) -> dict[str, Any]:
    """What there is to say of a proxy that has failed."""
    told = {"proxy": record.proxy, "layer": record.layer}
    if isinstance(cause, Refusal):
        about = "target" if cause.about == "target" else "proxy"
        return {**told, "reply": cause.reply, "about": about}
    return told


def _attempt_error(
    record: AttemptRecord,
    target: Target,
    elapsed: float | None,
    cause: BaseException | None,
    longest_address: int = LONGEST_ADDRESS,
    longest_fate: int = LONGEST_WORDS,
) -> ConnectError:
    """The error for one attempt, which took all the time if ``elapsed`` is None."""
    elapsed = lasting(record) if elapsed is None else elapsed
    text = record.host or target.text
    known = record.sockaddr is not None and record.peer != text
    where = way(record, longest_address, peer=known)
    where = f" ({where})" if where else ""
    text = shortened(text, longest_address)
    code = _code(record)
    timed_out = record.outcome in _SILENT
    name = record.note or "deadline passed" if timed_out else lookup(code).name
    what = "could not connect to" if record.sockaddr is not None else "no connection on"
    error = _kind_of(record, timed_out, cause)(
        code,
        f"{what} {text}{_through(record)}{where} in {duration(elapsed)}: "
        f"{name}: {clipped(record.fate, longest_fate)}",
        address=target.address,
        phase=record.phase,
        elapsed=elapsed,
        attempts=(record,),
        family=record.family,
    )
    error.__cause__ = begin_with_theirs(cause)
    return error


def _through(record: AttemptRecord) -> str:
    """The way that it took, if that is by proxies."""
    if not record.via:
        return ""
    first, *others = (shortened(each, LONGEST_ADDRESS) for each in record.via)
    return f" through {first}" + "".join(f", then {each}" for each in others[:_NAMED])


def _code(record: AttemptRecord) -> int:
    return errnos.ETIMEDOUT if record.outcome in _SILENT else record.errno or 0


def _text(target: Target) -> str:
    return shortened(target.text, LONGEST_ADDRESS)


def not_permitted(target: Target, words: str, started: float) -> AddressNotPermitted:
    """The error for a target that a policy cannot be asked about."""
    return AddressNotPermitted(
        errnos.EPERM,
        f"could not connect to {_text(target)}: {lookup(errnos.EPERM).name}: {words}",
        address=target.address,
        elapsed=time.monotonic() - started,
    )


def driver_error(cause: OSError, target: Target) -> ConnectError:
    """The error for a dial that has not begun: what it would wait with cannot be imported."""
    code = cause.errno or errnos.EIO
    return ConnectError(
        code,
        f"could not connect to {_text(target)}: {lookup(code).name}: the driver for trio could "
        f"not be imported: {cause.strerror or cause}; import trio before aconnect to have it "
        "imported early",
        address=target.address,
    )


def resolve_error(
    code: int, target: Target, elapsed: float, words: str = "", what: str = ""
) -> ResolveError:
    """The error for a lookup that failed with ``code``, of getaddrinfo(3) or of errno(3).

    Args:
        what: whose name it is, if that is not the target's own.
    """
    row = lookup(code, resolving=True)
    return ResolveError(
        code,
        f"could not resolve {what}{_text(target)} in {duration(elapsed)}: "
        f"{row.name}: {words or row.words(socket.AF_INET)}",
        address=target.address,
        phase="resolve",
        elapsed=elapsed,
    )


def unresolved_error(
    errors: Mapping[int, ConnectError], target: Target, elapsed: float, *, timed_out: bool = False
) -> ConnectError:
    """The one error for the parts of a target, of which none has an address: that of the only one;
    or, of several, one with the first one's code, and those that it names as ``__cause__``.  If
    the deadline put an end to the lookups, it is a ConnectTimeout."""
    ranks = sorted(errors)
    first = errors[ranks[0]]
    if len(ranks) == 1:
        return first
    named = ranks[:_NAMED]
    reasons = "; ".join(_of_hosts(errors, target, named))
    if timed_out:
        reasons = f"deadline passed: {reasons}"
    error = (ConnectTimeout if timed_out else ResolveError)(
        errnos.ETIMEDOUT if timed_out else first.errno or 0,
        f"could not resolve {_text(target)} in {duration(elapsed)}: {reasons}",
        address=target.address,
        phase="resolve",
        elapsed=elapsed,
    )
    which = "each host" if len(named) == len(ranks) else f"{len(named)} of the hosts"
    error.__cause__ = ExceptionGroup(which, [errors[rank] for rank in named])
    return error


def _of_hosts(
    errors: Mapping[int, ConnectError], target: Target, named: Sequence[int]
) -> list[str]:
    """What is said of parts that have no address: of the ranks that are named, and how many more
    there are."""
    said = []
    for rank in named:
        error = errors[rank]
        late = isinstance(error, ConnectTimeout)
        why = (
            "its lookup had not finished"
            if late
            else lookup(error.errno or 0, resolving=True).name
        )
        said.append(f"{shortened(target.parts[rank].text, _BRIEF[0])}: {why}")
    if len(errors) > len(named):
        said.append(f"and {len(errors) - len(named)} more")
    return said


def resolve_timeout(
    target: Target, elapsed: float, name: str = "", found: int = 0
) -> ConnectTimeout:
    """The error for a deadline that passed while a name was being resolved.

    Args:
        name: which one, if that is not the target's own.
        found: how many addresses it had so far.
    """
    so_far = "no name server had answered, so no address was tried"
    if found:
        so_far = "its lookup had not finished, and might have found more addresses"
    return ConnectTimeout(
        errnos.ETIMEDOUT,
        f"could not resolve {name or _text(target)} in {duration(elapsed)}: deadline passed: "
        f"{so_far}",
        address=target.address,
        phase="resolve",
        elapsed=elapsed,
    )
