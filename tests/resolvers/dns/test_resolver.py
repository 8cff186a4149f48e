"""The resolver, and name servers that say what they are told to."""

from __future__ import annotations

import errno
import math
import os
import socket
import threading
import time
from contextlib import ExitStack, aclosing
from typing import TYPE_CHECKING, Any

import anyio
import dns.message
import pytest
from support.liar import Liar, answer
from support.listeners import listening

from aconnect import (
    Batch,
    ConnectTimeout,
    Dialer,
    DnsCache,
    DnsResolver,
    Report,
    ResolveError,
    StaticResolver,
    TCPAddress,
    UDPAddress,
)
from aconnect.resolvers.dns import asking
from aconnect.resolvers.dns import machine as machine_module
from aconnect.resolvers.dns import resolver as module
from aconnect.sansio import asking as sansio_asking
from aconnect.testing.conformance import check_resolver

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

NAME = TCPAddress("a.test", 5)
V6, V4 = socket.AF_INET6, socket.AF_INET
SOA = "test. 300 SOA ns.test. root.test. 1 2 3 4 60"
RECORDS = {"A": "a.test 60 A 192.0.2.1", "AAAA": "a.test 60 AAAA 2001:db8::1"}
NO_DATA = socket.EAI_NODATA


def good(query: bytes, kind: str, way: str) -> Any:
    return [answer(query, RECORDS[kind])]


def silent(query: bytes, kind: str, way: str) -> Any:
    return []


def saying(*records: str, **options: Any) -> Any:
    return lambda query, kind, way: [answer(query, *records, **options)]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def resolver_of(*liars: Liar, **options: Any) -> DnsResolver:
    options = {"cache": DnsCache(), "timeout": 5, **options}
    return DnsResolver([each.address for each in liars], **options)


async def said(resolver: Any, address: Any = NAME) -> dict[Any, list[str]]:
    """The hosts by the family of each batch."""
    found: dict[Any, list[str]] = {}
    async with aclosing(resolver.resolve(address)) as answers:
        async for batch in answers:
            assert not batch.sorted
            if batch.answered is None and not batch.endpoints and not batch.withdrawn:
                continue  # it is about questions, and what is worth waiting for
            found[batch.answered] = [str(each.sockaddr[0]) for each in batch.endpoints]
    return found


async def failure(resolver: Any, address: Any = NAME) -> tuple[int | None, str]:
    with pytest.raises(OSError) as caught:  # noqa: PT011
        await said(resolver, address)
    error = caught.value
    error.__traceback__ = None
    return error.errno, str(error.strerror)


BOTH = {V6: ["2001:db8::1"], V4: ["192.0.2.1"]}


# ------------------------------------------------------------------------------- the answers


async def test_both_families_are_asked_and_answered_each_for_itself(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(good))
    assert await said(resolver_of(liar)) == BOTH
    assert liar.asked == [("AAAA", "udp"), ("A", "udp")]
    ports = {dns.message.from_wire(query).id for query in liar.queries}
    assert len(ports) == 2


async def test_over_ipv6_and_for_datagrams(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(good, "::1"))
    address = UDPAddress("a.test", 53)
    async with aclosing(resolver_of(liar).resolve(address)) as answers:
        batches = [batch async for batch in answers]
    kinds = {each.type for batch in batches for each in batch.endpoints}
    assert kinds == {socket.SOCK_DGRAM}
    assert {each.sockaddr[1] for batch in batches for each in batch.endpoints} == {53}


async def test_a_family_that_is_silent_does_not_hold_up_the_other(
    stack: ExitStack, monkeypatch: Any
) -> None:
    monkeypatch.setattr(machine_module, "source_addresses", lambda: (None, None))
    liar = stack.enter_context(Liar(lambda q, kind, _: good(q, kind, _) if kind == "A" else []))
    async with aclosing(resolver_of(liar).resolve(NAME)) as answers:
        await anext(answers)
        batch = await anext(answers)
    assert batch.answered == V4
    assert batch.awaiting == {V6} - {batch.answered}


async def awaited(resolver: DnsResolver) -> list[Any]:
    """What each batch says that it awaits."""
    async with aclosing(resolver.resolve(NAME)) as answers:
        return [batch.awaiting async for batch in answers]


@pytest.mark.parametrize(
    ("sources", "options", "preferred"),
    [
        (("192.0.2.1", "2001:db8::1"), "", V6),
        ((None, None), "", V6),
        ((None, "2001:db8::1"), "", V6),
        (("192.0.2.1", None), "", V4),
        (("192.0.2.1", "2001:db8::1"), "options no-aaaa", V4),
    ],
)
async def test_the_first_batch_is_empty_and_says_what_is_worth_waiting_for(
    stack: ExitStack, monkeypatch: Any, machine: Any, sources: Any, options: str, preferred: int
) -> None:
    machine.write("resolv.conf", options)
    monkeypatch.setattr(machine_module, "source_addresses", lambda: sources)
    liar = stack.enter_context(Liar(good))
    resolver = resolver_of(liar)
    async with aclosing(resolver.resolve(NAME)) as answers:
        first = await anext(answers)
    assert first[:6] == Batch((), awaiting=frozenset({preferred}))[:6]
    asked = [(each.name, each.type) for each in first.questions]
    both = [("a.test", "AAAA"), ("a.test", "A")]
    assert asked == (both[1:] if options else both)
    said_so = await awaited(resolver)
    assert said_so[0] == {preferred}
    assert said_so[-1] == frozenset()


async def test_a_negative_answer_is_not_awaited_any_more(
    stack: ExitStack, monkeypatch: Any
) -> None:
    monkeypatch.setattr(machine_module, "source_addresses", lambda: (None, None))

    def say(query: bytes, kind: str, way: str) -> Any:
        return [answer(query, *([RECORDS["A"]] if kind == "A" else []), authority=[SOA])]

    liar = stack.enter_context(Liar(say))
    assert set(await awaited(resolver_of(liar))) == {frozenset({V6}), frozenset()}


@pytest.mark.parametrize(
    ("aaaa", "a", "expected"),
    [
        ({"authority": [SOA]}, {}, {V6: [], V4: ["192.0.2.1"]}),
        ({"rcode": "NXDOMAIN", "authority": [SOA]}, {}, {V6: [], V4: ["192.0.2.1"]}),
        ({"rcode": "SERVFAIL"}, {}, {V6: [], V4: ["192.0.2.1"]}),
        ({}, {"rcode": "REFUSED"}, {V6: ["2001:db8::1"], V4: []}),
    ],
    ids=["nodata", "nxdomain", "servfail", "refused"],
)
async def test_one_familys_failure_is_not_the_lookups(
    stack: ExitStack, aaaa: Any, a: Any, expected: Any
) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        options = aaaa if kind == "AAAA" else a
        return [answer(query, *([] if options else [RECORDS[kind]]), **options)]

    liar = stack.enter_context(Liar(say))
    assert await said(resolver_of(liar)) == expected


async def test_aliases_that_lead_elsewhere_are_followed(stack: ExitStack) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        name = str(dns.message.from_wire(query).question[0].name)
        if name == "a.test.":
            return [answer(query, "a.test 9 CNAME b.test.")]
        return [answer(query, RECORDS[kind].replace("a.test", "b.test"))]

    liar = stack.enter_context(Liar(say))
    assert await said(resolver_of(liar)) == BOTH


async def test_aliases_without_an_end(stack: ExitStack) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        name = str(dns.message.from_wire(query).question[0].name)
        return [answer(query, f"{name} 9 CNAME x{name}")]

    liar = stack.enter_context(Liar(say))
    assert await failure(resolver_of(liar)) == (
        socket.EAI_FAIL,
        f"name server {liar.address} answered, but its aliases lead in a circle",
    )


FAILURES: list[Any] = [
    (saying(authority=[SOA]), NO_DATA, "the name has no address"),
    (saying(rcode="NXDOMAIN", authority=[SOA]), socket.EAI_NONAME, "there is no such name"),
    (saying(rcode="SERVFAIL"), socket.EAI_AGAIN, "name server {} answered SERVFAIL"),
    (saying(rcode="REFUSED"), socket.EAI_FAIL, "name server {} answered REFUSED"),
    (saying(rcode="NOTZONE"), socket.EAI_FAIL, "name server {} answered NOTZONE"),
    (
        saying(without=["RA"]),
        socket.EAI_FAIL,
        "name server {} does not serve the name, nor ask anybody else",
    ),
    (
        lambda q, kind, way: [answer(q, RECORDS[kind])[:-3]],
        socket.EAI_FAIL,
        "name server {} sent an answer that makes no sense",
    ),
    (
        lambda q, kind, way: [
            answer(q, f"a.test 60 {kind} " + ("0.0.0.0" if kind == "A" else "::"))
        ],
        NO_DATA,
        "answered with the address of nobody, as filters do",
    ),
]


@pytest.mark.parametrize(("say", "code", "words"), FAILURES)
async def test_what_has_no_address(stack: ExitStack, say: Any, code: int, words: str) -> None:
    liar = stack.enter_context(Liar(say))
    assert await failure(resolver_of(liar)) == (code, words.format(liar.address))


async def test_no_other_server_is_asked_when_there_is_no_such_name(stack: ExitStack) -> None:
    one = stack.enter_context(Liar(saying(rcode="NXDOMAIN", authority=[SOA])))
    other = stack.enter_context(Liar(good))
    code, _ = await failure(resolver_of(one, other))
    assert code == socket.EAI_NONAME
    assert not other.asked


async def test_nobody_listens(stack: ExitStack) -> None:
    # Its port is taken, so that nobody else gets it; it hears one peer alone, and that is not us.
    held = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    held.bind(("127.0.0.1", 0))
    held.connect(("127.0.0.1", 1))
    dead = f"127.0.0.1:{held.getsockname()[1]}"
    resolver = DnsResolver([dead], cache=None)
    assert await failure(resolver) == (
        socket.EAI_AGAIN,
        f"no name server answered: {dead} could not be asked (Connection refused)",
    )
    other = stack.enter_context(Liar(good))
    assert await said(DnsResolver([dead, other.address], cache=None)) == BOTH


async def test_a_server_without_a_route(monkeypatch: Any, stack: ExitStack) -> None:
    other = stack.enter_context(Liar(good))
    resolver = DnsResolver(["fe80::1%nowhere", other.address], cache=None)
    assert await said(resolver) == BOTH


async def test_silence(stack: ExitStack, put: list[str]) -> None:
    liar = stack.enter_context(Liar(silent))
    resolver = resolver_of(liar, timeout=0.02, attempts=3)
    words = f"no name server answered: {liar.address} timed out after 0.02 s"
    assert await failure(resolver) == (socket.EAI_AGAIN, words)
    assert sorted(put) == ["A"] * 3 + ["AAAA"] * 3


async def test_when_one_is_silent_the_next_is_asked_as_well(
    stack: ExitStack, monkeypatch: Any
) -> None:
    monkeypatch.setattr(sansio_asking, "LEAST_PATIENCE", 0.25)
    one, other = stack.enter_context(Liar(silent)), stack.enter_context(Liar(good))
    resolver = resolver_of(one, other, timeout=30)
    await resolver._surroundings.look(module.running_driver())
    assert resolver._surroundings.machine is not None
    for _ in range(8):
        resolver._surroundings.machine.servers.answered(0, 0.0)  # it has been quick
    assert await said(resolver) == BOTH
    assert len(one.asked) == 2
    assert len(other.asked) == 2
    resolver.forget(NAME)
    await said(resolver)
    assert len(one.asked) == 2  # it comes last now


async def test_the_deadline_of_a_dial(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(silent))
    with pytest.raises(ConnectTimeout) as caught:
        await Dialer(resolver=resolver_of(liar)).connect(NAME, timeout=0.05)
    assert caught.value.phase == "resolve"


async def test_what_is_no_answer_is_passed_over(stack: ExitStack) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        right = answer(query, RECORDS[kind])
        forged = answer(query, f"a.test 60 {kind} " + ("192.0.2.6" if kind == "A" else "::6"))
        return [bytes([forged[0] ^ 1]) + forged[1:], b"", forged[:11], query, right]

    liar = stack.enter_context(Liar(say))
    assert await said(resolver_of(liar)) == BOTH


async def test_after_too_many_of_those_it_is_asked_over_tcp(stack: ExitStack) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        right = answer(query, RECORDS[kind])
        return [b"nonsense"] * 17 if way == "udp" else [b"nonsense", right]

    liar = stack.enter_context(Liar(say))
    assert await said(resolver_of(liar)) == BOTH
    assert sorted(liar.asked) == [("A", "tcp"), ("A", "udp"), ("AAAA", "tcp"), ("AAAA", "udp")]


def cut_short(query: bytes, kind: str, way: str) -> Any:
    if way == "udp":
        return [
            answer(
                query, f"a.test 60 {kind} " + ("192.0.2.6" if kind == "A" else "::6"), flags=["TC"]
            )
        ]
    return good(query, kind, way)


async def test_what_is_cut_short_is_asked_for_over_tcp(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(cut_short))
    assert await said(resolver_of(liar)) == BOTH


async def test_large_answers_come_over_tcp_in_pieces(stack: ExitStack) -> None:
    many = [f"a.test 60 A 10.1.{n // 256}.{n % 256}" for n in range(250)]

    def say(query: bytes, kind: str, way: str) -> Any:
        if kind == "AAAA":
            return good(query, kind, way)
        return [answer(query, *many) if way == "tcp" else answer(query, flags=["TC"])]

    liar = stack.enter_context(Liar(say))
    assert len((await said(resolver_of(liar)))[V4]) == 250


@pytest.mark.parametrize(
    ("over_tcp", "words"),
    [
        (lambda q: [None], "closed the connection without an answer"),
        (lambda q: [answer(q, flags=["TC"])], "sent a truncated answer over TCP"),
    ],
)
async def test_tcp_that_comes_to_nothing(stack: ExitStack, over_tcp: Any, words: str) -> None:
    liar = stack.enter_context(
        Liar(lambda q, kind, way: cut_short(q, kind, way) if way == "udp" else over_tcp(q))
    )
    _, said_so = await failure(resolver_of(liar))
    assert said_so == f"name server {liar.address} {words}"
    other = stack.enter_context(Liar(good))
    assert await said(resolver_of(liar, other)) == BOTH


async def test_tcp_that_is_refused(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(cut_short, tcp=False))
    assert (await failure(resolver_of(liar)))[1].endswith(
        "could not be asked over TCP (Connection refused)"
    )


async def test_a_server_that_does_not_know_edns(stack: ExitStack) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        if dns.message.from_wire(query).edns >= 0:
            return [answer(query, rcode="FORMERR")]
        return good(query, kind, way)

    liar = stack.enter_context(Liar(say))
    resolver = resolver_of(liar)
    assert await said(resolver) == BOTH
    resolver.forget(NAME)
    asked = len(liar.asked)
    assert await said(resolver) == BOTH
    assert len(liar.asked) == asked + 2


# --------------------------------------------------------------------------------- what is said


async def test_options_of_resolv_conf(stack: ExitStack, machine: Any) -> None:
    liar = stack.enter_context(Liar(good))
    machine.write("resolv.conf", "options use-vc trust-ad single-request no-reload")
    resolver = resolver_of(liar)
    assert await said(resolver) == BOTH
    assert liar.asked == [("AAAA", "tcp"), ("A", "tcp")]
    assert all(query[3] & 0x20 for query in liar.queries)
    machine.write("resolv.conf", "options no-aaaa")
    assert resolver._surroundings.machine is not None
    resolver._surroundings.machine.looked = -math.inf
    resolver._surroundings._resolv_conf._looked = -math.inf
    resolver.forget(NAME)
    assert await said(resolver) == BOTH  # it does not look again


async def test_a_file_that_has_changed_is_read_again(stack: ExitStack, machine: Any) -> None:
    liar = stack.enter_context(Liar(good))
    resolver = resolver_of(liar)
    around = resolver._surroundings
    await said(resolver)
    machine.write("resolv.conf", "options no-aaaa")
    resolver.forget(NAME)
    assert await said(resolver) == BOTH  # it has just been looked at
    assert around.machine is not None
    around.machine.looked = around._resolv_conf._looked = -math.inf
    resolver.forget(NAME)
    assert await said(resolver) == {V4: ["192.0.2.1"]}
    assert resolver.known(NAME) is not None
    around.machine.looked = around._resolv_conf._looked = -math.inf
    assert resolver.known(NAME) is None
    around._resolv_conf._looked = -math.inf
    as_it_was = await around._resolv_conf.value(module.running_driver())
    assert as_it_was == "options no-aaaa"
    around._resolv_conf._looked = -math.inf
    machine.remove("resolv.conf")
    assert await said(resolver) == BOTH


async def test_servers_of_resolv_conf(machine: Any, stack: ExitStack, monkeypatch: Any) -> None:
    liar = stack.enter_context(Liar(good))
    monkeypatch.setattr("aconnect.resolvers.dns.settings.DNS_PORT", liar.port)
    machine.write("resolv.conf", "nameserver 127.0.0.1")
    assert await said(DnsResolver(cache=None)) == BOTH


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("short", ["short.one.test", "short.two.test", "short"]),
        ("short.", ["short"]),
        ("with.dot", ["with.dot", "with.dot.one.test", "with.dot.two.test"]),
    ],
)
async def test_the_search_list(stack: ExitStack, host: str, asked: list[str]) -> None:
    liar = stack.enter_context(Liar(saying(rcode="NXDOMAIN", authority=[SOA])))
    resolver = resolver_of(liar, search=["one.test", "two.test"])
    code, _ = await failure(resolver, TCPAddress(host, 5))
    assert code == socket.EAI_NONAME
    names = [str(dns.message.from_wire(each).question[0].name) for each in liar.queries]
    assert list(dict.fromkeys(names)) == [f"{name}." for name in asked]
    assert resolver.known(TCPAddress(host, 5)) is None


async def test_the_first_candidate_with_an_address_counts(stack: ExitStack) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        name = str(dns.message.from_wire(query).question[0].name)
        if name == "a.two.test." and kind == "A":
            return [answer(query, "a.two.test 60 A 192.0.2.2")]
        return [answer(query, authority=[SOA])]

    liar = stack.enter_context(Liar(say))
    resolver = resolver_of(liar, search=["one.test", "two.test", "three.test"], ndots=1)
    address = TCPAddress("a", 5)
    assert await said(resolver, address) == {V6: [], V4: ["192.0.2.2"]}
    assert len(liar.asked) == 4
    found = resolver.known(address)
    assert found is not None
    assert [each.sockaddr for each in found] == [("192.0.2.2", 5)]


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED"])
@pytest.mark.parametrize("which", ["a.one.test.", "a."])
async def test_if_any_candidate_failed_the_error_says_to_try_again(
    stack: ExitStack, rcode: str, which: str
) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        name = str(dns.message.from_wire(query).question[0].name)
        return [answer(query, rcode=rcode if name == which else "NXDOMAIN")]

    liar = stack.enter_context(Liar(say))
    code, _ = await failure(resolver_of(liar, search=["one.test"]), TCPAddress("a", 5))
    assert code == socket.EAI_AGAIN


async def test_names_that_are_asked_of_nobody(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(good))
    resolver = resolver_of(liar)
    for host in ("x.invalid", "x.onion", "x.alt", "127.1", "x.0x1f"):
        assert (await failure(resolver, TCPAddress(host, 5)))[0] == socket.EAI_NONAME
        assert resolver.known(TCPAddress(host, 5)) is None
    for host in ("localhost", "x.LocalHost."):
        assert await said(resolver, TCPAddress(host, 5)) == {None: ["::1", "127.0.0.1"]}
    assert not liar.asked


async def test_the_hosts_file(stack: ExitStack, machine: Any) -> None:
    liar = stack.enter_context(Liar(good))
    machine.write(
        "hosts",
        "192.0.2.9 A.Test x.invalid localhost\n127.0.0.9 localhost\n"
        "fe80::9%lo z.test\nfe80::8%1 y.test\n",
    )
    resolver = resolver_of(liar)
    assert await said(resolver) == {None: ["192.0.2.9"]}
    assert await said(resolver, TCPAddress("x.invalid", 5)) == {None: ["192.0.2.9"]}
    assert await said(resolver, TCPAddress("localhost", 5)) == {None: ["127.0.0.9"]}
    assert await said(resolver, TCPAddress("z.test", 5)) == {None: ["fe80::9"]}
    assert await said(resolver, TCPAddress("y.test", 5)) == {None: ["fe80::8"]}
    assert resolver.known(NAME) is None
    assert not liar.asked
    assert await said(resolver_of(liar, hosts=False)) == BOTH
    machine.write("nsswitch.conf", "hosts: dns")
    assert await said(resolver_of(liar)) == BOTH


async def test_the_hosts_file_comes_last_where_the_machine_has_it_so(
    stack: ExitStack, machine: Any
) -> None:
    says: list[Any] = [good]
    liar = stack.enter_context(Liar(lambda *asked: says[0](*asked)))
    machine.write("nsswitch.conf", "hosts: dns files")
    machine.write("hosts", "192.0.2.9 a.test\n127.0.0.9 localhost\n")
    assert await said(resolver_of(liar)) == BOTH
    assert await said(resolver_of(liar), TCPAddress("localhost", 5)) == {None: ["127.0.0.9"]}
    for rcode in ("NXDOMAIN", "SERVFAIL"):
        says[0] = saying(rcode=rcode)
        async with aclosing(resolver_of(liar).resolve(NAME)) as answers:
            found = [host async for batch in answers for host in batch.endpoints]
        assert [each.sockaddr[0] for each in found] == ["192.0.2.9"]


async def test_what_is_the_systems(stack: ExitStack, machine: Any) -> None:
    liar = stack.enter_context(Liar(good))
    system = StaticResolver({"x.local": ["192.0.2.7"], "a.test": ["192.0.2.8"]})

    async def hosts(resolver: Any, name: str) -> Any:
        return [
            each.sockaddr[0]
            async for batch in resolver.resolve(TCPAddress(name, 5))
            for each in batch.endpoints
        ]

    assert await hosts(resolver_of(liar, system=system), "x.local") == ["192.0.2.7"]
    machine.write("nsswitch.conf", "hosts: files nis dns")
    assert await hosts(resolver_of(liar, system=system), "a.test") == ["192.0.2.8"]
    code, words = await failure(resolver_of(liar, system=None))
    assert (code, words) == (
        socket.EAI_NONAME,
        "nsswitch.conf lists the source 'nis', and system= is None",
    )
    assert not liar.asked


# -------------------------------------------------------------------------------- remembered


async def test_an_answer_is_kept_for_as_long_as_it_says(stack: ExitStack, clock: Any) -> None:
    liar = stack.enter_context(Liar(good))
    resolver = resolver_of(liar)
    await said(resolver)
    clock.passes(59)
    resolver._surroundings.machine.looked = time.monotonic()  # type: ignore[union-attr]
    assert await said(resolver) == BOTH
    assert {each.sockaddr[0] for each in resolver.known(NAME) or ()} == {
        *("192.0.2.1", "2001:db8::1")
    }
    assert len(liar.asked) == 2
    clock.passes(2)
    assert resolver.known(NAME) is None
    await said(resolver)
    assert len(liar.asked) == 4


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0
        self.start = time.monotonic()

    def passes(self, seconds: float) -> None:
        self.ahead += seconds

    def uptime(self) -> float:
        return self.start + self.ahead  # however long a test takes


@pytest.fixture
def clock(monkeypatch: Any) -> Clock:
    clock = Clock()
    for each in (module, asking):
        monkeypatch.setattr(each, "uptime", clock.uptime)
    return clock


async def test_failures_are_kept_for_longer_each_time(stack: ExitStack, clock: Clock) -> None:
    liar = stack.enter_context(Liar(saying(rcode="SERVFAIL")))
    resolver = resolver_of(liar)
    for seconds in (1, 2, 4, 8, 16, 30, 30):
        before = len(liar.asked)
        await failure(resolver)
        assert len(liar.asked) == before + 2
        clock.passes(seconds - 0.5)
        await failure(resolver)
        assert len(liar.asked) == before + 2
        clock.passes(0.6)


async def test_a_ttl_of_0_is_not_kept_nor_anything_without_a_cache(stack: ExitStack) -> None:
    liar = stack.enter_context(
        Liar(lambda q, kind, way: [answer(q, RECORDS[kind].replace(" 60 ", " 0 "))])
    )
    resolver = resolver_of(liar)
    for _ in range(2):
        await said(resolver)
    assert len(liar.asked) == 4
    resolver = resolver_of(stack.enter_context(Liar(good)), cache=None)
    await said(resolver)
    assert resolver.known(NAME) is None
    resolver.forget(NAME)


@pytest.mark.parametrize("fails", ["servfail", "silence"])
async def test_stale_addresses_are_better_than_none(
    stack: ExitStack, clock: Clock, monkeypatch: Any, put: list[str], fails: str
) -> None:
    monkeypatch.setattr(asking, "PATIENCE", 0.05 if fails == "silence" else 30.0)
    says: list[Any] = [good]
    liar = stack.enter_context(Liar(lambda *asked: says[0](*asked)))
    resolver = resolver_of(liar, cache=DnsCache(stale=100), timeout=30)
    await said(resolver)
    says[0] = silent if fails == "silence" else saying(rcode="SERVFAIL")
    clock.passes(61)
    assert await said(resolver) == BOTH
    asked = len(put)
    clock.passes(20)
    assert await said(resolver) == BOTH
    assert len(put) == asked  # they are left alone for half a minute
    monkeypatch.setattr(asking, "PATIENCE", 30.0)
    says[0] = saying(rcode="NXDOMAIN", authority=[SOA])
    clock.passes(11)
    assert (await failure(resolver))[0] == socket.EAI_NONAME
    clock.passes(61)
    assert (await failure(resolver))[0] == socket.EAI_NONAME


async def test_without_stale(stack: ExitStack, clock: Clock) -> None:
    says: list[Any] = [good]
    liar = stack.enter_context(Liar(lambda *asked: says[0](*asked)))
    resolver = resolver_of(liar, cache=DnsCache(stale=None))
    await said(resolver)
    says[0] = saying(rcode="SERVFAIL")
    clock.passes(61)
    assert (await failure(resolver))[0] == socket.EAI_AGAIN


async def test_another_network_sees_nothing_of_it(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(good))
    network = ["home"]
    resolver = resolver_of(liar, network=lambda: network[0])
    await said(resolver)
    network[0] = "abroad"
    assert resolver.known(NAME) is None
    await said(resolver)
    assert len(liar.asked) == 4
    network[0] = "home"
    assert resolver.known(NAME) is not None


async def test_several_resolvers_may_share_a_cache(stack: ExitStack) -> None:
    liar, cache = stack.enter_context(Liar(good)), DnsCache()
    for _ in range(3):
        await said(resolver_of(liar, cache=cache))
    assert len(liar.asked) == 2
    cache.clear()
    await said(resolver_of(liar, cache=cache))
    assert len(liar.asked) == 4


async def test_a_dial_from_memory(stack: ExitStack) -> None:
    liar = stack.enter_context(
        Liar(
            lambda q, kind, way: [
                answer(q, *["a.test 60 A 127.0.0.1"] * (kind == "A"), authority=[SOA])
            ]
        )
    )
    listener = stack.enter_context(listening())
    dialer = Dialer(resolver=resolver_of(liar))
    address = ("a.test", listener.getsockname()[1])
    for _ in range(3):
        (await dialer.connect(address, timeout=30)).close()
    assert len(liar.asked) == 2
    listener.close()
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            await dialer.connect(address, timeout=30)
    assert len(liar.asked) == 4  # it was forgotten


# ---------------------------------------------------------------------------------- together


async def test_who_asks_the_same_at_once_shares_the_answers(stack: ExitStack) -> None:
    may_answer = threading.Event()

    def say(query: bytes, kind: str, way: str) -> Any:
        assert may_answer.wait(10)
        return good(query, kind, way)

    liar = stack.enter_context(Liar(say))
    resolver = resolver_of(liar, attempts=1)
    found: list[Any] = []

    async def ask() -> None:
        found.append(await said(resolver))

    async def give_up(scope: anyio.CancelScope) -> None:
        with scope:
            await said(resolver)

    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()
        group.start_soon(give_up, scope)
        await anyio.wait_all_tasks_blocked()
        for _ in range(50):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()  # it is the one that has carried the lookup on
        await anyio.wait_all_tasks_blocked()
        may_answer.set()
    assert found == [BOTH] * 50
    assert len(liar.asked) == 2
    assert not resolver._lookups


async def test_the_last_to_leave_ends_it(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(silent))
    resolver = resolver_of(liar)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(said, resolver)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert not resolver._lookups


async def test_who_leaves_what_is_over_leaves_what_others_have_begun(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(good))
    resolver = resolver_of(liar, cache=None)
    one, other = resolver.resolve(NAME), resolver.resolve(NAME)
    for each in (one, other):
        assert not (await anext(each)).endpoints
    assert len([each async for each in one]) == 2
    async with aclosing(resolver.resolve(NAME)) as later:
        await anext(later)
        await other.aclose()
        assert await said(resolver) == BOTH
        assert len([each async for each in later]) == 2
    assert len(liar.asked) == 4
    assert not resolver._lookups


async def test_no_descriptor_is_left(stack: ExitStack, monkeypatch: Any) -> None:
    liar = stack.enter_context(Liar(good))
    resolver = resolver_of(liar)
    await said(resolver)
    resolver.forget(NAME)

    def refuse(*args: Any, **options: Any) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr("aconnect.resolvers.dns.exchange.socket.socket", refuse)
        code, words = await failure(resolver)
    assert (code, words) == (errno.EMFILE, os.strerror(errno.EMFILE))
    assert await said(resolver) == BOTH


async def test_an_error_of_a_dial_says_what_the_servers_have_said(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(saying(rcode="REFUSED")))
    with pytest.raises(ResolveError) as caught:
        await Dialer(resolver=resolver_of(liar)).connect(NAME)
    assert caught.value.errno == socket.EAI_FAIL
    assert str(caught.value).endswith(f": EAI_FAIL: name server {liar.address} answered REFUSED")


async def test_it_conforms(stack: ExitStack) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        name = str(dns.message.from_wire(query).question[0].name)
        if name != "exists.test.":
            return [answer(query, rcode="NXDOMAIN")]
        return [answer(query, RECORDS[kind].replace("a.test", "exists.test"))]

    liar = stack.enter_context(Liar(say))
    for cache in (None, DnsCache()):
        await check_resolver(
            resolver_of(liar, cache=cache),
            exists="exists.test",
            missing="missing.test",
            hosts=["192.0.2.1", "2001:db8::1"],
        )


# ---------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"servers": "127.0.0.1"}, TypeError, "servers must be an iterable of servers"),
        ({"servers": []}, ValueError, "servers must have a name server at least"),
        ({"servers": ["ns.example"]}, ValueError, "servers must be IP addresses"),
        ({"servers": ["ns.example:53"]}, ValueError, "servers must be IP addresses"),
        ({"servers": ["udp://127.0.0.1:53"]}, ValueError, "servers must be IP addresses"),
        ({"servers": ["127.0.0.1:0"]}, ValueError, "servers must have a port that is not 0"),
        ({"servers": [5]}, TypeError, "servers must be IP addresses: address must be a str"),
        ({"servers": 5}, TypeError, "servers must be an iterable of servers, not 5"),
        ({"search": "a.test"}, TypeError, "search must be an iterable of domains"),
        ({"search": ["a..test"]}, ValueError, "search must have domains, not 'a..test'"),
        ({"search": [5]}, TypeError, "search must have domains, not 5"),
        ({"search": 5}, TypeError, "search must be an iterable of domains, not 5"),
        ({"prefer": 5}, TypeError, "prefer must be an iterable of groups of protocols, not 5"),
        ({"prefer": [5]}, TypeError, "prefer must be an iterable of tuples of protocols, not 5"),
        ({"ndots": -1}, ValueError, "ndots must be at least 0, not -1"),
        ({"ndots": True}, TypeError, "ndots must be an int, not True"),
        ({"timeout": 0}, ValueError, "timeout must be finite and more than 0, not 0"),
        ({"timeout": math.nan}, ValueError, "timeout must be finite"),
        ({"timeout": "1"}, TypeError, "timeout must be a number of seconds"),
        ({"attempts": 0}, ValueError, "attempts must be at least 1, not 0"),
        ({"hosts": 1}, TypeError, "hosts must be a bool, not 1"),
        ({"cache": 5}, TypeError, "cache must be a DnsCache or None, not 5"),
        ({"system": 5}, TypeError, "system must have a resolve() method or be None, not 5"),
        ({"network": 5}, TypeError, "network must be callable or None, not 5"),
    ],
)
async def test_bad_arguments(options: Any, error: Any, words: str) -> None:
    with pytest.raises(error) as caught:
        DnsResolver(**options)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"entries": 0}, ValueError, "entries must be at least 1, not 0"),
        ({"entries": 1.0}, TypeError, "entries must be an int, not 1.0"),
        ({"stale": -1}, ValueError, "stale must be finite and at least 0, not -1"),
        ({"stale": math.inf}, ValueError, "stale must be finite and at least 0, not inf"),
    ],
)
async def test_bad_arguments_of_a_cache(options: Any, error: Any, words: str) -> None:
    with pytest.raises(error) as caught:
        DnsCache(**options)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("127.0.0.1", ("127.0.0.1", 53)),
        ("127.0.0.1:5300", ("127.0.0.1", 5300)),
        ("::1", ("::1", 53)),
        ("[::1]", ("::1", 53)),
        ("[::1]:54", ("::1", 54)),
        ("fe80::1%2", ("fe80::1%2", 53)),
        (("127.0.0.1", 7), ("127.0.0.1", 7)),
    ],
)
async def test_servers(server: Any, expected: Any) -> None:
    assert repr(DnsResolver([server])) == f"DnsResolver(servers=({expected!r},))"


async def test_its_repr() -> None:
    assert repr(DnsResolver()) == "DnsResolver()"
    assert isinstance(Batch(()), Batch)


# ---------------------------------------------------------------------- what is told


async def told(resolver: DnsResolver, address: Any = NAME) -> list[Any]:
    """The questions of all batches."""
    async with aclosing(resolver.resolve(address)) as answers:
        return [each async for batch in answers for each in batch.questions]


async def test_questions_are_told_of(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(good))
    resolver = resolver_of(liar)
    asked = await told(resolver)
    assert [(each.type, each.outcome) for each in asked[:2]] == [("AAAA", ""), ("A", "")]
    answers = {each.type: each for each in asked[2:]}
    assert answers.keys() == {"AAAA", "A"}
    assert {(each.server, each.over, each.outcome) for each in answers.values()} == {
        (liar.address, "udp", "NOERROR")
    }
    assert {(each.records, each.ttl, each.source) for each in answers.values()} == {
        (1, 60, "network")
    }
    assert all(each.seconds > 0 for each in answers.values())
    again = await told(resolver)
    assert [(each.source, each.records) for each in again[2:]] == [("cache", 1), ("cache", 1)]
    assert all(0 < each.ttl <= 60 for each in again[2:])


async def test_what_went_wrong_is_told_of(stack: ExitStack) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        if kind == "AAAA":
            return [answer(query, rcode="SERVFAIL")]
        forged = answer(query, RECORDS["A"])
        return [bytes([forged[0] ^ 1]) + forged[1:], answer(query, RECORDS["A"])]

    liar = stack.enter_context(Liar(say))
    answers = {each.type: each for each in (await told(resolver_of(liar)))[2:]}
    assert answers["AAAA"].outcome == f"name server {liar.address} answered SERVFAIL"
    assert (answers["AAAA"].server, answers["AAAA"].ttl) == ("", None)
    assert answers["A"].ignored == 1


async def test_a_negative_answer_is_told_of_with_its_ttl(stack: ExitStack) -> None:
    liar = stack.enter_context(
        Liar(
            lambda q, kind, way: (
                good(q, kind, way)
                if kind == "A"
                else [answer(q, rcode="NXDOMAIN", authority=[SOA])]
            )
        )
    )
    resolver = resolver_of(liar)
    answers = {each.type: each for each in (await told(resolver))[2:]}
    assert (answers["AAAA"].outcome, answers["AAAA"].records, answers["AAAA"].ttl) == (
        "NXDOMAIN",
        0,
        60,
    )
    again = {each.type: each for each in (await told(resolver))[2:]}
    assert (again["AAAA"].outcome, again["AAAA"].source) == ("there is no such name", "cache")


async def test_the_hosts_file_is_told_of(machine: Any) -> None:
    machine.write("hosts", "192.0.2.1 a.test\n192.0.2.2 a.test\n")
    (hosts,) = await told(DnsResolver(["127.0.0.1:1"]))
    assert (hosts.type, hosts.records, hosts.source) == ("A", 2, "hosts")


async def test_d12_what_is_left_out_is_told_of(stack: ExitStack) -> None:
    """Of an answer, and of the questions of a long search list."""
    many = [f"a.test 60 A 10.0.0.{each}" for each in range(200)]
    many += [f"a.test 60 A 10.0.1.{each}" for each in range(100)]

    def say(query: bytes, kind: str, way: str) -> Any:
        return [answer(query, *(many if kind == "A" else ()), authority=[SOA])]

    liar = stack.enter_context(Liar(say))
    came = {each.type: each for each in await told(resolver_of(liar)) if each.outcome}
    assert (came["A"].records, came["A"].left_out, came["AAAA"].left_out) == (256, 44, 0)


async def test_d12_not_all_of_a_long_search_list_is_asked_for(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(saying(rcode="NXDOMAIN", authority=[SOA])))
    resolver = resolver_of(liar, search=[f"d{each}.test" for each in range(20)], ndots=5)
    heard: list[Any] = []
    with pytest.raises(OSError, match="not asked: 32 questions are the most for a lookup"):
        async for batch in resolver.resolve(NAME):
            heard += batch.questions
    assert len(liar.asked) == 32
    outcomes = [each.outcome for each in heard if each.outcome]
    assert outcomes.count("not asked: 32 questions are the most for a lookup") == 10
    assert outcomes.count("NXDOMAIN") == 32


@pytest.mark.parametrize(
    ("name", "sources", "why"),
    [
        ("a.test", "files nis dns", "nsswitch.conf lists the source 'nis'"),
        ("a.test", "files", "nsswitch.conf does not list the source 'dns'"),
        ("x.local", "files dns", "names under .local are never looked up in DNS (RFC 6762)"),
    ],
)
async def test_n7_why_the_system_is_asked_is_told(
    machine: Any, name: str, sources: str, why: str
) -> None:
    machine.write("nsswitch.conf", f"hosts: {sources}")
    system, report = StaticResolver({name: ["127.0.0.1"]}), Report()
    dialer = Dialer(resolver=DnsResolver(["127.0.0.1:1"], system=system, cache=None))
    with pytest.raises(OSError):  # noqa: PT011
        await dialer.connect((name, 1), timeout=30, report=report)
    [question] = report.questions
    assert (question.name, question.type, question.source) == (name, "", "system")
    assert (question.outcome, question.words) == (why, why)
    assert why in report.draw(160)


async def test_c5_stale_is_told(stack: ExitStack, clock: Clock) -> None:
    """Also as long as nobody is asked again."""
    listener = stack.enter_context(listening())
    says: list[Any] = [
        lambda q, kind, way: [
            answer(q, *["a.test 60 A 127.0.0.1"] * (kind == "A"), authority=[SOA])
        ]
    ]
    liar = stack.enter_context(Liar(lambda *asked: says[0](*asked)))
    dialer = Dialer(resolver=resolver_of(liar))

    async def sources() -> set[Any]:
        report = Report()
        (await dialer.connect(("a.test", port), timeout=30, report=report)).close()
        return {each.source for each in report.questions if each.type == "A"}

    port = listener.getsockname()[1]
    assert await sources() == {"network"}
    says[0] = saying(rcode="SERVFAIL")
    clock.passes(61)
    assert await sources() == {"stale"}
    asked = len(liar.asked)
    clock.passes(5)
    assert await sources() == {"stale"}
    assert [kind for kind, _ in liar.asked[asked:]].count("A") == 0


def name_of(query: bytes) -> str:
    name: str = dns.message.from_wire(query).question[0].name.to_text(omit_final_dot=True)
    return name


@pytest.mark.parametrize("links", [16, 17])
async def test_d4_links_count_across_messages(stack: ExitStack, links: int) -> None:
    """Eight of each message, which the next goes on from."""
    names = ["a.test", *(f"c{each}.test" for each in range(1, links + 1))]
    records = [f"{name} 60 CNAME {names[at + 1]}." for at, name in enumerate(names[:-1])]
    records.append(f"{names[-1]} 60 A 192.0.2.1")

    def say(query: bytes, kind: str, way: str) -> Any:
        at = names.index(name_of(query))
        some = records[at : at + 8]
        if some[-1] == records[-1] and kind == "AAAA":
            return [answer(query, *some[:-1], authority=[SOA])]
        return [answer(query, *some)]

    liar = stack.enter_context(Liar(say))
    if links == 16:
        assert await said(resolver_of(liar)) == {V6: [], V4: ["192.0.2.1"]}
    else:
        code, words = await failure(resolver_of(liar))
        assert (code, "its aliases lead in a circle" in words) == (socket.EAI_FAIL, True)


@pytest.mark.parametrize("name", ["localhost", "x.localhost", "printer.local", "x.onion", "1.2"])
async def test_n3_nobody_is_asked_where_an_alias_leads(stack: ExitStack, name: str) -> None:
    liar = stack.enter_context(Liar(saying(f"a.test 60 CNAME {name}.")))
    assert (await failure(resolver_of(liar)))[0] == socket.EAI_NONAME
    assert [*map(name_of, liar.queries)] == ["a.test", "a.test"]


async def test_n4_nobody_is_asked_for_a_candidate_that_is_not_dnss(stack: ExitStack) -> None:
    liar = stack.enter_context(Liar(saying(rcode="NXDOMAIN", authority=[SOA])))
    resolver = resolver_of(liar, search=["local", "onion", "b.test"])
    heard: list[Any] = []
    with pytest.raises(socket.gaierror) as caught:
        async for batch in resolver.resolve(TCPAddress("a", 5)):
            heard += batch.questions
    assert caught.value.errno == socket.EAI_NONAME
    assert {*map(name_of, liar.queries)} == {"a.b.test", "a"}
    outcomes = [each.outcome for each in heard]
    assert outcomes.count("names under .local are never looked up in DNS (RFC 6762)") == 2
