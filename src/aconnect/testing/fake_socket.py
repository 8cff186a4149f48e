"""A socket that believes to be on a network, and is one end of a socket pair.

Rules:

* The descriptor is real, and so is all that loops and users do with it.  What is about addresses,
  options and connect(2) is answered here.
* While an attempt is under way the pair is full, so that the descriptor is not writable; the
  answer is what makes it so.
* The far end is the network's until somebody takes it.
* When the socket is closed, no timer is left.
"""

from __future__ import annotations

import errno as errnos
import os
import socket
import struct
import sys
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..drivers.running import in_trio
from .on_trio import have_trio_take
from .pairs import connected_pair, empty, fill, unconnected
from .timers import call_later

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self, TypeAlias

    from ..addresses.values import Endpoint, SockAddr
    from .outcomes import Outcome

    Meet: TypeAlias = Callable[[socket.socket], None]

__all__ = ["INTERNET", "FakeSocket", "Wire", "error", "full_sockaddr"]

INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
_PROTOCOLS: Final = (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP)
_AF_UNIX: Final[int] = getattr(socket, "AF_UNIX", -1)
_AF_INET: Final[int] = socket.AF_INET
_TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)
_ABORT: Final = struct.pack("ii", 1, 0)
_NOT_BOUND: Final[dict[int, tuple[Any, ...]]] = {
    socket.AF_INET: ("0.0.0.0", 0),
    socket.AF_INET6: ("::", 0, 0, 0),
}
_OWN: Final[dict[int, str]] = {socket.AF_INET: "192.0.2.254", socket.AF_INET6: "2001:db8::fffe"}


class _State(Enum):
    """The states, by the numbers that TCP has for them on Linux (include/net/tcp_states.h)."""

    CONNECTED = 1
    CONNECTING = 2
    IDLE = 7


class Wire(Protocol):
    """What a fake socket asks of its network."""

    def ask(
        self, endpoint: Endpoint, local: SockAddr, options: dict[tuple[int, int], bytes]
    ) -> tuple[Meet | None, Outcome]:
        """What becomes of a call of connect(2), and who is to be given the far end."""

    def next_port(self) -> int:
        """A local port."""

    def hold(self, far: socket.socket) -> socket.socket:
        """Own the far end of a pair."""

    def drop(self, far: socket.socket) -> None:
        """Close it, unless somebody has taken it."""


class FakeSocket(socket.socket):
    """A non-blocking socket on a fake network, for `FakeNetwork.socket_factory`.

    What setsockopt() sets is remembered, and has no effect.
    """

    _line: _Line
    _options: dict[tuple[int, int], bytes]

    @classmethod
    def open(cls, network: Wire, endpoint: Endpoint) -> Self:
        """A new one, for an endpoint of the internet or a unix one.

        Raises:
            OSError: EAFNOSUPPORT or EPROTONOSUPPORT, it is another; or there is no descriptor to
                be had.
        """
        if endpoint.family not in INTERNET and endpoint.family != _AF_UNIX:
            raise error(errnos.EAFNOSUPPORT)
        if endpoint.proto not in _PROTOCOLS:  # such as that of Multipath TCP
            raise error(errnos.EPROTONOSUPPORT)
        with unconnected(endpoint.type) as bare:
            sock = cls(endpoint.family, endpoint.type, endpoint.proto, fileno=bare.detach())
        sock.setblocking(False)
        if in_trio():
            have_trio_take(FakeSocket)
        sock._options = {}
        sock._line = _Line(network, endpoint)
        return sock

    def connect_ex(self, address: Any, /) -> int:
        if self.fileno() < 0:
            return errnos.EBADF
        return self._line.connect(self.fileno(), address, self._options)

    def connect(self, address: Any, /) -> None:
        errno = self.connect_ex(address)
        if errno:
            raise error(errno)

    def getpeername(self) -> Any:
        self._check_open()
        if self._line.state is not _State.CONNECTED:
            raise error(errnos.ENOTCONN)
        return self._line.peer

    def getsockname(self) -> Any:
        self._check_open()
        return self._line.local

    def bind(self, address: Any, /) -> None:
        self._check_open()
        self._line.bind(address)

    def getsockopt(self, level: int, option: int, size: int | None = None, /) -> Any:
        self._check_open()
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR):
            return self._line.take_error()
        if (level, option) == (socket.IPPROTO_TCP, _TCP_INFO) and self.type == socket.SOCK_STREAM:
            return bytes([self._line.state.value])
        value = self._options.get((level, option))
        if value is None and level == socket.SOL_SOCKET:
            return super().getsockopt(level, option, *(() if size is None else (size,)))
        value = value or bytes(4)
        if size is not None:
            return value[:size]
        return int.from_bytes(value, sys.byteorder, signed=True)

    def setsockopt(self, level: int, option: int, value: Any, size: int = 0, /) -> None:
        self._check_open()
        if isinstance(value, int):
            value = struct.pack("i", value)
        self._options[level, option] = bytes(size) if value is None else bytes(value)

    def close(self) -> None:
        super().close()
        if self.fileno() < 0:
            linger = self._options.get((socket.SOL_SOCKET, socket.SO_LINGER))
            self._line.let_go(aborted=linger == _ABORT)

    def detach(self) -> int:
        """Give the descriptor away; what is done with it then is not the fake network's."""
        fd = super().detach()
        self._line.let_go()
        return fd

    def moved(self) -> Self:
        """The connection in another socket; this one is left closed.

        For who would make a plain socket of the descriptor, which knows nothing of the network.
        """
        kind = (self.family, self.type, self.proto)
        return self._share(type(self)(*kind, fileno=super().detach()))

    def dup(self) -> Self:
        """Another socket of the same connection."""
        return self._share(super().dup())

    def _share(self, other: Self) -> Self:
        other._options, other._line = self._options, self._line
        return other

    def _check_open(self) -> None:
        if self.fileno() < 0:
            raise error(errnos.EBADF)


class _Line:
    """What is between a fake socket and the host that it is connected to."""

    def __init__(self, network: Wire, kind: Endpoint) -> None:
        self.state = _State.IDLE
        self.local: SockAddr = _NOT_BOUND.get(kind.family, "")
        self.peer: SockAddr = ""
        self._network = network
        self._kind = kind
        self._error = 0
        self._far: socket.socket | None = None
        self._cancel: Callable[[], object] | None = None

    def bind(self, address: Any) -> None:
        self.local = full_sockaddr(self._kind.family, address)
        if isinstance(self.local, tuple) and self.local[1] == 0:
            host, _, *more = self.local
            self.local = (host, self._network.next_port(), *more)

    def take_error(self) -> int:
        taken, self._error = self._error, 0
        return taken

    def connect(self, fd: int, address: Any, options: dict[tuple[int, int], bytes]) -> int:
        """What the system would answer, for this descriptor."""
        if self.state is not _State.IDLE:
            return errnos.EISCONN if self.state is _State.CONNECTED else errnos.EALREADY
        kind = self._kind
        peer = full_sockaddr(kind.family, address)
        meet, outcome = self._network.ask(kind._replace(sockaddr=peer), self.local, options)
        local = kind.family == _AF_UNIX or kind.type == socket.SOCK_DGRAM
        at_once = outcome.at_once or local
        if outcome.errno and at_once:
            return outcome.errno
        waits = not at_once and (outcome.after > 0 or outcome.what == "silent")
        near, far = connected_pair(kind)
        with near:
            self._far = self._network.hold(far)
            os.dup2(near.fileno(), fd, inheritable=False)
            if waits:
                fill(near)
        self.state, self.peer = _State.CONNECTING, peer
        self._choose_local()
        if outcome.what == "itself":
            self.local = peer
        if not waits:
            self._arrive(meet, outcome)
        elif outcome.what != "silent":
            self._cancel = call_later(outcome.after, lambda: self._arrive(meet, outcome))
        return 0 if at_once else errnos.EINPROGRESS

    def _choose_local(self) -> None:
        """Be bound to an address and a port, as far as that is not so."""
        if isinstance(self.local, tuple):
            host, port, *more = self.local
            own = _OWN[self._kind.family] if host == _NOT_BOUND[self._kind.family][0] else host
            self.local = (own, port or self._network.next_port(), *more)

    def _arrive(self, meet: Meet | None, outcome: Outcome) -> None:
        """The answer has come; raises nothing."""
        assert self._far is not None
        self._cancel = None
        empty(self._far)
        if outcome.errno:
            self.state, self._error = _State.IDLE, outcome.errno
        else:
            self.state = _State.CONNECTED
        if outcome.errno or outcome.what == "closes":
            self._network.drop(self._far)
        elif meet is not None and outcome.what == "connects":
            meet(self._far)

    def let_go(self, *, aborted: bool = False) -> None:
        """The socket is not the fake network's any more.

        Args:
            aborted: whether it was closed in such a way that nothing is left of the connection.
        """
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
        if self._far is not None and (aborted or self.state is not _State.CONNECTED):
            self._network.drop(self._far)


def full_sockaddr(family: int, address: Any) -> SockAddr:
    """A socket address as the kernel would give it back.

    Raises:
        TypeError: it is none.
        socket.gaierror: it has a name where an IP address should be; nothing is looked up here.
    """
    if family not in INTERNET:
        if not isinstance(address, (str, bytes)):
            raise TypeError(f"a unix address must be a str or bytes, not {address!r}")
        return address
    if not isinstance(address, tuple) or not 2 <= len(address) <= (2 if family == _AF_INET else 4):
        raise TypeError(f"an address must be (host, port), not {address!r}")
    host, port, *more = address
    try:
        packed = socket.inet_pton(family, host)
    except OSError:
        said = f"not an address of the family: {host!r}"
        raise socket.gaierror(socket.EAI_NONAME, said) from None
    rest = () if family == _AF_INET else (*more, 0, 0)[:2]
    return (socket.inet_ntop(family, packed), port, *rest)


def error(errno: int) -> OSError:
    """The exception for an errno."""
    return OSError(errno, os.strerror(errno))
