"""What comes of strangers: answers to something else, what is made to be printed, and ports."""

from __future__ import annotations

import json
from contextlib import ExitStack, aclosing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import dns.edns
import dns.message
import pytest
from click.testing import CliRunner
from support.liar import Liar, answer

from aconnect import (
    ConnectError,
    Dialer,
    DnsCache,
    DnsResolver,
    Report,
    TCPAddress,
    parse_address,
)
from aconnect.cli.commands import command
from aconnect.resolvers.dns import asking
from aconnect.resolvers.dns import resolver as module
from aconnect.resolvers.dns.services import web_ports
from aconnect.resolvers.dns.wire import Question, encode, read, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

require()
NAME = TCPAddress("a.test", 5)
SOA = "test. 300 SOA ns.test. root.test. 1 2 3 4 60"
RIGHT = {"A": "192.0.2.1", "AAAA": "2001:db8::1"}
FORGED = {"A": "192.0.2.66", "AAAA": "2001:db8::66"}
HEADER = 12


@pytest.fixture
def anyio_backend() -> str:
    """One will do: what depends on the loop is tested elsewhere."""
    return "asyncio"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def resolver_of(*liars: Liar, **options: Any) -> DnsResolver:
    options = {"cache": DnsCache(), "timeout": 30, "attempts": 1, "nat64": None, **options}
    return DnsResolver([each.address for each in liars], **options)


# ----------------------------------------------------------------------------- near misses


def changed(message: bytes, at: int, octets: bytes) -> bytes:
    return message[:at] + octets + message[at + len(octets) :]


def of_question(message: bytes, old: bytes, new: bytes) -> bytes:
    """Another question; names of the answer point there."""
    return message.replace(old, new, 1)


NEAR_MISSES: dict[str, Callable[[bytes], bytes]] = {
    "another id": lambda said: changed(said, 0, bytes([said[0] ^ 1])),
    "another id in its last bit": lambda said: changed(said, 1, bytes([said[1] ^ 1])),
    "the id the other way round": lambda said: bytes([said[1], said[0] ^ 0x80]) + said[2:],
    "no answer, but a query": lambda said: changed(said, 2, bytes([said[2] & 0x7F])),
    "of a STATUS query": lambda said: changed(said, 2, bytes([said[2] | 2 << 3])),
    "of an UPDATE": lambda said: changed(said, 2, bytes([said[2] | 5 << 3])),
    "without the question": lambda said: (
        changed(said, 4, b"\0\0")[:HEADER] + said[said.index(b"\xc0\x0c") :]
    ),
    "no error and no question": lambda said: said[:2] + b"\x81\x80" + bytes(8),
    "no such name and no question": lambda said: said[:2] + b"\x81\x83" + bytes(8),
    "two questions": lambda said: changed(said, 4, b"\0\2"),
    "another name": lambda said: of_question(said, b"\1a\4test", b"\1b\4test"),
    "a name below": lambda said: of_question(said, b"\1a\4test", b"\1x\1a\4test"),
    "a name above": lambda said: of_question(said, b"\1a\4test", b"\4test"),
    "another type": lambda said: changed(said, said.index(b"\4test\0") + 6, b"\0\x0f"),
    "another class": lambda said: changed(said, said.index(b"\4test\0") + 8, b"\0\3"),
    "a header that is cut": lambda said: said[: HEADER - 1],
}


@pytest.mark.parametrize("miss", NEAR_MISSES)
@pytest.mark.parametrize("kind", ["A", "AAAA"])
def test_d3_each_near_miss(miss: str, kind: str) -> None:
    question = Question("a.test", 1 if kind == "A" else 28)
    query = encode(question, 0x1234, edns=True)
    right = answer(query, f"a.test 60 {kind} {FORGED[kind]}")
    assert read(right, query, question) is not None
    assert read(NEAR_MISSES[miss](right), query, question) is None


@pytest.mark.anyio
@pytest.mark.parametrize("more", [False, True])
async def test_d3_sixteen_are_passed_over_and_no_more(stack: ExitStack, more: bool) -> None:
    """The right answer is heard behind them; behind one more, it is asked for over TCP."""
    assert len(NEAR_MISSES) == 16

    def say(query: bytes, kind: str, way: str) -> Any:
        right = answer(query, f"a.test 60 {kind} {RIGHT[kind]}")
        if way == "tcp":
            return [right]
        forged = answer(query, f"a.test 60 {kind} {FORGED[kind]}")
        misses = [miss(forged) for miss in NEAR_MISSES.values()]
        return [*misses, b"one more", forged] if more else [*misses, right]

    liar = stack.enter_context(Liar(say))
    async with aclosing(resolver_of(liar).resolve(NAME)) as answers:
        batches = [batch async for batch in answers]
    assert {each.sockaddr[0] for batch in batches for each in batch.endpoints} == {*RIGHT.values()}
    told = [each for batch in batches for each in batch.questions if each.outcome]
    assert {(each.over, each.ignored) for each in told} == {("tcp", 17) if more else ("udp", 16)}


@pytest.mark.parametrize("rcode", [1, 2, 4, 5])
def test_d3_refusals_need_not_have_the_question(rcode: int) -> None:
    question = Question("a.test", 1)
    query = encode(question, 0x1234, edns=True)
    reply = read(query[:2] + bytes([0x81, 0x80 | rcode]) + bytes(8), query, question)
    assert reply is not None
    assert reply.rcode == rcode


# -------------------------------------------------------------------- what is printed (X3)


EVIL = r"\027[31m\010\013\155\200\255\"x"  # escape, line feed and the like, as a zone file has it
TEXTS: dict[str, list[str]] = {
    "an alias": [f"a.test 60 CNAME {EVIL}.local."],
    "a target of HTTPS": [f"a.test 60 HTTPS 1 {EVIL}.test. alpn=h2"],
    "a target of SRV": [f"_x._tcp.a.test 60 SRV 1 0 5 {EVIL}.test."],
    "an alias of HTTPS": [f"a.test 60 HTTPS 0 {EVIL}.test."],
}


def is_harmless(text: str) -> bool:
    return all(each.isprintable() or each == "\n" for each in text) and "\x1b" not in text


@pytest.mark.anyio
@pytest.mark.parametrize("what", [*TEXTS, "a protocol", "an EDNS text"])
async def test_x3_whatever_is_said_is_printed_escaped(stack: ExitStack, what: str) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        name = str(dns.message.from_wire(query).question[0].name)
        wanted = {"HTTPS": "HTTPS", "SRV": "SRV", "A": "CNAME", "AAAA": "CNAME"}[kind]
        if what == "a protocol" and kind == "HTTPS":
            svcb = answer(query, "a.test 60 HTTPS 1 s.test. alpn=aaaaaaaa")
            return [svcb.replace(b"\x08aaaaaaaa", b"\x08\x1b[31m\n\xff\x80")]
        if what == "an EDNS text":  # RFC 8914
            said = dns.message.make_response(dns.message.from_wire(query))
            said.use_edns(0, options=[dns.edns.EDEOption(15, "\x1b[31m\n")])
            said.set_rcode(2)
            return [said.to_wire()]
        of = [each for each in TEXTS.get(what, []) if each.split()[2] == wanted]
        if of and name in ("a.test.", "_x._tcp.a.test."):
            return [answer(query, *of)]
        return [answer(query, rcode="NXDOMAIN", authority=[SOA])]

    liar = stack.enter_context(Liar(say))
    address = "srv:_x._tcp.a.test" if "SRV" in what else "https://a.test"
    report = Report()
    with pytest.raises(ConnectError) as caught:
        await Dialer(resolver=resolver_of(liar)).connect(address, timeout=30, report=report)
    texts = [
        *(str(caught.value), repr(caught.value), str(report), report.draw(200)),
        *(json.dumps(report.to_dict()), json.dumps(report.to_dict(), ensure_ascii=False)),
        *(str(each) for each in report.questions),
        *(str(each) for each in report.services),
    ]
    assert all(map(is_harmless, texts))
    for markup in (report.to_svg(), report.to_html()):
        assert "\x1b" not in markup
        assert "\x80" not in markup
    shown = " ".join(texts)
    if what in TEXTS:
        assert "\\027[31m\\010\\013" in shown.replace("\\\\", "\\")
    if what == "a protocol":
        assert "x1b[31m" in shown


@pytest.mark.parametrize("what", [*TEXTS])
def test_x3_on_the_command_line(what: str) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        name = str(dns.message.from_wire(query).question[0].name)
        wanted = {"HTTPS": "HTTPS", "SRV": "SRV", "A": "CNAME", "AAAA": "CNAME"}[kind]
        of = [each for each in TEXTS[what] if each.split()[2] == wanted]
        if of and name in ("a.test.", "_x._tcp.a.test."):
            return [answer(query, *of)]
        return [answer(query, rcode="NXDOMAIN", authority=[SOA])]

    with Liar(say) as liar:
        address = "srv:_x._tcp.a.test" if "SRV" in what else "https://a.test"
        for more in ([], ["--json"]):
            result = CliRunner().invoke(
                command, ["lookup", "--server", liar.address, *more, address]
            )
            assert is_harmless(result.output)
            assert result.exit_code == 1


# -------------------------------------------------------------------------------- ports


BLOCKED = """
0 1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95
101 102 103 104 109 110 111 113 115 117 119 123 135 137 139 143 161 179
389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563 587 601 636 989 990 993 995
1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6566 6665 6666 6667 6668 6669 6679 6697 10080
"""
"""Of the Fetch standard, section "port blocking"."""


def test_s6_all_ports() -> None:
    assert {each for each in range(65536) if not web_ports(each)} == {*map(int, BLOCKED.split())}


@pytest.mark.anyio
@pytest.mark.parametrize("port", [0, 25, 6000, 10080])
async def test_s6_the_asked_port_is_always_permitted(stack: ExitStack, port: int) -> None:
    def say(query: bytes, kind: str, way: str) -> Any:
        if kind == "SVCB":
            name = str(dns.message.from_wire(query).question[0].name)
            records = [f"{name} 60 SVCB 1 s.test. port={port}", f"{name} 60 SVCB 2 t.test."]
            return [answer(query, *records)]
        name = str(dns.message.from_wire(query).question[0].name)
        return [answer(query, f"{name} 60 {kind} {RIGHT[kind]}")]

    liar = stack.enter_context(Liar(say))
    for asked in {port, 8080} - {0}:
        address = parse_address(f"svcb://a.test:{asked}?scheme=foo")
        async with aclosing(resolver_of(liar).resolve(address)) as answers:
            batches = [batch async for batch in answers]
        refused = {
            each.service.target for each in batches if each.service and each.service.refused
        }
        assert refused == (set() if asked == port else {"s.test"})
        ports = {each.sockaddr[1] for batch in batches for each in batch.endpoints}
        assert ports == {asked}


# ------------------------------------------------------------------------------ patience


@pytest.mark.anyio
async def test_c5_what_is_stale_serves_after_1_8_seconds(
    stack: ExitStack, monkeypatch: Any
) -> None:
    """RFC 8767, section 5."""
    now = [1000.0]
    for each in (module, asking):
        monkeypatch.setattr(each, "uptime", lambda: now[0])
    says: list[Any] = [lambda q, kind, way: [answer(q, f"a.test 60 {kind} {RIGHT[kind]}")]]
    liar = stack.enter_context(Liar(lambda *asked: says[0](*asked)))
    resolver = resolver_of(liar)

    async def said() -> set[Any]:
        async with aclosing(resolver.resolve(NAME)) as answers:
            return {each.sockaddr[0] async for batch in answers for each in batch.endpoints}

    assert await said() == {*RIGHT.values()}
    now[0] += 100
    says[0] = lambda *_: []
    waits: list[float] = []
    moment = [5000.0]

    async def go_on(lookup: Any, driver: Any, watch: Any, until: float) -> None:
        waits.append(until - moment[0])
        moment[0] = until

    monkeypatch.setattr(asking.Lookup, "go_on", go_on)
    monkeypatch.setattr(asking, "time", SimpleNamespace(monotonic=lambda: moment[0]))
    assert await said() == {*RIGHT.values()}
    assert waits == [pytest.approx(1.8)]
