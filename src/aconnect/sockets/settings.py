"""Socket options as values: checked once, applied to each socket before it connects.

Rules:

* Nonsense is a TypeError or ValueError when the value is made.  What only the system can
  know (a permission, an interface, a local address) is an OSError when a socket is opened;
  it names the option, keeps the errno, and leaves no socket open.
* A setting goes to the sockets that it is about: TCP's to TCP sockets, IP's to IPv4 and IPv6
  sockets.  A `SocketOption` that does not fit a socket is an error, unless it says for which
  sockets it is or that it is best effort.
* Options are set before bind(2), bind(2) is called before connect(2), and nothing after.
* Settings that are all default cost no system call more than `syscalls.open_socket`.

Sources: socket(7), ip(7), ipv6(7), tcp(7), unix(7), capabilities(7), RFC 8684 (Multipath TCP),
and Documentation/networking/mptcp.rst of Linux.
"""

from __future__ import annotations

import errno as errnos
import math
import os
import re
import socket
import struct
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..addresses.literal import interface_index
from ..addresses.text import format_sockaddr
from ..addresses.values import Endpoint, TCPAddress, UDPAddress, UnixAddress
from ..sansio.value import Value, derived, plain, set_derived
from .local_address import LocalAddress, bind, check_local_address
from .option import (
    INTERNET,
    LARGEST_INT,
    Keepalive,
    SocketOption,
    SocketOptionLike,
    check_bool,
    check_fits,
    check_int,
    set_option,
    socket_option,
)
from .syscalls import SYSTEM_CALLS, SystemCalls, close, open_socket

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

__all__ = ["Keepalive", "LocalAddressLike", "SocketOption", "SocketSettings"]

LocalAddressLike: TypeAlias = "str | tuple[str, int] | TCPAddress | UDPAddress | UnixAddress"
"""One local address to bind to."""

_LINUX: Final = sys.platform == "linux"
_MACOS: Final = sys.platform == "darwin"
_TCP: Final[int] = socket.IPPROTO_TCP
_MAX_INTERFACE: Final = 15  # IFNAMSIZ is 16, with the NUL

# None where the platform has no such option.  The numbers are those of the systems' headers,
# for Pythons whose socket module has no name for them.
_KEEPIDLE: int | None = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))
_KEEPINTVL: int | None = getattr(socket, "TCP_KEEPINTVL", None)
_KEEPCNT: int | None = getattr(socket, "TCP_KEEPCNT", None)
_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
_MARK: int | None = getattr(socket, "SO_MARK", None)
_TOS: int | None = getattr(socket, "IP_TOS", None)
_TCLASS: int | None = getattr(socket, "IPV6_TCLASS", None)
_BINDTODEVICE: int | None = getattr(socket, "SO_BINDTODEVICE", None)
_BOUND_IF: int | None = 25 if _MACOS else None
_BOUND_IF6: int | None = 125 if _MACOS else None
_MPTCP: int | None = 262 if _LINUX else None
_TCP_PROTOCOLS: Final = (0, _TCP, 262)
_TCP_IS_MPTCP: Final = 43
_SOL_MPTCP: Final = 284
_MPTCP_INFO: Final = 1

_NO_SUCH_OPTION: Final = (errnos.ENOPROTOOPT, errnos.EOPNOTSUPP)


class SocketSettings(Value, kw_only=True):
    """How the sockets of a connection are opened: what is set and bound before connect(2).

    Immutable and hashable; `replace` gives one with some settings changed.

    Args:
        nodelay: whether TCP sends small pieces at once (TCP_NODELAY).
        keepalive: TCP's keepalive; None for none.
        user_timeout: seconds for which TCP waits for data to be acknowledged before it breaks
            the connection off (TCP_USER_TIMEOUT, in ms, rounded up; Linux).  It limits
            connecting too.
        mark: the firewall mark, 0 to 2**32 - 1 (SO_MARK; Linux; it needs CAP_NET_ADMIN, or
            CAP_NET_RAW).  IPv4 and IPv6.
        tos: the type of service octet, 0 to 255 (IP_TOS, IPV6_TCLASS).  The kernel keeps the
            two ECN bits of TCP for itself.
        interface: the name of the network interface that all packets take (SO_BINDTODEVICE on
            Linux, where it needs CAP_NET_RAW before 5.7; IP_BOUND_IF on macOS).  IPv4 and IPv6.
        local_address: what to bind to.  A host, ``"host:port"``, ``"[v6]:port"``,
            ``(host, port)`` or an address; or an iterable of those, at most one of each
            family.  A host is an IP address, with a zone if need be; nothing is looked up.
            Port 0, the default, leaves the choice to the kernel.  A `UnixAddress` (of whatever
            type) is for unix sockets; who binds to a path has to remove it.  If there is a
            local address, addresses of a family that has none cannot be connected to.
        mptcp: whether to ask for Multipath TCP.  Where a socket for it is not to be had, or not
            with all of these settings, there is a TCP socket instead: Linux 6.18 has no
            ``user_timeout`` for it, nor ``tos`` over IPv6.
        socket_options: further options, set in this order after all of the above and before
            bind(2).  A tuple ``(level, name, value)`` is a `SocketOption` of these.
        socket_factory: opens the sockets, in place of the system: called with an `Endpoint`, it
            gives a `socket.socket` of that family and type that is not connected, to which all
            of this is applied.  It is called once for each attempt, and again where Multipath TCP
            is not to be had.
        system_calls: what makes the system calls.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument has an invalid value.
    """

    nodelay: bool = True
    keepalive: Keepalive | None = None
    user_timeout: float | None = None
    mark: int | None = None
    tos: int | None = None
    interface: str | None = None
    local_address: LocalAddressLike | Iterable[LocalAddressLike] | None = None
    mptcp: bool = False
    socket_options: Iterable[SocketOptionLike] = ()
    socket_factory: Callable[[Endpoint], socket.socket] | None = None
    system_calls: SystemCalls = SYSTEM_CALLS

    _plain: bool = derived()
    _local: dict[int, LocalAddress] = derived()

    def __post_init__(self) -> None:
        check_bool(self.nodelay, "nodelay")
        check_bool(self.mptcp, "mptcp")
        if not isinstance(self.keepalive, (Keepalive, type(None))):
            raise TypeError(f"keepalive must be a Keepalive or None, not {self.keepalive!r}")
        if self.socket_factory is not None and not callable(self.socket_factory):
            raise TypeError(
                f"socket_factory must be callable or None, not {self.socket_factory!r}"
            )
        if not isinstance(self.system_calls, SystemCalls):
            raise TypeError(f"system_calls must be SystemCalls, not {self.system_calls!r}")
        _check_user_timeout(self.user_timeout)
        if self.mark is not None:
            check_int(self.mark, "mark", 0, 2**32 - 1)
        if self.tos is not None:
            check_int(self.tos, "tos", 0, 255)
        _check_interface(self.interface)
        local = check_local_address(self.local_address)
        options = _check_socket_options(self.socket_options)
        # An iterable may yield but once, and a list can change.
        set_derived(self, "local_address", tuple(local.values()) or None)
        set_derived(self, "socket_options", options)
        for name in ("user_timeout", "mark", "tos", "interface"):
            set_derived(self, name, plain(getattr(self, name)))
        set_derived(self, "_local", local)
        wanted = (
            *(self.keepalive, self.user_timeout, self.mark, self.tos, self.interface),
            self.socket_factory,
        )
        usual = self.nodelay and not self.mptcp and not local and not options
        set_derived(self, "_plain", usual and all(each is None for each in wanted))

    @property
    def plain(self) -> bool:
        """Whether everything is as `open_socket` has it."""
        return self._plain

    def open(self, endpoint: Endpoint) -> socket.socket:
        """A socket for ``endpoint`` with all of this applied; non-blocking, close-on-exec.

        Raises:
            OSError: there is none to be had, or a setting could not be applied; nothing stays
                open.  EAFNOSUPPORT if there are local addresses but none of its family.

        The only thing that may stay is a unix path that it was bound to.
        """
        if self._plain:
            return open_socket(endpoint, self.system_calls.socket)
        local = self._local.get(endpoint.family)
        if self._local and local is None:
            have = ", ".join(map(str, self._local.values()))
            raise OSError(
                errnos.EAFNOSUPPORT,
                "no local_address can reach "
                f"{format_sockaddr(endpoint.family, endpoint.sockaddr)}: {have} is of another "
                "family",
            )
        if self.mptcp and _MPTCP is not None and endpoint.proto == _TCP:
            try:
                return self._open(endpoint._replace(proto=_MPTCP), local)
            except OSError:
                # No kernel support (EPROTONOSUPPORT, EINVAL), switched off (ENOPROTOOPT),
                # forbidden, or without one of the options.  Whatever else is wrong is wrong
                # with TCP as well, whose error is easier to understand.
                pass
        return self._open(endpoint, local)

    def _open(self, endpoint: Endpoint, local: LocalAddress | None) -> socket.socket:
        sock = self._new(endpoint)
        try:
            if endpoint.family in INTERNET:
                if endpoint.type == socket.SOCK_STREAM and endpoint.proto in _TCP_PROTOCOLS:
                    self._apply_to_tcp(sock, endpoint.proto)
                self._apply_to_ip(sock, endpoint.family)
            for option in self.socket_options:
                socket_option(option).apply(sock)
            if local is not None:
                bind(sock, local)
        except BaseException:
            close(sock)
            raise
        return sock

    def _new(self, endpoint: Endpoint) -> socket.socket:
        if self.socket_factory is None:
            return open_socket(endpoint, self.system_calls.socket)
        try:
            sock = self.socket_factory(endpoint)
        except OSError:
            raise
        except Exception as error:
            said = f"socket_factory failed: {type(error).__name__}: {error}"
            raise OSError(errnos.EINVAL, said) from error
        if not isinstance(sock, socket.socket):
            raise OSError(
                errnos.EINVAL, f"socket_factory must return a socket.socket, not {sock!r}"
            )
        try:
            sock.setblocking(False)
            check_fits(sock, endpoint)
        except BaseException:
            close(sock)
            raise
        return sock

    def _apply_to_tcp(self, sock: socket.socket, proto: int) -> None:
        done = proto == _TCP and self.socket_factory is None  # by open_socket
        if not (self.nodelay and done):
            set_option(sock, "TCP_NODELAY", _TCP, socket.TCP_NODELAY, int(self.nodelay))
        if self.keepalive is not None:
            set_option(sock, "TCP_KEEPIDLE", _TCP, _KEEPIDLE, self.keepalive.idle)
            set_option(sock, "TCP_KEEPINTVL", _TCP, _KEEPINTVL, self.keepalive.interval)
            set_option(sock, "TCP_KEEPCNT", _TCP, _KEEPCNT, self.keepalive.count)
            set_option(sock, "SO_KEEPALIVE", socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self.user_timeout is not None:
            milliseconds = math.ceil(self.user_timeout * 1000)
            set_option(sock, "TCP_USER_TIMEOUT", _TCP, _USER_TIMEOUT, milliseconds)

    def _apply_to_ip(self, sock: socket.socket, family: int) -> None:
        if self.mark is not None:
            # The socket module's ints are signed, a mark is not.
            set_option(
                sock, "SO_MARK", socket.SOL_SOCKET, _MARK, struct.pack("=I", self.mark), self.mark
            )
        if self.tos is not None:
            self._apply_tos(sock, family, self.tos)
        if self.interface is not None:
            _bind_to_interface(sock, family, self.interface)

    def _apply_tos(self, sock: socket.socket, family: int, tos: int) -> None:
        if family == socket.AF_INET:
            set_option(sock, "IP_TOS", socket.IPPROTO_IP, _TOS, tos)
            return
        set_option(sock, "IPV6_TCLASS", socket.IPPROTO_IPV6, _TCLASS, tos)
        try:
            # For IPv4-mapped peers, which IPV6_TCLASS does not concern.
            set_option(sock, "IP_TOS", socket.IPPROTO_IP, _TOS, tos)
        except OSError:
            pass

    def port_fixed(self, family: int) -> bool:
        """Whether sockets of ``family`` are all bound to one port, or to one unix name.

        Then only one of them can be open at a time, and attempts must run one by one.
        """
        local = self._local.get(family)
        return local is not None and (isinstance(local, UnixAddress) or local.port != 0)

    def note(self, sock: socket.socket) -> str:
        """What is to be said of a connected socket: that it has less than was asked for."""
        asked = self.mptcp and sock.family in INTERNET and sock.type == socket.SOCK_STREAM
        try:
            if asked and self.mptcp_in_use(sock) is False:
                return "Multipath TCP was asked for, and this is plain TCP"
        except OSError:
            pass  # it is not known
        return ""

    @staticmethod
    def mptcp_in_use(sock: socket.socket) -> bool | None:
        """Whether a connection uses Multipath TCP.

        Args:
            sock: a connected socket.

        Returns:
            False if it is TCP, be it because the socket is, or because the peer or something
            on the way would not have it otherwise; None if the kernel cannot tell (Linux
            before 5.16).
        """
        if _MPTCP is None or sock.proto != _MPTCP:
            return False
        try:
            return sock.getsockopt(_TCP, _TCP_IS_MPTCP) != 0
        except OSError as error:
            if error.errno not in _NO_SUCH_OPTION:
                raise
        try:
            sock.getsockopt(_SOL_MPTCP, _MPTCP_INFO, 4)
            return True
        except OSError as error:
            # What has fallen back answers like TCP, and so does a kernel that is too old.
            if error.errno not in _NO_SUCH_OPTION:
                raise
        return False if _linux_release() >= (5, 16) else None


def _bind_to_interface(sock: socket.socket, family: int, interface: str) -> None:
    if _BINDTODEVICE is not None:
        name = os.fsencode(interface)
        set_option(sock, "SO_BINDTODEVICE", socket.SOL_SOCKET, _BINDTODEVICE, name, interface)
    elif family == socket.AF_INET:
        index = interface_index(interface)
        set_option(sock, "IP_BOUND_IF", socket.IPPROTO_IP, _BOUND_IF, index, interface)
    else:
        index = interface_index(interface)
        set_option(sock, "IPV6_BOUND_IF", socket.IPPROTO_IPV6, _BOUND_IF6, index, interface)


def _linux_release() -> tuple[int, int]:
    if sys.platform == "win32":
        return (0, 0)
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _check_user_timeout(value: float | None) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"user_timeout must be seconds, not {value!r}")
    if not 0 < value <= LARGEST_INT // 1000:
        raise ValueError(
            f"user_timeout must be more than 0 and at most {LARGEST_INT // 1000} seconds, "
            f"not {value!r}"
        )


def _check_interface(value: str | None) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise TypeError(f"interface must be the name of a network interface, not {value!r}")
    # Linux, dev_valid_name(): no slash, no colon, no white space, not "." or "..".
    if (
        not 0 < len(os.fsencode(value)) <= _MAX_INTERFACE
        or not value.isprintable()
        or not {" ", "/", ":"}.isdisjoint(value)
        or value in (".", "..")
    ):
        raise ValueError(f"interface must be a valid name of a network interface, not {value!r}")


def _check_socket_options(value: Iterable[SocketOptionLike]) -> tuple[SocketOption, ...]:
    if not isinstance(value, Iterable):
        raise TypeError(f"socket_options must be an iterable of options, not {value!r}")
    return tuple(map(socket_option, value))
