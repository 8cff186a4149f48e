"""What is kept of answers: C1, C5 and C7 of the rules."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, aclosing
from typing import TYPE_CHECKING, Any

import pytest
from support.liar import Liar, answer

from aconnect import Batch, DnsCache, DnsResolver, TCPAddress
from aconnect.resolvers.dns import asking
from aconnect.resolvers.dns import resolver as module
from aconnect.resolvers.dns.cache import _NO_DATA, Answers
from aconnect.resolvers.dns.outcome import Outcome
from aconnect.resolvers.dns.wire import AAAA, A, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = TCPAddress("a.test", 5)
SOA = "test. 300 SOA ns.test. root.test. 1 2 3 4 60"
NXDOMAIN = Outcome(Reply(3, negative_ttl=60))
NODATA = Outcome(Reply(0, negative_ttl=60))
FAILED = Outcome(None, socket.EAI_AGAIN, "no answer")


def addresses(*hosts: str, ttl: int = 60) -> Outcome:
    return Outcome(Reply(0, addresses=hosts, ttl=ttl))


def kept(*what: tuple[int, Outcome]) -> Answers:
    answers = Answers(64, 100.0)
    for type, outcome in what:
        answers.keep(("here", "a.test", type), outcome, 0.0)
    return answers


def code(answers: Answers, type: int, name: str = "a.test", now: float = 1.0) -> int | None:
    """Why there is nothing; 0 for addresses, None if nothing is kept."""
    entry = answers.get(("here", name, type), now)
    return None if entry is None else entry.value.code


class TestNoSuchName:
    def test_holds_for_all_types_and_for_no_name_below(self) -> None:
        answers = kept((A, NXDOMAIN))
        assert code(answers, A) == code(answers, AAAA) == socket.EAI_NONAME
        assert code(answers, 65) == socket.EAI_NONAME
        assert code(answers, A, "b.a.test") is None
        assert code(answers, A, now=60.0) is code(answers, AAAA, now=60.0) is None

    def test_that_there_is_no_data_holds_for_its_type(self) -> None:
        answers = kept((A, NODATA))
        assert code(answers, A) == _NO_DATA
        assert code(answers, AAAA) is None

    @pytest.mark.parametrize("order", [1, -1])
    def test_holds_for_itself_where_another_type_has_addresses(self, order: int) -> None:
        answers = kept(*[(AAAA, NXDOMAIN), (A, addresses("192.0.2.1"))][::order])
        assert (code(answers, A), code(answers, AAAA)) == (0, socket.EAI_NONAME)
        assert code(answers, 65) is None

    def test_without_a_soa_it_is_not_kept(self) -> None:
        assert code(kept((A, Outcome(Reply(3)))), AAAA) is None

    def test_ends_addresses_that_are_stale(self) -> None:
        answers = kept((AAAA, addresses("2001:db8::1")))
        assert code(answers, AAAA, now=61.0) == 0
        answers.keep(("here", "a.test", A), NXDOMAIN, 61.0)
        assert code(answers, AAAA, now=61.0) == socket.EAI_NONAME

    def test_ends_them_for_good(self) -> None:
        answers = kept((AAAA, addresses("2001:db8::1")))
        answers.keep(("here", "a.test", A), NXDOMAIN, 61.0)
        assert code(answers, AAAA, now=121.0) is None  # and not what was there before

    def test_is_forgotten_with_any_of_its_types(self) -> None:
        answers = kept((A, NXDOMAIN))
        answers.forget(("here", "a.test", AAAA))
        assert code(answers, 65) is None

    @pytest.mark.parametrize(("rcode", "of_aaaa"), [(0, None), (3, socket.EAI_NONAME)])
    def test_holds_for_the_name_that_aliases_lead_to(self, rcode: int, of_aaaa: Any) -> None:
        """For as long as the SOA record says; for the alias, for no longer than that is good."""
        here = _NO_DATA if rcode == 0 else socket.EAI_NONAME
        reply = Reply(rcode, negative_ttl=5, owner_negative_ttl=60, owner="last.test")
        answers = kept((A, Outcome(reply)))
        assert (code(answers, A), code(answers, AAAA)) == (here, of_aaaa)
        for now, expected in ((59.0, (here, of_aaaa)), (60.0, (None, None))):
            assert code(answers, A, now=now) is code(answers, AAAA, now=now) is None
            last = "last.test"
            assert (code(answers, A, last, now), code(answers, AAAA, last, now)) == expected
            assert code(answers, A, "x.last.test", now) is None

    def test_holds_for_its_type_where_aliases_lead_if_that_has_addresses(self) -> None:
        answers = Answers(64, 100.0)
        answers.keep(("here", "last.test", AAAA), addresses("2001:db8::1"), 0.0)
        reply = Reply(3, negative_ttl=5, owner_negative_ttl=60, owner="last.test")
        answers.keep(("here", "a.test", A), Outcome(reply), 0.0)
        assert code(answers, AAAA, "last.test") == 0
        assert code(answers, A, "last.test") == socket.EAI_NONAME
        assert code(answers, 65, "last.test") is None

    def test_a_failure_says_nothing_of_other_types(self) -> None:
        answers = kept((A, FAILED))
        assert (code(answers, A, now=0.5), code(answers, AAAA)) == (socket.EAI_AGAIN, None)


def test_of_networks_the_last_four_are_remembered() -> None:
    answers = Answers(64, 0.0)
    for network in "abcd":
        answers.keep((network, "a.test", A), addresses("192.0.2.1"), 0.0)
    assert answers.get(("a", "a.test", A), 1.0) is not None
    assert answers.get(("e", "a.test", A), 1.0) is None
    assert [answers.get((each, "a.test", A), 1.0) is not None for each in "acd"] == [True] * 3
    assert answers.get(("b", "a.test", A), 1.0) is None


# ------------------------------------------------------------------------------- optimistic


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def ahead(monkeypatch: Any) -> list[float]:
    """How far the clock of the cache is ahead."""
    ahead = [0.0]
    for each in (asking, module):
        monkeypatch.setattr(each, "uptime", lambda: time.monotonic() + ahead[0])
    return ahead


def hosts(batches: list[Batch]) -> list[tuple[list[Any], int | None, list[Any]]]:
    """Of each batch that says anything: the hosts, the family, and those withdrawn."""
    return [
        (
            [each.sockaddr[0] for each in batch.endpoints],
            batch.answered,
            [each.sockaddr[0] for each in batch.withdrawn],
        )
        for batch in batches
        if batch.endpoints or batch.answered is not None or batch.withdrawn
    ]


def of_a(*records: str, **options: Any) -> Any:
    """Says the records of type A; of AAAA there are none."""
    return lambda query, kind, way: [
        answer(query, *(records if kind == "A" else ()), authority=[SOA], **options)
    ]


V4 = socket.AF_INET


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("then", "said"),
    [
        (
            of_a("a.test 60 A 192.0.2.1", "a.test 60 A 192.0.2.3"),
            [(["192.0.2.1", "192.0.2.3"], V4, ["192.0.2.2"])],
        ),
        (of_a(), [([], None, ["192.0.2.1", "192.0.2.2"])]),
        (of_a(rcode="NXDOMAIN"), [([], None, ["192.0.2.1", "192.0.2.2"])]),
        (of_a(rcode="SERVFAIL"), [(["192.0.2.1", "192.0.2.2"], V4, [])]),
    ],
    ids=["others", "none", "no name", "failure"],
)
async def test_optimistic(
    stack: ExitStack, ahead: list[float], then: Any, said: list[Any]
) -> None:
    says = [of_a("a.test 60 A 192.0.2.1", "a.test 60 A 192.0.2.2")]
    liar = stack.enter_context(Liar(lambda *asked: says[0](*asked)))
    resolver = DnsResolver([liar.address], cache=DnsCache(optimistic=True), timeout=5)

    async def batches() -> list[Batch]:
        async with aclosing(resolver.resolve(NAME)) as answers:
            return [batch async for batch in answers]

    await batches()
    says[0] = then
    ahead[0] = 61.0
    assert resolver.known(NAME) is None
    found: list[Batch] = []
    try:
        async with aclosing(resolver.resolve(NAME)) as answers:
            async for batch in answers:
                found.append(batch)  # noqa: PERF401 - it may raise
    except socket.gaierror:
        assert said[0][0] == []
    of_ipv4 = [each for each in hosts(found) if each[1] != socket.AF_INET6]
    assert sorted(of_ipv4[0][0]) == ["192.0.2.1", "192.0.2.2"]
    assert (of_ipv4[0][1], of_ipv4[0][2]) == (None, [])
    told = [(sorted(a), b, sorted(c)) for a, b, c in of_ipv4[1:] if a or c]
    assert told == said
    if said[0][0] == ["192.0.2.1", "192.0.2.2"]:  # it failed: nobody is asked for half a minute
        asked = [kind for kind, _ in liar.asked].count("A")
        await batches()
        assert [kind for kind, _ in liar.asked].count("A") == asked


@pytest.mark.anyio
@pytest.mark.parametrize("answer_of", ["raises", "unhashable"])
async def test_without_a_network_nothing_is_remembered(stack: ExitStack, answer_of: str) -> None:
    def network() -> Any:
        if answer_of == "raises":
            raise OSError("no idea")
        return []

    liar = stack.enter_context(Liar(of_a("a.test 60 A 192.0.2.1")))
    resolver = DnsResolver([liar.address], cache=DnsCache(), network=network)
    for _ in range(2):
        async with aclosing(resolver.resolve(NAME)) as answers:
            assert [batch async for batch in answers]
        assert resolver.known(NAME) is None
    assert len(liar.asked) == 4
    resolver.forget(NAME)


@pytest.mark.parametrize("stale", [None, 0.0])
def test_optimistic_needs_something_to_use(stale: float | None) -> None:
    with pytest.raises(ValueError, match="optimistic=True needs stale="):
        DnsCache(stale=stale, optimistic=True)


def test_optimistic_is_a_bool() -> None:
    with pytest.raises(TypeError, match="optimistic must be a bool, not 1"):
        DnsCache(optimistic=1)  # type: ignore[arg-type]
