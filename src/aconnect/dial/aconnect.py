"""aconnect(): the short form of a `Dialer` that has no options set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..addresses.target import target_of
from ..sansio.naming import check_names, spelled_out
from .dialer import DEFAULT, Dialer
from .single import connect

if TYPE_CHECKING:
    import socket
    from typing import Unpack

    from ..addresses.text import AddressLike, Port
    from ..deadline import Deadline
    from ..report.report import Report
    from ..sansio.naming import NoOptions

__all__ = ["aconnect"]


@spelled_out()
async def aconnect(
    address: AddressLike | list[Any],
    port: Port | None = None,
    *,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    report: Report | None = None,
    **unknown: Unpack[NoOptions],
) -> socket.socket:
    """Return a socket connected to ``address``; every other socket is closed.

    Works the same on asyncio, uvloop and trio; the loop that is running decides.  Several
    addresses race, as with a `Dialer` that has no options.

    Args:
        address: ``"host:port"``, ``"[v6%zone]:port"``, ``"udp://host:port"``, ``"/path"``,
            ``"unix:path"``, ``"unix:@abstract"``, ``"vsock:cid:port"``, ``(host, port)``,
            ``(host, port, flowinfo, scope_id)``, a path, an `Address`, or a list of
            getaddrinfo() results.  See `parse_address`.  Also a list of addresses, in the order
            of preference: names are looked up side by side, and all endpoints of one are tried
            before the next begins.
        port: the port, if ``address`` is a host alone.
        timeout: seconds from now for everything, name lookups included; None for no limit but
            the kernel's.  0 fails unless all of it can be done without waiting.
        deadline: the same limit as a `Deadline`, which other calls can share.  The earlier of
            the two counts.
        report: an empty `Report`, which is filled while the call runs; that of the error, if
            there is one.

    Returns:
        A socket on which getpeername() works: non-blocking, close-on-exec, with TCP_NODELAY
        if it is TCP.  The caller closes it.

    Raises:
        TypeError: an argument has the wrong type; no system call was made.
        ValueError: an argument has an invalid value; no system call was made.
        RuntimeError: no event loop is running.
        ResolveError: the name has no address, or no name server answered.
        ConnectTimeout: there was no connection in time.
        ConnectError: no address could be connected to.  It is also an instance of the
            OSError subclass of its errno.

        After any of these, nothing is open or registered.

    When cancelled, at any ``await``, the sockets are unregistered and closed before the
    cancellation leaves this call.  A lookup that is running ends in its own thread, and its
    result is dropped.

    Safe to call from any number of tasks, loops and threads.

    Source: connect(2), getaddrinfo(3), the list of cancellation points in pthreads(7).
    """
    if unknown:
        check_names(aconnect, unknown, Dialer._types)
    plan = DEFAULT._plan if report is None else DEFAULT._plan.reporting(report)
    sock: socket.socket = await connect(plan, target_of(address, port), timeout, deadline)
    return sock
