"""What a race is about: an endpoint; an endpoint of one host; or a route by way of proxies.

The host matters where a handshake depends on it, as TLS with its certificates does: an address
that two hosts share is then tried with each.

A route is the endpoint to connect to, and what each proxy on the way is asked for, which is an
endpoint, or a name that it looks up itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from ..addresses.values import Endpoint, TCPAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..addresses.target import Target
    from ..errors.errors import ConnectError
    from ..handshakes.base import Handshake
    from ..handshakes.proxies.wire import Ready
    from ..sansio.race import Command, Race
    from ..sansio.rules import Rules
    from ..trace import Event

__all__ = ["Commands", "Detour", "Known", "OfHost", "Route", "RouteOfHost", "Step", "Way"]

Step: TypeAlias = Endpoint | TCPAddress
Way: TypeAlias = "Endpoint | OfHost | Route"
Commands: TypeAlias = "list[Command[Way]]"
"""What a race asks for."""
Known: TypeAlias = "Callable[[Target, int, float, str], tuple[Endpoint, ...] | None]"
"""Gives the endpoints of a target that need no resolver."""


class OfHost(NamedTuple):
    """An endpoint, and the host that the handshake is with."""

    endpoint: Endpoint
    host: str | None

    @property
    def family(self) -> int:
        """The family of the endpoint."""
        return self.endpoint.family


class Route(tuple[Step, ...]):
    """The steps of one way to a target, from the endpoint that is connected to."""

    __slots__ = ()

    @property
    def endpoint(self) -> Endpoint:
        """What is connected to."""
        assert isinstance(self[0], Endpoint)
        return self[0]

    @property
    def family(self) -> int:
        """The family of that."""
        return self.endpoint.family

    @property
    def target(self) -> Endpoint | None:
        """What the last proxy is asked for, if its address is known here, and there is a proxy."""
        last = self[-1]
        return last if len(self) > 1 and isinstance(last, Endpoint) else None


class RouteOfHost(Route):
    """A route, and the host that the handshake is with: hosts may share an address."""

    host: str | None

    @classmethod
    def of(cls, steps: Iterable[Step], host: str | None) -> RouteOfHost:
        """The one by these steps."""
        route = cls(steps)
        route.host = host
        return route

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, RouteOfHost) and self.host == other.host
        return same and super().__eq__(other)

    def __ne__(self, other: object) -> bool:  # or it would be the tuple's
        return not self == other

    def __hash__(self) -> int:
        return hash((tuple(self), self.host))


class Detour(Protocol):
    """One dial by way of proxies, as the race and its attempts need it."""

    via: tuple[str, ...]
    """The proxies, the nearest first, as text."""
    rules: Rules
    """Of the race, in which every attempt has a handshake."""

    def begin(
        self,
        race: Race[Any],
        hosts: dict[Way, Target],
        emit: Callable[[Event], None],
        started: float,
        known: Known,
        by_host: bool,
        offered: dict[Way, tuple[int, str]],
    ) -> tuple[dict[int, list[Route]], list[Any]]:
        """The race begins.

        Args:
            race: is told of routes.
            hosts: gets the part of the target that each is of, if there are several.
            emit: is told of events; it raises nothing.
            started: when the call began.
            known: gives the endpoints of a target that need no resolver.
            by_host: whether the handshake depends on the host, so that an address that several
                share is tried with each.
            offered: is told which rank and which service endpoints of the target are of.

        Returns:
            All routes of each rank of which all is known; and the searches (`Resolution`) for
            the rest.

        Raises:
            AddressNotPermitted: there is a policy, and a proxy would look a name up.
            ResolveError: a proxy cannot be asked for an address of this family.
        """

    @property
    def pending(self) -> str:
        """A proxy's name that has not been resolved; empty if there is none."""

    def errors(self, unresolved: Callable[[Any], ConnectError]) -> dict[int, ConnectError]:
        """Why there is no route: by the rank of the target, or of a proxy alone."""

    def refusal(self, route: Route) -> tuple[int, Any] | None:
        """Ask the policies; None if all steps of a route may be taken, else which may not, and
        what has become of the attempt (`Lost`)."""

    def not_permitted(self, route: Route, step: int) -> list[Route]:
        """A policy has refused a step of a route.

        Returns:
            The routes that are not to be tried any more.
        """

    @property
    def only(self) -> Route | None:
        """The one route there is, if all of it is known, and nobody is to be asked about it."""

    def layers(self, route: Route, ready: Ready) -> tuple[Handshake[Any], ...]:
        """What has to be said on a route, when it is connected.

        Args:
            ready: waits for a socket.
        """

    def failed(
        self, route: Route, handshake: Handshake[Any] | None, error: Exception | None
    ) -> tuple[list[Route], bool]:
        """An attempt has failed, in a handshake or before it.

        Returns:
            The routes that are not to be tried any more; and whether there is nothing else to
            try.
        """
