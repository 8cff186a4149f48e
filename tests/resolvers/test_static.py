"""The resolver that knows its answers."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from aconnect import (
    Batch,
    Dialer,
    Endpoint,
    StaticResolver,
    SystemResolver,
    TCPAddress,
    UDPAddress,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio


async def answers(resolver: Any, address: Any) -> list[Batch]:
    return [batch async for batch in resolver.resolve(address)]


async def hosts(resolver: Any, name: str) -> list[Any]:
    (batch,) = await answers(resolver, TCPAddress(name, 80))
    return [endpoint.sockaddr[0] for endpoint in batch.endpoints]


async def test_an_answer_is_one_sorted_batch_in_the_order_given() -> None:
    resolver = StaticResolver({"db.example": ["192.0.2.2", "2001:db8::1", "192.0.2.1"]})
    (batch,) = await answers(resolver, TCPAddress("db.example", 5432))
    assert batch.sorted
    assert batch.answered is None
    tcp = (socket.SOCK_STREAM, socket.IPPROTO_TCP)
    assert batch.endpoints == [
        Endpoint(socket.AF_INET, *tcp, ("192.0.2.2", 5432)),
        Endpoint(socket.AF_INET6, *tcp, ("2001:db8::1", 5432, 0, 0)),
        Endpoint(socket.AF_INET, *tcp, ("192.0.2.1", 5432)),
    ]


async def test_udp() -> None:
    resolver = StaticResolver({"dns.example": ["192.0.2.1"]})
    (batch,) = await answers(resolver, UDPAddress("dns.example", 53))
    assert batch.endpoints[0].type == socket.SOCK_DGRAM


@pytest.mark.parametrize("name", ["db.example", "DB.Example", "db.example."])
async def test_names_are_compared_as_dns_does(name: str) -> None:
    assert await hosts(StaticResolver({"Db.Example.": ["192.0.2.1"]}), name) == ["192.0.2.1"]


@pytest.mark.parametrize(
    ("known", "name"),
    [
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "B\u00dcCHER.example\u3002"),
    ],
)
async def test_international_names_are_compared_by_their_a_labels(known: str, name: str) -> None:
    resolver = StaticResolver({known: ["192.0.2.1"]})
    assert await hosts(resolver, name) == ["192.0.2.1"]
    assert resolver.known(TCPAddress(name, 80))


async def test_a_name_that_is_not_known() -> None:
    with pytest.raises(socket.gaierror, match="not in the mapping") as caught:
        await hosts(StaticResolver({}), "db.example")
    assert caught.value.errno == socket.EAI_NONAME


async def test_a_name_that_has_no_address() -> None:
    with pytest.raises(socket.gaierror, match="no address") as caught:
        await hosts(StaticResolver({"db.example": []}), "db.example")
    assert caught.value.errno == socket.EAI_NODATA


async def test_another_resolver_is_asked_for_the_rest() -> None:
    asked: list[Any] = []

    class Other:
        async def resolve(self, address: Any) -> AsyncIterator[Batch]:
            asked.append(address)
            yield Batch(())
            yield Batch((), answered=socket.AF_INET6)

    resolver = StaticResolver({"a.example": [], "b.example": ["192.0.2.1"]}, otherwise=Other())
    address = TCPAddress("c.example", 80)
    assert len(await answers(resolver, address)) == 2
    assert await hosts(resolver, "b.example") == ["192.0.2.1"]
    with pytest.raises(socket.gaierror):
        await hosts(resolver, "a.example")
    assert asked == [address]


@pytest.mark.parametrize(
    ("addresses", "error", "named"),
    [
        ({"db.example": ["localhost"]}, ValueError, "localhost"),
        ({"db.example": [""]}, ValueError, "''"),
        ({"db.example": [5]}, TypeError, "5"),
        ({"": ["192.0.2.1"]}, ValueError, "''"),
        ({5: ["192.0.2.1"]}, TypeError, "5"),
    ],
)
def test_nonsense(addresses: Any, error: Any, named: str) -> None:
    with pytest.raises(error) as caught:
        StaticResolver(addresses)
    assert named in str(caught.value)


@pytest.mark.parametrize("zone", ["lo", "1"])
async def test_a_zone(zone: str) -> None:
    resolver = StaticResolver({"near.example": [f"fe80::1%{zone}"]})
    (batch,) = await answers(resolver, TCPAddress("near.example", 80))
    assert [endpoint.sockaddr for endpoint in batch.endpoints] == [
        ("fe80::1", 80, 0, socket.if_nametoindex("lo"))
    ]


async def test_the_mapping_is_copied() -> None:
    addresses = {"db.example": ["192.0.2.1"]}
    resolver = StaticResolver(addresses)
    addresses["db.example"].append("192.0.2.2")
    addresses.clear()
    assert await hosts(resolver, "db.example") == ["192.0.2.1"]


def test_what_has_the_same_answers_is_equal() -> None:
    here = StaticResolver({"DB.example.": ["192.0.2.1", "::1"], "a": []})
    same = StaticResolver({"a": [], "db.example": ("192.0.2.1", "::1")})
    assert here == same
    assert hash(here) == hash(same)
    assert Dialer(resolver=here) == Dialer(resolver=same)
    assert hash(Dialer(resolver=here)) == hash(Dialer(resolver=same))
    for other in (
        StaticResolver({"db.example": ["::1", "192.0.2.1"], "a": []}),
        StaticResolver({"db.example": ["192.0.2.1", "::1"]}),
        StaticResolver({"db.example": ["192.0.2.1", "::1"], "a": []}, otherwise=same),
        {"db.example": ["192.0.2.1", "::1"], "a": []},
    ):
        assert here != other
    assert repr(here) == "StaticResolver({'db.example': ['192.0.2.1', '::1'], 'a': []})"
    asking = StaticResolver({}, otherwise=SystemResolver())
    assert repr(asking) == "StaticResolver({}, otherwise=SystemResolver(by_family=False, flags=0))"


# -------------------------------------------------------------------------------- from memory


def known_hosts(resolver: Any, name: str, kind: Any = TCPAddress) -> Any:
    found = resolver.known(kind(name, 80))
    return None if found is None else [each.sockaddr for each in found]


async def test_what_is_known_is_what_is_answered() -> None:
    resolver = StaticResolver({"Db.test.": ["2001:db8::1", "192.0.2.1", "fe80::1%1"]})
    for kind in (TCPAddress, UDPAddress):
        (batch,) = await answers(resolver, kind("db.test", 80))
        assert resolver.known(kind("DB.test", 80)) == list(batch.endpoints)


async def test_what_is_not_known_is_left_to_resolve() -> None:
    resolver = StaticResolver({"none.test": [], "zone.test": ["192.0.2.1", "fe80::1%lo"]})
    for name in ("none.test", "zone.test", "other.test"):
        assert known_hosts(resolver, name) is None


async def test_the_other_resolver_may_know() -> None:
    class Other:
        def __init__(self) -> None:
            self.forgotten: list[Any] = []

        def known(self, address: Any) -> Any:
            return StaticResolver({"b.test": ["192.0.2.2"]}).known(address)

        def forget(self, address: Any) -> None:
            self.forgotten.append(address.host)

        resolve = None

    other: Any = Other()
    resolver = StaticResolver({"a.test": ["192.0.2.1"], "none.test": []}, otherwise=other)
    assert known_hosts(resolver, "a.test") == [("192.0.2.1", 80)]
    assert known_hosts(resolver, "b.test") == [("192.0.2.2", 80)]
    assert known_hosts(resolver, "none.test") is None
    assert known_hosts(resolver, "c.test") is None
    resolver.forget(TCPAddress("b.test", 80))
    assert other.forgotten == ["b.test"]
    for without in (None, SystemResolver()):
        resolver = StaticResolver({}, otherwise=without)
        assert known_hosts(resolver, "b.test") is None
        resolver.forget(TCPAddress("b.test", 80))
