"""What comes of what name servers say, and for how long it counts."""

from __future__ import annotations

import math
import socket
from contextlib import ExitStack, aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

import dns.message
import pytest
from support.liar import Liar, answer

from aconnect import (
    Dialer,
    DnsCache,
    DnsResolver,
    Report,
    ResolveError,
    TCPAddress,
    parse_address,
)
from aconnect.resolvers.dns import asking
from aconnect.resolvers.dns import exchange as exchange_module
from aconnect.resolvers.dns import machine as machine_module
from aconnect.resolvers.dns import resolver as module
from aconnect.resolvers.dns.wire import AAAA, A

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

NAME = TCPAddress("a.test", 5)
SOA = "test. 3600 SOA ns.test. root.test. 1 2 3 4 3600"
RECORDS = {"A": "a.test 60 A 192.0.2.1", "AAAA": "a.test 60 AAAA 2001:db8::1"}
NO_DATA = socket.EAI_NODATA


def name_of(query: bytes) -> str:
    return str(dns.message.from_wire(query).question[0].name).rstrip(".")


def good(query: bytes, kind: str, way: str) -> Any:
    return [answer(query, RECORDS[kind])]


def saying(*records: str, **options: Any) -> Any:
    return lambda query, kind, way: [answer(query, *records, **options)]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def now(monkeypatch: Any) -> list[float]:
    """The moment by which what is kept is old."""
    moment = [1000.0]
    for each in (module, asking):
        monkeypatch.setattr(each, "uptime", lambda: moment[0])
    return moment


def resolver_of(*liars: Any, **options: Any) -> DnsResolver:
    options = {"cache": DnsCache(), "timeout": 30, "attempts": 1, **options}
    return DnsResolver([each.address for each in liars], **options)


async def said(resolver: DnsResolver, address: Any = NAME) -> set[str]:
    async with aclosing(resolver.resolve(address)) as answers:
        return {str(each.sockaddr[0]) async for batch in answers for each in batch.endpoints}


async def failure(resolver: DnsResolver, address: Any = NAME) -> tuple[int | None, str]:
    with pytest.raises(OSError) as caught:  # noqa: PT011
        await said(resolver, address)
    error = caught.value
    error.__traceback__ = None
    return error.errno, str(error.strerror)


BOTH = {"192.0.2.1", "2001:db8::1"}


# ------------------------------------------------------------------------------- aliases


def in_one_message(query: bytes, kind: str, way: str, **options: Any) -> Any:
    records = "a.test 50 CNAME b.test.", "b.test 5 CNAME c.test."
    return [answer(query, *records, authority=[SOA], **options)]


def link_by_link(query: bytes, kind: str, way: str, **options: Any) -> Any:
    name = name_of(query)
    if name == "a.test":
        return [answer(query, "a.test 5 CNAME b.test.")]
    if name == "b.test":
        return [answer(query, "b.test 50 CNAME c.test.")]
    return [answer(query, authority=[SOA], **options)]


@pytest.mark.parametrize("say", [in_one_message, link_by_link])
@pytest.mark.parametrize(
    ("options", "code"), [({}, NO_DATA), ({"rcode": "NXDOMAIN"}, socket.EAI_NONAME)]
)
async def test_that_an_alias_leads_to_nothing_is_known_as_long_as_the_alias(
    stack: ExitStack, now: list[float], say: Any, options: Any, code: int
) -> None:
    liar = stack.enter_context(Liar(partial(say, **options)))
    resolver = resolver_of(liar)
    for moment, again in ((0, True), (4.5, False), (5.5, True)):
        now[0] = 1000.0 + moment
        before = len(liar.asked)
        assert (await failure(resolver))[0] == code
        assert (len(liar.asked) > before) is again


@pytest.mark.parametrize("say", [in_one_message, link_by_link])
@pytest.mark.parametrize("rcode", ["NOERROR", "NXDOMAIN"])
async def test_that_there_is_none_is_known_of_where_aliases_lead(
    stack: ExitStack, now: list[float], say: Any, rcode: str
) -> None:
    """Where the alias is not good any more as well."""
    liar = stack.enter_context(Liar(partial(say, rcode=rcode)))
    resolver = resolver_of(liar)
    code = NO_DATA if rcode == "NOERROR" else socket.EAI_NONAME
    assert (await failure(resolver))[0] == code
    liar.asked.clear()
    for moment in (0, 5.5):
        now[0] = 1000.0 + moment
        assert (await failure(resolver, TCPAddress("c.test", 5)))[0] == code
        assert not liar.asked
    if rcode == "NXDOMAIN":  # of which all types are known
        address = parse_address("https://c.test")
        assert (await failure(resolver, address))[0] == code
        assert not liar.asked


async def test_the_soa_counts_if_it_says_less_than_the_aliases(
    stack: ExitStack, now: list[float]
) -> None:
    alias, soa = "a.test 50 CNAME b.test.", SOA.replace("4 3600", "4 7")
    liar = stack.enter_context(Liar(saying(alias, authority=[soa], rcode="NXDOMAIN")))
    resolver = resolver_of(liar)
    for moment, asked in ((0, 2), (6.5, 2), (7.5, 4)):
        now[0] = 1000.0 + moment
        await failure(resolver)
        assert len(liar.asked) == asked


# ------------------------------------------------------------------------------- words


async def test_the_words_say_how_many_servers_were_asked(stack: ExitStack) -> None:
    one = stack.enter_context(Liar(saying(rcode="SERVFAIL")))
    other = stack.enter_context(Liar(saying(rcode="REFUSED")))
    both = f"{one.address} answered SERVFAIL; {other.address} answered REFUSED"
    words = f"2 name servers were asked: {both}"
    resolver = resolver_of(one, other)
    assert await failure(resolver) == (socket.EAI_AGAIN, words)
    resolver = resolver_of(one)
    assert await failure(resolver) == (
        socket.EAI_AGAIN,
        f"name server {one.address} answered SERVFAIL",
    )


async def test_the_words_say_if_no_server_answered(stack: ExitStack) -> None:
    one = stack.enter_context(Liar(lambda *_: []))
    other = stack.enter_context(Liar(saying(flags=["TC"]), tcp=False))
    silent = f"{one.address} timed out after 0.05 s"
    resolver = resolver_of(one, timeout=0.05)
    assert (await failure(resolver))[1] == f"no name server answered: {silent}"
    resolver = resolver_of(one, one, timeout=0.05)
    assert (await failure(resolver))[1] == f"no name server answered: {silent}"
    resolver = DnsResolver(["127.0.0.1:1", one.address], cache=None, timeout=0.05, attempts=1)
    refused = "127.0.0.1:1 could not be asked (Connection refused)"
    words = f"none of 2 name servers answered: {refused}; {silent}"
    assert (await failure(resolver))[1] == words
    words = f"name server {other.address} could not be asked over TCP (Connection refused)"
    assert (await failure(resolver_of(other)))[1] == words


@pytest.mark.parametrize("nonsense", [b"", bytes(12)])
async def test_d3_over_tcp_it_does_not_listen_to_nonsense_for_long(
    stack: ExitStack, monkeypatch: Any, nonsense: bytes
) -> None:
    """It goes to the next server; and what more there is, it does not read."""
    messages = 0
    read = exchange_module.read

    def count(*told: Any) -> Any:
        nonlocal messages
        messages += 1
        return read(*told)

    monkeypatch.setattr(exchange_module, "read", count)

    def say(query: bytes, kind: str, way: str) -> Any:
        return [answer(query, flags=["TC"])] if way == "udp" else [nonsense] * 100

    one = stack.enter_context(Liar(say))
    words = f"name server {one.address} sent nothing but answers to other questions"
    assert await failure(resolver_of(one)) == (socket.EAI_AGAIN, words)
    assert messages == 2 * (1 + 17)
    other = stack.enter_context(Liar(good))
    assert await said(resolver_of(one, other)) == BOTH


async def test_the_words_say_why_nobody_was_asked_of_an_alias(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(saying("a.test 60 CNAME Printer.local.")))
    words = "it is an alias of printer.local: names under .local are never looked up in DNS"
    code, said_so = await failure(resolver_of(liar))
    assert (code, said_so) == (socket.EAI_NONAME, f"{words} (RFC 6762)")


async def test_the_words_say_what_is_wrong_with_a_record(stack: ExitStack) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        if kind != "HTTPS":
            return [answer(query, authority=[SOA])]
        return [answer(query, "h.test 60 HTTPS 1 . alpn=h2").replace(b"\2h2", b"\5h2")]

    liar = stack.enter_context(Liar(say))
    report = Report()
    with pytest.raises(ResolveError):
        await Dialer(resolver=resolver_of(liar)).connect("https://h.test", report=report)
    [question] = [each for each in report.questions if each.type == "HTTPS"]
    words = f"name server {liar.address} sent a malformed record: its list of protocols is invalid"
    assert question.outcome == words


# ------------------------------------------------------------------- several, and one by one


@pytest.mark.parametrize(
    ("rcodes", "code"),
    [
        (("REFUSED", "SERVFAIL"), socket.EAI_AGAIN),
        (("SERVFAIL", "REFUSED"), socket.EAI_AGAIN),
        (("REFUSED", "NOTZONE"), socket.EAI_FAIL),
    ],
)
async def test_a_server_that_may_know_another_time_counts_more(
    stack: ExitStack, rcodes: Any, code: int
) -> None:
    liars = [stack.enter_context(Liar(saying(rcode=each))) for each in rcodes]
    assert (await failure(resolver_of(*liars)))[0] == code


@pytest.mark.parametrize(
    ("fails", "code"), [("SERVFAIL", socket.EAI_AGAIN), ("REFUSED", socket.EAI_FAIL)]
)
@pytest.mark.parametrize("failing", ["A", "AAAA"])
async def test_that_there_is_none_of_one_family_excuses_no_failure_of_the_other(
    stack: ExitStack, failing: str, fails: str, code: int
) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        options = {"rcode": fails} if kind == failing else {"authority": [SOA]}
        return [answer(query, **options)]

    liar = stack.enter_context(Liar(say))
    assert await failure(resolver_of(liar)) == (
        code,
        f"name server {liar.address} answered {fails}",
    )


async def test_aliases_in_a_circle_lead_to_the_next_server(stack: ExitStack) -> None:
    circle = "a.test 60 CNAME b.test.", "b.test 60 CNAME a.test."
    one = stack.enter_context(Liar(saying(*circle)))
    other = stack.enter_context(Liar(good))
    assert await said(resolver_of(one, other)) == BOTH
    assert (await failure(resolver_of(one)))[0] == socket.EAI_FAIL


async def test_tcp_that_is_refused_leads_to_the_next_server(stack: ExitStack) -> None:
    one = stack.enter_context(Liar(saying(flags=["TC"]), tcp=False))
    other = stack.enter_context(Liar(good))
    assert await said(resolver_of(one, other)) == BOTH
    assert one.asked
    assert {way for _, way in other.asked} == {"udp"}


@pytest.mark.parametrize("rcode", ["FORMERR", "NOTIMP", "BADVERS"])
async def test_d9_who_does_not_take_edns_is_asked_without(stack: ExitStack, rcode: str) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        if dns.message.from_wire(query).edns >= 0:
            return [answer(query, rcode=rcode)]
        return good(query, kind, way)

    liar = stack.enter_context(Liar(say))
    resolver = resolver_of(liar)
    assert await said(resolver) == BOTH
    resolver.forget(NAME)
    before = len(liar.asked)
    assert await said(resolver) == BOTH
    assert len(liar.asked) == before + 2


async def test_d7_who_has_refused_comes_last(stack: ExitStack) -> None:
    one = stack.enter_context(Liar(saying(rcode="REFUSED")))
    other = stack.enter_context(Liar(good))
    resolver = resolver_of(one, other)
    for _ in range(3):
        assert await said(resolver) == BOTH
        resolver.forget(NAME)
    assert len(one.asked) == 2
    assert len(other.asked) == 6


async def test_d7_rotate(stack: ExitStack, machine: Any) -> None:
    """A step further with each lookup: not with each question, candidate, or link of a chain, and
    not where nobody is asked."""
    machine.write("resolv.conf", "search x.test y.test\noptions rotate")

    def say(query: bytes, kind: str, way: str) -> Any:
        if name_of(query) == "a.x.test":
            return [answer(query, authority=[SOA], rcode="NXDOMAIN")]
        if name_of(query) == "a.y.test":
            return [answer(query, "a.y.test 60 CNAME a.test.")]
        return good(query, kind, way)

    liars = [stack.enter_context(Liar(say)) for _ in range(3)]
    resolver = resolver_of(*liars)
    name = TCPAddress("a", 5)
    for number in (0, 1, 2, 0):
        assert await said(resolver, name) == BOTH
        assert await said(resolver, name) == BOTH  # from memory
        names = [sorted(map(name_of, each.queries)) for each in liars]
        expected = ["a.test"] * 2 + ["a.x.test"] * 2 + ["a.y.test"] * 2
        assert names == [expected if each == number else [] for each in range(3)]
        resolver.forget(name)
        for each in liars:
            each.queries.clear()


@pytest.mark.parametrize("option", ["single-request", "single-request-reopen"])
async def test_d8_single_request(stack: ExitStack, machine: Any, option: str) -> None:
    machine.write("resolv.conf", f"options {option}")
    liar = stack.enter_context(Liar(good))
    resolver = resolver_of(liar)
    async with aclosing(resolver.resolve(NAME)) as answers:
        await anext(answers)
        (lookup,) = resolver._lookups.values()
        assert [each.type for each in lookup._running] == [AAAA]
        assert [each.type for each in lookup._to_ask] == [A]
    assert await said(resolver) == BOTH


# ------------------------------------------------------------------------------- remembered


@pytest.mark.parametrize(
    "hosts",
    [("b\u00fccher.test", "B\u00dcCHER.Test", "xn--BCHER-kva.test."), ("a.test", "A.TEST.")],
)
async def test_n1_a_name_has_one_place_however_it_is_written(
    stack: ExitStack, hosts: tuple[str, ...]
) -> None:
    """By its A-label, lowered, and without the dot at its end."""

    def say(query: bytes, kind: str, way: str) -> Any:
        return [answer(query, RECORDS[kind].replace("a.test", name_of(query)))]

    liar = stack.enter_context(Liar(say))
    resolver = resolver_of(liar)
    for host in hosts:
        assert await said(resolver, TCPAddress(host, 5)) == BOTH
        assert len(resolver.known(TCPAddress(host, 5)) or ()) == 2
    names = {name_of(query) for query in liar.queries}
    assert names == {hosts[0].encode("idna").decode()}
    assert len(liar.asked) == 2


@pytest.mark.parametrize("change", ["IPv4", "IPv6", "servers"])
async def test_c7_another_network_is_known_by_servers_and_source_addresses(
    stack: ExitStack, machine: Any, monkeypatch: Any, change: str
) -> None:
    sources: list[str | None] = ["192.0.2.100", "2001:db8::100"]
    monkeypatch.setattr(machine_module, "source_addresses", lambda: tuple(sources))
    liar = stack.enter_context(Liar(good))
    monkeypatch.setattr("aconnect.resolvers.dns.settings.DNS_PORT", liar.port)
    machine.write("resolv.conf", "nameserver 127.0.0.1")
    resolver = DnsResolver(timeout=30, attempts=1, cache=DnsCache())
    home = [*sources]

    async def look_again() -> None:
        assert resolver._surroundings.machine is not None
        resolver._surroundings.machine.looked = (
            resolver._surroundings._resolv_conf._looked
        ) = -math.inf
        await resolver._surroundings.look(module.running_driver())

    assert await said(resolver) == BOTH
    assert resolver.known(NAME) is not None
    if change == "servers":
        machine.write("resolv.conf", "nameserver 127.0.0.1\nnameserver 127.0.0.3")
    else:
        sources[change == "IPv6"] = "192.0.2.200" if change == "IPv4" else "2001:db8::200"
    await look_again()
    assert resolver.known(NAME) is None
    assert await said(resolver) == BOTH
    assert len(liar.asked) == 4
    sources[:] = home
    machine.write("resolv.conf", "nameserver 127.0.0.1")
    await look_again()
    assert resolver.known(NAME) is not None
