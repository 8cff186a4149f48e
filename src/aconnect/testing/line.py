"""What is between a fake socket and the host that it is connected to.

Rules:

* It answers as Linux does for a real socket: connect(2), bind(2), the names of both ends, the
  error that is pending.  What a twin of it in tests/testing/test_twins.py does, it does.
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

from .pairs import connected_pair, empty, fill, in_uvloop
from .sockaddrs import ANY, INTERNET, LOOPBACK, MAPPED, full_sockaddr, is_loopback, plain, unmapped
from .timers import call_later

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from ..addresses.values import Endpoint, SockAddr
    from .outcomes import Outcome

    Meet: TypeAlias = Callable[[socket.socket], None]
    HostEnd: TypeAlias = Callable[[socket.socket, "Line"], socket.socket]
    Options: TypeAlias = dict[tuple[int, int], bytes]

__all__ = ["Line", "State", "Wire"]

_LARGEST: Final[dict[int, int]] = {socket.AF_INET: 65507, socket.AF_INET6: 65527}
"""How much a datagram of UDP can hold; see udp(7), and `EMSGSIZE` there."""
_ONE: Final = struct.pack("i", 1)
_V6ONLY: Final = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
_REUSE: Final = (socket.SOL_SOCKET, socket.SO_REUSEADDR)
# The number is that of the system's header, for Pythons whose socket module has no name for it.
_NO_PORT: Final = (socket.IPPROTO_IP, 24) if sys.platform == "linux" else None


class State(Enum):
    """How far a socket has come."""

    IDLE = "no attempt is under way"
    CONNECTING = "an attempt is under way"
    FAILED = "an attempt has failed, and connect(2) has not been told"
    ARRIVED = "connected, and connect(2) has not been told"
    CONNECTED = "connected"


class Wire(Protocol):
    """What a fake socket asks of its network."""

    interfaces: set[str]

    def note(self, endpoint: Endpoint, local: SockAddr, options: Options) -> None:
        """Connect(2) has been called."""

    def ask(self, endpoint: Endpoint) -> tuple[Meet | None, Outcome]:
        """What becomes of it, and who is to be given the far end."""

    def own(self, family: int) -> list[str]:
        """The addresses of this machine, of a family; the first is what is connected from."""

    def next_port(self) -> int:
        """A local port."""

    def occupy(self, line: Line) -> bool:
        """Let it have the port that it is bound to; False if another has it."""

    def vacate(self, line: Line) -> None:
        """Its port is free again."""

    def hold(self, far: socket.socket) -> socket.socket:
        """Own the far end of a pair."""

    def drop(self, far: socket.socket) -> None:
        """Close it, unless somebody has taken it."""

    def passed(self, far: socket.socket, count: int) -> None:
        """So many bytes have been sent to it; or none, and it has been read at the other end."""


class Line:
    """What a socket is connected to, or is not yet.

    Args:
        network: whom it asks; None for the end of a host.
        kind: its family and type.

    Attributes:
        local, peer: the names of both ends.
        options: what has been set on the socket.
    """

    def __init__(self, network: Wire | None, kind: Endpoint) -> None:
        self.state: State = State.IDLE
        self.kind = kind
        self.local: SockAddr = full_sockaddr(kind.family, ("", 0)) if self.internet else ""
        self.peer: SockAddr = ""
        self.options: Options = {}
        self.network = network
        self._error = 0
        self._bound: SockAddr | None = None
        self._far: socket.socket | None = None
        self._cancel: Callable[[], object] | None = None
        self._refuses: Outcome | None = None

    @property
    def internet(self) -> bool:
        return self.kind.family in INTERNET

    @property
    def datagrams(self) -> bool:
        return self.internet and self.kind.type == socket.SOCK_DGRAM

    @property
    def connected(self) -> bool:
        """Whether it has a peer; UDP to port 0 has none."""
        port = self.peer[1] if isinstance(self.peer, tuple) else None
        return self.state in (State.ARRIVED, State.CONNECTED) and port != 0

    def take_error(self) -> int:
        """What SO_ERROR has to say, which reading clears."""
        taken, self._error = self._error, 0
        return taken

    def mirrored(self) -> Line:
        """The same for the other end."""
        line = Line(None, self.kind)
        line.state = State.CONNECTED
        line.local, line.peer = self.peer, self.local
        if self.internet:
            line.local, line.peer = (
                plain(self.kind.family, self.peer),
                plain(self.kind.family, self.local),
            )
            family = socket.AF_INET if len(line.local) == 2 else socket.AF_INET6
            line.kind = self.kind._replace(family=family)
        return line

    # bind(2)

    def bind(self, address: Any) -> int:
        """What the system would answer."""
        local = full_sockaddr(self.kind.family, address)
        network = self.network
        if network is None or self._bound is not None or self.state is not State.IDLE:
            return errnos.EINVAL
        if isinstance(local, tuple):
            host, port, *more = local
            family, plain = unmapped(self.kind.family, host)
            own = (*network.own(family), ANY[family])
            if plain not in own and not is_loopback(plain):
                return errnos.EADDRNOTAVAIL
            if not port and (_NO_PORT is None or self.options.get(_NO_PORT) != _ONE):
                local = (host, network.next_port(), *more)
        before, self.local = self.local, local
        if isinstance(local, tuple) and not network.occupy(self):
            self.local = before
            return errnos.EADDRINUSE
        self._bound = local
        return 0

    def clashes(self, other: Line) -> bool:
        """Whether both cannot be bound to what they are."""
        assert isinstance(self.local, tuple)
        assert isinstance(other.local, tuple)
        (host, port, *_), (theirs, taken, *_) = self.local, other.local
        any_host = ANY[self.kind.family]
        return (
            port != 0
            and (self.kind.family, self.kind.type, port)
            == (other.kind.family, other.kind.type, taken)
            and (host == theirs or any_host in (host, theirs))
            and not self.options.get(_REUSE) == other.options.get(_REUSE) == _ONE
        )

    # connect(2)

    def connect(self, fd: int, address: Any, host_end: HostEnd) -> int:
        """What the system would answer.

        Args:
            fd: the descriptor, which becomes one of a pair.
            host_end: makes the host's socket of the other one.
        """
        peer = full_sockaddr(self.kind.family, address)
        network = self.network
        if network is None or (self.state is not State.IDLE and not self.datagrams):
            return self._again()
        endpoint = self.kind._replace(sockaddr=peer)
        network.note(endpoint, self.local, self.options)
        local = self._source(network, peer)
        if isinstance(local, int):
            return local
        meet, outcome = network.ask(endpoint)
        at_once = outcome.at_once or not self.internet or self.datagrams
        refuses = self.datagrams and outcome.errno == errnos.ECONNREFUSED and not outcome.at_once
        if outcome.errno and at_once and not refuses:
            return outcome.errno
        waits = not at_once and (outcome.after > 0 or outcome.what == "silent")
        near, far = connected_pair(self.kind)
        self._stop()
        with near:
            os.dup2(near.fileno(), fd, inheritable=False)
            if waits:
                fill(near)
        self.peer, self.local = peer, peer if outcome.what == "itself" else local
        self._far = network.hold(host_end(far, self))
        self._refuses = outcome if refuses else None
        self._error = 0
        self.state = State.CONNECTED if at_once else State.CONNECTING
        if not waits:
            self._arrive(meet, outcome)
        elif outcome.what != "silent":
            self._cancel = call_later(outcome.after, lambda: self._arrive(meet, outcome))
        return 0 if at_once else errnos.EINPROGRESS

    def _again(self) -> int:
        """What a second call of connect(2) is told."""
        if self.state is State.FAILED:
            self.state = State.IDLE
            return self.take_error() or errnos.ECONNABORTED
        if self.state is State.ARRIVED:
            self.state = State.CONNECTED
            return 0
        return errnos.EISCONN if self.state is State.CONNECTED else errnos.EALREADY

    def _source(self, network: Wire, peer: SockAddr) -> SockAddr | int:
        """The local address to reach ``peer`` from; an errno if there is none."""
        local = self._bound or self.local
        if not isinstance(peer, tuple) or not isinstance(local, tuple):
            return local
        family, there = unmapped(self.kind.family, peer[0])
        host, port, *more = local
        bound_to, plain = unmapped(self.kind.family, host)
        mapped = MAPPED if family != self.kind.family else ""
        if mapped and self.options.get(_V6ONLY) == _ONE:
            return errnos.ENETUNREACH
        if self._bound is None or host == ANY[self.kind.family]:
            host = mapped + (LOOPBACK[family] if is_loopback(there) else network.own(family)[0])
        elif bound_to != family:
            return errnos.ENETUNREACH if mapped else errnos.EAFNOSUPPORT
        elif is_loopback(plain) and not is_loopback(there):
            return errnos.ENETUNREACH
        if self._bound is None and not self.datagrams:
            port = 0  # each attempt has a port of its own
        return (host, port or network.next_port(), *more)

    def _arrive(self, meet: Meet | None, outcome: Outcome) -> None:
        """The answer has come; raises nothing."""
        assert self.network is not None
        assert self._far is not None
        self._cancel = None
        if self.state is State.CONNECTING:
            empty(self._far)
            self.state = State.FAILED if outcome.errno else State.ARRIVED
            self._error = outcome.errno
        if self._refuses is not None:
            if in_uvloop():  # which sends by itself, and is told by the kernel
                self.network.drop(self._far)
        elif outcome.errno or outcome.what == "closes":
            self.network.drop(self._far)
        elif meet is not None and outcome.what == "connects":
            meet(self._far)

    # What is done with it meanwhile

    def before_sending(self, size: int) -> int:
        """What send(2) of so much fails with, if no error is pending; 0 if it does not."""
        if not self.internet:
            return 0
        if not self.datagrams:
            return errnos.EPIPE if self.state in (State.IDLE, State.FAILED) else 0
        if not self.connected:
            return errnos.EDESTADDRREQ
        family, _ = unmapped(self.kind.family, str(self.peer[0]))
        return errnos.EMSGSIZE if size > _LARGEST[family] else 0

    def sent(self, count: int) -> None:
        """Something has been sent; a datagram may be refused."""
        if self.network is not None and self._far is not None:
            self.network.passed(self._far, count)
        if self._refuses is None or self._cancel is not None or self._error:
            return
        if self._refuses.after:
            self._cancel = call_later(self._refuses.after, self._refuse)
        else:
            self._refuse()

    def _refuse(self) -> None:
        """Have the socket be readable, with an error to be read; raises nothing."""
        assert self._far is not None
        self._cancel = None
        empty(self._far)
        self._error = errnos.ECONNREFUSED
        try:
            self._far.send(b"")
        except OSError:
            pass  # the network has been closed, or the socket, and nobody asks any more

    def received(self) -> None:
        """Something has been read, and there may be room for more."""
        if self.network is not None and self._far is not None:
            self.network.passed(self._far, 0)

    def before_receiving(self) -> int:
        """The same for recv(2)."""
        idle = self.internet and not self.datagrams and self.state is State.IDLE
        return errnos.ENOTCONN if idle else 0

    def before_shutdown(self) -> int:
        """The same for shutdown(2), which ends an attempt."""
        if not self.internet or self.connected:
            return 0
        if self.state is not State.CONNECTING:
            return errnos.ENOTCONN
        assert self.network is not None
        assert self._far is not None
        self._stop()
        self.network.drop(self._far)
        self.state = State.IDLE
        return 0

    def let_go(self, *, aborted: bool = False) -> None:
        """The socket is not the fake network's any more.

        Args:
            aborted: whether it was closed in such a way that nothing is left of the connection.
        """
        self._stop()
        if self.network is None:
            return
        self.network.vacate(self)
        if self._far is None:
            return
        if aborted or not self.connected or self._refuses is not None:
            self.network.drop(self._far)
        else:
            self.network.passed(self._far, 0)

    def _stop(self) -> None:
        """See that there is no timer."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
