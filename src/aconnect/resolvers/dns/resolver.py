"""The resolver that asks name servers itself.

Rules:

* A name that is this machine's business (`names.py`) is asked of nobody; one that is the system's
  goes to ``system``.
* Candidates of the search list follow one another; the next is looked up when the one before has
  no address of any family.
* Answers are passed on as they come, unsorted: the dial sorts them together.  The first batch is
  empty, and says which family is worth waiting for: IPv6, unless only IPv4 has a route.
* What is remembered belongs to a network: another one sees nothing of it.
* A failure is remembered, too, for a moment that doubles (RFC 9520); a question that fails is not
  put again before.

Sources: resolv.conf(5), nsswitch.conf(5), hosts(5); RFC 2308, RFC 6761, RFC 8767, RFC 9520.
"""

from __future__ import annotations

import socket
from contextlib import aclosing
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Final, Literal
from weakref import WeakValueDictionary

from ...addresses.redirects import canonical
from ...addresses.service_addresses import ServiceAddress, SRVAddress
from ...drivers.select import running_driver
from ..answers import Explained, endpoints_for, in_order
from ..base import Batch, for_family
from ..clock import uptime
from ..system import SystemResolver
from .addresses import FAMILIES, look_up
from .arguments import check_others, preferences_of, settings_of
from .asking import Asking
from .cache import DnsCache
from .names import (
    business_of,
    candidates_of,
    files_last,
    is_loopback,
    is_systems,
    of_known_zones,
    without_records,
    words_of,
)
from .nat64 import Translator, prefixes_of
from .services import Services, web_ports
from .surroundings import NOWHERE, Surroundings
from .telling import of_hosts, of_system
from .wire import Question, require

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Iterable

    from ...addresses.values import Endpoint, TCPAddress, UDPAddress
    from ...drivers.base import Driver
    from ...sansio.memory import Entry
    from ..base import Resolver
    from .cache import Answer
    from .lookup import Found, Lookup
    from .machine import Machine
    from .nat64 import Translation

__all__ = ["DnsCache", "DnsResolver"]

_SERVICES: Final = (ServiceAddress, SRVAddress)


class DnsResolver:
    """Asks name servers over UDP, and over TCP where it must, on the event loop and in no thread.

    Each answer is passed on when it is there, and kept for as long as it says.  Needs dnspython,
    for its messages: the extra ``dns``.

    Args:
        servers: name servers: ``"192.0.2.53"``, ``"192.0.2.53:5300"``, ``"[2001:db8::53]:53"`` or
            ``(host, port)``; None for those of resolv.conf(5).
        search: domains in which a name with few dots is looked up as well; None as resolv.conf(5)
            has it.
        ndots: how many dots a name has at the least that is looked up as it is at first.
        timeout: seconds for which each server is waited for, each time.
        attempts: how often each server is asked, at the most.
        hosts: whether /etc/hosts counts.
        cache: what is remembered, and where; None for nothing.  Several resolvers may share one.
        ports: says of a port to which a record leads whether it may be dialled.
        prefer: which services come first, whatever their priorities: those with a protocol of the
            first group, then of the next; "ech" stands for those with an Encrypted Client Hello.
        system: the resolver for names that are not DNS's: those below ``local``, and where
            nsswitch.conf(5) names a source that is not understood; None for none.
        network: gives what identifies the network that this machine is on, hashable; None for the
            servers, and the source addresses that the kernel would use.  If it raises, or gives
            something else, that lookup neither uses nor fills the cache.
        nat64: prefixes of a translator, such as ``"2001:db8:64::/96"``: IPv4 addresses without a
            route are dialled by way of the first, and a policy is asked about the IPv4 address.
            "auto" asks the name servers for them where IPv6 has a route and IPv4 none (RFC 7050);
            a policy is asked about both addresses then.  None for no translator.

    Raises:
        ImportError: dnspython is not installed.
        TypeError: an argument has the wrong type.
        ValueError: an argument has an invalid value.

    Safe to use from several tasks, loops and threads at once.
    """

    def __init__(
        self,
        servers: Iterable[str | tuple[str, int]] | None = None,
        *,
        search: Iterable[str] | None = None,
        ndots: int | None = None,
        timeout: float | None = None,
        attempts: int | None = None,
        hosts: bool = True,
        cache: DnsCache | None = DnsCache(),  # noqa: B008 - one for all, unless told otherwise
        ports: Callable[[int], bool] = web_ports,
        prefer: Iterable[Iterable[str] | Literal["ech"]] = (),
        system: Resolver | None = SystemResolver(),  # noqa: B008 - it has no state
        network: Callable[[], Hashable] | None = None,
        nat64: Iterable[str] | Literal["auto"] | None = "auto",
    ) -> None:
        require()
        own = settings_of(servers, search, ndots, timeout, attempts)
        check_others(hosts, ports, system, network)
        preferences = preferences_of(prefer)
        if cache is not None and not isinstance(cache, DnsCache):
            raise TypeError(f"cache must be a DnsCache or None, not {cache!r}")
        self._own = own
        self._family: int = socket.AF_UNSPEC
        self._cache = None if cache is None else cache._answers
        self._system = system
        self._surroundings = Surroundings(own, hosts, network)
        # Who waits for one keeps it: if his loop is closed under him, it goes with him.
        self._lookups: WeakValueDictionary[Hashable, Lookup] = WeakValueDictionary()
        self._services = Services(ports, preferences)
        self._translator = Translator(prefixes_of(nat64))

    def __repr__(self) -> str:
        own = ", ".join(f"{name}={value!r}" for name, value in self._own.items())
        return f"{type(self).__name__}({own})"

    def for_family(self, family: int) -> Resolver:
        """This resolver for who keeps to IPv4, or to IPv6: nobody is asked for addresses of the
        other family.  Where NAT64 makes IPv6 ones of IPv4 addresses, those are asked for, too.

        Args:
            family: `socket.AF_INET` or `socket.AF_INET6`.
        """
        if type(self) is not DnsResolver:
            return self  # which may have a resolve() of its own
        kept = copy(self)  # they have in common all that they learn
        kept._family = family
        if self._system is not None:
            kept._system = for_family(self._system, family)
        return kept

    def known(self, address: TCPAddress | UDPAddress) -> list[Endpoint] | None:
        """The endpoints, best first, if they are remembered; else None."""
        machine = self._surroundings.recent
        if machine is None:
            return None
        name = canonical(address.host)
        if name in machine.hosts or business_of(name) or is_systems(name, machine.order):
            return None
        now, network = uptime(), self._surroundings.network(machine)
        here = network, machine.settings.servers
        is_known, translation = self._translator.known(here, machine.sources)
        if not is_known:
            return None
        of = list if translation is None else translation.of
        types, preferred = self._wanted(machine, translation)
        if isinstance(address, _SERVICES):
            recall = partial(self._fresh, network, now=now)
            names = candidates_of(address.host, name, machine.settings)
            found = self._services.known(address, names, recall, types, preferred)
            return in_order(of(found)) if found else None
        for candidate in candidates_of(address.host, name, machine.settings):
            answers = [self._fresh(network, Question(candidate, type), now) for type in types]
            if None in answers:
                return None
            hosts = [host for each in answers if each is not None for host in each.addresses]
            if hosts:
                return in_order(of(endpoints_for(address, hosts)))
        return None

    def forget(self, address: TCPAddress | UDPAddress) -> None:
        """Have the name servers be asked the next time."""
        machine = self._surroundings.machine
        if machine is not None and self._cache is not None:
            network = self._surroundings.network(machine)
            names = candidates_of(address.host, canonical(address.host), machine.settings)
            if isinstance(address, _SERVICES):
                recall = partial(self._fresh, network, now=uptime())
                asked = self._services.questions(address, names, recall, machine.types)
                for question in [*asked]:
                    self._cache.forget((network, *question))
                return
            for name in names:
                for type in machine.types:
                    self._cache.forget((network, name, type))

    async def resolve(self, address: TCPAddress | UDPAddress) -> AsyncIterator[Batch]:
        """A batch for each family, as its answer comes; unsorted.  Before those, an empty one that
        says what is worth waiting for.

        Raises:
            socket.gaierror: EAI_NONAME, there is no such name; EAI_NODATA (where the platform has
                it), it has no address; EAI_AGAIN, no server could tell this time; EAI_FAIL, those
                that answered refuse to tell.  The words say what each has said.
            OSError: this machine lacks something: descriptors, memory, ports.

        When cancelled, every socket is closed before this ends, unless somebody else waits for the
        same answers.

        Source: RFC 1034, RFC 1035, RFC 8305 section 3.
        """
        driver = running_driver()
        machine = await self._surroundings.look(driver)
        translation = await self._translation(driver, machine)
        wanted = self._wanted(machine, translation)
        async with aclosing(self._batches(driver, machine, address, *wanted)) as batches:
            async for batch in batches:
                yield batch if translation is None else translation.of_batch(batch)

    async def translate(self, endpoint: Endpoint) -> Endpoint | None:
        """What leads to an IPv4 endpoint that has no route; None if nothing does (NAT64).

        Raises:
            OSError: this machine lacks something: descriptors, memory, ports.

        When cancelled, every socket is closed before this ends, unless somebody else waits for the
        same answer.
        """
        driver = running_driver()
        translation = await self._translation(driver, await self._surroundings.look(driver))
        return None if translation is None else translation.by(endpoint)

    async def _translation(self, driver: Driver, machine: Machine) -> Translation | None:
        """What becomes of IPv4 addresses in this network."""
        network = self._surroundings.network(machine), machine.settings.servers
        is_known, translation = self._translator.known(network, machine.sources)
        if is_known:
            return translation
        return await self._translator.find(driver, network, machine.settings, machine.servers)

    async def _batches(
        self,
        driver: Driver,
        machine: Machine,
        address: TCPAddress | UDPAddress,
        types: list[int],
        preferred: int,
    ) -> AsyncGenerator[Batch]:
        name = canonical(address.host)
        own = of_known_zones(machine.hosts.get(name, ()))
        business = business_of(name)
        if isinstance(address, SRVAddress):
            own = ()  # which has no records
            if business or is_systems(name, machine.order):
                address = without_records(address)
        in_file = of_hosts(name, own)
        if business == "loopback":
            own = tuple(each for each in own if is_loopback(each)) or ("::1", "127.0.0.1")
        last = bool(own) and not business and files_last(machine.order)
        if own and not last:
            yield Batch(tuple(endpoints_for(address, own)), questions=in_file)
            return
        reason = is_systems(name, machine.order)
        if business == "system" or reason:
            reason = reason or words_of(business)
            yield Batch((), questions=of_system(name, reason))
            async for batch in self._ask_system(address, reason):
                yield batch
            return
        if business:
            raise Explained(socket.EAI_NONAME, business)
        candidates = candidates_of(address.host, name, machine.settings)
        how = self._asking(driver, machine), types, preferred
        if isinstance(address, _SERVICES):
            found = self._services.look_up(address, name, candidates, *how)
        else:
            found = look_up(address, candidates, *how)
        async with aclosing(found) as batches:
            try:
                async for batch in batches:
                    yield batch
            except OSError:
                if not last:
                    raise
                yield Batch(tuple(endpoints_for(address, own)), questions=in_file)

    def _asking(self, driver: Driver, machine: Machine) -> Asking:
        network = self._surroundings.network(machine)
        cache = None if network is NOWHERE else self._cache
        told = machine.settings, machine.servers, cache, network, self._keep, self._lookups
        return Asking(driver, *told)

    async def _ask_system(
        self, address: TCPAddress | UDPAddress, reason: str
    ) -> AsyncIterator[Batch]:
        if self._system is None:
            raise Explained(socket.EAI_NONAME, f"{reason}, and system= is None")
        async for batch in self._system.resolve(address):
            yield batch

    def _fresh(self, network: Hashable, question: Question, now: float) -> Answer | None:
        entry = self._recall(network, question, now)
        return entry.value if entry is not None and now < entry.fresh_until else None

    def _recall(self, network: Hashable, question: Question, now: float) -> Entry[Answer] | None:
        if self._cache is None or network is NOWHERE:
            return None
        return self._cache.get((network, *question), now)

    def _keep(self, network: Hashable, found: Found) -> None:
        if self._cache is not None and network is not NOWHERE:
            self._cache.keep((network, *found.question), found.outcome, uptime())

    def _wanted(self, machine: Machine, translation: Translation | None) -> tuple[list[int], int]:
        """Which types of addresses are asked for, and which of them is worth waiting for."""
        types, preferred, family = machine.types, machine.preferred, self._family
        if family == socket.AF_INET or (family == socket.AF_INET6 and translation is None):
            # Where there is to be no AAAA, who wants nothing else finds that there is none.
            types = [each for each in types if FAMILIES[each] == family] or types
        return types, preferred if preferred in types else types[0]
