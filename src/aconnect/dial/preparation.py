"""What comes before connect(2): the policy is asked, a socket is opened, a hook is called.

Rules:

* The policy is asked first, and what it refuses gets no socket.
* All of it is the user's: what it raises is an attempt that has failed.
"""

from __future__ import annotations

import errno as errnos
import inspect
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..addresses.literal import has_named_zone
from ..addresses.translated import Translated
from ..addresses.values import Endpoint
from ..errors.foreign import errno_of, words
from ..sockets.syscalls import close
from .attempt import failed

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from ..report.attempt import Outcome
    from .plan import Plan

__all__ = [
    "NO_INTERFACE",
    "Lost",
    "Prepared",
    "broken",
    "judged",
    "opened",
    "refusal",
    "unblocked",
    "vetoed",
]

NO_INTERFACE: Final = "this machine has no network interface with that name"
"""What is wrong with an IPv6 zone."""


class Lost(NamedTuple):
    """The end of an attempt that has not connected."""

    outcome: Outcome
    errno: int | None
    note: str = ""
    error: Exception | None = None
    """What the user's hook has raised, or the socket in a way of its own."""


class Prepared(NamedTuple):
    """What came of it."""

    sock: socket.socket | None
    lost: Lost | None = None
    answer: Awaitable[Any] | None = None
    """What the hook wants to have awaited."""


def refusal(plan: Plan, endpoint: Endpoint) -> Lost | None:
    """Ask the policy; None if the endpoint may be connected to."""
    return None if plan.permit is None else judged(plan.permit, endpoint)


def judged(permit: Callable[[Endpoint], bool], endpoint: Endpoint, what: str = "") -> Lost | None:
    """Ask a policy; None if the endpoint may be connected to.

    Of one that a translator leads to, it is asked about the address that is meant; and, if the
    translator's prefix is what a name server has said, about the address that is connected to.

    Args:
        what: the endpoint, if it is not plain which one is meant.
    """
    if isinstance(endpoint, Translated):
        lost = judged(permit, endpoint.ipv4, what)
        if lost is not None or endpoint.trusted:
            return lost
        endpoint = Endpoint(*endpoint)
    try:
        permitted = permit(endpoint)
        note = f"the address policy does not permit{what or ' it'}"
    except Exception as error:
        name = type(error).__name__
        permitted, note = False, f"the address policy failed: {name}: {words(error)}"
    return None if permitted else Lost("not permitted", errnos.EPERM, note)


def opened(plan: Plan, endpoint: Endpoint) -> Prepared:
    """Open a socket, and call the hook."""
    if has_named_zone(endpoint):  # which no interface has, or it would have a number by now
        return Prepared(None, Lost("failed", errnos.ENODEV, NO_INTERFACE))
    try:
        sock = plan.open(endpoint)
    except Exception as error:
        return Prepared(None, broken(error))
    if plan.on_socket is None:
        return Prepared(sock)
    try:
        answer = plan.on_socket(sock, endpoint)
    except Exception as error:
        return Prepared(sock, vetoed(error))
    except BaseException:
        close(sock)
        raise
    if inspect.isawaitable(answer):
        return Prepared(sock, answer=answer)
    return Prepared(sock, unblocked(sock))


def broken(error: Exception) -> Lost:
    """The end of an attempt whose socket is not to be had, or fails in a way of its own."""
    errno, said = failed(error).errno, words(error)
    if isinstance(error, OSError):
        return Lost("failed", errno, said)
    return Lost(
        "failed",
        errno,
        f"its socket could not be made ready: {type(error).__name__}: {said}",
        error,
    )


def vetoed(error: Exception) -> Lost:
    """The end of an attempt that the hook will not have."""
    note = f"on_socket refused it: {words(error)}"
    return Lost("failed", errno_of(error, errnos.EPERM), note, error)


def unblocked(sock: socket.socket) -> Lost | None:
    """See that a hook has not made the socket block, and the loop with it."""
    try:
        if sock.gettimeout() != 0 and sock.fileno() >= 0:
            sock.setblocking(False)
    except Exception as error:
        return broken(error)
    return None
