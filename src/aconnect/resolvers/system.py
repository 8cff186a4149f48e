"""The system's own resolver, getaddrinfo(3), off the event loop.

Rules:

* It runs in daemon threads that nobody else uses, so a busy default executor does not hold
  up a connect, and a dead name server does not hold up anybody else.
* AI_ADDRCONFIG is not set: on a host without a global IPv6 address it hides even ``::1``.
* The answer is in RFC 6724 order already.  It is not sorted again.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING

from ..addresses import Endpoint, TCPAddress

if TYPE_CHECKING:
    from ..addresses import UDPAddress
    from ..drivers.base import Driver

__all__ = ["system_lookup"]


async def system_lookup(
    address: TCPAddress | UDPAddress, driver: Driver, until: float
) -> list[Endpoint] | None:
    """The endpoints of a host name, in the order in which they should be tried.

    Args:
        address: a name and a port.
        driver: the running event loop.
        until: the moment by which there must be an answer.

    Returns:
        At least one endpoint, or None if ``until`` came first.

    Raises:
        socket.gaierror: the name has no address, or no name server could tell.
        OSError: the lookup failed for want of resources.

    When cancelled, the call returns at once.  The thread cannot be stopped; its late result
    is dropped.

    Source: getaddrinfo(3).
    """
    if isinstance(address, TCPAddress):
        type, proto = socket.SOCK_STREAM, socket.IPPROTO_TCP
    else:
        type, proto = socket.SOCK_DGRAM, socket.IPPROTO_UDP
    call = partial(socket.getaddrinfo, address.host, address.port, type=type, proto=proto)
    try:
        results = await driver.run_blocking(call, until)
    except RuntimeError as error:  # no thread could be started
        raise socket.gaierror(socket.EAI_MEMORY, str(error)) from error
    except UnicodeError as error:  # an international name that the codec refuses after all
        raise socket.gaierror(socket.EAI_NONAME, str(error)) from error
    if results is None:
        return None
    if not results:
        raise socket.gaierror(socket.EAI_NONAME, "the lookup gave no address")
    # Older systems give some addresses twice.
    unique = dict.fromkeys(
        Endpoint(family, type, proto, sockaddr) for family, type, proto, _, sockaddr in results
    )
    return list(unique)
