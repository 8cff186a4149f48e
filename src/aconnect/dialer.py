"""From an address to a connected socket: resolve, then try each endpoint in turn.

Rules:

* Arguments are checked before any system call.
* One deadline covers all of it.  With several endpoints each gets its share.
* Whatever socket is open when this module is left by an exception, it has been closed; the
  one that is returned is the only one.
* Errors are built when everything has failed, never on the way to success.
"""

from __future__ import annotations

import errno
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from .address_text import parse_address
from .deadline import Deadline, earliest
from .drivers.select import running_driver
from .errors import (
    AttemptRecord,
    attempts_error,
    describe,
    resolve_error,
    resolve_timeout,
)
from .resolvers.literal import endpoints_of_results, zoned_endpoint
from .resolvers.system import system_lookup
from .sansio.sequence import share
from .syscalls import begin

if TYPE_CHECKING:
    from .address_text import AddressLike
    from .addresses import Address, Endpoint, TCPAddress, UDPAddress
    from .drivers.base import Driver

__all__ = ["aconnect"]


async def aconnect(
    address: AddressLike | list[Any],
    *,
    timeout: float | None = None,
    deadline: Deadline | None = None,
) -> socket.socket:
    """Return a socket that is connected to ``address``; every other socket is closed.

    Works alike on asyncio, uvloop and trio; what is running decides.

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
    target: Address | tuple[Any, ...]
    endpoints: list[Endpoint] | None
    if isinstance(address, list):
        target = tuple(address)
        endpoints = endpoints_of_results(target)
    else:
        target = parse_address(address)
        endpoint = target.endpoint
        endpoints = None if endpoint is None else [endpoint]
    started = monotonic()
    until = earliest(timeout, deadline)
    driver = running_driver()
    if driver.checkpoint is not None:
        await driver.checkpoint()
    if endpoints is None:
        name = cast("TCPAddress | UDPAddress", target)  # all others have their endpoint
        endpoints = await _lookup(name, driver, until, started)

    records: list[AttemptRecord] = []
    for endpoint in endpoints:
        begun = None if driver.completes else begin(endpoint)
        if isinstance(begun, socket.socket):
            return begun
        from .attempts import carry_on  # not needed until now, and large

        left = len(endpoints) - len(records)
        end = until if left == 1 else share(monotonic(), until, left)
        result = await carry_on(endpoint, begun, driver, end)
        if not isinstance(result, AttemptRecord):
            return result
        records.append(result)
        if monotonic() >= until:
            break
    raise attempts_error(
        records,
        target,
        describe(target, endpoints),
        monotonic() - started,
        untried=len(endpoints) - len(records),
    )


async def _lookup(
    address: TCPAddress | UDPAddress, driver: Driver, until: float, started: float
) -> list[Endpoint]:
    words = ""
    try:
        if ":" in address.host:
            words = "this machine has no network interface of that name"
            return [zoned_endpoint(address)]
        endpoints = None
        if monotonic() < until:
            endpoints = await system_lookup(address, driver, until)
    except OSError as error:
        code = errno.ENODEV if words else error.errno or socket.EAI_FAIL
        raise resolve_error(code, address, monotonic() - started, words) from error
    if endpoints is None:
        raise resolve_timeout(address, monotonic() - started)
    return endpoints
