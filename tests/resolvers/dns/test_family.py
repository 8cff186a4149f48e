"""Who keeps to one family asks for nothing of the other."""

from __future__ import annotations

import socket
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import anyio
import dns.message
import pytest
from support.liar import Liar, answer
from support.listeners import listening

from aconnect import (
    CachingResolver,
    Dialer,
    DnsCache,
    DnsResolver,
    ResolveError,
    StaticResolver,
    TCPAddress,
    parse_address,
)
from aconnect.many.answers import SharedAnswers
from aconnect.resolvers.dns import machine as machine_module
from aconnect.testing.conformance import check_resolver

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

V6, V4 = socket.AF_INET6, socket.AF_INET
NAME = TCPAddress("a.test", 5)
SOA = "test. 300 SOA ns.test. root.test. 1 2 3 4 60"
DATA = {"A": "127.0.0.1", "AAAA": "::1", "HTTPS": "1 . alpn=h2", "SRV": "1 0 5 t.test."}


def good(query: bytes, kind: str, way: str) -> Any:
    name = str(dns.message.from_wire(query).question[0].name)
    if name.startswith("gone"):
        return [answer(query, rcode="NXDOMAIN", authority=[SOA])]
    if name == "ipv4only.arpa.":
        return [answer(query, authority=[SOA])]
    return [answer(query, f"{name} 60 {kind} {DATA[kind]}")]


@pytest.fixture(autouse=True)
def routes(monkeypatch: Any) -> list[Any]:
    """The source addresses of this machine, IPv4's and IPv6's."""
    sources = ["192.0.2.100", "2001:db8::100"]
    monkeypatch.setattr(machine_module, "source_addresses", lambda: tuple(sources))
    return sources


@pytest.fixture
def liar() -> Iterator[Liar]:
    with Liar(good) as liar:
        yield liar


def resolver_of(liar: Liar, **options: Any) -> DnsResolver:
    return DnsResolver(
        [liar.address], **{"cache": DnsCache(), "timeout": 30, "attempts": 1, **options}
    )


def asked(liar: Liar) -> list[str]:
    kinds = [kind for kind, _ in liar.asked]
    liar.asked.clear()
    return kinds


async def batches(resolver: Any, address: Any = NAME) -> list[Any]:
    async with aclosing(resolver.resolve(address)) as answers:
        return [batch async for batch in answers]


def families(given: Any) -> set[int]:
    return {each.family for batch in given for each in batch.endpoints}


@pytest.mark.parametrize(("family", "kind"), [(V4, "A"), (V6, "AAAA")])
async def test_d1_nobody_is_asked_for_the_other(liar: Liar, family: int, kind: str) -> None:
    whole = resolver_of(liar)
    resolver: Any = whole.for_family(family)
    found = await batches(resolver)
    assert asked(liar) == [kind]
    assert found[0].awaiting == {family}
    assert found[-1].awaiting == frozenset()
    assert families(found) == {family}
    assert {each.family for each in resolver.known(NAME)} == {family}
    assert whole.known(NAME) is None  # for nothing is known of the other
    assert families(await batches(whole)) == {V4, V6}
    assert len(asked(liar)) == 1  # as what is known is known to both
    resolver.forget(NAME)
    assert resolver.known(NAME) is None


@pytest.mark.parametrize(
    ("address", "kinds"),
    [("https://a.test", ["HTTPS", "A"]), ("srv:_x._tcp.a.test", ["SRV", "A"])],
)
async def test_d1_services_have_addresses_of_that_family(
    liar: Liar, address: str, kinds: list[str]
) -> None:
    resolver: Any = resolver_of(liar).for_family(V4)
    found = await batches(resolver, parse_address(address))
    assert asked(liar) == kinds
    assert families(found) == {V4}
    assert {each.family for each in resolver.known(parse_address(address))} == {V4}
    resolver.forget(parse_address(address))
    assert resolver.known(parse_address(address)) is None


async def test_a_dialer_keeps_its_resolver_to_its_family(liar: Liar) -> None:
    with listening() as listener:
        address = "a.test", listener.getsockname()[1]
        resolver = resolver_of(liar)
        dialer = Dialer(family=V4, resolver=resolver)
        assert dialer.resolver is resolver
        for kinds in (["A"], []):  # and then from memory
            with await dialer.connect(address, timeout=30) as sock:
                assert sock.family == V4
            assert asked(liar) == kinds


async def test_the_systems_resolver_is_kept_to_it_as_well(liar: Liar) -> None:
    class System(StaticResolver):
        def for_family(self, family: int) -> Any:
            return StaticResolver({"a.local": ["192.0.2.4" if family == V4 else "2001:db8::6"]})

    address = TCPAddress("a.local", 5)
    for family in (V4, V6):
        kept = resolver_of(liar, system=System({})).for_family(family)
        assert families(await batches(kept, address)) == {family}
        with pytest.raises(socket.gaierror, match="system= is None"):
            await batches(resolver_of(liar, system=None).for_family(family), address)
    assert asked(liar) == []


async def test_the_error_is_that_of_the_family(liar: Liar) -> None:
    dialer = Dialer(family=V6, resolver=resolver_of(liar))
    with pytest.raises(ResolveError, match="there is no such name"):
        await dialer.connect(("gone.test", 5), timeout=30)
    assert asked(liar) == ["AAAA"]


async def test_both_families_at_once_share_no_lookup(liar: Liar) -> None:
    resolver = resolver_of(liar)
    found: dict[int, Any] = {}

    async def ask(family: int) -> None:
        found[family] = families(await batches(resolver.for_family(family)))

    async with anyio.create_task_group() as group:
        for family in (V4, V6):
            group.start_soon(ask, family)
    assert found == {V4: {V4}, V6: {V6}}
    assert sorted(asked(liar)) == ["A", "AAAA"]


async def test_where_there_is_no_aaaa_who_wants_it_finds_none(liar: Liar, machine: Any) -> None:
    machine.write("resolv.conf", "options no-aaaa")
    dialer = Dialer(family=V6, resolver=resolver_of(liar))
    with pytest.raises(ResolveError):
        await dialer.connect(("a.test", 5), timeout=30)
    assert asked(liar) == ["A"]


async def test_t2_with_a_translator_ipv4_is_asked_for_ipv6(liar: Liar, routes: list[Any]) -> None:
    routes[0] = None
    resolver = resolver_of(liar, nat64=["64:ff9b::/96"])
    await batches(resolver.for_family(V6))
    assert asked(liar) == ["AAAA", "A"]
    await batches(resolver_of(liar, nat64=["64:ff9b::/96"]).for_family(V4))
    assert asked(liar) == ["A"]


async def test_many_dials_keep_to_it_and_a_cache_serves_all(liar: Liar) -> None:
    shared = SharedAnswers(resolver_of(liar), 60).for_family(V4)
    assert families(await batches(shared)) == {V4}
    assert asked(liar) == ["A"]
    with listening() as listener:
        address = "a.test", listener.getsockname()[1]
        caching = CachingResolver(resolver_of(liar, cache=None))
        for kinds in (["A"], []):  # and then from memory
            with await Dialer(family=V4, resolver=caching).connect(address, timeout=30):
                pass
            assert asked(liar) == kinds
        assert families(await batches(caching, TCPAddress(*address))) == {V4, V6}
        assert sorted(asked(liar)) == ["A", "AAAA"]
        with await Dialer(family=V4, resolver=caching).connect(address, timeout=30):
            pass
        assert asked(liar) == []


async def test_who_has_some_names_hands_it_on_for_the_others(liar: Liar) -> None:
    names = {"here.test": ["127.0.0.9", "::9"]}
    static = StaticResolver(names, otherwise=resolver_of(liar))
    kept = static.for_family(V4)
    assert families(await batches(kept)) == {V4}
    assert asked(liar) == ["A"]
    assert families(await batches(kept, TCPAddress("here.test", 5))) == {V4, V6}
    assert families(await batches(static)) == {V4, V6}
    assert len(asked(liar)) == 1
    alone = StaticResolver(names)
    assert alone.for_family(V4) is alone


async def test_a_class_of_ones_own_is_asked_itself(liar: Liar) -> None:
    class Own(DnsResolver):
        pass

    own = Own([liar.address])
    assert own.for_family(V4) is own


async def test_by_way_of_a_proxy_all_is_asked_for(liar: Liar) -> None:
    """What the proxy connects to may be of another family."""
    resolver = resolver_of(liar)
    dialer = Dialer(family=V4, resolver=resolver, proxy="socks5://127.0.0.1:1")
    assert dialer._plan.resolver is resolver
    assert Dialer(family=V4, resolver=resolver)._plan.resolver is not resolver


async def test_it_conforms(liar: Liar) -> None:
    resolver = resolver_of(liar).for_family(V4)
    await check_resolver(resolver, exists="a.test", missing="gone.test", hosts=["127.0.0.1"])
