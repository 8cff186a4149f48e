"""All routes of one dial: by which of a proxy's addresses, and to which of the target's.

Rules:

* The nearest proxy's address changes first, the target's last.
* The names of proxies and of the target are looked up side by side.  What is known of each comes
  from a `Side`; a route is there as soon as all its steps are.
* All routes to the addresses of a group are started before any to those of the next.
* What was found to be of no use, a proxy's address or a target, takes all its routes with it.
* Of a target that the last proxy cannot reach, with no other to be had, the dial is over.
"""

from __future__ import annotations

import errno as errnos
import socket
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from ..addresses.translated import Translated
from ..addresses.values import Endpoint
from ..sansio.negotiation import Refusal
from .ways import Route, RouteOfHost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..addresses.target import Target
    from ..sansio.race import Race
    from .ways import Commands, Step

__all__ = ["Routes", "Side", "is_taken"]

_MAPPED: Final = "::ffff:"


class Side:
    """What is known of one step: of a proxy, or of one part of the target.

    To a search it is what a race is: it is told what was found.

    Args:
        routes: is told of it, too.
        step: which one, from 0.
        rank: of a part of the target, which part; None for a proxy.
        target: what it is to be.
        ipv4_only: whether the proxy before it takes no other addresses.

    Attributes:
        found: the alternatives so far, best first.
        finished: whether there will be no more.
        refused: whether there were some that the proxy before it does not take.
    """

    def __init__(
        self, routes: Routes, step: int, rank: int | None, target: Target, ipv4_only: bool
    ) -> None:
        self.step = step
        self.rank = rank
        self.target = target
        self.found: list[Step] = []
        self.finished: bool = False
        self.refused: bool = False
        self._routes = routes
        self._ipv4_only = ipv4_only
        self._groups: dict[Step, int] = {}  # of those that are not of the first

    @property
    def over(self) -> bool:
        """Whether the race is."""
        return self._routes.race.over

    def add(self, steps: Iterable[Step]) -> None:
        """There are more."""
        for each in steps:
            if self.step and isinstance(each, Endpoint) and not is_taken(each, self._ipv4_only):
                self.refused = True
            elif each not in self.found:
                self.found.append(each)

    def _meant(self, endpoint: Endpoint) -> Endpoint:
        """What a proxy is asked for: the translator of an address is ours, and not the proxy's."""
        return endpoint.ipv4 if self.step and isinstance(endpoint, Translated) else endpoint

    def group(self, step: Step) -> int:
        """Which group it is of, by what was said last."""
        return self._groups.get(step, 0)

    def addresses_added(
        self,
        now: float,
        endpoints: Sequence[Endpoint],
        _: int,
        *,
        order: Sequence[Endpoint] = (),
        group: int = 0,
        awaiting: Iterable[Any] | None = None,
    ) -> Commands:
        meant = [*map(self._meant, endpoints)]
        for each in meant:
            if group or each in self._groups:
                self._groups[each] = group
        self.add(meant)
        places: dict[Step, int] = {self._meant(each): place for place, each in enumerate(order)}
        if places or self._groups:
            self.found.sort(key=lambda each: (self.group(each), places.get(each, -1)))
        return self._routes.found(now, self, None if self.step else awaiting)

    def addresses_withdrawn(self, now: float, endpoints: Iterable[Endpoint]) -> Commands:
        gone: list[Route] = []
        for each in map(self._meant, endpoints):
            if each in self.found:
                self.found.remove(each)
                gone += self._routes.withdraw(self.step, each)
        return self._routes.race.addresses_withdrawn(now, gone)

    def family_answered(self, now: float, family: int, _: int) -> Commands:
        return [] if self.step else self._routes.answered(now, family, self.rank)

    def rank_finished(self, now: float, _: int) -> Commands:
        self.finished = True
        return self._routes.finished(now)


class Routes:
    """All routes of one dial.

    Args:
        hops: the proxies; none if the target itself is connected to.
        target: the target.
        ipv4_only: of each proxy, whether it can be asked for IPv4 addresses only.

    Attributes:
        hops: a side for each proxy.
        parts: a side for each part of the target.
        race: is told of the routes; there is none before `begin`.
    """

    race: Race[Any]

    def __init__(self, hops: Sequence[Target], target: Target, ipv4_only: Sequence[bool]) -> None:
        limits = [False, *ipv4_only]
        self.hops: Final = [
            Side(self, step, None, each, limits[step]) for step, each in enumerate(hops)
        ]
        last = len(hops)
        self.parts: Final = [
            Side(self, last, rank, part, limits[last]) for rank, part in enumerate(target.parts)
        ]
        self._rank_of: dict[Route, int] = {}
        self._finished: set[int] = set()
        self._useless: set[tuple[int, Any]] = set()  # steps, and families of steps
        self._claim: Callable[[Route, Target], object] | None = None
        self._by_host = False

    def begin(
        self,
        race: Race[Any],
        claim: Callable[[Route, Target], object] | None,
        by_host: bool = False,
    ) -> dict[int, list[Route]]:
        """The race begins.

        Args:
            race: is told of routes.
            claim: is told which part of the target a route is of; None if there is but one.
            by_host: whether an address that several parts share is tried with each.

        Returns:
            All routes of each rank of which all is known.
        """
        self.race = race
        self._claim = claim
        self._by_host = by_host
        known = {}
        for side in self.parts:
            if self._all_known(side):
                assert side.rank is not None
                self._finished.add(side.rank)
                known[side.rank] = self._of(side)
        return known

    def found(self, now: float, side: Side, awaiting: Iterable[Any] | None = None) -> Commands:
        """There is more of a side; or, of what is connected to, something else is awaited."""
        commands: Commands = []
        for part in self.parts if side.rank is None else [side]:
            assert part.rank is not None
            groups: dict[int, list[Route]] = {}
            for route in self._of(part):
                groups.setdefault(part.group(route[-1]), []).append(route)
            if awaiting is not None and not groups:
                groups[0] = []
            for group, routes in groups.items():  # the first group comes first
                commands += self.race.addresses_added(
                    now, routes, part.rank, order=routes, group=group, awaiting=awaiting
                )
        return commands

    def answered(self, now: float, family: int, rank: int | None) -> Commands:
        """Nothing more will come for a family of what is connected to."""
        commands: Commands = []
        for each in range(len(self.parts)) if rank is None else [rank]:
            commands += self.race.family_answered(now, family, each)
        return commands

    def finished(self, now: float) -> Commands:
        """A side has told all."""
        commands: Commands = []
        for side in self.parts:
            assert side.rank is not None
            if side.rank not in self._finished and self._all_known(side):
                self._finished.add(side.rank)
                commands += self.race.rank_finished(now, side.rank)
        return commands

    def withdraw(self, step: int, useless: Any) -> list[Route]:
        """A step is not to be tried any more, or a family of a step.

        Returns:
            The routes with it.
        """
        self._useless.add((step, useless))
        return [route for route in self._rank_of if useless in (route[step], _family(route[step]))]

    def failed(self, route: Route, hop: int, error: Exception | None) -> list[Route]:
        """An attempt has failed.

        Args:
            hop: the proxy whose part it was, from 0; also for what could not be connected to.
            error: why; None if it could not be connected to.

        Returns:
            The routes that are not to be tried any more.
        """
        if not isinstance(error, Refusal) or error.about == "address":
            return self.withdraw(hop, route[hop])
        if error.about == "proxy":
            return []
        asked = route[hop + 1]
        gone = self.withdraw(hop + 1, asked)
        if error.errno == errnos.EAFNOSUPPORT and isinstance(asked, Endpoint):
            gone += self.withdraw(hop + 1, asked.family)
        return gone

    def is_last(self, hop: int) -> bool:
        """Whether there is nothing else that a proxy could be asked for."""
        sides = self.hops[hop + 1 : hop + 2] or self.parts
        return all(side.finished and not any(map(self._may_be, *_steps(side))) for side in sides)

    def _may_be(self, step: int, each: Step) -> bool:
        return self._useless.isdisjoint({(step, each), (step, _family(each))})

    def _all_known(self, part: Side) -> bool:
        return all(side.finished for side in (*self.hops, part))

    def _of(self, part: Side) -> list[Route]:
        """The routes to a part of the target, best first."""
        assert part.rank is not None
        sides = [part, *reversed(self.hops)]
        lists = [[each for each in side.found if self._may_be(side.step, each)] for side in sides]
        routes = []
        for steps in product(*lists):
            route = Route(reversed(steps))
            if self._by_host:
                route = RouteOfHost.of(route, part.target.host)
            if self._rank_of.setdefault(route, part.rank) == part.rank:
                routes.append(route)
                if self._claim is not None:
                    self._claim(route, part.target)
        return routes


def is_taken(endpoint: Endpoint, ipv4_only: bool) -> bool:
    """Whether a proxy can be asked for it."""
    if endpoint.family == socket.AF_INET:
        return True
    if endpoint.family != socket.AF_INET6 or any(endpoint.sockaddr[2:]):  # a zone of ours
        return False
    return not ipv4_only or str(endpoint.sockaddr[0]).lower().startswith(_MAPPED)


def _steps(side: Side) -> tuple[list[int], list[Step]]:
    return [side.step] * len(side.found), side.found


def _family(step: Step) -> int:
    return step.family if isinstance(step, Endpoint) else -1
