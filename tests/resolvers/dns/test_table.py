"""The table of the reference: what a server says, who is asked then, and what is kept of it."""

from __future__ import annotations

import socket
from contextlib import ExitStack, aclosing
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from support.liar import Liar, answer

from aconnect import DnsCache, DnsResolver, TCPAddress, parse_address
from aconnect.resolvers.dns import asking
from aconnect.resolvers.dns import resolver as module
from aconnect.sansio import asking as sansio_asking

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

NAME = TCPAddress("a.test", 5)
SOA = "test. 300 SOA ns.test. root.test. 1 2 3 4 60"
HOSTS = {"A": "192.0.2.1", "AAAA": "2001:db8::1"}
NODATA, NONAME, AGAIN, FAIL = (
    getattr(socket, name) for name in ("EAI_NODATA", "EAI_NONAME", "EAI_AGAIN", "EAI_FAIL")
)


def good(query: bytes, kind: str, way: str) -> Any:
    return [answer(query, f"a.test 60 {kind} {HOSTS[kind]}")]


def saying(*records: str, **options: Any) -> Any:
    return lambda query, kind, way: [answer(query, *records, **options)]


def by_tcp(*said: Any, **options: Any) -> Any:
    """Something is cut short, and that comes over TCP."""

    def say(query: bytes, kind: str, way: str) -> Any:
        if way == "udp":
            return [answer(query, flags=["TC"])]
        return [*said] or [answer(query, **options)]

    return say


def altered(query: bytes, kind: str, old: bytes, new: bytes) -> bytes:
    return answer(query, f"a.test 60 {kind} {HOSTS[kind]}").replace(old, new)


class Row(NamedTuple):
    """A row.

    Attributes:
        say: the server.
        code, words: of the error, if nothing else helps.
        next: whether another server is asked.
        kept: seconds for which it is remembered.
        tcp: whether the server takes connections.
    """

    say: Any
    code: int
    words: str
    next: bool = True
    kept: float = 0.0
    tcp: bool = True


ROWS = {
    "NODATA": Row(saying(authority=[SOA]), NODATA, "no address", next=False, kept=60),
    "NODATA without SOA": Row(saying(), NODATA, "no address", next=False),
    "NXDOMAIN": Row(saying(rcode="NXDOMAIN", authority=[SOA]), NONAME, "no such", False, 60),
    "NXDOMAIN without SOA": Row(saying(rcode="NXDOMAIN"), NONAME, "no such name", next=False),
    "NXDOMAIN behind an alias": Row(
        saying("a.test 20 CNAME b.test.", rcode="NXDOMAIN", authority=[SOA]),
        *(NONAME, "no such name", False, 20),
    ),
    "SERVFAIL": Row(saying(rcode="SERVFAIL"), AGAIN, "answered SERVFAIL", kept=1),
    "REFUSED": Row(saying(rcode="REFUSED"), FAIL, "answered REFUSED", kept=1),
    "NOTIMP": Row(saying(rcode="NOTIMP"), FAIL, "answered NOTIMP", kept=1),
    "FORMERR": Row(saying(rcode="FORMERR"), FAIL, "answered FORMERR", kept=1),
    "NOTAUTH": Row(saying(rcode="NOTAUTH"), FAIL, "answered NOTAUTH", kept=1),
    "lame": Row(saying(without=["RA"]), FAIL, "does not serve the name"),
    "silence": Row(lambda *_: [], AGAIN, "timed out after 0.02 s", kept=1),
    "TC, and TCP is refused": Row(by_tcp(), AGAIN, "asked over TCP", tcp=False),
    "TC, and TCP is cut": Row(by_tcp(None), AGAIN, "closed the connection"),
    "TC over TCP, too": Row(by_tcp(flags=["TC"]), FAIL, "truncated answer over TCP"),
    "another id": Row(
        lambda query, kind, way: [bytes([query[0] ^ 1]) + answer(query)[1:]],
        *(AGAIN, "timed out", True, 1),
    ),
    "another question": Row(
        lambda query, kind, way: [altered(query, kind, b"\1a\4test", b"\1b\4test")],
        *(AGAIN, "timed out", True, 1),
    ),
    "a query": Row(lambda query, kind, way: [query], AGAIN, "timed out", kept=1),
    "cut": Row(
        lambda query, kind, way: [answer(query, f"a.test 60 {kind} {HOSTS[kind]}")[:-12]],
        *(FAIL, "an answer that makes no sense"),
    ),
    "a pointer ahead": Row(
        lambda query, kind, way: [altered(query, kind, b"\xc0\x0c", b"\xc0\xff")],
        *(FAIL, "an answer that makes no sense"),
    ),
    "a type of label": Row(
        lambda query, kind, way: [altered(query, kind, b"\xc0\x0c", b"\x80\x0c")],
        *(FAIL, "an answer that makes no sense"),
    ),
    "counts": Row(
        lambda query, kind, way: [altered(query, kind, b"\0\1\0\1\0\0\0\1", b"\0\1\0\3\0\0\0\1")],
        *(FAIL, "an answer that makes no sense"),
    ),
    "aliases in a circle": Row(
        saying("a.test 60 CNAME b.test.", "b.test 60 CNAME a.test."),
        *(FAIL, "its aliases lead in a circle"),
    ),
    "an alias of itself": Row(
        saying("a.test 60 CNAME a.test."), FAIL, "its aliases lead in a circle"
    ),
    "17 aliases": Row(
        saying(
            "a.test 60 CNAME c0.test.", *(f"c{n}.test 60 CNAME c{n + 1}.test." for n in range(16))
        ),
        *(FAIL, "its aliases lead in a circle"),
    ),
    "nobody's address": Row(
        lambda query, kind, way: [
            answer(query, f"a.test 60 {kind} {'::' if kind == 'AAAA' else '0.0.0.0'}")
        ],
        *(NODATA, "answered with the address of nobody, as filters do", False, 60),
    ),
}


@pytest.fixture
def anyio_backend() -> str:
    """One will do: what depends on the loop is tested elsewhere."""
    return "asyncio"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def now(monkeypatch: Any) -> list[float]:
    moment = [1000.0]
    for each in (module, asking):
        monkeypatch.setattr(each, "uptime", lambda: moment[0])
    return moment


def resolver_of(*liars: Liar, **options: Any) -> DnsResolver:
    options = {"cache": DnsCache(), "timeout": 30, "attempts": 1, **options}
    return DnsResolver([each.address for each in liars], **options)


async def said(resolver: DnsResolver, address: Any = NAME) -> set[str]:
    async with aclosing(resolver.resolve(address)) as answers:
        return {str(each.sockaddr[0]) async for batch in answers for each in batch.endpoints}


async def failure(resolver: DnsResolver) -> tuple[int | None, str]:
    with pytest.raises(OSError) as caught:  # noqa: PT011
        await said(resolver)
    caught.value.__traceback__ = None
    return caught.value.errno, str(caught.value.strerror)


@pytest.mark.parametrize("row", ROWS)
async def test_what_is_said_and_kept(
    stack: ExitStack, now: list[float], put: list[str], row: str
) -> None:
    say, code, words, _, kept, tcp = ROWS[row]
    liar = stack.enter_context(Liar(say, tcp=tcp))
    resolver = resolver_of(liar, timeout=0.02 if "timed out" in words else 30)
    found, said_so = await failure(resolver)
    assert (found, words in said_so) == (code, True), said_so
    asked = len(put)
    if kept:
        now[0] += kept - 0.5
        assert await failure(resolver) == (found, said_so)
        assert len(put) == asked
        now[0] += 1
    assert (await failure(resolver))[0] == code
    assert len(put) > asked


@pytest.mark.parametrize("row", ROWS)
async def test_who_is_asked_then(stack: ExitStack, monkeypatch: Any, row: str) -> None:
    say, code, _, others, _, tcp = ROWS[row]
    liar = stack.enter_context(Liar(say, tcp=tcp))
    other = stack.enter_context(Liar(good))
    patience = 0.02 if "timed out" in ROWS[row].words else 30.0
    for name in ("FIRST_PATIENCE", "LEAST_PATIENCE"):
        monkeypatch.setattr(sansio_asking, name, patience)
    resolver = resolver_of(liar, other)
    if others:
        assert await said(resolver) == {*HOSTS.values()}
    else:
        assert (await failure(resolver))[0] == code
    assert bool(other.asked) is others


@pytest.mark.parametrize(
    "row",
    [
        *("SERVFAIL", "REFUSED", "NOTIMP", "lame", "TC, and TCP is refused"),
        *("TC, and TCP is cut", "TC over TCP, too", "aliases in a circle", "17 aliases"),
    ],
)
async def test_any_failure_of_a_service_is_kept(
    stack: ExitStack, now: list[float], row: str
) -> None:
    """And fails nothing: no more than one dial in a second waits for it."""

    def say(query: bytes, kind: str, way: str) -> Any:
        if kind == "HTTPS":
            return ROWS[row].say(query, "A", way)
        return good(query, kind, way)

    liar = stack.enter_context(Liar(say, tcp=ROWS[row].tcp))
    resolver = resolver_of(liar)
    address = parse_address("https://a.test")
    for moment, asked in ((0.0, True), (0.9, False), (1.1, True)):
        now[0] = 1000 + moment
        before = [kind for kind, _ in liar.asked].count("HTTPS")
        assert await said(resolver, address) == {*HOSTS.values()}
        assert ([kind for kind, _ in liar.asked].count("HTTPS") > before) is asked


@pytest.mark.parametrize(("other", "kept"), [("REFUSED", True), ("lame", False)])
async def test_of_several_failures_one_that_is_kept_will_do(
    stack: ExitStack, now: list[float], other: str, kept: bool
) -> None:
    liars = [stack.enter_context(Liar(ROWS[each].say)) for each in ("lame", other)]
    resolver = resolver_of(*liars)
    await failure(resolver)
    before = [len(each.asked) for each in liars]
    await failure(resolver)
    assert ([len(each.asked) for each in liars] == before) is kept
