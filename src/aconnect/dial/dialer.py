"""The Dialer: how connections are made, checked once and used many times.

Rules:

* A dialer is immutable and knows nothing of any one dial, so it serves any number of them, on
  several loops and threads at once.
* What is permitted is asked of each resolved address just before its socket is opened, and what
  is opened is connected to that very address.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from ..addresses.target import target_of
from ..drivers.select import running_driver
from ..resolvers.base import for_family
from ..resolvers.system import SystemResolver
from ..sansio.naming import check_names, spelled_out
from ..sansio.rules import Rules
from ..sansio.value import Value, derived, set_derived
from ..sockets.settings import LocalAddressLike, SocketSettings
from ..sockets.syscalls import SYSTEM_CALLS, SystemCalls
from .plan import Plan
from .single import connect

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
    from typing import TypeAlias, Unpack

    from ..addresses.target import Target
    from ..addresses.text import Address, AddressLike, Port
    from ..addresses.values import Endpoint
    from ..deadline import Deadline
    from ..drivers.base import DialDriver
    from ..policy import NamePolicy, Policy
    from ..proxies.header import ProxyHeader
    from ..proxies.values import Proxy
    from ..report.report import Report
    from ..resolvers.base import Resolver
    from ..sansio.naming import NoOptions
    from ..sockets.option import Keepalive, SocketOptionLike
    from ..trace import Trace
    from .entrance import Entrance
    from .history import History, Past

    ProxyLike: TypeAlias = str | Proxy | ProxyHeader
    ProxyFor: TypeAlias = Callable[[Address | Any], ProxyLike | Sequence[ProxyLike] | None]

__all__ = ["DEFAULT", "Dialer"]

T = TypeVar("T")


class Dialer(Value, kw_only=True):
    """How to connect: options that are checked once, and used for any number of dials.

    Immutable, and equal to another with the same options; its repr has those that are not the
    default.  `replace` gives a dialer with some options changed.  One may be used from several
    event loops and threads at once.

    Args:
        attempt_delay: seconds from the start of one attempt to the next, moved into the range
            from 0.01 to 2; below 0.1 is impolite on a network that is not one's own.  None for
            strictly one at a time, each ending before the next begins.
        resolution_delay: seconds for which IPv4 addresses that are known first wait for IPv6.
        first_family_count: how many addresses of the first family are tried before the families
            take turns.
        max_in_flight: how many attempts one dial has in flight at a time, at the most.  When
            another address is due, the one that has been connecting the longest makes room for
            it, if it has had 2 seconds.  The socket of one whose time was up stays open for as
            long as its handshake, or ``on_socket``, cleans up.
        attempt_timeout: seconds for each attempt to connect, and again for its handshake; None
            for no limit but the deadline.
        prefer: `socket.AF_INET` or `socket.AF_INET6` for the family that is tried first; None for
            that of the first address.  The other one is tried as well.
        family: `socket.AF_INET` or `socket.AF_INET6` to keep to addresses of one family,
            literal ones included; AF_UNSPEC for all.
        local_address: what to bind to; one address, or one for each family.  See
            `SocketSettings`, also for the rest of the options of sockets:
        interface, socket_options, keepalive, user_timeout, nodelay, mptcp, mark, tos: set on
            each socket before it connects.
        on_socket: is called with each socket before it connects, and the `Endpoint` that it will
            be connected to; it may be asynchronous.  It may set options.  What it raises ends
            that attempt alone.
        socket_factory: opens the sockets, in place of the system: called with an `Endpoint`, it
            gives a `socket.socket` of that family and type that is not connected, to which the
            options are applied.  What it raises ends that attempt alone.
        permit: an address policy, asked with each resolved `Endpoint` just before its socket is
            opened: a callable that answers True or False, such as `policy.public_only()`.
        proxy: what to connect through: a `Proxy`, or its text such as
            ``"socks5h://proxy:1080"``; a `ProxyHeader`; a sequence of those for a chain, the
            nearest first; or a
            callable that is asked once for each dial, before anything is looked up, with the
            address, and gives one of these, or None for a direct dial, such as
            `proxies.from_environment`.  The race is over the proxy's addresses then, and options
            of sockets apply to them.  It is kept as a Proxy, and no repr has its password.  TLS
            to one ("https") makes no socket: it is for what opens transports and streams.
        permit_proxy: an address policy for the proxies; None permits all.  ``permit`` is asked
            about the targets then: where a proxy would look a name up, that is refused.
        permit_name: a policy for names, asked with each host before anything is looked up: a
            callable that answers True or False, such as ``policy.allow_names("*.example.org")``.
            It is asked about literal addresses as well.
        connect_to: where to connect instead, as curl's option of that name: a mapping such as
            ``{"api.example:443": "127.0.0.1:8443", "*.example": "10.0.0.1"}``.  A key without a
            port is for every port; a value without one keeps it.  Nothing else changes: the name
            of TLS is the one that was asked for.
        resolver: turns names into endpoints; see `Resolver`.
        history: what the dials that share it have shown of addresses, which has a say in order and
            delays: a `History`; None for nothing, which is quicker.
        trace: is called with an `Event` for everything that happens, such as a `Report`.
        on_report: is called with a `Report` of each dial when that is over, whatever it came to.
        system_calls: what makes the system calls; for tests.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument has an invalid value.

    Source: RFC 8305; the rules of the race are in `aconnect.sansio.race`.
    """

    attempt_delay: float | None = 0.25
    resolution_delay: float = 0.05
    first_family_count: int = 1
    max_in_flight: int = 6
    attempt_timeout: float | None = None
    prefer: int | None = None
    family: int = socket.AF_UNSPEC
    local_address: LocalAddressLike | Iterable[LocalAddressLike] | None = None
    interface: str | None = None
    socket_options: Iterable[SocketOptionLike] = ()
    keepalive: Keepalive | None = None
    user_timeout: float | None = None
    nodelay: bool = True
    mptcp: bool = False
    mark: int | None = None
    tos: int | None = None
    on_socket: Callable[[socket.socket, Endpoint], object] | None = None
    socket_factory: Callable[[Endpoint], socket.socket] | None = None
    permit: Policy | None = None
    proxy: ProxyLike | Sequence[ProxyLike] | ProxyFor | None = None
    permit_proxy: Policy | None = None
    permit_name: NamePolicy | None = None
    connect_to: Mapping[str, str] | None = None
    resolver: Resolver = SystemResolver()  # it has no state
    history: History | None = None
    trace: Trace | None = None
    on_report: Callable[[Report], object] | None = None
    system_calls: SystemCalls = SYSTEM_CALLS

    _plan: Plan = derived()

    def __post_init__(self) -> None:
        settings = self._settings()
        # Several attempts cannot share one local port.
        one_port = any(map(settings.port_fixed, _FAMILIES))
        rules = Rules(
            attempt_delay=None if one_port else self.attempt_delay,
            resolution_delay=self.resolution_delay,
            first_family_count=self.first_family_count,
            max_in_flight=self.max_in_flight,
            attempt_timeout=self.attempt_timeout,
            prefer=self.prefer,
        )
        if isinstance(self.family, bool) or not isinstance(self.family, int):
            raise TypeError(f"family must be an address family, not {self.family!r}")
        if self.family not in (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6):
            raise ValueError(f"family must be AF_UNSPEC, AF_INET or AF_INET6, not {self.family!r}")
        for name in ("on_socket", "permit", "permit_proxy", "permit_name", "trace", "on_report"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise TypeError(f"{name} must be callable or None, not {value!r}")
        if not callable(getattr(self.resolver, "resolve", None)):
            raise TypeError(f"resolver must have a resolve() method, not {self.resolver!r}")
        # As the settings keep them: an iterable may yield but once.
        for name in _KEPT:
            set_derived(self, name, getattr(settings, name))
        kind: Any = Plan
        if self.proxy is not None:
            # What is for proxies is imported with the first dialer that has one.
            from .chains import checked
            from .proxied import ProxiedPlan

            set_derived(self, "proxy", checked(self.proxy))
            asked = self.permit_proxy
            permitted = None if asked is None else _asking(asked, "permit_proxy")
            kind = partial(ProxiedPlan, proxy=self.proxy, permit_proxy=permitted)
        elif self.permit_proxy is not None:
            raise ValueError("permit_proxy has no effect without proxy=")
        plan: Plan = kind(
            rules=rules,
            settings=settings,
            family=self.family,
            # By way of a proxy, what it connects to may be of the other family.
            resolver=for_family(self.resolver, 0 if self.proxy is not None else self.family),
            permit=None if self.permit is None else _asking(self.permit, "permit"),
            on_socket=self.on_socket,
            trace=self.trace,
            on_report=self.on_report,
            entrance=self._entrance(),
            past_of=self._past_of(),
        )
        set_derived(self, "_plan", plan)

    def _past_of(self) -> Callable[[Target, Rules], Past | None] | None:
        """Gives what earlier dials have shown, if that counts."""
        if self.history is None:
            return None
        from .history import History, past_of  # imported by whoever has a History

        if not isinstance(self.history, History):
            raise TypeError(f"history must be a History or None, not {self.history!r}")
        return partial(past_of, self.history)

    def _entrance(self) -> Entrance | None:
        """What names have to pass, if that is anything."""
        if self.permit_name is None and self.connect_to is None:
            return None
        # Imported with the first dialer that has it.
        from ..addresses.redirects import Redirects
        from .entrance import Entrance

        if getattr(self.permit_name, "__name__", "") == "allow_names":
            raise TypeError(
                'permit_name must be a policy, such as allow_names("*.example.org"), '
                "not the function that makes it"
            )
        redirects = None
        if self.connect_to is not None:
            redirects = Redirects(self.connect_to)
            set_derived(self, "connect_to", dict(self.connect_to))
        return Entrance(self.permit_name, redirects)

    def _settings(self) -> SocketSettings:
        """Those of the sockets; mostly the usual ones, which need not be checked again."""
        given = {name: getattr(self, name) for name in _OF_SOCKETS}
        if all(value is getattr(_USUAL, name) for name, value in given.items()):
            return _USUAL
        return SocketSettings(**given)

    def __repr__(self) -> str:
        fields = {name: getattr(self, name) for name in self._types}
        other = [f"{k}={value!r}" for k, value in fields.items() if value != self._defaults[k]]
        return f"{type(self).__name__}({', '.join(other)})"

    @overload
    async def connect(
        self,
        address: AddressLike | list[Any],
        port: Port | None = None,
        *,
        timeout: float | None = None,
        deadline: Deadline | None = None,
        handshake: None = None,
        report: Report | None = None,
        **unknown: Unpack[NoOptions],
    ) -> socket.socket: ...

    @overload
    async def connect(
        self,
        address: AddressLike | list[Any],
        port: Port | None = None,
        *,
        timeout: float | None = None,
        deadline: Deadline | None = None,
        handshake: Callable[[socket.socket], Awaitable[T]],
        report: Report | None = None,
        **unknown: Unpack[NoOptions],
    ) -> T: ...

    @spelled_out()
    async def connect(
        self,
        address: AddressLike | list[Any],
        port: Port | None = None,
        *,
        timeout: float | None = None,
        deadline: Deadline | None = None,
        handshake: Callable[[socket.socket], Awaitable[Any]] | None = None,
        report: Report | None = None,
        **unknown: Unpack[NoOptions],
    ) -> Any:
        """Return the first connection that is established; every other socket is closed.

        Args:
            address, port: as for `aconnect`.
            timeout: seconds from now for everything; None for no limit but the kernel's.
            deadline: the same limit as a `Deadline`.  The earlier of the two counts.
            handshake: is awaited with a connected socket, inside the race: the first to succeed
                wins.  Handshakes overlap, as attempts do, one attempt delay apart.  What one
                raises moves the race on to the next address.  It owns the socket while it runs;
                if it raises or is cancelled, the socket is closed, unless it has detached the
                descriptor.  A `Handshake` can say more of itself.
            report: an empty `Report`, which is filled while the call runs; that of the error, if
                there is one.

        Returns:
            The socket, as from `aconnect`; or what the handshake gave.

        Raises:
            TypeError, ValueError, RuntimeError: as `aconnect`.
            ResolveError: the name has no address, or the resolver failed.
            AddressNotPermitted: the policy permits none of the addresses.
            HandshakeError: a peer was reached, and the handshake failed.
            ConnectTimeout: there was no connection in time.
            ConnectError: no address could be connected to.

            After any of these, nothing is open or registered, but for the socket of a hook or a
            handshake that takes its time to clean up on asyncio, and is closed then.  The error
            has the records of all attempts in ``attempts``, and a `Report` in ``report``.

        When cancelled, at any ``await``, everything is unregistered and closed before the
        cancellation leaves this call.  Cancellation beats success.

        Safe to call from any number of tasks, loops and threads.
        """
        if unknown:
            check_names(Dialer.connect, unknown, self._types)
        if handshake is not None and not callable(handshake):
            raise TypeError(f"handshake must be callable or None, not {handshake!r}")
        plan = self._plan if report is None else self._plan.reporting(report)
        return await connect(plan, target_of(address, port), timeout, deadline, handshake)

    def dial(
        self,
        target: Target,
        timeout: float | None,
        deadline: Deadline | None,
        handshake: Callable[[socket.socket], Awaitable[Any]] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        report: Report | None = None,
        waiting_on: Callable[[], DialDriver] = running_driver,
        *,
        streams: bool = False,
    ) -> Coroutine[Any, Any, Any]:
        """`connect`, to what has been looked at; not for users.

        Args:
            loop: the running loop of asyncio, if the socket is for a transport of its.
            waiting_on: gives the driver, if there is no ``loop``.
            streams: whether it may be a `Tunnel` that this gives in place of a socket.
        """
        plan = self._plan if report is None else self._plan.reporting(report)
        return connect(plan, target, timeout, deadline, handshake, loop, waiting_on, streams)


_KEPT: Final = ("local_address", "socket_options", "user_timeout", "mark", "tos", "interface")
_OF_SOCKETS: Final = (
    *("nodelay", "keepalive", "mptcp", "socket_factory", "system_calls"),
    *_KEPT,
)
_USUAL: Final = SocketSettings()
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6, getattr(socket, "AF_UNIX", -1))


def _asking(policy: Policy, name: str) -> Callable[[Endpoint], bool]:
    # Imported with the first dialer that has a policy: its tables take a while, and few need them.
    from ..policy.policies import check_policy, permits

    check_policy(policy, name)
    return lambda endpoint: permits(policy, endpoint)


DEFAULT: Final = Dialer()
"""What `aconnect` dials with."""
