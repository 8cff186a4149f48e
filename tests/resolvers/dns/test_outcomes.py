"""What comes of what name servers say, and for how long it counts."""

from __future__ import annotations

import socket
from contextlib import ExitStack, aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

import dns.message
import pytest
from support.liar import Liar, answer

from aconnect import DnsCache, DnsResolver, TCPAddress
from aconnect.resolvers.dns import asking
from aconnect.resolvers.dns import resolver as module

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
    options = {"cache": DnsCache(), "timeout": 30, **options}
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
    words = f"2 servers were asked: {one.address}: SERVFAIL; {other.address}: REFUSED"
    resolver = resolver_of(one, other)
    assert await failure(resolver) == (socket.EAI_AGAIN, words)
    resolver = resolver_of(one)
    assert await failure(resolver) == (socket.EAI_AGAIN, f"{one.address}: SERVFAIL")
