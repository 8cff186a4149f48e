"""A socket that believes to be on a network, and is one end of a socket pair.

Rules:

* The descriptor is real, and so is all that loops and users do with it.  What is about addresses,
  options, connect(2) and errors is answered here, as Linux does it for a real socket.
* An option is asked of a real socket, which is closed at once: what it does not know is refused,
  and what it says of a value holds.  Only interfaces are the fake network's, and no permission is
  needed.
* Nothing is sent but to the peer, and nobody listens.
"""

from __future__ import annotations

import errno as errnos
import os
import socket
import struct
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ..drivers.running import in_trio
from .line import Line, State
from .on_trio import have_trio_take
from .pairs import unconnected
from .sockaddrs import INTERNET, error, full_sockaddr

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from ..addresses.values import Endpoint
    from .line import Wire

__all__ = ["FakeSocket"]

_PROTOCOLS: Final = (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP)
_AF_UNIX: Final[int] = getattr(socket, "AF_UNIX", -1)
_ABORT: Final = struct.pack("ii", 1, 0)
_SOL_SOCKET: Final[int] = socket.SOL_SOCKET
_ERROR: Final = (_SOL_SOCKET, socket.SO_ERROR)
# None where the platform has none.
_TCP_INFO: Final = (socket.IPPROTO_TCP, getattr(socket, "TCP_INFO", None))
_DEVICE: Final = (_SOL_SOCKET, getattr(socket, "SO_BINDTODEVICE", None))
_TCP_STATES: Final = {State.CONNECTING: 2, State.ARRIVED: 1, State.CONNECTED: 1}
_TCP_CLOSE: Final = 7
"""The states of tcp(7), from netinet/tcp.h: ESTABLISHED, SYN_SENT, CLOSE."""
_FORBIDDEN: Final = (errnos.EPERM, errnos.EACCES)


class FakeSocket(socket.socket):
    """A non-blocking socket on a fake network, for `FakeNetwork.socket_factory`.

    What setsockopt() sets is remembered, and has no effect.
    """

    _line: Line

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
        if in_trio():
            have_trio_take(FakeSocket)
        return cls._of(unconnected(endpoint.type), Line(network, endpoint))

    @classmethod
    def _of(cls, bare: socket.socket, line: Line) -> Self:
        """One that has the descriptor of ``bare``."""
        with bare:
            sock = cls(line.kind.family, line.kind.type, line.kind.proto, fileno=bare.detach())
        sock.setblocking(False)
        sock._line = line
        return sock

    # Addresses

    def connect_ex(self, address: Any, /) -> int:
        if self.fileno() < 0:
            return errnos.EBADF
        answer = self._line.connect(self.fileno(), address, _host_end)
        if not self._line.internet:
            for key, value in self._line.options.items():  # the descriptor is another now
                super().setsockopt(*key, value)
        return answer

    def connect(self, address: Any, /) -> None:
        _check(self.connect_ex(address))

    def bind(self, address: Any, /) -> None:
        self._check_open()
        _check(self._line.bind(address))

    def listen(self, *_: int) -> None:
        raise OSError(errnos.EOPNOTSUPP, "a fake network has hosts in place of listening sockets")

    def getpeername(self) -> Any:
        self._check_open()
        if self.type == socket.SOCK_DGRAM:
            super().getpeername()  # it may have been dissolved
        if not self._line.connected:
            raise error(errnos.ENOTCONN)
        return self._line.peer

    def getsockname(self) -> Any:
        self._check_open()
        return self._line.local

    # Options

    def getsockopt(self, level: int, option: int, size: int | None = None, /) -> Any:
        self._check_open()
        key, sized = (level, option), () if size is None else (size,)
        if key == _ERROR:
            return self._take_error()
        if not self._line.internet:
            return super().getsockopt(*key, *sized)
        value = self._line.options.get(key)
        if key == _DEVICE and size and value:
            return value.partition(b"\0")[0] + b"\0"
        with self._stand_in() as real:
            try:
                if value is not None:
                    real.setsockopt(*key, value)
            except OSError:  # without a permission
                assert value is not None
                return value[:size] if size else int.from_bytes(value[:4], sys.byteorder)
            answer: Any = real.getsockopt(*key, *sized)
        if key == _TCP_INFO and size:
            return bytes([_TCP_STATES.get(self._line.state, _TCP_CLOSE)]) + answer[1:]
        return answer

    def setsockopt(self, level: int, option: int, value: Any, size: int | None = None, /) -> None:
        self._check_open()
        key, given = (level, option), (value,) if size is None else (value, size)
        if not self._line.internet:
            super().setsockopt(*key, *given)
        elif key == _DEVICE and isinstance(value, bytes):
            network, name = self._line.network, value.partition(b"\0")[0]
            if network is None or (name and os.fsdecode(name) not in network.interfaces):
                raise error(errnos.ENODEV)
        else:
            with self._stand_in() as real:
                try:
                    real.setsockopt(*key, *given)
                except OSError as refused:
                    if refused.errno not in _FORBIDDEN:
                        raise
        if isinstance(value, int):
            value = struct.pack("i", value)
        self._line.options[key] = bytes(size or 0) if value is None else bytes(value)

    def _stand_in(self) -> socket.socket:
        """A real socket of the same kind, to be asked for options and closed."""
        return socket.socket(self.family, self.type, self.proto)

    # Data

    def send(self, data: Any, flags: int = 0, /) -> Any:
        return self._send(_size(data), super().send, data, flags)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        self._send(_size(data), super().sendall, data, flags)

    def sendmsg(self, buffers: Any, *more: Any) -> Any:
        if len(more) > 2 and more[2] is not None:
            self._check_peer(more[2])
        buffers = list(buffers)
        return self._send(sum(map(_size, buffers)), super().sendmsg, buffers, *more[:2])  # type: ignore[misc,unused-ignore]

    def sendto(self, data: Any, *flags_and_address: Any) -> Any:
        *flags, address = flags_and_address
        self._check_peer(address)
        return self.send(data, *flags)

    def recv(self, *arguments: Any) -> Any:
        return self._receive(super().recv, *arguments)

    def recv_into(self, *arguments: Any, **named: Any) -> Any:
        return self._receive(super().recv_into, *arguments, **named)

    def recvfrom(self, *arguments: Any) -> Any:
        return self._named(self._receive(super().recvfrom, *arguments))

    def recvfrom_into(self, *arguments: Any, **named: Any) -> Any:
        return self._named(self._receive(super().recvfrom_into, *arguments, **named))

    def recvmsg(self, *arguments: Any) -> Any:
        return self._named(self._receive(super().recvmsg, *arguments))  # type: ignore[misc,unused-ignore]

    def recvmsg_into(self, *arguments: Any) -> Any:
        return self._named(self._receive(super().recvmsg_into, *arguments))  # type: ignore[misc,unused-ignore]

    def shutdown(self, how: int, /) -> None:
        self._check_open()
        _check(self._line.before_shutdown())
        if self._line.connected:
            super().shutdown(how)

    def _send(self, size: int, call: Callable[..., Any], *arguments: Any) -> Any:
        _check(self._take_error() or self._line.before_sending(size))
        sent = call(*arguments)
        self._line.sent(size if sent is None else sent)
        return sent

    def _receive(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        _check(self._take_error() or self._line.before_receiving())
        received = call(*arguments, **named)
        self._line.received()
        return received

    def _named(self, received: tuple[Any, ...]) -> tuple[Any, ...]:
        """What was received, with the name of who has sent it at the end."""
        return (*received[:-1], self._line.peer) if self._line.datagrams else received

    def _take_error(self) -> int:
        taken = self._line.take_error()
        if taken and self._line.datagrams:
            with suppress(OSError):
                super().recv(1)  # which has woken whoever waited
        return taken

    def _check_peer(self, address: Any) -> None:
        """See that it is the peer's.

        Raises:
            OSError: it is another.
        """
        if self._line.internet and full_sockaddr(self.family, address) != self._line.peer:
            said = "a socket of a fake network sends only to what it is connected to"
            raise OSError(errnos.EOPNOTSUPP, said)

    # The descriptor

    def close(self) -> None:
        super().close()
        if self.fileno() < 0:
            linger = self._line.options.get((_SOL_SOCKET, socket.SO_LINGER))
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
        other = type(self)(self.family, self.type, self.proto, fileno=super().detach())
        other._line = self._line
        return other

    def dup(self) -> Self:
        """Another socket of the same connection."""
        other = super().dup()
        other._line = self._line
        return other

    def _check_open(self) -> None:
        if self.fileno() < 0:
            raise error(errnos.EBADF)


def _host_end(far: socket.socket, line: Line) -> FakeSocket:
    """The host's end of a connection, which has names as well."""
    return FakeSocket._of(far, line.mirrored())


def _check(errno: int) -> None:
    if errno:
        raise error(errno)


def _size(data: Any) -> int:
    return memoryview(data).nbytes
