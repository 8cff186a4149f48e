"""The Dialer: how connections are made, checked once and used many times.

Rules:

* A dialer is immutable and knows nothing of any one dial, so it serves any number of them, on
  several loops and threads at once.
* One deadline covers resolving, connecting and the handshake.
* What is permitted is asked of each resolved address just before its socket is opened, and what
  is opened is connected to that very address.
* Errors are built when everything has failed, from the records of the race.
"""

from __future__ import annotations

import errno as errnos
import socket
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, overload

from .connecting import begin_alone, ended_alone, target_of
from .deadline import Deadline, earliest
from .drivers.select import driver_of, running_driver
from .errors import (
    ConnectError,
    ConnectTimeout,
    attempts_error,
    describe,
    resolve_error,
    resolve_timeout,
)
from .flight import Hooks, has_errno
from .handshakes.base import Handshake, words
from .options import Keepalive, LocalAddressLike, SocketOption, SocketSettings
from .policy import permits
from .racing import Dial
from .report import Report
from .resolution import Resolution
from .resolvers.literal import zoned_endpoint
from .resolvers.system import SystemResolver
from .sansio.race import Race, Rules
from .syscalls import open_bare_socket
from .trace import DialCancelled, DialFailed, DialStarted, Event, Trace, guarded, is_last

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterable
    from typing import Self

    from .address_text import AddressLike
    from .addresses import Address, Endpoint, TCPAddress, UDPAddress
    from .drivers.base import Driver
    from .policy import Policy
    from .resolvers.base import Resolver
    from .syscalls import Begun

__all__ = ["DEFAULT", "Dialer"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialer:
    """How connections are made: options that are checked once and used for any number of dials.

    Immutable.  `replace` gives a dialer with some options changed.  One may be used from several
    event loops and threads at once.

    Args:
        attempt_delay: seconds from the start of one attempt to the next, moved into the range
            from 0.01 to 2; below 0.1 is impolite on a network that is not one's own.  None for
            strictly one at a time, each ending before the next begins.
        resolution_delay: seconds for which IPv4 addresses that are known first wait for IPv6.
        first_family_count: how many addresses of the first family are tried before the families
            take turns.
        max_in_flight: how many attempts one dial has in flight at a time, at the most.  The
            socket of one whose time was up stays open for as long as its handshake, or
            ``on_socket``, cleans up.
        attempt_timeout: seconds for each attempt to connect, and again for its handshake; None
            for no limit but the deadline.
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
            gives a `socket.socket` that is not connected, to which the options are applied.  What
            it raises ends that attempt alone.
        permit: an address policy, asked with each resolved `Endpoint` just before its socket is
            opened: a callable that answers True or False, such as `policy.public_only()`.
        resolver: turns names into endpoints; see `Resolver`.
        trace: is called with an `Event` for everything that happens, such as a `Report`.
        on_report: is called with a `Report` of each dial when that is over, whatever it came to.

    Raises:
        TypeError: an argument is of another type.
        ValueError: an argument has a value that cannot be.

    Source: RFC 8305; the rules of the race are in `aconnect.sansio.race`.
    """

    attempt_delay: float | None = 0.25
    resolution_delay: float = 0.05
    first_family_count: int = 1
    max_in_flight: int = 6
    attempt_timeout: float | None = None
    family: int = socket.AF_UNSPEC
    local_address: LocalAddressLike | Iterable[LocalAddressLike] | None = None
    interface: str | None = None
    socket_options: Iterable[SocketOption] = ()
    keepalive: Keepalive | None = None
    user_timeout: float | None = None
    nodelay: bool = True
    mptcp: bool = False
    mark: int | None = None
    tos: int | None = None
    on_socket: Callable[[socket.socket, Endpoint], object] | None = None
    socket_factory: Callable[[Endpoint], socket.socket] | None = None
    permit: Policy | None = None
    resolver: Resolver = field(default_factory=SystemResolver)
    trace: Trace | None = None
    on_report: Callable[[Report], object] | None = None
    _rules: Rules = field(init=False, repr=False, compare=False)
    _settings: SocketSettings = field(init=False, repr=False, compare=False)
    _unasked: bool = field(init=False, repr=False, compare=False)
    """Whether nobody wants to be asked or told, so that a single address needs no race."""

    def __post_init__(self) -> None:
        settings = SocketSettings(
            nodelay=self.nodelay,
            keepalive=self.keepalive,
            user_timeout=self.user_timeout,
            mark=self.mark,
            tos=self.tos,
            interface=self.interface,
            local_address=self.local_address,
            mptcp=self.mptcp,
            socket_options=self.socket_options,
            socket_factory=self.socket_factory,
        )
        # Several attempts cannot share one local port.
        one_port = any(map(settings.port_fixed, _FAMILIES))
        rules = Rules(
            attempt_delay=None if one_port else self.attempt_delay,
            resolution_delay=self.resolution_delay,
            first_family_count=self.first_family_count,
            max_in_flight=self.max_in_flight,
            attempt_timeout=self.attempt_timeout,
        )
        if isinstance(self.family, bool) or not isinstance(self.family, int):
            raise TypeError(f"family must be an address family, not {self.family!r}")
        if self.family not in (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6):
            raise ValueError(f"family must be AF_UNSPEC, AF_INET or AF_INET6, not {self.family!r}")
        for name in ("on_socket", "permit", "trace", "on_report"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise TypeError(f"{name} must be callable or None, not {value!r}")
        if not callable(getattr(self.resolver, "resolve", None)):
            raise TypeError(f"resolver must have a resolve() method, not {self.resolver!r}")
        # An iterable may yield but once.
        object.__setattr__(self, "local_address", settings.local_address)
        object.__setattr__(self, "socket_options", settings.socket_options)
        object.__setattr__(self, "_rules", rules)
        object.__setattr__(self, "_settings", settings)
        asked = (self.permit, self.on_socket, self.trace, self.on_report)
        unasked = all(each is None for each in asked) and self.family == socket.AF_UNSPEC
        object.__setattr__(self, "_unasked", unasked)

    def replace(self, **changes: Any) -> Self:
        """A dialer with these options, and the others as they are here.

        Raises:
            TypeError, ValueError: as on construction.
        """
        return replace(self, **changes)

    @overload
    async def connect(
        self,
        address: AddressLike | list[Any],
        *,
        timeout: float | None = None,
        deadline: Deadline | None = None,
        handshake: None = None,
    ) -> socket.socket: ...

    @overload
    async def connect(
        self,
        address: AddressLike | list[Any],
        *,
        timeout: float | None = None,
        deadline: Deadline | None = None,
        handshake: Callable[[socket.socket], Awaitable[T]],
    ) -> T: ...

    async def connect(
        self,
        address: AddressLike | list[Any],
        *,
        timeout: float | None = None,
        deadline: Deadline | None = None,
        handshake: Callable[[socket.socket], Awaitable[Any]] | None = None,
    ) -> Any:
        """Return the first connection that is established; every other socket is closed.

        Args:
            address: as for `aconnect`.
            timeout: seconds from now for everything; None for no limit of ours.
            deadline: the same as a `Deadline`.  Of both, the earlier counts.
            handshake: is awaited with a connected socket, inside the race: the first to succeed
                wins.  Handshakes run one at a time.  What one raises moves the race on to the
                next address.  It owns the socket while it runs; if it raises or is cancelled, the
                socket is closed, unless it has detached the descriptor.  A `Handshake` can say
                more of itself.

        Returns:
            The socket, as from `aconnect`; or what the handshake gave.

        Raises:
            TypeError, ValueError, RuntimeError: as `aconnect`.
            ResolveError: the name has no address, or the resolver failed.
            AddressNotPermitted: the policy permits none of the addresses.
            HandshakeError: a peer was reached, and the handshake failed.
            ConnectTimeout: there was no connection in time.
            ConnectError: no address could be connected to.

            After any of these, nothing is open or registered.  The error has the records of all
            attempts in ``attempts``, and a `Report` in ``report``.

        When cancelled, at any ``await``, everything is unregistered and closed before the
        cancellation leaves this call.  Cancellation beats success.

        Safe to call from any number of tasks, loops and threads.
        """
        if handshake is not None and not callable(handshake):
            raise TypeError(f"handshake must be callable or None, not {handshake!r}")
        target, endpoints = target_of(address)
        return await self.dial(target, endpoints, timeout, deadline, handshake)

    async def dial(
        self,
        target: Address | tuple[Any, ...],
        endpoints: list[Endpoint] | None,
        timeout: float | None,
        deadline: Deadline | None,
        handshake: Callable[[socket.socket], Awaitable[Any]] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> Any:
        """`connect`, to an address that has been looked at (`target_of`); not for users.

        Args:
            loop: the running loop of asyncio, if the socket is for a transport of its.
        """
        started = time.monotonic()
        until = earliest(timeout, deadline)
        driver = running_driver() if loop is None else driver_of(loop)
        if driver.checkpoint is not None:
            await driver.checkpoint()
        begun: Begun | None = None
        if self._unasked and handshake is None:
            bare = loop is not None and self._settings.plain
            opener = open_bare_socket if bare else self._settings.open
            result = begin_alone(endpoints, driver, opener)
            if isinstance(result, socket.socket):
                return result
            begun = result
        with begun or nullcontext():
            waits = begun is not None and begun.errno == errnos.EINPROGRESS
            if begun is not None and waits and self.attempt_timeout is None:
                try:
                    result = ended_alone(begun, await driver.wait_writable(begun.sock, until))
                except OSError:
                    pass  # the race will come across it as well
                else:
                    if isinstance(result, socket.socket):
                        return result
                    begun = result
            return await self.race(
                target,
                endpoints,
                driver=driver,
                started=started,
                until=until,
                begun=begun,
                handshake=handshake,
            )

    async def race(
        self,
        target: Address | tuple[Any, ...],
        endpoints: list[Endpoint] | None,
        *,
        driver: Driver,
        started: float,
        until: float,
        begun: Begun | None = None,
        handshake: Callable[[socket.socket], Awaitable[Any]] | None = None,
    ) -> Any:
        """The rest of `connect`, and of `aconnect`; not for users.

        Args:
            target: the address.
            endpoints: what it stands for, if that needs no resolver.
            driver: the running event loop.
            started: when the call began.
            until: when it must be over.
            begun: an attempt on the only endpoint.
            handshake: as for `connect`.
        """
        text = describe(target, endpoints or ())
        report = Report()
        emit = _emitter(report, guarded(self.trace), guarded(self.on_report, "on_report"))
        emit(DialStarted(started, text, until))
        rules = self._rules if handshake is None else replace(self._rules, handshake=True)
        permit = self.permit
        if handshake is not None and not isinstance(handshake, Handshake):
            handshake = Handshake(handshake)
        hooks = Hooks(
            open_socket=self._settings.open,
            port_fixed=self._settings.port_fixed,
            note=self._settings.note,
            permit=None if permit is None else lambda endpoint: permits(permit, endpoint),
            on_socket=self.on_socket,
            handshake=handshake,
            emit=emit,
        )
        # A race may always make its first start: what need not wait needs no time.
        now = time.monotonic()
        race: Race[Endpoint] = Race(rules, until=max(until, now + _A_START))
        # Only names have no endpoints.
        name = cast("TCPAddress | UDPAddress", target)
        resolution = Resolution(text, lambda: self.resolver.resolve(name), self.family, race, emit)
        dial = Dial(race, hooks, driver, resolution)
        try:
            endpoints = _known(target, endpoints, self.family, text, started)
            if endpoints is None and time.monotonic() >= until:
                raise resolve_timeout(text, target, time.monotonic() - started)
            result = await dial.run(endpoints, now, begun)
            if dial.winner is None:
                elapsed = time.monotonic() - started
                raise _error_of(dial, resolution, target, text, elapsed)
        except ConnectError as error:
            outcome: Any = "timed out" if isinstance(error, ConnectTimeout) else "failed"
            emit(DialFailed(time.monotonic(), outcome, error.errno, error.phase))
            error.report = report
            raise
        except BaseException:
            emit(DialCancelled(time.monotonic()))
            raise
        finally:
            # Their tracebacks lead to the dial.
            dial.errors.clear()
            resolution.error = None
        return result


_A_START: Final = 0.0005
_NOT_OF_THE_FAMILY: Final[int] = getattr(socket, "EAI_ADDRFAMILY", socket.EAI_NONAME)
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6, getattr(socket, "AF_UNIX", -1))


def _emitter(
    report: Report, trace: Trace | None, on_report: Callable[[Report], None] | None
) -> Callable[[Event], None]:
    if trace is None and on_report is None:
        return report

    def emit(event: Event) -> None:
        if trace is not None:
            trace(event)
        report(event)
        if on_report is not None and is_last(event):
            on_report(report)

    return emit


def _known(
    target: Any, endpoints: list[Endpoint] | None, family: int, text: str, started: float
) -> list[Endpoint] | None:
    """The endpoints of ``family`` that need no resolver; None if it takes one.

    Raises:
        ResolveError: there are none, and no resolver can help.
    """
    if endpoints is None and ":" in target.host:
        try:
            endpoints = [zoned_endpoint(target)]
        except OSError:
            said = "this machine has no network interface of that name"
            elapsed = time.monotonic() - started
            raise resolve_error(errnos.ENODEV, text, target, elapsed, said) from None
    if endpoints is None or family == socket.AF_UNSPEC:
        return endpoints
    kept = [endpoint for endpoint in endpoints if endpoint.family == family]
    if not kept:
        said = f"it is no address of the family {socket.AddressFamily(family).name}"
        raise resolve_error(errnos.EAFNOSUPPORT, text, target, time.monotonic() - started, said)
    return kept


def _error_of(
    dial: Dial, resolution: Resolution, target: Any, text: str, elapsed: float
) -> ConnectError:
    """The error for a dial that nobody has won."""
    if dial.records:
        numbers = sorted(dial.records)
        return attempts_error(
            [dial.records[number] for number in numbers],
            target,
            text,
            elapsed,
            causes=[dial.errors.get(number) for number in numbers],
            timed_out=dial.timed_out,
            untried=dial.untried,
        )
    if dial.timed_out:
        return resolve_timeout(text, target, elapsed)
    cause = resolution.error
    code, said = socket.EAI_NONAME, ""
    if cause is None and resolution.filtered:
        code = _NOT_OF_THE_FAMILY
    elif cause is not None and has_errno(cause):
        code = cause.errno or socket.EAI_FAIL
    elif cause is not None:
        name = type(cause).__name__
        code, said = socket.EAI_FAIL, f"the resolver failed: {name}: {words(cause)}"
    error = resolve_error(code, text, target, elapsed, said)
    error.__cause__ = cause
    return error


DEFAULT: Final = Dialer()
"""What `aconnect` dials with."""
