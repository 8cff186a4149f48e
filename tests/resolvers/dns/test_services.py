"""Services looked up: HTTPS, SVCB and SRV records, of a name server that says what it is told."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, aclosing
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio
import dns.message
import pytest
from support.liar import Liar, answer
from support.listeners import listening, refusing

from aconnect import (
    AddressNotPermitted,
    CachingResolver,
    Dialer,
    DnsCache,
    DnsResolver,
    Endpoint,
    Report,
    ResolveError,
    ServiceAddress,
    StaticResolver,
    parse_address,
)
from aconnect.resolvers.dns import machine as machine_module
from aconnect.resolvers.dns.services import web_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

V6, V4 = socket.AF_INET6, socket.AF_INET
SOA = "test. 300 SOA ns.test. root.test. 1 2 3 4 60"

ZONE = """\
a.test 60 A 192.0.2.1
a.test 60 AAAA 2001:db8::1
s.test 60 A 192.0.2.2
s.test 60 AAAA 2001:db8::2
t.test 60 A 192.0.2.3
h.test 60 HTTPS 1 s.test. alpn=h2 port=8443
h.test 60 HTTPS 2 . alpn=h2
h.test 60 HTTPS 3 t.test. alpn=h3 no-default-alpn
h.test 60 A 192.0.2.9
alias.test 60 HTTPS 0 h.test.
alias.test 60 A 192.0.2.8
hints.test 60 HTTPS 1 nowhere.test. ipv4hint=192.0.2.7
only.test 60 HTTPS 1 s.test.
sub.search.test 60 HTTPS 1 s.test.
far.search.test 60 HTTPS 1 s.test.
far.search.test 60 A 192.0.2.5
_8443._https.a.test 60 HTTPS 1 t.test.
_foo.a.test 60 SVCB 1 t.test.
_5._foo.a.test 60 SVCB 1 t.test. port=6
_dns.a.test 60 SVCB 1 t.test.
_9._https.h.test 60 HTTPS 0 h.test.
_x._tcp.a.test 60 SRV 1 0 501 s.test.
_x._tcp.a.test 60 SRV 2 0 502 a.test.
_no._tcp.a.test 60 SRV 0 0 0 .
_y._udp.a.test 60 SRV 0 0 7 t.test.
""".splitlines()


def name_of(query: bytes) -> str:
    return str(dns.message.from_wire(query).question[0].name).rstrip(".")


def says(*more: str, **instead: Any) -> Any:
    """What a server says that has the zone.

    Args:
        more: records that it has besides.
        instead: by the name of a type, what is said in place of it: a message, or None for none.
    """

    def say(query: bytes, kind: str, way: str) -> Any:
        if kind in instead:
            said = instead[kind]
            return [said(query)] if said else []
        name = name_of(query)
        records = [each for each in (*ZONE, *more) if each.split()[0] == name]
        found = [each for each in records if each.split()[2] == kind]
        rcode = "NOERROR" if records else "NXDOMAIN"
        return [answer(query, *found, rcode=rcode, authority=[] if found else [SOA])]

    return say


@pytest.fixture(autouse=True)
def _routes(monkeypatch: Any) -> None:
    monkeypatch.setattr(
        machine_module, "source_addresses", lambda: ("192.0.2.100", "2001:db8::100")
    )


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def resolver_of(liar: Liar, **options: Any) -> DnsResolver:
    return DnsResolver([liar.address], **{"cache": DnsCache(), "timeout": 5, **options})


async def ranks(resolver: Any, address: Any) -> list[list[str]]:
    """The addresses of each rank, as they are in the end."""
    of: dict[Any, int] = {}
    async with aclosing(resolver.resolve(parse_address(address))) as answers:
        async for batch in answers:
            for each in batch.withdrawn:
                del of[each]
            of.update(dict.fromkeys(batch.endpoints, batch.rank))
    found: dict[int, list[str]] = {}
    for each, rank in of.items():
        found.setdefault(rank, []).append(f"{each.sockaddr[0]} {each.sockaddr[1]}")
    return [sorted(found[rank]) for rank in sorted(found)]


async def failure(resolver: Any, address: Any) -> tuple[int | None, str]:
    with pytest.raises(OSError) as caught:  # noqa: PT011
        await ranks(resolver, address)
    error = caught.value
    error.__traceback__ = None
    return error.errno, str(error.strerror)


OF_H = [["192.0.2.2 8443", "2001:db8::2 8443"], ["192.0.2.9 443"]]


LONG = ".".join(["a" * 62] * 4) + ".b"
"""A host that has the most octets that a name can have."""


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (f"https://{LONG}:8443", [["192.0.2.1 8443"]]),
        (f"svcb://{LONG}:5?scheme=foo", [["192.0.2.1 5"]]),
        (f"srv:_x._tcp.{LONG}:5", [["192.0.2.1 5"]]),
    ],
)
async def test_a_host_whose_service_has_no_name_that_is_short_enough(
    stack: ExitStack, address: str, expected: Any
) -> None:
    liar = stack.enter_context(Liar(says(f"{LONG} 60 A 192.0.2.1")))
    resolver = resolver_of(liar)
    for _ in range(2):
        assert await ranks(resolver, address) == expected
    assert sorted(liar.asked) == [("A", "udp"), ("AAAA", "udp")]
    resolver.forget(parse_address(address))  # type: ignore[arg-type]
    assert await ranks(resolver, address) == expected
    assert len(liar.asked) == 4


async def test_a_candidate_whose_service_has_no_name_that_is_short_enough(
    stack: ExitStack,
) -> None:
    host, _, domain = LONG.partition(".")
    liar = stack.enter_context(Liar(says(f"{LONG} 60 A 192.0.2.1")))
    resolver = resolver_of(liar, search=[domain])
    assert await ranks(resolver, f"https://{host}:8443") == [["192.0.2.1 8443"]]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://h.test", OF_H),
        ("https://a.test", [["192.0.2.1 443", "2001:db8::1 443"]]),
        ("https://a.test:8443", [["192.0.2.3 8443"], ["192.0.2.1 8443", "2001:db8::1 8443"]]),
        ("https://alias.test", [*OF_H, ["192.0.2.8 443"]]),
        ("https://only.test", [["192.0.2.2 443", "2001:db8::2 443"]]),
        ("https://hints.test", [["192.0.2.7 443"]]),
        ("svcb://a.test:5?scheme=foo", [["192.0.2.3 6"], ["192.0.2.1 5", "2001:db8::1 5"]]),
        ("svcb://a.test:53?scheme=dns", [["192.0.2.3 53"], ["192.0.2.1 53", "2001:db8::1 53"]]),
        (
            "srv:_x._tcp.a.test",
            [["192.0.2.2 501", "2001:db8::2 501"], ["192.0.2.1 502", "2001:db8::1 502"]],
        ),
        ("srv:_none._tcp.a.test:77", [["192.0.2.1 77", "2001:db8::1 77"]]),
        ("https://h.test:9", [["192.0.2.2 8443", "2001:db8::2 8443"], ["192.0.2.9 9"]]),
    ],
)
async def test_what_is_found(stack: ExitStack, address: str, expected: Any) -> None:
    liar = stack.enter_context(Liar(says()))
    resolver = resolver_of(liar)
    if address == "https://hints.test":
        failing = partial(answer, rcode="SERVFAIL")
        liar._say = says(AAAA=failing, A=failing)
    assert await ranks(resolver, address) == expected


async def test_s1_what_is_asked(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(says()))
    resolver = resolver_of(liar, cache=None)
    for address in ("https://a.test", "https://a.test:8443", "svcb://a.test:5?scheme=foo"):
        await ranks(resolver, address)
    asked = [
        (name_of(query), kind) for query, (kind, _) in zip(liar.queries, liar.asked, strict=True)
    ]
    own, t = [("a.test", "AAAA"), ("a.test", "A")], [("t.test", "AAAA"), ("t.test", "A")]
    assert asked == [
        ("a.test", "HTTPS"), *own,
        ("_8443._https.a.test", "HTTPS"), *own, *t,
        ("_5._foo.a.test", "SVCB"), *own, *t,
    ]  # fmt: skip


async def test_a_question_of_single_request_is_put_when_the_one_before_is_over(
    stack: ExitStack, machine: Any
) -> None:
    machine.write("resolv.conf", "options single-request")
    liar = stack.enter_context(Liar(says()))
    await ranks(resolver_of(liar), "https://a.test")
    assert [kind for kind, _ in liar.asked] == ["AAAA", "A", "HTTPS"]


async def test_no_aaaa(stack: ExitStack, machine: Any) -> None:
    machine.write("resolv.conf", "options no-aaaa")
    liar = stack.enter_context(Liar(says()))
    assert await ranks(resolver_of(liar), "https://h.test") == [
        ["192.0.2.2 8443"],
        ["192.0.2.9 443"],
    ]


async def batches(resolver: Any, address: Any) -> list[Any]:
    async with aclosing(resolver.resolve(parse_address(address))) as answers:
        return [batch async for batch in answers]


async def test_what_is_awaited(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(says()))
    said = [each.awaiting for each in await batches(resolver_of(liar), "https://h.test")]
    assert said[0] == {V6, "service"}
    told = [each for each in said if each is not None]
    assert told[-1] == frozenset()
    assert all(later < before for before, later in pairwise(told))


async def test_services_are_told_of(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(says()))
    said = [each for each in await batches(resolver_of(liar), "https://h.test") if each.service]
    offered = [(each.rank, each.service) for each in said if not each.endpoints]
    assert [(rank, service.target, service.port) for rank, service in offered] == [
        (0, "t.test", 443), (0, "s.test", 8443), (1, "h.test", 443),
    ]  # fmt: skip
    assert [service.refused for _, service in offered] == ["it offers nothing over TCP", "", ""]
    assert offered[1][1].alpn == ("h2",)
    assert {each.service.target for each in said if each.endpoints} == {"s.test", "h.test"}


FAILS: list[Any] = [
    partial(answer, rcode="SERVFAIL"),
    partial(answer, rcode="REFUSED"),
    lambda query: answer(query)[:-5],
    lambda query: raw(query, "0001000001"),
    lambda query: raw(query, "000100", "00010000030000"),
]


def raw(query: bytes, *records: str) -> bytes:
    """Records of HTTPS that dnspython would not write."""
    texts = [f"a.test 60 TYPE65345 \\# {len(each) // 2} {each}" for each in records]
    return answer(query, *texts).replace(b"\xff\x41\x00\x01", b"\x00\x41\x00\x01")


@pytest.mark.parametrize("fails", FAILS)
async def test_what_goes_wrong_with_the_service_fails_no_dial(
    stack: ExitStack, fails: Any
) -> None:
    liar = stack.enter_context(Liar(says(HTTPS=fails)))
    assert await ranks(resolver_of(liar), "https://a.test") == [
        ["192.0.2.1 443", "2001:db8::1 443"]
    ]


async def test_a_malformed_set_is_remembered_as_a_failure(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(says(HTTPS=FAILS[3])))
    resolver = resolver_of(liar)
    for _ in range(2):
        await ranks(resolver, "https://a.test")
    assert [kind for kind, _ in liar.asked].count("HTTPS") == 1
    assert resolver.known(parse_address("https://a.test"))


async def test_an_alias_with_parameters(stack: ExitStack) -> None:
    """dnspython refuses such a record; RFC 9460, section 2.4.2, has them ignored."""
    octets = "0000" + "0168047465737400" + "00030002ffff"

    def say(query: bytes, kind: str, way: str) -> Any:
        if kind == "HTTPS" and name_of(query) == "a.test":
            return [raw(query, octets)]
        return says("h.test 60 A 192.0.2.9")(query, kind, way)

    liar = stack.enter_context(Liar(say))
    found = await ranks(resolver_of(liar), "https://a.test")
    assert found == [*OF_H, ["192.0.2.1 443", "2001:db8::1 443"]]


async def test_s9_additional_addresses_save_questions(stack: ExitStack) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        if kind == "HTTPS":
            more = ["s.test 60 A 192.0.2.44", "other.test 60 A 192.0.2.66", "s.test 60 TXT x"]
            return [answer(query, "a.test 60 HTTPS 1 s.test.", additional=more)]
        return says()(query, kind, way)

    liar = stack.enter_context(Liar(say))
    resolver = resolver_of(liar)
    found = await ranks(resolver, "https://a.test")
    assert found[0] == ["192.0.2.44 443", "2001:db8::2 443"]
    asked = [
        (name_of(query), kind) for query, (kind, _) in zip(liar.queries, liar.asked, strict=True)
    ]
    assert ("s.test", "A") not in asked
    again = await ranks(resolver, "https://a.test")  # they are not kept
    assert again[0] == ["192.0.2.2 443", "2001:db8::2 443"]


async def test_cnames_lead_to_the_owner(stack: ExitStack) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        if name_of(query) == "c.test":
            of = {"HTTPS": "a.test 60 HTTPS 1 . port=444", "A": "a.test 60 A 192.0.2.1"}
            return [answer(query, "c.test 60 CNAME a.test.", *([of[kind]] if kind in of else []))]
        return says()(query, kind, way)

    liar = stack.enter_context(Liar(say))
    found = await ranks(resolver_of(liar), "https://c.test")
    assert found[0] == ["192.0.2.1 444", "2001:db8::1 444"]


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("https://gone.test", socket.EAI_NONAME, "there is no such name"),
        ("https://t6.test", socket.EAI_NODATA, "the name has no address"),
        ("srv:_no._tcp.a.test", socket.EAI_NONAME, "says that it does not offer this service"),
        ("srv:_no._tcp.a.test:5", socket.EAI_NONAME, "says that it does not offer this service"),
        (
            "srv:_none._tcp.a.test",
            socket.EAI_NONAME,
            "no SRV records for this service, and no port is given",
        ),
        (
            "srv:_x._tcp.a.invalid",
            socket.EAI_NONAME,
            "its SRV records are not looked up in DNS, and it gives no port",
        ),
        ("srv:_x._tcp.a.invalid:5", socket.EAI_NONAME, "never looked up in DNS"),
    ],
)
async def test_what_is_not_found(stack: ExitStack, address: str, code: int, words: str) -> None:
    liar = stack.enter_context(Liar(says("t6.test 60 TXT x")))
    found, said = await failure(resolver_of(liar), address)
    assert found == code
    assert words in said


@pytest.mark.parametrize(
    ("fails", "code"), [("SERVFAIL", socket.EAI_AGAIN), ("REFUSED", socket.EAI_FAIL)]
)
async def test_srv_records_that_nobody_can_tell(stack: ExitStack, fails: str, code: int) -> None:
    liar = stack.enter_context(Liar(says(SRV=partial(answer, rcode=fails))))
    assert await failure(resolver_of(liar), "srv:_x._tcp.a.test:5") == (
        code,
        f"name server {liar.address} answered {fails}",
    )


async def test_srv_records_for_want_of_descriptors(stack: ExitStack, monkeypatch: Any) -> None:
    def refuse(*_: Any) -> Any:
        raise OSError(24, "Too many open files")

    liar = stack.enter_context(Liar(says()))
    resolver = resolver_of(liar)
    monkeypatch.setattr("aconnect.resolvers.dns.exchange._endpoint", refuse)
    assert (await failure(resolver, "srv:_x._tcp.a.test"))[0] == 24


async def test_srv_for_datagrams(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(says()))
    (batch,) = [
        each for each in await batches(resolver_of(liar), "srv:_y._udp.a.test") if each.endpoints
    ]
    (endpoint,) = batch.endpoints
    assert (endpoint.type, endpoint.sockaddr) == (socket.SOCK_DGRAM, ("192.0.2.3", 7))


async def test_names_that_are_not_dnss_have_no_services(stack: ExitStack, machine: Any) -> None:
    machine.write("hosts", "192.0.2.77 a.test\n")
    liar = stack.enter_context(Liar(says()))
    resolver = resolver_of(liar)
    assert await ranks(resolver, "https://a.test") == [["192.0.2.77 443"]]
    assert await ranks(resolver, "https://localhost") == [["127.0.0.1 443", "::1 443"]]
    assert await ranks(resolver, "srv:_x._tcp.localhost:5") == [["127.0.0.1 5", "::1 5"]]
    assert not liar.asked
    assert len(await ranks(resolver, "srv:_x._tcp.a.test")) == 2  # it is not the host's


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("far", [["192.0.2.2 443", "2001:db8::2 443"], ["192.0.2.5 443"]]),
        ("sub", None),  # it has services, and no address
    ],
)
async def test_n8_a_service_counts_with_addresses(
    stack: ExitStack, typed: str, expected: Any
) -> None:
    liar = stack.enter_context(Liar(says()))
    resolver = resolver_of(liar, search=["search.test", "other.test"], ndots=1)
    if expected is None:
        assert (await failure(resolver, f"https://{typed}"))[0] == socket.EAI_NODATA
    else:
        assert await ranks(resolver, f"https://{typed}") == expected


@pytest.mark.parametrize("address", ["srv:_z._tcp.db", "srv:_z._tcp.db:77"])
async def test_n8_srv_records_of_the_first_candidate_that_has_some(
    stack: ExitStack, address: str
) -> None:
    more = ["_z._tcp.db.two.test 60 SRV 1 0 5 t.test.", "_z._tcp.db 60 SRV 1 0 6 t.test."]
    liar = stack.enter_context(Liar(says(*more)))
    resolver = resolver_of(liar, search=["one.test", "two.test"])
    for _ in range(2):
        assert await ranks(resolver, address) == [["192.0.2.3 5"]]
    assert [each.sockaddr[1] for each in resolver.known(parse_address(address)) or ()] == [5]


@pytest.mark.parametrize(
    ("rcode", "code", "words"),
    [
        ("NXDOMAIN", socket.EAI_NONAME, "has no SRV records for this service"),
        ("SERVFAIL", socket.EAI_AGAIN, "answered SERVFAIL"),
        ("REFUSED", socket.EAI_AGAIN, "answered REFUSED"),
    ],
)
async def test_n8_no_candidate_has_srv_records(
    stack: ExitStack, rcode: str, code: int, words: str
) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        failed = name_of(query).endswith("one.test")
        return [answer(query, rcode=rcode if failed else "NXDOMAIN", authority=[SOA])]

    liar = stack.enter_context(Liar(say))
    resolver = resolver_of(liar, search=["one.test", "two.test"])
    found, said = await failure(resolver, "srv:_z._tcp.db")
    assert (found, words in said) == (code, True)
    assert len(liar.asked) == 3


async def test_v2_a_candidate_that_does_not_offer_it_is_the_last(stack: ExitStack) -> None:
    """What it says is said of the service; and it is no less true from memory."""
    more = ["_z._tcp.db.one.test 60 SRV 0 0 0 .", "_z._tcp.db.two.test 60 SRV 1 0 5 t.test."]
    liar = stack.enter_context(Liar(says(*more)))
    resolver = resolver_of(liar, search=["one.test", "two.test"])
    for _ in range(2):
        found, said = await failure(resolver, "srv:_z._tcp.db")
        assert (found, "does not offer this service" in said) == (socket.EAI_NONAME, True)
    await ranks(resolver, "srv:_z._tcp.db.two.test.")
    assert resolver.known(parse_address("srv:_z._tcp.db")) is None


async def test_the_name_as_typed_counts_by_its_services(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(says()))
    resolver = resolver_of(liar, search=["search.test"])
    assert await ranks(resolver, "https://only.test") == [["192.0.2.2 443", "2001:db8::2 443"]]


# ------------------------------------------------------------------------------ memory


async def test_a_second_lookup_asks_nobody(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(says()))
    resolver = resolver_of(liar)
    for address in (
        "https://h.test",
        "srv:_x._tcp.a.test",
        "https://a.test",
        "https://alias.test",
    ):
        first = await ranks(resolver, address)
        asked = len(liar.asked)
        assert await ranks(resolver, address) == first
        assert len(liar.asked) == asked


async def test_known_is_of_one_rank(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(says()))
    resolver = resolver_of(liar)
    one, many, none = map(parse_address, ("https://a.test", "https://h.test", "https://gone.test"))
    no_srv = parse_address("srv:_no._tcp.a.test")
    for address in (one, many, none, no_srv):
        assert resolver.known(address) is None
    await ranks(resolver, one)
    await ranks(resolver, many)
    await failure(resolver, none)
    await failure(resolver, no_srv)
    known = resolver.known(one)
    assert known is not None
    assert sorted(each.sockaddr[0] for each in known) == ["192.0.2.1", "2001:db8::1"]
    assert resolver.known(many) is None
    assert resolver.known(none) is None
    assert resolver.known(no_srv) is None


async def test_forget_has_all_of_it_asked_again(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(says()))
    resolver = resolver_of(liar)
    await ranks(resolver, "https://h.test")
    asked = len(liar.asked)
    resolver.forget(parse_address("https://h.test"))
    resolver.forget(parse_address("https://other.test"))  # of which nothing is known
    await ranks(resolver, "https://h.test")
    assert len(liar.asked) == 2 * asked


async def test_what_is_stale_serves_when_nobody_can_tell(
    stack: ExitStack, monkeypatch: Any
) -> None:
    now = 1000.0
    for where in ("asking", "resolver"):
        monkeypatch.setattr(f"aconnect.resolvers.dns.{where}.uptime", lambda: now)
    liar = stack.enter_context(Liar(says()))
    cache = DnsCache()
    first = await ranks(resolver_of(liar, cache=cache, timeout=30), "https://a.test")
    now += 100
    liar._say = says(HTTPS=None, AAAA=partial(answer, rcode="SERVFAIL"), A=None)
    hasty = resolver_of(liar, cache=cache, timeout=0.05, attempts=1)
    assert await ranks(hasty, "https://a.test") == first


async def test_what_is_stale_serves_when_nobody_says_anything(
    stack: ExitStack, monkeypatch: Any, put: list[str]
) -> None:
    now = 1000.0
    for where in ("asking", "resolver"):
        monkeypatch.setattr(f"aconnect.resolvers.dns.{where}.uptime", lambda: now)
    monkeypatch.setattr("aconnect.resolvers.dns.asking.PATIENCE", 0.01)
    liar = stack.enter_context(Liar(says()))
    resolver = resolver_of(liar, timeout=30)
    first = await ranks(resolver, "https://a.test")
    now += 100
    liar._say = says(HTTPS=partial(answer, authority=[SOA]), AAAA=None, A=None)
    assert await ranks(resolver, "https://a.test") == first
    asked = len(put)
    assert await ranks(resolver, "https://a.test") == first
    assert len(put) == asked  # for half a minute


async def test_another_resolver_that_remembers_keeps_the_ranks(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(says()))
    caching = CachingResolver(resolver_of(liar, cache=None))
    assert await ranks(caching, "https://h.test") == OF_H
    assert await ranks(caching, "https://h.test") == OF_H
    assert len(await ranks(caching, "https://h.test:8443")) == 1  # another service of the host


async def test_who_asks_at_the_same_time_shares_the_questions(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(says()))
    resolver = resolver_of(liar, cache=None)
    found: list[Any] = []

    async def look_up() -> None:
        found.append(await ranks(resolver, "https://alias.test"))

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(look_up)
    assert found == [[*OF_H, ["192.0.2.8 443"]]] * 5
    assert len(liar.asked) == len(set(zip(liar.asked, map(name_of, liar.queries), strict=True)))
    assert not resolver._lookups


async def test_who_shares_the_questions_draws_the_same(stack: ExitStack) -> None:
    """Or each would ask about other targets of those that are too many."""
    records = [f"many.test 60 HTTPS 1 m{each}.test." for each in range(12)]
    liar = stack.enter_context(Liar(says("many.test 60 A 192.0.2.1", *records)))
    resolver = resolver_of(liar, cache=None)
    address = parse_address("https://many.test")
    drawn: list[list[str]] = []
    together = [resolver.resolve(address) for _ in range(3)]  # type: ignore[arg-type]
    for each in together:
        for _ in range(2):  # what is awaited; and what is asked, when it is
            await anext(each)
    for each in together:
        async with aclosing(each) as answers:
            said = [batch async for batch in answers if batch.service and not batch.endpoints]
        drawn.append([one.service.target for one in said if not one.service.refused])
    assert drawn[0] == drawn[1] == drawn[2]
    assert len(drawn[0]) == 8
    assert len(liar.asked) == 1 + 2 + 8 * 2


async def test_who_leaves_does_not_end_it_for_the_other(stack: ExitStack) -> None:
    held = threading.Event()

    def say(query: bytes, kind: str, way: str) -> Any:
        if name_of(query) == "s.test":
            held.wait(20)
        return says()(query, kind, way)

    liar = stack.enter_context(Liar(say))
    resolver = resolver_of(liar, cache=None, timeout=30)
    first = resolver.resolve(parse_address("https://h.test"))
    async with aclosing(first):
        async for batch in first:
            if batch.service is not None:
                break
        found: list[Any] = []

        async def look_up() -> None:
            found.append(await ranks(resolver, "https://h.test"))

        async with anyio.create_task_group() as group:
            group.start_soon(look_up)
            await anyio.lowlevel.checkpoint()
            await first.aclose()
            held.set()
    assert found == [OF_H]


async def test_cancelled_it_leaves_nothing(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(says(A=None, AAAA=None)))
    resolver = resolver_of(liar, timeout=30)
    with anyio.move_on_after(0.02):
        await ranks(resolver, "https://h.test")
    assert not resolver._lookups


# ---------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"ports": 443}, TypeError, "ports must be callable, not 443"),
        ({"prefer": "h2"}, TypeError, "not the str 'h2'"),
        ({"prefer": ["h2"]}, ValueError, "tuples of protocols, or 'ech', not 'h2'"),
        ({"prefer": [()]}, TypeError, r"not \(\)"),
        ({"prefer": [("h2", 3)]}, TypeError, "'h2', 3"),
        ({"prefer": [("",)]}, TypeError, "tuples of protocols as str"),
    ],
)
def test_bad_input(options: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        DnsResolver(["127.0.0.1"], **options)


async def test_s7_prefer(stack: ExitStack) -> None:
    more = ["p.test 60 HTTPS 1 s.test. alpn=h2", "p.test 60 HTTPS 2 t.test. alpn=foo"]
    liar = stack.enter_context(Liar(says(*more)))
    found = await ranks(resolver_of(liar, prefer=[("foo",), "ech"]), ServiceAddress("p.test", 443))
    assert found[0] == ["192.0.2.3 443"]


@pytest.mark.parametrize(
    ("ports", "words"),
    [
        (lambda _: False, "it leads to port 8443, which is not permitted"),
        (lambda _: 1, "ports must answer True or False, not 1"),
        (lambda port: 1 / 0, "ports raised ZeroDivisionError"),
    ],
)
async def test_s6_ports(stack: ExitStack, ports: Any, words: str) -> None:
    liar = stack.enter_context(Liar(says()))
    said = await batches(resolver_of(liar, ports=ports), "https://h.test")
    assert words in [each.service.refused for each in said if each.service]
    assert {each.sockaddr[1] for batch in said for each in batch.endpoints} == {443}


def test_s6_web_ports() -> None:
    assert not any(map(web_ports, (0, 22, 25, 6667, 10080)))
    assert all(map(web_ports, (80, 443, 8443, 853, 65535)))


# -------------------------------------------------------------------------------- dials


async def test_a_dial_goes_where_the_records_lead(stack: ExitStack) -> None:
    good = stack.enter_context(listening()).getsockname()[1]
    dead = stack.enter_context(refusing())[1]
    more = [
        f"d.test 60 HTTPS 1 one.test. port={dead}",
        f"d.test 60 HTTPS 2 two.test. port={good}",
        "one.test 60 A 127.0.0.1",
        "two.test 60 A 127.0.0.1",
    ]
    liar = stack.enter_context(Liar(says(*more)))
    resolver = resolver_of(liar, ports=lambda _: True)
    with await Dialer(resolver=resolver).connect("https://d.test", timeout=30) as sock:
        assert sock.getpeername() == ("127.0.0.1", good)
    liar._say = says(f"_x._tcp.d.test 60 SRV 0 0 {good} two.test.", *more)
    with await Dialer(resolver=resolver).connect("srv:_x._tcp.d.test", timeout=30) as sock:
        assert sock.getpeername() == ("127.0.0.1", good)


async def test_s6_the_policy_is_asked_with_the_records_port(stack: ExitStack) -> None:
    """About hints as well."""
    asked: list[Any] = []

    def permit(endpoint: Endpoint) -> bool:
        asked.append(endpoint.sockaddr)
        return False

    more = ["d.test 60 HTTPS 1 hinted.test. port=8443 ipv4hint=192.0.2.5"]
    failing = partial(answer, rcode="SERVFAIL")
    liar = stack.enter_context(Liar(says(*more, A=failing, AAAA=failing)))
    dialer = Dialer(resolver=resolver_of(liar), permit=permit)
    with pytest.raises(AddressNotPermitted):
        await dialer.connect("https://d.test", timeout=30)
    assert asked == [("192.0.2.5", 8443)]


async def test_another_resolver_takes_it_for_a_host_with_a_port(stack: ExitStack) -> None:
    listener = stack.enter_context(listening())
    dialer = Dialer(resolver=StaticResolver({"a.test": ["127.0.0.1"]}))
    port = listener.getsockname()[1]
    with await dialer.connect(f"https://a.test:{port}", timeout=30) as sock:
        assert sock.getpeername()[1] == port
    with pytest.raises(ResolveError, match="SRV records are looked up by a resolver"):
        await dialer.connect("srv:_x._tcp.a.test", timeout=30)
    with pytest.raises(ResolveError, match="SRV records are looked up by a resolver"):
        await Dialer().connect("srv:_x._tcp.a.test:5", timeout=30)


async def test_where_the_hosts_file_comes_last_it_is_asked_then(
    stack: ExitStack, machine: Any
) -> None:
    machine.write("nsswitch.conf", "hosts: dns files\n")
    machine.write("hosts", "192.0.2.77 gone.test a.test\n")
    liar = stack.enter_context(Liar(says()))
    assert await ranks(resolver_of(liar), "https://gone.test") == [["192.0.2.77 443"]]
    assert await ranks(resolver_of(liar), "https://a.test") != [["192.0.2.77 443"]]


async def test_nothing_is_remembered_of_a_network_that_nobody_can_tell(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(says()))
    resolver = resolver_of(liar, network=list)
    for _ in range(2):
        await ranks(resolver, "https://a.test")
    assert len(liar.asked) == 6


async def test_questions_are_told_of(stack: ExitStack) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        if kind == "HTTPS":
            more = ["s.test 60 A 192.0.2.44"]
            return [answer(query, "a.test 60 HTTPS 1 s.test.", additional=more)]
        return says()(query, kind, way)

    liar = stack.enter_context(Liar(say))
    resolver = resolver_of(liar)
    said = [
        each for batch in await batches(resolver, "https://a.test") for each in batch.questions
    ]
    asked = [(each.name, each.type) for each in said if not each.outcome]
    assert asked == [("a.test", "HTTPS"), ("a.test", "AAAA"), ("a.test", "A"), ("s.test", "AAAA")]
    came = {(each.name, each.type): each for each in said if each.outcome}
    assert came["s.test", "A"].source == "additional"
    assert came["a.test", "HTTPS"].server == liar.address
    assert came["a.test", "HTTPS"].records == 1
    again = [
        each for batch in await batches(resolver, "https://a.test") for each in batch.questions
    ]
    assert {each.source for each in again if each.outcome and each.name == "a.test"} == {"cache"}


async def test_the_question_of_srv_records_is_told_of_before_the_error(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(says(SRV=partial(answer, rcode="REFUSED"))))
    report = Report()
    with pytest.raises(ResolveError):
        await Dialer(resolver=resolver_of(liar)).connect(
            "srv:_x._tcp.a.test", timeout=30, report=report
        )
    assert [each.outcome for each in report.questions] == [
        f"name server {liar.address} answered REFUSED"
    ]


async def test_what_is_stale_serves_at_once_if_asked_to(
    stack: ExitStack, monkeypatch: Any
) -> None:
    """And what is answered takes its place."""
    now = 1000.0
    for where in ("asking", "resolver"):
        monkeypatch.setattr(f"aconnect.resolvers.dns.{where}.uptime", lambda: now)
    liar = stack.enter_context(Liar(says()))
    resolver = resolver_of(liar, cache=DnsCache(optimistic=True), timeout=30)
    first = await ranks(resolver, "https://a.test")
    now += 100
    may_answer = threading.Event()

    def later(query: bytes, kind: str, way: str) -> Any:
        assert may_answer.wait(10)
        return says()(query, kind, way)

    liar._say = later
    async with aclosing(resolver.resolve(parse_address("https://a.test"))) as batches:
        found: list[Any] = []
        async for batch in batches:
            found += batch.endpoints
            if len(found) == sum(map(len, first)):
                break
        may_answer.set()
        told = [each async for batch in batches for each in batch.questions]
    assert {each.source for each in told if each.outcome} == {"network"}


async def test_d11_hints_are_addresses_of_somebody(stack: ExitStack) -> None:
    hints = "ipv4hint=0.0.0.0,192.0.2.7 ipv6hint=::,::ffff:192.0.2.9"
    record = f"h.test 60 HTTPS 1 nowhere.test. {hints}"
    liar = stack.enter_context(Liar(says(HTTPS=lambda query: answer(query, record))))
    hinted = [
        each.sockaddr[0]
        for batch in await batches(resolver_of(liar), "https://h.test")
        if batch.service is not None and batch.service.hint
        for each in batch.endpoints
    ]
    assert sorted(hinted) == ["192.0.2.7", "192.0.2.9"]


@pytest.mark.parametrize("target", ["localhost", "x.local", "127.0.0.1", "x.onion"])
@pytest.mark.parametrize("address", ["https://h.test", "srv:_y._tcp.h.test"])
async def test_n3_nobody_is_asked_for_a_target_that_is_not_dnss(
    stack: ExitStack, address: str, target: str
) -> None:
    def service(query: bytes) -> Any:
        kind = "HTTPS 1" if address.startswith("https") else "SRV 1 0 5"
        return answer(query, f"{name_of(query)} 60 {kind} {target}.")

    liar = stack.enter_context(Liar(says(HTTPS=service, SRV=service)))
    resolver = resolver_of(liar)
    if address.startswith("https"):
        assert await ranks(resolver, address) == [["192.0.2.9 443"]]
    else:
        assert (await failure(resolver, address))[0] == socket.EAI_NONAME
    assert target not in {*map(name_of, liar.queries)}
