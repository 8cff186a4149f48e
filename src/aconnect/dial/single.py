"""From an address to a connection: the quick way, and the race for the rest.

Rules:

* There is one quick way, for `aconnect`, a `Dialer`, transports, streams and clients alike.
* Most connects are over when connect(2) returns, and most others when the socket is writable.
  Those end here.  Whatever comes otherwise, the race takes up from where it has come to: nothing
  is done, asked or told twice.
* Of several addresses, those of a list or of a name, the next is tried here for as long as each is
  refused by connect(2) itself; and one is waited for until the next would start.
* A name of the system's resolver is looked up here; see `look_up`.
* With one address there is nothing to move on to, so TLS comes after the connection, without a
  task; unless somebody is told of the dial, for then the race has it.
* By way of proxies there is often one route as well, of which all is known: then what is said to
  them is such a handshake; see `Talk`.
* Who wants to be told of everything is told here of what is over at once.  What has to wait,
  and might be cancelled, is the race's to tell of; and so is a second attempt.

Why: a race costs three times the memory, and two to five times the time.
"""

from __future__ import annotations

import errno as errnos
import socket
import time
from collections import deque
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from ..deadline import NEVER, earliest
from ..drivers.select import calling_thread, driver_of, running_driver
from ..errors.making import driver_error
from ..handshakes.base import BoundedHandshake, OutOfTime
from ..report.capture import OPEN
from ..sansio.waiting import Waiting
from ..sockets.syscalls import close, connected_after_all, connected_now, local_address
from ..trace import AttemptStarted
from .begun import Begun, Shaken
from .lookup import look_up
from .preparation import Prepared, broken, opened, refusal
from .race import race
from .recall import recall, wanted
from .talk import Talk
from .telling import Telling

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from ..addresses.target import Target
    from ..addresses.values import Endpoint
    from ..deadline import Deadline
    from ..drivers.base import DialDriver
    from .plan import Plan

__all__ = ["connect"]

_HAS_BEGUN: Final = errnos.EINPROGRESS
_REFUSALS: Final = frozenset({errnos.ECONNREFUSED, errnos.ENETUNREACH, errnos.EHOSTUNREACH})
_FAMILY: Final = attrgetter("family")
_ANY: Final[int] = socket.AF_UNSPEC


async def connect(
    plan: Plan,
    target: Target,
    timeout: float | None,
    deadline: Deadline | None,
    handshake: Callable[[socket.socket], Awaitable[Any]] | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
    waiting_on: Callable[[], DialDriver] = running_driver,
    streams: bool = False,
) -> Any:
    """Connect to the target.

    Args:
        plan: what the dial is made with.
        target: what is to be connected to.
        timeout, deadline, handshake: as for `Dialer.connect`.
        loop: the running loop of asyncio, if the socket is for a transport of its.
        waiting_on: gives the driver, if there is no ``loop``.
        streams: whether it may be a `Tunnel` that this gives in place of a socket.

    Returns:
        The socket, or what the handshake gave.

    Raises:
        TypeError, ValueError, RuntimeError, ConnectError: as `Dialer.connect`.
    """
    try:
        driver = waiting_on() if loop is None else driver_of(loop)
    except OSError as error:
        raise driver_error(error, target) from error
    start = started = time.monotonic()
    until = NEVER if timeout is None and deadline is None else earliest(timeout, deadline)
    if OPEN:
        plan = plan.captured()
    if driver.checkpoint is not None:
        await driver.checkpoint()
        start = time.monotonic()
    if plan.entrance is not None:
        target = plan.entrance.admit(target)
    recalled = waited = None
    if target.only is not None:
        ways: tuple[Endpoint, ...] | None = (target.only,)
    else:
        ways = recalled = recall(plan, target)
        if ways is None and _is_looked_up(plan, target, waiting_on is calling_thread, until):
            waited, recalled = await look_up(plan, target, driver, until)
            ways, start = recalled, time.monotonic()
        elif ways is None and not plan.tells and target.listed is not None:
            ways = wanted(plan, target.listed)
    if (
        ways is None
        or driver.completes
        or (plan.quick_family != _ANY and plan.quick_family != ways[0].family)
        or (len(ways) > 1 and plan.rules.one_by_one)
    ):
        detour = plan.detour(target, streams or getattr(handshake, "tunnels", False))
        route = None if detour is None or plan.tells or driver.completes else detour.only
        last = handshake if isinstance(handshake, BoundedHandshake) else None
        if detour is None or route is None or last is not handshake:
            if waited is not None:
                plan = plan.after(waited)
            return await race(
                plan, target, driver, started, until, handshake, recalled=recalled, detour=detour
            )
        ways, handshake = (route.endpoint,), Talk(detour, route, driver, last)
    endpoint, left = ways[0], len(ways) - 1
    telling = None
    if plan.tells:
        if waited is not None:
            plan, waited = plan.after(waited), None
        telling = Telling(plan, target, started, until)
        if recalled is not None:
            telling.recalled(target.text, recalled)
        telling.emit(AttemptStarted(start, 0, endpoint, 0, len(ways)))
    begun: socket.socket | Begun | None = None
    past: list[Begun] = []
    try:
        begun = _begin(plan, endpoint, start, loop is not None)
        if left and telling is None:
            others: deque[Endpoint] | None = None
            while isinstance(begun, Begun) and begun.answer in _REFUSALS:
                others = _others(plan, ways) if others is None else others
                left = len(others)
                if not left:
                    break
                past.append(begun)
                endpoint, start, left = others.popleft(), time.monotonic(), left - 1
                begun = _begin(plan, endpoint, start, loop is not None)
        if type(begun) is Begun and begun.answer == _HAS_BEGUN and telling is None:
            assert begun.sock is not None
            limit = plan.limit(start, until)
            if left:
                limit = min(limit, start + (plan.rules.attempt_delay or 0))
            # Awaited here: a coroutine for it would cost every pending connect 200 bytes.
            try:
                so_error = await driver.wait_writable(begun.sock, limit)
            except Exception:
                pass  # the race will come across it as well
            else:
                calls = plan.settings.system_calls
                connected = connected_after_all(begun.sock, endpoint, so_error, calls)
                if connected:
                    begun = begun.sock
                else:
                    begun.so_error = so_error
        if type(begun) is not Begun:
            if handshake is None:
                if telling is not None:
                    telling.connected(begun, plan.settings.note(begun))
                if past:
                    _close(past)
                return begun
            if not left and telling is None and isinstance(handshake, BoundedHandshake):
                sock, begun = begun, None  # it is the handshake's from here
                begun, result = await _shake(plan, handshake, endpoint, start, sock, until)
                if begun is None:
                    _close(past)
                    return result
            else:
                begun = Begun(endpoint, start, begun)
        if not past or begun.sock is not None or plan.asks:
            past.append(begun)  # or else the race may have a descriptor more to open it with
        if waited is not None:
            plan = plan.after(waited)
        detour = None
        if isinstance(handshake, Talk):
            detour, handshake = handshake.detour, handshake.last
        return await race(
            plan, target, driver, started, until, handshake, telling, past, recalled, detour
        )
    except BaseException:
        ours = begun.sock if isinstance(begun, Begun) else begun
        if ours is not None and ours.fileno() >= 0:
            close(ours)
        _close(past)
        if telling is not None:
            telling.cancel(had_socket=ours is not None)
        raise
    finally:
        del begun, past  # the traceback of an error in them leads to this frame


def _is_looked_up(plan: Plan, target: Target, blocks: bool, until: float) -> bool:
    """Whether a name that nobody remembers is looked up here, which there must be time for."""
    if plan.looks_up is None or not target.is_name or target.refused:
        return False
    if (plan.tells or plan.past_of is not None) and not blocks:
        return False
    return time.monotonic() < until


def _others(plan: Plan, ways: tuple[Endpoint, ...]) -> deque[Endpoint]:
    """All but the first, in the order in which a race tries them."""
    different = dict.fromkeys(ways)
    if len(different) > 2 and len(set(map(_FAMILY, ways))) > 1:
        rules = plan.rules
        turns: Waiting[Endpoint] = Waiting(_FAMILY, rules.first_family_count, rules.prefer)
        turns.add(different, (0, 0))
        different = dict.fromkeys(turns.take() for _ in different.copy())
    return deque(islice(different, 1, None))


def _close(past: list[Begun]) -> None:
    """Close what has been refused."""
    for each in past:
        if each.sock is not None and each.sock.fileno() >= 0:
            close(each.sock)


def _begin(plan: Plan, endpoint: Endpoint, start: float, bare: bool) -> socket.socket | Begun:
    """Open a socket and begin to connect it.

    Args:
        start: when the attempt starts.
        bare: whether a transport of asyncio's will take the socket.

    Returns:
        A connected socket; or how far the attempt has come.
    """
    if plan.asks:
        lost = refusal(plan, endpoint)
        prepared = opened(plan, endpoint) if lost is None else Prepared(None, lost)
        if prepared.lost is not None or prepared.answer is not None:
            return Begun(endpoint, start, prepared.sock, prepared=prepared)
        assert prepared.sock is not None
        sock = prepared.sock
    else:
        try:
            sock = (plan.open_bare if bare else plan.open)(endpoint)
        except Exception as error:
            return Begun(endpoint, start, None, prepared=Prepared(None, broken(error)))
    try:
        answer = connected_now(sock, endpoint, plan.settings.system_calls, plan.lends)
    except OSError:  # a unix path that is too long
        return Begun(endpoint, start, sock, prepared=Prepared(sock))
    except Exception as error:
        return Begun(endpoint, start, sock, prepared=Prepared(sock, broken(error)))
    except BaseException:
        close(sock)
        raise
    return sock if answer is None else Begun(endpoint, start, sock, answer)


async def _shake(
    plan: Plan,
    handshake: BoundedHandshake[Any],
    endpoint: Endpoint,
    start: float,
    sock: socket.socket,
    until: float,
) -> tuple[Begun | None, Any]:
    """Carry out a handshake that keeps to a moment by itself.

    Returns:
        None, and what it gave; or how far the attempt has come.
    """
    connected = time.monotonic()
    local, note = local_address(sock), plan.settings.note(sock)
    error: Exception | None = None
    try:
        return None, await handshake.within(sock, plan.limit(connected, until))
    except OutOfTime:
        pass
    except Exception as caught:
        error = caught
    try:
        shaken = Shaken(connected, local, note, error, handshake.progress)
        return Begun(endpoint, start, sock, shaken=shaken), None
    finally:
        del error  # its traceback leads to this frame
