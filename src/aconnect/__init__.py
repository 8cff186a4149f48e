"""Connecting as an awaitable, on asyncio, uvloop and trio."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from .address_text import AddressLike as AddressLike
from .address_text import parse_address as parse_address
from .addresses import Address as Address
from .addresses import Endpoint as Endpoint
from .addresses import TCPAddress as TCPAddress
from .addresses import UDPAddress as UDPAddress
from .addresses import UnixAddress as UnixAddress
from .addresses import VsockAddress as VsockAddress
from .connecting import aconnect as aconnect
from .deadline import Deadline as Deadline
from .errors import AddressNotPermitted as AddressNotPermitted
from .errors import AttemptRecord as AttemptRecord
from .errors import ConnectError as ConnectError
from .errors import ConnectTimeout as ConnectTimeout
from .errors import HandshakeError as HandshakeError
from .errors import ResolveError as ResolveError
from .explanations import explain as explain

if _TYPE_CHECKING:
    from .adapters.anyio_streams import AConnectable as AConnectable
    from .adapters.anyio_streams import open_stream as open_stream
    from .adapters.asyncio_transports import create_connection as create_connection
    from .adapters.asyncio_transports import create_datagram_endpoint as create_datagram_endpoint
    from .adapters.asyncio_transports import open_connection as open_connection
    from .adapters.trio_streams import open_trio_stream as open_trio_stream
    from .dialer import Dialer as Dialer
    from .handshakes.base import Handshake as Handshake
    from .options import Keepalive as Keepalive
    from .options import SocketOption as SocketOption
    from .primitives import connect_socket as connect_socket
    from .primitives import dissolve_association as dissolve_association
    from .primitives import wait_connected as wait_connected
    from .report import Report as Report
    from .resolvers.base import Batch as Batch
    from .resolvers.base import Resolver as Resolver
    from .resolvers.static import StaticResolver as StaticResolver
    from .resolvers.system import SystemResolver as SystemResolver
else:
    # What a connect to a literal address does not need is imported when it is asked for.
    _LATER = {
        "AConnectable": "adapters.anyio_streams",
        "open_stream": "adapters.anyio_streams",
        "create_connection": "adapters.asyncio_transports",
        "create_datagram_endpoint": "adapters.asyncio_transports",
        "open_connection": "adapters.asyncio_transports",
        "open_trio_stream": "adapters.trio_streams",
        "Dialer": "dialer",
        "Handshake": "handshakes.base",
        "Keepalive": "options",
        "SocketOption": "options",
        "Report": "report",
        "connect_socket": "primitives",
        "dissolve_association": "primitives",
        "wait_connected": "primitives",
        "Batch": "resolvers.base",
        "Resolver": "resolvers.base",
        "StaticResolver": "resolvers.static",
        "SystemResolver": "resolvers.system",
    }

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f".{_LATER[name]}", __name__), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LATER})
