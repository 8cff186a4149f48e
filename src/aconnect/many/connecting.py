"""Connecting to many targets at a time: the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..deadline import Deadline, earliest
from ..dial.dialer import DEFAULT, Dialer
from .dialling import How
from .limits import Limits
from .results import Results
from .targets import check_targets

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterable, Awaitable, Callable, Iterable

__all__ = ["connect_many"]


def connect_many(
    targets: Iterable[Any] | AsyncIterable[Any],
    *,
    dialer: Dialer = DEFAULT,
    limits: Limits = Limits(),  # noqa: B008  # immutable
    timeout: float | None = None,
    deadline: Deadline | None = None,
    ordered: bool = False,
    handshake: Callable[[socket.socket], Awaitable[Any]] | None = None,
    keep: bool = False,
    reports: bool = False,
) -> Results:
    """Connect to every target, a bounded number at a time, and yield a `Result` for each.

    ::

        async with connect_many(targets, timeout=3) as results:
            async for result in results:
                print(result.target, result.outcome)

    Args:
        targets: addresses as for `aconnect`, or pairs of a key and an address; any iterable,
            asynchronous or not, which is asked for the next when there is room for it: memory
            does not grow with their number.  An asynchronous generator is closed in the end.
        dialer: how connections are made.
        limits: how many at a time, and at what rate.
        timeout: seconds for each dial; None for no limit but the kernel's.
        deadline: for all.  A dial that is running then is "timed out", and what is left is "not
            tried"; of targets without end, leave the block then.
        ordered: give the results in the order of the targets.  When more than twice the
            ``concurrency`` wait for a slow one, no further target is taken up.
        handshake: as for `Dialer.connect`.
        keep: give connected sockets (or what the handshake gave) with the results, for the caller
            to close.  Else each connection is closed before its result is given.
        reports: give a `Report` with each result; dials take twice as long.

    Returns:
        An asynchronous context manager, and in its block an asynchronous iterator, of `Results`.

    Raises:
        TypeError, ValueError: an argument is invalid; nothing was asked for or done.

    Failures to connect are results, never exceptions.  The iterator raises what ``targets``
    raises, after the results that were ready, when all else has ended; and the `ConnectError` of
    a shortage of this machine's (descriptors, local ports, buffers) that does not end.

    While nobody takes results, at most ``concurrency`` of them wait, and no dial starts.  However
    the block is left, a cancellation included: every task has ended, and every socket that was not
    given with a result is closed, before an exception goes on.

    To be used in one task, on asyncio, uvloop or trio.
    """
    check_targets(targets)
    if not isinstance(dialer, Dialer):
        raise TypeError(f"dialer must be a Dialer, not {dialer!r}")
    if not isinstance(limits, Limits):
        raise TypeError(f"limits must be Limits, not {limits!r}")
    if handshake is not None and not callable(handshake):
        raise TypeError(f"handshake must be callable or None, not {handshake!r}")
    for name, value in (("ordered", ordered), ("keep", keep), ("reports", reports)):
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, not {value!r}")
    earliest(timeout, deadline)
    how = How(timeout, deadline, handshake, keep, limits.reset, reports)
    return Results(targets, dialer, limits, how, ordered)
