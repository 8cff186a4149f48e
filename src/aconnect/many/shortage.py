"""Whether a dial has failed for want of something here, which says nothing of the peer."""

from __future__ import annotations

import errno as errnos
import socket
from typing import TYPE_CHECKING, Any, Final

from ..addresses.values import UDPAddress
from ..dial.dialer import Dialer
from ..errors.errors import ConnectError

if TYPE_CHECKING:
    from ..report.attempt import AttemptRecord

__all__ = ["Shortage"]

_SHORT: Final = (errnos.EMFILE, errnos.ENFILE, errnos.ENOBUFS)
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)


class Shortage:
    """Tells what a dialer's errors say of this machine.

    Args:
        dialer: made the dials.
    """

    def __init__(self, dialer: Dialer) -> None:
        self._probing = Dialer(
            local_address=dialer.local_address,
            interface=dialer.interface,
            mark=dialer.mark,
            socket_factory=dialer.socket_factory,
            system_calls=dialer.system_calls,
        )

    async def shows_in(self, error: ConnectError) -> bool:
        """Whether descriptors, buffers or local ports were missing, in any of the attempts."""
        if error.errno in _SHORT or any(each.errno in _SHORT for each in error.attempts):
            return True
        for record in error.attempts:
            if record.errno == errnos.EADDRNOTAVAIL and await self._no_port_left(record):
                return True
        return False

    async def _no_port_left(self, record: AttemptRecord) -> bool:
        """Whether EADDRNOTAVAIL says that all local ports are in use.

        It also says that this machine has no address of its own from which to connect, as one
        without IPv6, and that will not pass.  Then a datagram socket has none either; connecting
        one sends nothing.
        """
        sockaddr: Any = record.sockaddr
        if record.family not in _INTERNET or record.type != socket.SOCK_STREAM:
            return False
        try:
            host = f"{sockaddr[0]}%{sockaddr[3]}" if sockaddr[3:] and sockaddr[3] else sockaddr[0]
            (await self._probing.connect(UDPAddress(host, sockaddr[1]))).close()
        except ConnectError:
            return False
        return True
