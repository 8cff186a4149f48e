"""What a dial through proxies needs: its plan, its routes, and what is said on the way.

Rules:

* What is permitted is asked of targets, and by ``permit_proxy`` of proxies, before a socket is
  opened for a route.  Nobody can be asked about a name that a proxy looks up: where there is a
  policy, that is refused before anything is done.
* What cannot be asked of a proxy (a datagram, a unix socket, a zone of this host's) is a
  ValueError before anything is done.
* There is no way around the proxy.  There is one around the race, where there is but one route,
  of which all is known, and no policy.
* TLS to a proxy leads to no socket, so who wants one is refused.
* Whoever says which proxy it is to be is asked once for a dial, before anything is looked up.
"""

from __future__ import annotations

import errno as errnos
import socket
from typing import TYPE_CHECKING, Any, Final, cast

from ..addresses.literal import has_named_zone
from ..addresses.service_addresses import SRVAddress
from ..addresses.text import format_sockaddr
from ..addresses.values import Endpoint, TCPAddress
from ..errors.errors import ResolveError
from ..errors.making import not_permitted, resolve_error
from .chains import IPV4_ONLY, Chain, chain_of, checked, is_by_name, known_step
from .plan import NONE, Plan
from .preparation import Lost, judged
from .resolution import Resolution
from .routes import Routes
from .ways import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..addresses.target import Target
    from ..errors.errors import ConnectError
    from ..handshakes.base import Handshake
    from ..handshakes.proxies.wire import Ready
    from ..proxies.values import Proxy
    from ..resolvers.system import SystemResolver
    from ..sansio.race import Race
    from ..sansio.rules import Rules
    from ..trace import Event
    from .routes import Side
    from .ways import Known, Step, Way

__all__ = ["Proxied", "ProxiedPlan"]

_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)


class ProxiedPlan(Plan):
    """The plan of a dialer that has the option ``proxy``.

    Attributes:
        proxy: what `checked` has given.
        permit_proxy: whether a proxy's endpoint may be connected to; None for yes.
        shaking_rules: of the race, in which every attempt has a handshake.
    """

    def __init__(
        self, *, proxy: Any, permit_proxy: Callable[[Endpoint], bool] | None, **others: Any
    ) -> None:
        super().__init__(**others)
        self.quick_family: int = NONE
        self.looks_up: SystemResolver | None = None
        self.proxy: Any = proxy
        self.permit_proxy: Callable[[Endpoint], bool] | None = permit_proxy
        self.shaking_rules: Rules = self.rules.replace(handshake=True)
        self._chain: Chain | None = None if callable(proxy) else chain_of(proxy)

    def detour(self, target: Target, streams: bool) -> Proxied | None:
        """The way by proxies to ``target``; None for a direct one.

        Raises:
            TypeError, ValueError: a proxy cannot be asked for it, or what was asked for a proxy
                gave none; or there is TLS to one, and it is a socket that is wanted.
            Exception: whatever was raised by what was asked for a proxy.
        """
        chain = self._asked(target) if self._chain is None else self._chain
        if chain is None:
            return None
        if not streams and chain.over_tls is not None:
            raise ValueError(
                f"{chain.over_tls} cannot be used here: a tunnel through TLS to a proxy is not a "
                "socket; use open_connection(), create_connection(), open_stream() or "
                "open_trio_stream(), or an http:// proxy"
            )
        return Proxied(self, chain, target)

    def _asked(self, target: Target) -> Chain | None:
        asked = dict.fromkeys(map(_asked_of, target.parts))
        answers = [self.proxy(each) for each in asked]
        if any(each != answers[0] for each in answers):
            raise ValueError(
                f"proxy must be the same for all hosts of one dial, but is not for {target}"
            )
        if answers[0] is None:
            return None
        found = answers[0]
        if callable(found) or hasattr(found, "__await__"):
            raise TypeError(
                "proxy must return a proxy or None, not what is to be called or awaited: "
                f"{type(found).__name__}"
            )
        return chain_of(checked(found))


def _asked_of(part: Target) -> Any:
    """What a callable is asked with: an address; of a list of results, the first one's."""
    if isinstance(part.address, tuple):
        assert part.endpoints is not None
        first = part.endpoints[0]
        if first.family in _INTERNET and first.type == socket.SOCK_STREAM:
            return TCPAddress(str(first.sockaddr[0]), cast("Any", first.sockaddr[1]))
    return part.address


class Proxied:
    """One dial through proxies; a `Detour`.

    Args:
        plan: the dialer's.
        chain: the proxies.
        target: what is to be connected to.

    Raises:
        ValueError: a proxy cannot be asked for that.

    Attributes:
        via: the proxies, as text.
        rules: of the race.
    """

    def __init__(self, plan: ProxiedPlan, chain: Chain, target: Target) -> None:
        self._hops = chain.hops
        for part in target.parts:
            _check(part, bool(self._hops))
        self.via: tuple[str, ...] = chain.via
        self.rules: Rules = plan.shaking_rules
        self._plan = plan
        self._chain = chain
        self._tls = chain.tls()
        self._target = target
        self._searches: list[tuple[Resolution, Side]] = []

    @property
    def only(self) -> Route | None:
        plan, chain, target = self._plan, self._chain, self._target
        asks = plan.permit is not None or plan.permit_proxy is not None
        if asks or len(target.parts) > 1 or target.refused or chain.over_tls is not None:
            return None
        last = known_step(target, self._hops[-1] if self._hops else None)
        if last is None or chain.known is None:
            return None
        route = Route((*chain.known, last))
        return route if plan.family in (socket.AF_UNSPEC, route.family) else None

    def begin(
        self,
        race: Race[Any],
        hosts: dict[Way, Target],
        emit: Callable[[Event], None],
        started: float,
        known: Known,
        by_host: bool,
        offered: dict[Way, tuple[int, str]],
    ) -> tuple[dict[int, list[Route]], list[Resolution]]:
        chain, target = self._chain, self._target
        self._routes = routes = Routes(chain.targets, target, chain.ipv4_only)
        for side in (*routes.hops, *routes.parts):
            before = self._hops[side.step - 1] if side.step else None
            if before is not None and is_by_name(before, side.target):
                self._check_policy(side, started)
                side.add([cast("Step", side.target.address)])
                side.finished = True
                continue
            family = self._plan.family if side.step == 0 else socket.AF_UNSPEC
            what = "the proxy " if side.rank is None else ""
            try:
                endpoints = known(side.target, family, started, what)
                if endpoints is None:
                    self._searches.append((self._search(side, family, emit, offered), side))
                    continue
                side.add(endpoints)
                side.finished = True
                if not side.found:
                    said = _not_taken(before)
                    raise resolve_error(errnos.EAFNOSUPPORT, side.target, 0.0, said, what)
            except ResolveError as error:
                error.address = target.address
                raise
        several = len(routes.parts) > 1
        claim = hosts.setdefault if several else None
        return routes.begin(race, claim, by_host), [search for search, _ in self._searches]

    def _search(
        self,
        side: Side,
        family: int,
        emit: Callable[[Event], None],
        offered: dict[Way, tuple[int, str]],
    ) -> Resolution:
        race, rank, told = cast("Any", side), side.rank or 0, None
        of: Any = "proxy"
        if side.rank is not None:
            of, told = "target", offered
        plan, target = self._plan, side.target
        return Resolution(plan, target, rank, race, None, emit, family, of, offered=told)

    def _check_policy(self, side: Side, started: float) -> None:
        """See that nobody's policy is passed by.

        Raises:
            AddressNotPermitted: it would be.
        """
        is_hop = side.rank is None
        if (self._plan.permit_proxy if is_hop else self._plan.permit) is None:
            return
        proxy, option = self._hops[side.step - 1], "permit_proxy" if is_hop else "permit"
        said = (
            f"{option} cannot judge the name {side.target.text}, which {proxy} would look up: "
            'give that proxy dns="local"'
        )
        raise not_permitted(self._target, said, started)

    @property
    def pending(self) -> str:
        waiting = (side for _, side in self._searches if side.rank is None and not side.found)
        return next((f"the proxy {side.target.text}" for side in waiting), "")

    def errors(self, unresolved: Callable[[Resolution], ConnectError]) -> dict[int, ConnectError]:
        found: dict[int, ConnectError] = {}
        for search, side in self._searches:
            if side.found:
                continue
            error = unresolved(search)
            if side.refused and search.error is None:
                said = _not_taken(self._hops[side.step - 1])
                error = resolve_error(errnos.EAFNOSUPPORT, side.target, error.elapsed, said)
            error.address = self._target.address
            if side.rank is None:
                return {0: error}
            found[side.rank] = error
        return found

    # What the attempts of the race need.

    def refusal(self, route: Route) -> tuple[int, Lost] | None:
        last = len(route) - 1
        for step, each in enumerate(route):
            policy = self._plan.permit if step == last else self._plan.permit_proxy
            if policy is None or not isinstance(each, Endpoint):
                continue
            name = f" {format_sockaddr(each.family, each.sockaddr)}"
            lost = judged(policy, each, name if step == last else f" the proxy{name}")
            if lost is not None:
                return step, lost
        return None

    def layers(self, route: Route, ready: Ready) -> tuple[Handshake[Any], ...]:
        return self._chain.layers(route, self._tls, ready)

    def not_permitted(self, route: Route, step: int) -> list[Route]:
        return self._routes.withdraw(step, route[step])

    def failed(
        self, route: Route, handshake: Handshake[Any] | None, error: Exception | None
    ) -> tuple[list[Route], bool]:
        if handshake is None:
            return self._routes.failed(route, 0, None), False
        hop = getattr(handshake, "hop", None)
        if hop is None:
            return [], False  # it is not with a proxy, and another route may do better
        gone = self._routes.failed(route, hop, error)
        about = getattr(error, "about", "address")
        return gone, about == "target" and self._routes.is_last(hop)


def _check(part: Target, by_proxy: bool) -> None:
    """See that a proxy can be asked for it; or, without one, that it can be told a header.

    Raises:
        ValueError: it cannot.
    """
    if not by_proxy:
        if part.type != socket.SOCK_STREAM:
            raise ValueError(f"the PROXY protocol needs a stream socket, and {part.text} is none")
        return
    if part.type != socket.SOCK_STREAM or not (
        isinstance(part.address, (TCPAddress, SRVAddress))
        or all(each.family in _INTERNET for each in part.endpoints or ())
    ):
        raise ValueError(f"a proxy can reach TCP addresses only, not {part.text}")
    zoned = isinstance(part.address, TCPAddress) and "%" in part.address.host
    for each in part.endpoints or ():
        zoned |= has_named_zone(each) or any(each.sockaddr[2:])
    if zoned:
        raise ValueError(
            f"a proxy cannot reach an address with a zone or a flow label: {part.text}"
        )


def _not_taken(proxy: Proxy | None) -> str:
    if proxy is not None and proxy.scheme in IPV4_ONLY:
        return f"{proxy} speaks SOCKS4, which has IPv4 addresses only"
    return f"{proxy} cannot be asked for an address with a zone or a flow label"
