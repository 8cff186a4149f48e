"""The translator of a network, asked of name servers: T1 to T3 of the rules of names."""

from __future__ import annotations

import copy
import pickle
import socket
import threading
from contextlib import ExitStack, aclosing
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.liar import Liar, answer
from support.listeners import listening

from aconnect import Dialer, DnsCache, DnsResolver, Endpoint, TCPAddress
from aconnect.addresses.translated import Translated
from aconnect.dial.preparation import judged
from aconnect.drivers.select import running_driver
from aconnect.policy import public_only
from aconnect.resolvers.answers import check_endpoint, in_order
from aconnect.resolvers.dns import machine
from aconnect.resolvers.dns import nat64 as module
from aconnect.resolvers.dns.nat64 import Translation, Translator, prefixes_of
from aconnect.resolvers.dns.settings import Settings
from aconnect.resolvers.dns.wire import require
from aconnect.sansio.asking import Servers
from aconnect.sansio.nat64 import Prefix, parse_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

require()
V6_ONLY = (None, "2001:db8::9")
PREFIX = parse_prefix("2001:db8:64::/96")
TCP = (socket.SOCK_STREAM, socket.IPPROTO_TCP)


def v4(host: str) -> Endpoint:
    return Endpoint(socket.AF_INET, *TCP, (host, 80))


def v6(host: str) -> Endpoint:
    return Endpoint(socket.AF_INET6, *TCP, (host, 80, 0, 0))


def by(host: str, *, trusted: bool = False) -> Translated:
    return Translated(v6(PREFIX.embed(host)), v4(host), trusted)


@pytest.fixture(autouse=True)
def no_ipv4(monkeypatch: Any) -> list[str]:
    """The IPv4 addresses to which there is a route."""
    routed: list[str] = []

    def source(endpoint: Endpoint) -> str | None:
        return "192.0.2.254" if endpoint.sockaddr[0] in routed else None

    monkeypatch.setattr(module, "source_address", source)
    return routed


# ------------------------------------------------------------------------------- translation


def test_what_is_under_the_prefix_is_what_it_stands_for(no_ipv4: list[str]) -> None:
    translation = Translation((parse_prefix("2001:db8:65::/96"), PREFIX), trusted=False)
    first = Translated(v6("2001:db8:65::c000:201"), v4("192.0.2.1"), False)
    given = [v6("2001:db8::1"), v6(PREFIX.embed("192.0.2.1")), v4("192.0.2.1")]
    found = translation.of(given)
    assert found == [v6("2001:db8::1"), first]
    assert isinstance(found[1], Translated)
    assert (found[1].ipv4, found[1].trusted) == (v4("192.0.2.1"), False)
    no_ipv4.append("192.0.2.1")
    assert translation.of(given) == [v6("2001:db8::1"), v4("192.0.2.1")]


def test_what_nobody_can_be_behind_stays_what_it_is() -> None:
    translation = Translation((PREFIX,), trusted=True)
    assert translation.of([v4("127.0.0.1"), v6(PREFIX.embed("127.0.0.1"))]) == [v4("127.0.0.1")]
    nobodys = v6(PREFIX.embed("0.0.0.0"))  # to the kernel, 0.0.0.0 is this host
    assert translation.of([nobodys]) == [nobodys]
    zoned = v6("fe80::1%lo")
    assert translation.of([zoned]) == [zoned]


def test_it_is_sorted_as_the_address_that_is_meant() -> None:
    """Which has no route, so that it comes last."""
    native = v6("::1")
    assert in_order([by("192.0.2.1"), native]) == [native, by("192.0.2.1")]


# ------------------------------------------------------------------------------------ a value


def test_a_value_like_its_endpoint() -> None:
    one = by("192.0.2.1", trusted=True)
    assert one == Endpoint(*one)
    assert hash(one) == hash(Endpoint(*one))
    for other in (copy.copy(one), pickle.loads(pickle.dumps(one)), check_endpoint(one)):
        assert isinstance(other, Translated)
        assert (other, other.ipv4, other.trusted) == (one, one.ipv4, True)


@pytest.mark.parametrize(
    ("host", "trusted", "asked", "permitted"),
    [
        ("192.0.2.1", False, ["192.0.2.1", "2001:db8:64::c000:201"], True),
        ("192.0.2.1", True, ["192.0.2.1"], True),
        ("10.0.0.1", False, ["10.0.0.1"], False),
        ("10.0.0.1", True, ["10.0.0.1"], False),
    ],
)
def test_t3_a_policy_is_asked_about_both_forms(
    host: str, trusted: bool, asked: list[str], permitted: bool
) -> None:
    told: list[Any] = []

    def permit(endpoint: Endpoint) -> bool:
        assert type(endpoint) is Endpoint
        told.append(endpoint.sockaddr[0])
        return endpoint.sockaddr[0] != "10.0.0.1"

    assert (judged(permit, by(host, trusted=trusted)) is None) == permitted
    assert told == asked


@pytest.mark.parametrize("prefix", ["2600::/96", "64:ff9b::/96", "2600::/32", "2600::/64"])
def test_t3_no_prefix_leads_to_a_private_address(prefix: str) -> None:
    parsed = parse_prefix(prefix)

    def lost(host: str) -> bool:
        made = Translated(v6(parsed.embed(host)), v4(host), False)
        return judged(public_only(), made) is not None

    assert lost("10.0.0.1")
    assert not lost("8.8.8.8")


def test_t3_a_prefix_that_is_a_lie_leads_nowhere_that_is_not_permitted() -> None:
    forged = Translated(v6("fd00::808:808"), v4("8.8.8.8"), False)
    assert judged(public_only(), forged) is not None
    assert judged(public_only(), Translated(v6("fd00::808:808"), v4("8.8.8.8"), True)) is None


# ------------------------------------------------------------------------------------ finding


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def clock(monkeypatch: Any) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(module, "uptime", lambda: now[0])
    return now


def dns64(query: bytes, kind: str, way: str) -> Any:
    hosts = ("192.0.0.170", "192.0.0.171")
    assert kind == "AAAA"
    assert b"\x08ipv4only\x04arpa\x00" in query
    return [answer(query, *(f"ipv4only.arpa 300 AAAA {PREFIX.embed(host)}" for host in hosts))]


async def find(translator: Translator, liar: Liar, network: Any = "here") -> Any:
    settings = Settings(servers=(("127.0.0.1", liar.port),), attempts=1)
    return await translator.find(running_driver(), network, settings, Servers(1))


def test_it_is_asked_for_only_where_there_is_ipv6_alone() -> None:
    translator = Translator(None)
    assert translator.known("here", ("192.0.2.9", "2001:db8::9")) == (True, None)
    assert translator.known("here", ("192.0.2.9", None)) == (True, None)
    assert translator.known("here", (None, None)) == (True, None)
    assert translator.known("here", V6_ONLY) == (False, None)
    assert Translator(()).known("here", V6_ONLY) == (True, None)
    is_known, given = Translator((PREFIX,)).known("here", ("192.0.2.9", None))
    assert is_known
    assert given is not None
    assert given.of([v4("192.0.2.1")])[0].trusted  # type: ignore[attr-defined]


@pytest.mark.anyio
async def test_the_prefix_is_found_and_kept_for_its_ttl(
    stack: ExitStack, clock: list[float]
) -> None:
    liar = stack.enter_context(Liar(dns64))
    translator = Translator(None)
    found = await find(translator, liar)
    assert found.of([v4("192.0.2.1")]) == [by("192.0.2.1")]
    assert translator.known("here", V6_ONLY) == (True, found)
    assert translator.known("there", V6_ONLY) == (False, None)
    clock[0] += 299
    assert translator.known("here", V6_ONLY)[0]
    clock[0] += 1
    assert not translator.known("here", V6_ONLY)[0]


@pytest.mark.anyio
@pytest.mark.parametrize("says", ["none", "nothing", "failure"])
async def test_that_there_is_none_counts_for_a_minute(
    stack: ExitStack, clock: list[float], monkeypatch: Any, says: str
) -> None:
    if says == "nothing":
        monkeypatch.setattr(module, "_PATIENCE", 0.02)
    options = {"rcode": "SERVFAIL"} if says == "failure" else {}
    liar = stack.enter_context(
        Liar(lambda q, *_: [] if says == "nothing" else [answer(q, **options)])
    )
    translator = Translator(None)
    assert await find(translator, liar) is None
    assert translator.known("here", V6_ONLY) == (True, None)
    clock[0] += 60
    assert translator.known("here", V6_ONLY) == (False, None)


@pytest.mark.anyio
async def test_four_networks_are_remembered(stack: ExitStack, clock: list[float]) -> None:
    liar = stack.enter_context(Liar(dns64))
    translator = Translator(None)
    for network in range(5):
        await find(translator, liar, network)
    known = [translator.known(network, V6_ONLY)[0] for network in range(5)]
    assert known == [False, True, True, True, True]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("64:ff9b::/96", ValueError, "nat64 must be 'auto', prefixes or None, not '64:ff9b::/96'"),
        (["64:ff9b::"], ValueError, "nat64: not a NAT64 prefix"),
        ([5], TypeError, "nat64 must have prefixes as str, not 5"),
    ],
)
def test_arguments(given: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        prefixes_of(given)


def test_arguments_that_are_right() -> None:
    assert prefixes_of(None) == ()
    assert prefixes_of("auto") is None
    assert prefixes_of(["2001:db8:64::/96"]) == (PREFIX,)


@pytest.mark.anyio
async def test_who_asks_at_once_shares_the_answer(stack: ExitStack, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 30.0)
    may_answer = threading.Event()

    def say(*asked: Any) -> Any:
        assert may_answer.wait(10)
        return dns64(*asked)

    liar = stack.enter_context(Liar(say))
    translator = Translator(None)
    found: list[Any] = []

    async def ask() -> None:
        found.append(await find(translator, liar))

    async def give_up(scope: anyio.CancelScope) -> None:
        with scope:
            await find(translator, liar)

    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()
        group.start_soon(give_up, scope)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(ask)
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        may_answer.set()
    assert len(found) == 2
    assert None not in found
    assert len(liar.asked) == 1
    assert not translator._lookups


# ------------------------------------------------------------------------------- the resolver


def synthesizing(query: bytes, kind: str, way: str) -> Any:
    """A DNS64: IPv6 addresses of all that has an IPv4 address, and of ipv4only.arpa."""
    if b"\x08ipv4only\x04arpa\x00" in query:
        return dns64(query, kind, way)
    host = "192.0.2.1" if kind == "A" else PREFIX.embed("192.0.2.1")
    return [answer(query, f"a.test 60 {kind} {host}")]


async def found(resolver: DnsResolver) -> list[Any]:
    async with aclosing(resolver.resolve(TCPAddress("a.test", 80))) as batches:
        return [each async for batch in batches for each in batch.endpoints]


@pytest.mark.anyio
@pytest.mark.parametrize("nat64", ["auto", ["2001:db8:64::/96"], None])
async def test_what_a_resolver_gives(stack: ExitStack, monkeypatch: Any, nat64: Any) -> None:
    monkeypatch.setattr(machine, "source_addresses", lambda: V6_ONLY)
    liar = stack.enter_context(Liar(synthesizing))
    resolver = DnsResolver([liar.address], cache=DnsCache(), nat64=nat64)
    for _ in range(2):
        endpoints = await found(resolver)
        if nat64 is None:
            assert {*endpoints} == {v4("192.0.2.1"), v6(PREFIX.embed("192.0.2.1"))}
        else:
            assert endpoints == [by("192.0.2.1")] * 2
            assert all(each.trusted == (nat64 != "auto") for each in endpoints)
            assert resolver.known(TCPAddress("a.test", 80)) == [by("192.0.2.1")]
    asked = [b"ipv4only" in query for query in liar.queries]
    assert sum(asked) == (nat64 == "auto")
    if nat64 == "auto":
        resolver._translator._found.clear()
        assert resolver.known(TCPAddress("a.test", 80)) is None


@pytest.mark.anyio
async def test_a_dial_by_way_of_a_translator(stack: ExitStack, monkeypatch: Any) -> None:
    """The prefix is that of this host, so that it leads to its own listener."""

    def say(query: bytes, kind: str, way: str) -> Any:
        records = ["a.test 60 A 192.0.2.1"] * (kind == "A")
        return [answer(query, *records, authority=["test. 9 SOA ns.test. r.test. 1 2 3 4 5"])]

    monkeypatch.setattr(machine, "source_addresses", lambda: V6_ONLY)
    monkeypatch.setattr(Prefix, "embed", lambda *_: "::1")
    liar = stack.enter_context(Liar(say))
    listener = stack.enter_context(listening("::1"))
    resolver = DnsResolver([liar.address], cache=None, nat64=["2001:db8:64::/96"])
    told: list[Any] = []

    def permit(endpoint: Endpoint) -> bool:
        told.append(endpoint.sockaddr[0])
        return True

    dialer = Dialer(resolver=resolver, permit=permit)
    with await dialer.connect("a.test", listener.getsockname()[1], timeout=30) as sock:
        assert sock.getpeername() == listener.getsockname()
    assert told == ["192.0.2.1"]
