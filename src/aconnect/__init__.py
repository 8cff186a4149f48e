"""Connecting as an awaitable, on asyncio, uvloop and trio."""

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
from .primitives import connect_socket as connect_socket
from .primitives import dissolve_association as dissolve_association
from .primitives import wait_connected as wait_connected
