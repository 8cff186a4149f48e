"""A network that is not there: names, hosts and what becomes of attempts to connect to them.

Rules:

* No packet leaves, and none is sent: a connection is a pair of sockets.  (Under uvloop it is one
  over 127.0.0.1.)  Nothing is looked up.
* What has not been added does not exist: no such name, no route, nobody who listens.
* Sockets answer as real ones do: `line` and `fake_socket`.
* What takes time is a timer of the running event loop.
* All that is asked of the network is in its journal.
"""

from __future__ import annotations

import errno as errnos
import inspect
import itertools
import socket
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..addresses.redacting import shown
from ..addresses.values import Endpoint, TCPAddress, UnixAddress
from ..dial.dialer import Dialer
from .fake_socket import FakeSocket
from .host import FakeHost
from .journal import FakeAttempt, FakeLookup, timeline
from .names import Names
from .outcomes import Outcome
from .pairs import reset
from .sockaddrs import INTERNET, unmapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from ..addresses.values import SockAddr
    from ..resolvers.base import Resolver
    from .line import Line
    from .outcomes import OutcomeLike

__all__ = ["FakeNetwork"]

_FIRST_PORT: Final = 49152  # RFC 6335: the first of the dynamic ports
_PORTS: Final = 65536 - _FIRST_PORT
_NO_ROUTE: Final = Outcome(errnos.ENETUNREACH, at_once=True)
_NO_FILE: Final = Outcome(errnos.ENOENT, at_once=True)
_NOBODY: Final = Outcome("refused")


class FakeNetwork:
    """A network to test with, on asyncio, uvloop and trio, in real time or by a `VirtualClock`.

    `dialer` gives a `Dialer` that connects over it; `resolver` and `socket_factory` are for one
    that is made otherwise.  Addresses are to be those for documentation: 192.0.2.0/24,
    198.51.100.0/24, 203.0.113.0/24 and 2001:db8::/32.

    A context manager: when it is left, connections that no test has taken are closed.  So they are
    when nobody has a reference to the network any more.

    Attributes:
        journal: what has been asked, in order: a `FakeLookup` or a `FakeAttempt` each.
        resolver: for ``Dialer(resolver=)``.

    Needs unix sockets, so it is not for Windows.  For one thread.
    """

    def __init__(self) -> None:
        self.journal: list[FakeLookup | FakeAttempt] = []
        self._hosts: list[FakeHost] = []
        self._names = Names(self.journal)
        self.resolver: Resolver = self._names
        self._held: dict[socket.socket, Callable[[], object] | None] = {}
        self._attended: dict[socket.socket, Callable[[int], object]] = {}
        self._ports = itertools.count()
        self._own: dict[int, list[str]] = {
            socket.AF_INET: ["192.0.2.254"],
            socket.AF_INET6: ["2001:db8::fffe"],
        }
        self.interfaces: set[str] = {"lo", "eth0"}
        self._bound: weakref.WeakSet[Line] = weakref.WeakSet()
        self._close = weakref.finalize(self, _close_all, self._held)

    def __repr__(self) -> str:
        hosts, asked = len(self._hosts), len(self.journal)
        return f"<{type(self).__name__} hosts: {hosts}, asked so far: {asked}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections that have not been taken from a host."""
        _close_all(self._held)

    def add(
        self,
        name: str | None,
        *addresses: str | UnixAddress,
        port: int | None = None,
        outcome: OutcomeLike | Iterable[OutcomeLike] = "connects",
        after: float = 0.0,
        on_connection: Callable[[socket.socket], object] | None = None,
    ) -> FakeHost:
        """Add a host.

        Args:
            name: a name that resolves to the addresses; None for none.  A name that is there
                already gets more addresses.
            addresses: where the host is: IP addresses, in the order in which they are tried; or
                `UnixAddress` values, if there is no name.  Of two hosts at one place the first
                answers.
            port: on which it listens; None for all.  On other ports of the same addresses an
                attempt is refused, unless another host has been added for them.
            outcome: what becomes of attempts; see `Outcome`, whose first argument will do.  An
                iterable has an outcome for each call of connect(2), of which the last one stays.
            after: seconds from connect(2) to the answer, for outcomes that do not say.
            on_connection: is called with the host's end of each connection when that is made,
                instead of keeping it for `FakeHost.accept`: a non-blocking socket, to be closed by
                it.  What it raises is a RuntimeWarning; the outcomes of pytest as well.

        Returns:
            The host.

        Raises:
            TypeError: an argument has the wrong type.
            ValueError: an argument has an invalid value.
        """
        if not addresses:
            raise ValueError("a host must have an address")
        if port is not None:
            TCPAddress("192.0.2.1", port)  # raises what it must
        if on_connection is not None and not callable(on_connection):
            raise TypeError(f"on_connection must be callable or None, not {on_connection!r}")
        if inspect.iscoroutinefunction(on_connection):
            raise TypeError(f"on_connection must not be an async function: {on_connection!r}")
        places = [_place(address, name, port) for address in addresses]
        host = FakeHost(self, places, port, on_connection)
        host.becomes(outcome, after=after)
        if name is not None:
            self._names.add(name, [str(address) for address in addresses])
        self._hosts.append(host)
        return host

    def has(self, *addresses: str, interface: str | None = None) -> None:
        """Give this machine, where the sockets are, more addresses and interfaces.

        Without this it has 192.0.2.254 and 2001:db8::fffe, the loopback addresses, and the
        interfaces lo and eth0.  A socket that is bound to any other cannot be.

        Args:
            addresses: for `Dialer`'s ``local_address``.
            interface: a name for its ``interface``.

        Raises:
            TypeError: an argument has the wrong type.
            ValueError: an address is no IP address.
        """
        if interface is not None and not isinstance(interface, str):
            raise TypeError(f"interface must be a str or None, not {interface!r}")
        for address in addresses:
            if isinstance(address, UnixAddress):
                raise TypeError(
                    f"the address of a machine must be an IP address, not {shown(address)}"
                )
        for family, address in [_place(address, None, None) for address in addresses]:
            self._own[family].append(address)
        if interface is not None:
            self.interfaces.add(interface)

    def resolves(
        self,
        name: str,
        *,
        after: float = 0.0,
        ipv6: float | None = None,
        ipv4: float | None = None,
        outcome: str | int | Iterable[str | int] = "answers",
    ) -> None:
        """Say how long lookups of a name take, and whether they fail.

        Without this, a name that was added is answered at once, and any other does not exist.

        Args:
            name: need not have been added; then it exists, and has no address.
            after: seconds to the answer.
            ipv6, ipv4: the same for one family.  If either is given, each family is answered for
                itself.  Infinity for never.
            outcome: ``"answers"``, ``"no such name"``, ``"server failure"``, or a code of
                getaddrinfo(3).  An iterable has one for each lookup, of which the last one stays.

        Raises:
            TypeError: an argument has the wrong type.
            ValueError: an argument has an invalid value.
        """
        self._names.resolves(name, after, ipv6, ipv4, outcome)

    def socket_factory(self, endpoint: Endpoint) -> socket.socket:
        """A non-blocking socket that connects over this network; for ``Dialer(socket_factory=)``.

        Raises:
            OSError: EAFNOSUPPORT, the family is neither of the internet nor unix.
        """
        return FakeSocket.open(self, endpoint)

    def dialer(self, **options: Any) -> Dialer:
        """A `Dialer` with these options that connects over this network.

        Raises:
            TypeError, ValueError: as on construction of a `Dialer`.
        """
        return Dialer(
            **{"resolver": self.resolver, "socket_factory": self.socket_factory, **options}
        )

    @property
    def attempts(self) -> list[FakeAttempt]:
        """The attempts of the journal."""
        return [entry for entry in self.journal if isinstance(entry, FakeAttempt)]

    @property
    def lookups(self) -> list[FakeLookup]:
        """The lookups of the journal."""
        return [entry for entry in self.journal if isinstance(entry, FakeLookup)]

    def timeline(self) -> list[tuple[float, str]]:
        """The journal in short, to read and to compare: seconds since its first entry, rounded to
        microseconds, and ``"lookup NAME"`` or ``"connect ADDRESS"``."""
        return timeline(self.journal)

    # For the sockets.

    def note(
        self, endpoint: Endpoint, local: SockAddr, options: dict[tuple[int, int], bytes]
    ) -> None:
        """Note a call of connect(2); not for users."""
        self.journal.append(FakeAttempt(time.monotonic(), endpoint, local, dict(options)))

    def ask(self, endpoint: Endpoint) -> tuple[Callable[[socket.socket], None] | None, Outcome]:
        """What becomes of it, and who meets the far end; not for users."""
        there = [host for host in self._hosts if host.is_at(endpoint)]
        for exact in (True, False):
            for host in there:
                if host.listens(endpoint, exact):
                    return partial(host.meet, self), host.script.next()
        if there:
            return None, _NOBODY
        return None, _NO_ROUTE if endpoint.family in INTERNET else _NO_FILE

    def own(self, family: int) -> list[str]:
        """The addresses of this machine; not for users."""
        return self._own[family]

    def occupy(self, line: Line) -> bool:
        """Give a port to a socket that is bound; False if it is taken.  Not for users."""
        if any(line.clashes(other) for other in self._bound):
            return False
        self._bound.add(line)
        return True

    def vacate(self, line: Line) -> None:
        """Take it back; not for users."""
        self._bound.discard(line)

    def next_port(self) -> int:
        """A local port; not for users."""
        return _FIRST_PORT + next(self._ports) % _PORTS

    def hold(
        self, far: socket.socket, when_dropped: Callable[[], object] | None = None
    ) -> socket.socket:
        """Own the far end of a pair; not for users.

        Args:
            when_dropped: is called when it is closed here, and raises nothing.
        """
        self._held[far] = when_dropped
        return far

    def attend(self, far: socket.socket, call: Callable[[int], object]) -> None:
        """Have it be called with how many bytes have been sent to this end, each time; it raises
        nothing.  Not for users."""
        self._attended[far] = call

    def passed(self, far: socket.socket, count: int) -> None:
        """So many bytes have been sent to this end; of none, the other end has been read, or has
        been closed.  Not for users."""
        call = self._attended.get(far)
        if call is not None:
            call(count)

    def drop(self, far: socket.socket) -> None:
        """Close it, unless somebody has taken it; not for users."""
        self._attended.pop(far, None)
        if far in self._held:
            when_dropped = self._held.pop(far)
            reset(far)
            if when_dropped is not None:
                when_dropped()

    def take(self, far: socket.socket) -> bool:
        """Give it away; False if it is closed.  Not for users."""
        held = far in self._held
        self._held.pop(far, None)
        return held


def _place(address: str | UnixAddress, name: str | None, port: int | None) -> tuple[int, Any]:
    """The family of an address, and the address as the kernel has it.

    Raises:
        TypeError, ValueError: it is none, or does not go with the rest.
    """
    if isinstance(address, UnixAddress):
        if name is not None or port is not None:
            raise ValueError(f"a unix socket has neither a name nor a port: {address}")
        return address.endpoint.family, address.endpoint.sockaddr
    endpoint = TCPAddress(address, 0).endpoint
    if endpoint is None:
        raise ValueError(f"an address must be an IP address, not {shown(address)}")
    packed = socket.inet_pton(endpoint.family, endpoint.sockaddr[0])  # type: ignore[arg-type]
    return unmapped(endpoint.family, socket.inet_ntop(endpoint.family, packed))


def _close_all(held: dict[socket.socket, Callable[[], object] | None]) -> None:
    while held:
        far, when_dropped = held.popitem()
        far.close()
        if when_dropped is not None:
            when_dropped()
