"""Where names lead: who is asked whether an address may be dialled, and in which order."""

from __future__ import annotations

import socket
from contextlib import ExitStack, aclosing
from typing import TYPE_CHECKING, Any

import dns.message
import pytest
from support.liar import Liar, answer

from aconnect import (
    AddressNotPermitted,
    Dialer,
    DnsCache,
    DnsResolver,
    Report,
    ServiceAddress,
    parse_address,
)
from aconnect.resolvers import answers as answers_module
from aconnect.resolvers.dns import machine as machine_module

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

SOA = "test. 300 SOA ns.test. root.test. 1 2 3 4 60"
ZONE = """\
a.test 60 A 192.0.2.1
s.test 60 A 192.0.2.2
t.test 60 A 192.0.2.3
h.test 60 HTTPS 1 s.test. alpn=h2 port=8443
h.test 60 A 192.0.2.9
p.test 60 HTTPS 1 s.test. alpn=h2 no-default-alpn
p.test 60 HTTPS 2 t.test. alpn=foo
p.test 60 A 192.0.2.9
_x._tcp.a.test 60 SRV 1 0 501 s.test.
_x._tcp.a.test 60 SRV 2 0 502 t.test.
_y._tcp.a.test 60 SRV 1 0 7 alias.test.
alias.test 60 CNAME s.test.
""".splitlines()


def name_of(query: bytes) -> str:
    return str(dns.message.from_wire(query).question[0].name).rstrip(".")


def say(query: bytes, kind: str, way: str) -> Any:
    name = name_of(query)
    aliases = [each for each in ZONE if each.split()[0] == name and each.split()[2] == "CNAME"]
    owner = aliases[0].split()[3].rstrip(".") if aliases else name
    found = [each for each in ZONE if each.split()[0] == owner and each.split()[2] == kind]
    return [answer(query, *aliases, *found, authority=[] if found else [SOA])]


@pytest.fixture(autouse=True)
def sources(monkeypatch: Any) -> list[str | None]:
    """The source addresses of this machine, IPv4's and IPv6's; and no server is silent."""
    found: list[str | None] = ["192.0.2.100", "2001:db8::100"]
    monkeypatch.setattr(machine_module, "source_addresses", lambda: tuple(found))
    monkeypatch.setattr(
        answers_module,
        "source_address",
        lambda endpoint: found[endpoint.family == socket.AF_INET6],
    )
    return found


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def resolver_of(liar: Liar, **options: Any) -> DnsResolver:
    options = {"cache": DnsCache(), "timeout": 30, "attempts": 1, **options}
    return DnsResolver([liar.address], **options)


async def refused(resolver: Any, address: Any) -> list[tuple[str, int]]:
    """The addresses about which a policy is asked that permits none."""
    asked: list[Any] = []

    def permit(endpoint: Any) -> bool:
        asked.append(endpoint.sockaddr[:2])
        return False

    report = Report()
    with pytest.raises(AddressNotPermitted):
        await Dialer(resolver=resolver, permit=permit).connect(address, timeout=30, report=report)
    assert all(each.outcome == "not permitted" for each in report.attempts)
    return asked


# ------------------------------------------------------------------------------- the policy


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://h.test", {("192.0.2.2", 8443), ("192.0.2.9", 443)}),
        ("srv:_x._tcp.a.test", {("192.0.2.2", 501), ("192.0.2.3", 502)}),
        ("a.test:5", {("192.0.2.1", 5)}),
    ],
)
async def test_x2_the_policy_is_asked_about_wherever_records_lead(
    stack: ExitStack, address: str, expected: Any
) -> None:
    liar = stack.enter_context(Liar(say))
    resolver = resolver_of(liar, ports=lambda _: True)
    assert set(await refused(resolver, address)) == expected
    before = len(liar.asked)
    assert set(await refused(resolver, address)) == expected  # from memory
    assert len(liar.asked) == before


async def test_x2_the_policy_is_asked_about_the_hosts_file(stack: ExitStack, machine: Any) -> None:
    machine.write("hosts", "192.0.2.77 a.test\n2001:db8::77 a.test\n")
    liar = stack.enter_context(Liar(say))
    resolver = resolver_of(liar)
    both = {("192.0.2.77", 5), ("2001:db8::77", 5)}
    assert set(await refused(resolver, "a.test:5")) == both
    assert not liar.asked


@pytest.mark.parametrize("optimistic", [False, True])
@pytest.mark.parametrize("address", ["a.test:5", "srv:_x._tcp.a.test"])
async def test_x2_the_policy_is_asked_about_what_is_stale(
    stack: ExitStack, monkeypatch: Any, optimistic: bool, address: str
) -> None:
    now = 1000.0
    for where in ("asking", "resolver"):
        monkeypatch.setattr(f"aconnect.resolvers.dns.{where}.uptime", lambda: now)
    liar = stack.enter_context(Liar(say))
    resolver = resolver_of(liar, cache=DnsCache(optimistic=optimistic))
    first = set(await refused(resolver, address))
    now += 100

    def fails(query: bytes, kind: str, way: str) -> Any:
        if kind == "SRV":
            return say(query, kind, way)
        return [answer(query, rcode="SERVFAIL")]

    liar._say = fails
    assert set(await refused(resolver, address)) == first


# ------------------------------------------------------------------------------- the order


@pytest.mark.parametrize(
    ("without", "expected"),
    [
        (None, ["2001:db8::77", "192.0.2.77"]),
        (1, ["192.0.2.77", "2001:db8::77"]),
        (0, ["2001:db8::77", "192.0.2.77"]),
    ],
)
async def test_n6_addresses_of_the_hosts_file_are_sorted_by_rfc_6724(
    stack: ExitStack, machine: Any, sources: Any, without: int | None, expected: list[str]
) -> None:
    machine.write("hosts", "192.0.2.77 a.test\n2001:db8::77 a.test\n")
    if without is not None:
        sources[without] = None
    resolver = resolver_of(stack.enter_context(Liar(say)), nat64=None)
    assert [host for host, _ in await refused(resolver, "a.test:5")] == expected


async def leads_to(resolver: Any, address: Any) -> list[tuple[str, int]]:
    async with aclosing(resolver.resolve(address)) as batches:
        found = {each: batch.rank async for batch in batches for each in batch.endpoints}
    return [each.sockaddr[:2] for each in sorted(found, key=lambda each: found[each])]


@pytest.mark.parametrize(
    ("alpn", "expected"),
    [
        (("h2", "http/1.1"), ["192.0.2.2", "192.0.2.3", "192.0.2.9"]),
        (("h2",), ["192.0.2.2", "192.0.2.9"]),
        (("http/1.1",), ["192.0.2.3", "192.0.2.9"]),
        (("foo",), ["192.0.2.3", "192.0.2.9"]),
        (("bar",), ["192.0.2.9"]),
        ((), ["192.0.2.2", "192.0.2.3", "192.0.2.9"]),
    ],
)
async def test_s5_the_protocols_of_the_address_say_which_records_are_of_use(
    stack: ExitStack, alpn: tuple[str, ...], expected: list[str]
) -> None:
    """All but one that says otherwise offer http/1.1 besides."""
    resolver = resolver_of(stack.enter_context(Liar(say)))
    address = ServiceAddress("p.test", 443, scheme="https", alpn=alpn)
    assert await leads_to(resolver, address) == [(host, 443) for host in expected]


async def test_v2_a_target_may_be_an_alias(stack: ExitStack) -> None:
    resolver = resolver_of(stack.enter_context(Liar(say)))
    address = parse_address("srv:_y._tcp.a.test")
    assert await leads_to(resolver, address) == [("192.0.2.2", 7)]
    assert [each.sockaddr[:2] for each in resolver.known(address) or ()] == [("192.0.2.2", 7)]


async def test_t1_the_search_list_is_nothing_to_the_translators_name(
    stack: ExitStack, sources: Any
) -> None:
    sources[0] = None
    liar = stack.enter_context(Liar(say))
    resolver = resolver_of(liar, search=["one.test"], ndots=5)
    assert await leads_to(resolver, parse_address("a.test:5")) == [("192.0.2.1", 5)]
    names = [name_of(query) for query in liar.queries]
    assert [each for each in names if "ipv4only" in each] == ["ipv4only.arpa"]
    assert "a.test.one.test" in names
