"""The race for an address, from the search for what it stands for to a winner or to an error.

Rules:

* One deadline covers resolving, connecting and the handshake.
* The error is made when everything has failed, from the records of the race.
"""

from __future__ import annotations

import errno as errnos
import socket
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..errors.errors import AddressNotPermitted, ConnectError, ResolveError
from ..errors.foreign import begin_with_theirs, has_errno, words
from ..errors.making import (
    attempts_error,
    not_permitted,
    resolve_error,
    resolve_timeout,
    unresolved_error,
)
from ..handshakes.base import Handshake
from ..resolvers.answers import Explained
from ..sansio.race import Race
from .preparation import NO_INTERFACE
from .recall import forget, recall
from .resolution import Resolution
from .runner import Runner
from .telling import Telling
from .translating import translating
from .ways import OfHost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ..addresses.target import Target
    from ..addresses.values import Endpoint
    from ..drivers.base import DialDriver
    from .begun import Begun
    from .plan import Plan
    from .ways import Detour, Way

__all__ = ["race"]

_A_START: Final = 0.0005
"""Seconds.  A race may always make its first start: what need not wait needs no time."""

_NOT_OF_THE_FAMILY: Final[int] = getattr(socket, "EAI_ADDRFAMILY", socket.EAI_NONAME)


async def race(
    plan: Plan,
    target: Target,
    driver: DialDriver,
    started: float,
    until: float,
    handshake: Callable[[socket.socket], Awaitable[Any]] | None = None,
    telling: Telling | None = None,
    begun: Sequence[Begun] = (),
    recalled: tuple[Endpoint, ...] | None = None,
    detour: Detour | None = None,
) -> Any:
    """Race for a target.

    Args:
        plan: what the dial is made with.
        target: what is to be connected to.
        driver: the running event loop, or the calling thread.
        started: when the call began.
        until: when it must be over.
        handshake: as for `Dialer.connect`.
        telling: who has been told of the start, and of that of the attempt that has begun; None
            if nobody has.
        begun: the attempts that there have been, on the first endpoints in their order; only the
            last may have come to anything.
        recalled: what the resolver knows of the target, if that is a name.
        detour: by way of proxies; None for a direct way.

    Returns:
        The socket, or what the handshake gave.

    Raises:
        ConnectError: there is none.

    The sockets that have begun are closed, unless this returns one.
    """
    told = telling is not None
    if telling is None:
        via = () if detour is None else detour.via
        telling = Telling(plan, target, started, until, via)
    rules = plan.rules if detour is None else detour.rules
    if handshake is not None and detour is None:
        rules = rules.replace(handshake=True)
    if handshake is not None and not isinstance(handshake, Handshake):
        handshake = Handshake(handshake)
    past = None if plan.past_of is None or detour else plan.past_of(target, rules)
    if past is not None and past.prefer != rules.prefer:
        rules = rules.replace(prefer=past.prefer)
    now = time.monotonic()
    parts = target.parts
    contest: Race[Way] = Race(
        rules,
        until=max(until, now + _A_START),
        ranks=len(parts),
        delay_of=None if past is None else past.delay_of,
    )
    hosts: dict[Way, Target] = {}  # if there are several
    known: dict[int, Any] = {}
    searches: list[Resolution] = []
    further: list[Resolution] = []  # for addresses without a route, by way of a translator
    errors: dict[int, ConnectError] = {}
    runner = Runner(contest, plan, handshake, telling.emit, driver, hosts, started, detour)
    try:
        refused = {rank: part for rank, part in enumerate(parts) if part.refused}
        if refused and (detour is not None or len(refused) == len(parts)):
            raise not_permitted(target, next(iter(refused.values())).refused, started)
        if detour is not None:
            by_host = len(parts) > 1 and any(_way(part, handshake) for part in parts)
            known, searches = detour.begin(
                contest, hosts, telling.emit, started, _known, by_host, runner.offered
            )
        told_of = hosts if len(parts) > 1 else None
        search = partial(
            Resolution, race=contest, hosts=told_of, emit=telling.emit, offered=runner.offered
        )
        for rank, part in enumerate(parts if detour is None else ()):
            try:
                if part.refused:
                    raise not_permitted(part, part.refused, started)
                endpoints = _known(part, plan.family, started)
            except (ResolveError, AddressNotPermitted) as error:
                endpoints, errors[rank] = (), error
            way = _way(part, handshake) if len(parts) > 1 else None
            if endpoints is None:
                endpoints = recall(plan, part) if len(parts) > 1 else recalled
                if endpoints is not None and not told:
                    telling.recalled(part.text, endpoints)
            if endpoints is None:
                searches.append(search(plan, part, rank, way=way, past=past))
            else:
                if past is not None and part.is_name:
                    endpoints = tuple(past.in_order(endpoints, is_sorted=True))
                known[rank] = endpoints if way is None else list(map(way, endpoints))
                by_translator = translating(plan, part, begun)
                if by_translator is not None:
                    further.append(search(by_translator, part, rank, way=way))
                if len(parts) > 1:
                    for each in known[rank]:
                        hosts.setdefault(each, part)
        if searches and not known and time.monotonic() >= until:
            if plan.waited is not None:
                searches[0].start()
                searches[0].abandon(timed_out=True)
            raise resolve_timeout(target, time.monotonic() - started)
        result = await runner.run(known, searches, now, begun, told, further)
        if runner.winner is None:
            elapsed = time.monotonic() - started
            unresolved = partial(_unresolved, elapsed=elapsed)
            if detour is None:
                undone = (each for each in searches if not (each.found and each.over))
                errors |= {each.rank: unresolved(each) for each in undone}
                if not runner.untried:
                    forget(plan, parts, runner.records.values())
            elif not (runner.records or runner.timed_out):
                errors = detour.errors(unresolved)
            pending = "" if detour is None else detour.pending
            if past is not None:
                past.learn(telling.report.events)
            raise _error_of(runner, target, errors, elapsed, pending)
        if past is not None:
            past.learn(telling.report.events)
    except ConnectError as error:
        telling.failed(error)
        raise
    except BaseException:
        telling.cancelled()
        raise
    finally:
        # Their tracebacks lead to the dial.
        runner.errors.clear()
        errors.clear()
        for each in (*searches, *further):
            each.error = None
    return result


def _way(part: Target, handshake: Handshake[Any] | None) -> Callable[[Endpoint], OfHost] | None:
    """What races for an endpoint of a part; None for itself, if nothing depends on the host."""
    if handshake is None or handshake.towards(part.host) is handshake:
        return None
    return partial(OfHost, host=part.host)


def _known(
    target: Target, family: int, started: float, what: str = ""
) -> tuple[Endpoint, ...] | None:
    """The endpoints of ``family`` that need no resolver; None if it takes one.

    Args:
        what: is said before the target's name, as by `resolve_error`.

    Raises:
        ResolveError: there are none, and no resolver can help.
    """
    try:
        endpoints = target.known()
    except OSError:
        elapsed = time.monotonic() - started
        raise resolve_error(errnos.ENODEV, target, elapsed, NO_INTERFACE, what) from None
    if endpoints is None or family == socket.AF_UNSPEC:
        return endpoints
    kept = tuple(endpoint for endpoint in endpoints if endpoint.family == family)
    if not kept:
        said = f"it is not an address of the family {socket.AddressFamily(family).name}"
        elapsed = time.monotonic() - started
        raise resolve_error(errnos.EAFNOSUPPORT, target, elapsed, said, what)
    return kept


def _error_of(
    runner: Runner,
    target: Target,
    unresolved: dict[int, ConnectError],
    elapsed: float,
    pending: str,
) -> ConnectError:
    """The error for a dial that nobody has won.

    Args:
        unresolved: the error of each part of the target for which there is no address, or for
            which there might be more.
        pending: what was looked up, if that is not the target itself.
    """
    if runner.records:
        numbers = sorted(runner.records)
        return attempts_error(
            [runner.records[number] for number in numbers],
            target,
            elapsed,
            causes=[runner.errors.get(number) for number in numbers],
            timed_out=runner.timed_out,
            untried=runner.untried,
            unresolved=unresolved,
        )
    if runner.timed_out and not unresolved:
        return resolve_timeout(target, elapsed, pending)
    return unresolved_error(unresolved, target, elapsed, timed_out=runner.timed_out)


def _unresolved(search: Resolution, elapsed: float) -> ConnectError:
    """The error for a name that has no address, or might have more."""
    if not search.over:
        return resolve_timeout(search.target, elapsed, found=search.found)
    cause = search.error
    code, said = socket.EAI_NONAME, ""
    if cause is None and search.filtered:
        code = _NOT_OF_THE_FAMILY
    elif cause is not None and has_errno(cause):
        code = cause.errno or socket.EAI_FAIL
        said = str(cause.strerror) if isinstance(cause, Explained) else ""
    elif cause is not None:
        name = type(cause).__name__
        code, said = socket.EAI_FAIL, f"the resolver failed: {name}: {words(cause)}"
    what = "the proxy " if search.of == "proxy" else ""
    error = resolve_error(code, search.target, elapsed, said, what)
    error.__cause__ = begin_with_theirs(cause)
    return error
