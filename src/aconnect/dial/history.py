"""What dials learn from earlier ones: the order of addresses, and how long each is waited for.

What is kept, and what follows from it, is `aconnect.sansio.history`.

Rules:

* It has a say in order and delays, and in nothing else: every address is still tried.
* A dial teaches when it is over, and not if it was cancelled.  What a policy refused teaches
  nothing.
* What somebody has put in order by himself, a list of addresses, keeps its order.
* Nothing is written anywhere.
* Dials by way of proxies neither learn nor teach.
"""

from __future__ import annotations

import errno as errnos
import socket
import time
from math import inf, isfinite
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from ..addresses.redirects import canonical
from ..resolvers.answers import in_order
from ..resolvers.clock import uptime
from ..sansio.history import Observed, by_round_trip
from ..sansio.value import plain
from ..sockets.datagrams import source_addresses
from ..trace import AttemptEnded, AttemptStarted, DialConnected

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from ..addresses.target import Target
    from ..addresses.values import Endpoint
    from ..resolvers.answers import Sources
    from ..sansio.rules import Rules
    from ..trace import Event
    from .ways import Way

__all__ = ["History", "Past", "past_of"]

_LOOK_AGAIN: Final = 5.0
"""Seconds for which the kernel is not asked again which network this is."""
_PATIENCE: Final = 0.25
"""Seconds of silence that say something, where attempts are made one by one."""
_NO_ROUTE: Final = (errnos.ENETUNREACH, errnos.EHOSTUNREACH, errnos.EADDRNOTAVAIL)
_OTHER: Final[dict[int, int]] = {socket.AF_INET: socket.AF_INET6, socket.AF_INET6: socket.AF_INET}


class History:
    """What dials have learned about addresses, for ``Dialer(history=)``: round trips, and families
    that do not work here.

    Of addresses that are otherwise equal the quicker comes first, and one that has been used
    before one that has not.  How long an address is waited for, before the next one starts,
    depends on its own round trip.  Where IPv6 is broken, IPv4 goes first for that name, and after
    three names for all.  It decides on order and delays, never on who may be dialled; and once in
    ``expires``, the dial of each name ignores it.

    It is kept for each network apart, in this object and nowhere else: dialers that share one
    learn from each other, and others do not.  A list of addresses keeps its order, and dials by
    way of proxies take no part.

    Args:
        names: how many names are remembered; and four times as many addresses.
        expires: seconds after which what has been learned no longer counts.
        network: gives what identifies the network that this machine is on, hashable; None for
            the source addresses that the kernel would use, asked every five seconds at the most.
            If it raises, or gives something else, that dial neither learns nor teaches.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument has an invalid value.

    Safe to use from several threads.

    Source: RFC 8305 section 4; draft-ietf-happy-happyeyeballs-v3 section 5.3.
    """

    def __init__(
        self,
        names: int = 1024,
        expires: float = 600.0,
        *,
        network: Callable[[], Hashable] | None = None,
    ) -> None:
        if isinstance(names, bool) or not isinstance(names, int):
            raise TypeError(f"names must be an int, not {names!r}")
        if names < 1:
            raise ValueError(f"names must be at least 1, not {names!r}")
        if isinstance(expires, bool) or not isinstance(expires, (int, float)):
            raise TypeError(f"expires must be a number of seconds, not {expires!r}")
        if not (isfinite(expires) and expires > 0):
            raise ValueError(f"expires must be finite and more than 0, not {expires!r}")
        if network is not None and not callable(network):
            raise TypeError(f"network must be callable or None, not {network!r}")
        self._names: Final[int] = plain(names)
        self._expires: Final[float] = plain(expires)
        self._network_of = network
        self._network: Hashable = None
        self._looked = -inf
        self._observed = Observed(self._names, self._expires)
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(names={self._names}, expires={self._expires})"

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._observed.clear()

    def _here(self) -> Hashable:
        """What identifies the network; `_NOWHERE` if that cannot be told."""
        if self._network_of is None:
            now = time.monotonic()
            if now - self._looked >= _LOOK_AGAIN:
                # In this order, for whoever looks meanwhile in another thread.
                self._network, self._looked = source_addresses(), now
            return self._network
        try:
            network = self._network_of()
            hash(network)
        except Exception:
            return _NOWHERE
        return network


_NOWHERE: Final = object()


def past_of(history: History, target: Target, rules: Rules) -> Past | None:
    """What is known for a dial, which begins; None if it is to have nothing to do with that."""
    network = history._here()
    if network is _NOWHERE:
        return None
    is_name = target.is_name and len(target.parts) == 1
    name = canonical(target.host or "") if is_name else target.text
    with history._lock:
        counts = history._observed.begin(network, name, uptime())
    return Past(history, network, name, rules, is_name=is_name, counts=counts)


class Past:
    """What is known for one dial, and what it teaches.

    Args:
        history: where that is kept.
        network: which one this is.
        name: what is dialled.
        rules: of its race.
        is_name: whether that is a name, for a resolver.
        counts: whether it may go by what is known.

    Attributes:
        prefer: the family that is to come first; None for that of the first address.
    """

    def __init__(
        self,
        history: History,
        network: Hashable,
        name: str,
        rules: Rules,
        *,
        is_name: bool,
        counts: bool,
    ) -> None:
        self._observed = history._observed
        self._lock = history._lock
        self._network = network
        self._name = name
        self._is_name = is_name
        self._counts = counts
        self._patience = rules.attempt_delay or _PATIENCE
        self.prefer: int | None = rules.prefer
        if self.prefer is None and counts and is_name:
            with self._lock:
                avoided = self._observed.avoided(network, name, uptime())
            self.prefer = None if avoided is None else _OTHER[avoided]

    def delay_of(self, way: Way) -> float | None:
        """Seconds for which the next address waits for one; None if nothing is known of that."""
        endpoint: Any = getattr(way, "endpoint", way)
        if not self._counts:
            return None
        with self._lock:
            known = self._observed.known(self._network, _key(endpoint), uptime())
        return None if known is None else known.delay

    def in_order(
        self,
        endpoints: Iterable[Endpoint],
        *,
        is_sorted: bool = False,
        sources: Sources | None = None,
    ) -> list[Endpoint]:
        """Endpoints of a name, best first.

        Args:
            is_sorted: whether somebody has sorted them, as RFC 6724 has it.
            sources: as for `resolvers.answers.in_order`.
        """
        places_of = self._places if self._counts else None
        return in_order([*endpoints], places_of, is_sorted, sources)

    def _places(self, endpoints: list[Endpoint]) -> list[int]:
        now = uptime()
        with self._lock:
            return by_round_trip(
                [self._observed.known(self._network, _key(each), now) for each in endpoints]
            )

    def learn(self, events: Iterable[Event]) -> None:
        """The dial is over, and was not cancelled.

        Args:
            events: all that has happened.
        """
        started: dict[int, AttemptStarted] = {}
        ended: dict[int, AttemptEnded] = {}
        won: DialConnected | None = None
        for event in events:
            if isinstance(event, AttemptStarted) and _teaches(event.endpoint):
                started[event.attempt] = event
            elif isinstance(event, AttemptEnded):
                if event.outcome == "not permitted":
                    started.pop(event.attempt, None)
                ended[event.attempt] = event
            elif isinstance(event, DialConnected):
                won = event
        with self._lock:
            self._learn(started, ended, won, uptime())

    def _learn(
        self,
        started: dict[int, AttemptStarted],
        ended: dict[int, AttemptEnded],
        won: DialConnected | None,
        now: float,
    ) -> None:
        observed, network = self._observed, self._network
        useless = True  # the family that went first
        first = next(iter(started.values()), None)
        for number, start in started.items():
            end = ended.get(number)
            key, family = _key(start.endpoint), start.endpoint.family
            if end is not None and end.outcome == "connected":
                observed.connected(network, key, end.time - start.time, now)
                observed.family_works(network, self._name, family, now)
                says_nothing = False
            elif end is not None and end.outcome == "failed":
                observed.failed(network, key)
                says_nothing = end.errno in _NO_ROUTE
            else:
                says_nothing = won is not None and won.time - start.time >= self._patience
                if says_nothing:
                    observed.failed(network, key)
                says_nothing |= start is not first  # it was given no time, and it was not first
            if first is not None and family == first.endpoint.family:
                useless &= says_nothing
        if won is None or first is None or won.attempt not in started or not self._is_name:
            return
        if useless and started[won.attempt].endpoint.family != first.endpoint.family:
            observed.family_silent(network, self._name, first.endpoint.family, now)


def _teaches(endpoint: Endpoint) -> bool:
    return endpoint.type == socket.SOCK_STREAM and endpoint.family in _OTHER


def _key(endpoint: Endpoint) -> Hashable:
    """The address, with its zone; of any port."""
    return (endpoint.sockaddr[0], *endpoint.sockaddr[3:])
