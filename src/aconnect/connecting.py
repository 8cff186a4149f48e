"""aconnect(): the short form of a `Dialer` that has no options set.

Rules:

* Arguments are checked before any system call.
* Most connects to a literal address are over when connect(2) returns, and most others when the
  socket is writable.  These are done with here; all others go to the dialer and its race, which
  takes up what has been begun.
"""

from __future__ import annotations

import errno as errnos
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from .address_text import parse_address
from .deadline import Deadline, earliest
from .drivers.select import running_driver
from .resolvers.literal import endpoints_of_results
from .syscalls import Begun, begin

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from .address_text import AddressLike
    from .addresses import Address, Endpoint
    from .drivers.base import Driver

__all__ = ["aconnect", "begin_alone", "ended_alone", "target_of"]


def target_of(
    address: AddressLike | list[Any],
) -> tuple[Address | tuple[Any, ...], list[Endpoint] | None]:
    """The address as a value, and its endpoints if they need no resolver.

    Raises:
        TypeError, ValueError: it is no address.
    """
    if isinstance(address, list):
        results = tuple(address)
        return results, endpoints_of_results(results)
    target = parse_address(address)
    endpoint = target.endpoint
    return target, None if endpoint is None else [endpoint]


def begin_alone(
    endpoints: list[Endpoint] | None,
    driver: Driver,
    open: Callable[[Endpoint], socket.socket] | None = None,
) -> socket.socket | Begun | None:
    """Begin to connect to the only endpoint: what there is a race for has more to do.

    Args and result are those of `begin`, which is called if there is one endpoint, and if the
    loop leaves connecting to us; else the result is None.
    """
    if endpoints is None or len(endpoints) != 1 or driver.completes:
        return None
    return begin(endpoints[0], open)


def ended_alone(begun: Begun, so_error: int | None) -> socket.socket | Begun:
    """What has come of an attempt that `begin_alone` has begun, and whose socket was waited for.

    The waiting is up to the caller: a coroutine for it would cost every pending connect 200 bytes.
    A race costs three times the memory, and twice the time.

    Args:
        so_error: what the driver's `wait_writable` has returned.

    Returns:
        A connected socket; or how far it has come, for the race to judge.
    """
    sock = begun.sock
    try:
        if so_error == 0 and sock.getpeername() != sock.getsockname():
            return sock
    except OSError:
        pass  # the race will come across it as well
    return begun._replace(so_error=so_error)


async def aconnect(
    address: AddressLike | list[Any],
    *,
    timeout: float | None = None,
    deadline: Deadline | None = None,
) -> socket.socket:
    """Return a socket that is connected to ``address``; every other socket is closed.

    Works alike on asyncio, uvloop and trio; what is running decides.  Several addresses race, as
    with a `Dialer` that has no options.

    Args:
        address: ``"host:port"``, ``"[v6%zone]:port"``, ``"udp://host:port"``,
            ``"unix:/path"``, ``"unix:@abstract"``, ``"vsock:cid:port"``, ``(host, port)``,
            ``(host, port, flowinfo, scope_id)``, a path, an `Address`, or a list of
            getaddrinfo() results.  See `parse_address`.
        timeout: seconds from now for everything, resolving included; None for no limit of
            ours.  0 fails at once unless nothing has to wait.
        deadline: the same as a `Deadline`, to be shared with other calls.  Of both, the
            earlier counts.

    Returns:
        A socket on which getpeername() works: non-blocking, close-on-exec, with TCP_NODELAY
        if it is TCP.  The caller closes it.

    Raises:
        TypeError: an argument is of another type; no system call was made.
        ValueError: an argument has a value that cannot be; no system call was made.
        RuntimeError: no event loop is running.
        ResolveError: the name has no address, or no name server could tell.
        ConnectTimeout: there was no connection in time.
        ConnectError: no address could be connected to.  It is also an instance of the
            OSError subclass of its errno.

        After any of these, nothing is open or registered.

    When cancelled, at any ``await``, the sockets are unregistered and closed before the
    cancellation leaves this call.  A lookup that is under way ends in its own thread, and its
    result is dropped.

    Safe to call from any number of tasks, loops and threads.

    Source: connect(2), getaddrinfo(3), the list of cancellation points in pthreads(7).
    """
    target, endpoints = target_of(address)
    started = time.monotonic()
    until = earliest(timeout, deadline)
    driver = running_driver()
    if driver.checkpoint is not None:
        await driver.checkpoint()
    begun = begin_alone(endpoints, driver)
    if begun is not None and not isinstance(begun, Begun):
        return begun
    with begun or nullcontext():
        if begun is not None and begun.errno == errnos.EINPROGRESS:
            try:
                ended = ended_alone(begun, await driver.wait_writable(begun.sock, until))
            except OSError:
                pass  # the race will come across it as well
            else:
                if not isinstance(ended, Begun):
                    return ended
                begun = ended
        from .dialer import DEFAULT  # a large import, and not needed until now

        sock: socket.socket = await DEFAULT.race(
            target, endpoints, driver=driver, started=started, until=until, begun=begun
        )
    return sock
