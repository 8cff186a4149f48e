"""Connecting as an awaitable, on asyncio, uvloop and trio."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from .address_text import AddressLike as AddressLike
from .address_text import parse_address as parse_address
from .addresses import Address as Address
from .addresses import TCPAddress as TCPAddress
from .addresses import UDPAddress as UDPAddress
from .addresses import UnixAddress as UnixAddress
from .addresses import VsockAddress as VsockAddress
from .deadline import Deadline as Deadline
from .dialer import aconnect as aconnect
from .errors import AttemptRecord as AttemptRecord
from .errors import ConnectError as ConnectError
from .errors import ConnectTimeout as ConnectTimeout
from .errors import ResolveError as ResolveError
from .explanations import explain as explain

if _TYPE_CHECKING:
    from .primitives import connect_socket as connect_socket
    from .primitives import dissolve_association as dissolve_association
    from .primitives import wait_connected as wait_connected
else:
    # What a connect to a literal address does not need is imported when it is asked for.
    _LATER = {
        "connect_socket": "primitives",
        "dissolve_association": "primitives",
        "wait_connected": "primitives",
    }

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f".{_LATER[name]}", __name__), name)
        globals()[name] = value
        return value
