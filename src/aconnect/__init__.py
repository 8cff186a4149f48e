"""Connecting as an awaitable, on asyncio, uvloop and trio.

Public are the names here, as in ``dir(aconnect)``, and the modules blocking, clients, many,
policy, proxies, sansio, telemetry, testing and trace.  What else help() lists is not.
"""

# What the first dial on asyncio needs is imported here, so that no dial has to wait for it: the
# codecs too, which the socket module has for names.
import encodings.idna as _idna  # noqa: F401
import encodings.punycode as _punycode  # noqa: F401
from typing import TYPE_CHECKING as _TYPE_CHECKING

from .addresses.service_addresses import ServiceAddress as ServiceAddress
from .addresses.service_addresses import SRVAddress as SRVAddress
from .addresses.text import Address as Address
from .addresses.text import AddressLike as AddressLike
from .addresses.text import parse_address as parse_address
from .addresses.values import Endpoint as Endpoint
from .addresses.values import TCPAddress as TCPAddress
from .addresses.values import UDPAddress as UDPAddress
from .addresses.values import UnixAddress as UnixAddress
from .addresses.values import VsockAddress as VsockAddress
from .deadline import Deadline as Deadline
from .dial.aconnect import aconnect as aconnect
from .dial.dialer import Dialer as Dialer
from .dial.primitives import connect_socket as connect_socket
from .dial.primitives import dissolve_association as dissolve_association
from .dial.primitives import wait_connected as wait_connected
from .errors.errors import AddressNotPermitted as AddressNotPermitted
from .errors.errors import ConnectError as ConnectError
from .errors.errors import ConnectTimeout as ConnectTimeout
from .errors.errors import HandshakeError as HandshakeError
from .errors.errors import ProxyError as ProxyError
from .errors.errors import ResolveError as ResolveError
from .explanations.explain import explain as explain
from .handshakes.base import Handshake as Handshake
from .handshakes.sequence import Sequence as Sequence
from .report.attempt import AttemptRecord as AttemptRecord
from .report.capture import capture as capture
from .report.report import Report as Report
from .resolvers.base import Batch as Batch
from .resolvers.base import Question as Question
from .resolvers.base import Resolver as Resolver
from .resolvers.base import Service as Service
from .resolvers.static import StaticResolver as StaticResolver
from .resolvers.system import SystemResolver as SystemResolver
from .sockets.option import Keepalive as Keepalive
from .sockets.option import SocketOption as SocketOption
from .sockets.syscalls import SystemCalls as SystemCalls

__all__ = [
    "AConnectable",
    "Address",
    "AddressLike",
    "AddressNotPermitted",
    "AttemptRecord",
    "Batch",
    "CachingResolver",
    "ConnectError",
    "ConnectTimeout",
    "Deadline",
    "Dialer",
    "DnsCache",
    "DnsResolver",
    "Endpoint",
    "Handshake",
    "HandshakeError",
    "History",
    "Keepalive",
    "Proxy",
    "ProxyError",
    "ProxyHeader",
    "Question",
    "Report",
    "ResolveError",
    "Resolver",
    "SRVAddress",
    "Sequence",
    "Service",
    "ServiceAddress",
    "SocketOption",
    "StaticResolver",
    "SystemCalls",
    "SystemResolver",
    "TCPAddress",
    "UDPAddress",
    "UnixAddress",
    "VsockAddress",
    "aconnect",
    "capture",
    "connect_socket",
    "create_connection",
    "create_datagram_endpoint",
    "create_unix_connection",
    "dissolve_association",
    "explain",
    "open_connection",
    "open_stream",
    "open_trio_stream",
    "open_unix_connection",
    "parse_address",
    "routed",
    "wait_connected",
]

__version__ = "0.1.0.dev0"

if _TYPE_CHECKING:
    from .dial.history import History as History
    from .proxies.header import ProxyHeader as ProxyHeader
    from .proxies.values import Proxy as Proxy
    from .resolvers.caching import CachingResolver as CachingResolver
    from .resolvers.dns import DnsCache as DnsCache
    from .resolvers.dns import DnsResolver as DnsResolver
    from .transports.anyio import AConnectable as AConnectable
    from .transports.anyio import open_stream as open_stream
    from .transports.asyncio import create_connection as create_connection
    from .transports.asyncio import create_datagram_endpoint as create_datagram_endpoint
    from .transports.asyncio import create_unix_connection as create_unix_connection
    from .transports.asyncio import open_connection as open_connection
    from .transports.asyncio import open_unix_connection as open_unix_connection
    from .transports.routed import routed as routed
    from .transports.trio import open_trio_stream as open_trio_stream
else:
    # These need ssl or other libraries, or are not what every program needs.
    _LATER = {
        "AConnectable": "transports.anyio",
        "CachingResolver": "resolvers.caching",
        "DnsCache": "resolvers.dns",
        "DnsResolver": "resolvers.dns",
        "History": "dial.history",
        "Proxy": "proxies.values",
        "ProxyHeader": "proxies.header",
        "open_stream": "transports.anyio",
        "create_connection": "transports.asyncio",
        "create_datagram_endpoint": "transports.asyncio",
        "create_unix_connection": "transports.asyncio",
        "open_connection": "transports.asyncio",
        "open_unix_connection": "transports.asyncio",
        "open_trio_stream": "transports.trio",
        "routed": "transports.routed",
    }

    _MODULES = {
        *("blocking", "clients", "many", "policy", "proxies"),
        *("sansio", "telemetry", "testing", "trace"),
    }

    def __getattr__(name: str) -> object:
        if name not in _LATER and name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        if name in _MODULES:
            return import_module(f".{name}", __name__)
        value = getattr(import_module(f".{_LATER[name]}", __name__), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """What is public: names, modules, and what every module has."""
        there = {name for name in globals() if name[:2] == "__"}
        return sorted({*__all__, *_MODULES, *there} - {"__dir__", "__getattr__"})
