"""What every dial of a `Dialer` is made with: its options, checked; nothing of any one dial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from ..report.capture import captures
from ..report.report import Report
from ..resolvers.base import Resolver
from ..resolvers.system import SystemResolver
from ..sockets.syscalls import SYSTEM_CALLS, open_bare_socket

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Self

    from ..addresses.target import Target
    from ..addresses.values import Endpoint
    from ..sansio.rules import Rules
    from ..sockets.settings import SocketSettings
    from ..trace import Trace
    from .entrance import Entrance
    from .history import Past
    from .ways import Detour

__all__ = ["NONE", "Plan", "check_empty", "check_report"]

NONE: Final = -1
"""No address family: the quick way is open for none."""


class Waited(Resolver, Protocol):
    """A lookup that has been waited for before there was anybody to tell of it, as a resolver."""

    since: float
    done: float


class Plan:
    """What a dial is made with, besides its address.

    Attributes:
        rules: of the race.
        settings: of the sockets.
        family: the address family to keep to; AF_UNSPEC for any.
        quick_family: that for which the quick way is open; AF_UNSPEC for any.
        resolver: finds the addresses of a name.
        entrance: what a target has to pass, and where it may lead; None if there is nothing.
        permit: whether an endpoint may be connected to; None for yes.
        on_socket: is called with each socket before it connects, and may be asynchronous.
        trace, on_report: want to be told.
        open: opens a socket for an endpoint, with all its settings.
        open_bare: the same for a transport of asyncio's, which sets TCP_NODELAY itself.
        report: what is told of one dial, before anybody else; None for a new one.
        asks: whether anybody is asked before a socket connects.
        known, forget, translate: of the resolver, if it has these; see `recall` and `translating`.
        lends: whether somebody else has a socket before it connects, and may connect it.
        tells: whether anybody is told of what happens.
        past_of: gives what earlier dials have shown that counts for one, if anything; None for
            never.
        looks_up: the resolver, if it is the system's and has one answer; see `look_up`.
        waited: of one dial, whose lookup has been waited for.
    """

    def __init__(
        self,
        *,
        rules: Rules,
        settings: SocketSettings,
        family: int,
        resolver: Resolver,
        permit: Callable[[Endpoint], bool] | None,
        on_socket: Callable[[socket.socket, Endpoint], object] | None,
        trace: Trace | None,
        on_report: Callable[[Report], object] | None,
        entrance: Entrance | None = None,
        past_of: Callable[[Target, Rules], Past | None] | None = None,
    ) -> None:
        self.rules: Rules = rules
        self.settings: SocketSettings = settings
        self.family: int = family
        self.quick_family: int = family if past_of is None else NONE
        self.resolver: Resolver = resolver
        self.permit: Callable[[Endpoint], bool] | None = permit
        self.on_socket: Callable[[socket.socket, Endpoint], object] | None = on_socket
        self.trace: Trace | None = trace
        self.on_report: Callable[[Report], object] | None = on_report
        self.entrance: Entrance | None = entrance
        self.report: Report | None = None
        self.past_of: Callable[[Target, Rules], Past | None] | None = past_of
        self.looks_up: SystemResolver | None = None
        if type(resolver) is SystemResolver and not resolver.by_family:
            self.looks_up = resolver
        self.waited: Waited | None = None
        self.known: Callable[[Any], Any] | None = getattr(resolver, "known", None)
        self.forget: Callable[[Any], Any] | None = getattr(resolver, "forget", None)
        self.translate: Callable[[Any], Any] | None = getattr(resolver, "translate", None)
        self.asks: bool = permit is not None or on_socket is not None
        self.lends: bool = on_socket is not None or settings.socket_factory is not None
        self.tells: bool = trace is not None or on_report is not None
        self.open: Callable[[Endpoint], socket.socket] = settings.open
        self.open_bare: Callable[[Endpoint], socket.socket] = settings.open
        if settings.plain and settings.system_calls is SYSTEM_CALLS:
            self.open_bare = open_bare_socket

    def reporting(self, report: Report) -> Plan:
        """The plan of one dial, which ``report`` is told of.

        Raises:
            TypeError: it is not a report.
            ValueError: it is that of another dial.
        """
        check_report(report)
        trace = None if self.trace is report else self.trace  # which would be told twice
        return self.having(report=report, tells=True, trace=trace)

    def after(self, waited: Waited) -> Plan:
        """The plan of one dial, whose lookup has been waited for."""
        return self.having(resolver=waited, waited=waited)

    def having(self, **attributes: object) -> Self:
        """The plan of one dial, with some attributes of its own; quicker than `copy.copy`."""
        plan = object.__new__(type(self))
        plan.__dict__.update(self.__dict__, **attributes)
        return plan

    def captured(self) -> Plan:
        """The plan of one dial, where there is a `capture`."""
        if not (here := captures()):
            return self
        report = self.report or Report()
        plan = self.reporting(report)
        for reports in here:
            reports.append(report)
        return plan

    def limit(self, start: float, until: float) -> float:
        """The moment by which an attempt, or a handshake, that begins at ``start`` must end."""
        own = self.rules.attempt_timeout
        return until if own is None else min(until, start + own)

    def detour(self, target: Target, streams: bool) -> Detour | None:  # noqa: ARG002
        """The way by proxies to ``target``; None for a direct one.

        Args:
            streams: whether what comes of it may be a `Tunnel` in place of a socket.
        """
        return None


def check_report(report: Report | None) -> None:
    """See that what a call is given can be its report.

    Raises:
        TypeError: it is neither a report nor None.
        ValueError: it has a dial.
    """
    if report is None:
        return
    if not isinstance(report, Report):
        raise TypeError(f"report must be a Report or None, not {report!r}")
    check_empty(report)


def check_empty(report: Report) -> None:
    """See that a report has no dial yet.

    Raises:
        ValueError: it has.
    """
    if report.events:
        raise ValueError(f"report must be a new Report, as each holds one dial, not {report!r}")
