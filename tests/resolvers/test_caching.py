"""The resolver that remembers: by a virtual clock, over a network that is not there."""

from __future__ import annotations

import errno
import math
import socket
import threading
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aconnect import (
    Batch,
    CachingResolver,
    ConnectError,
    Endpoint,
    Report,
    ResolveError,
    StaticResolver,
    SystemResolver,
    TCPAddress,
    UDPAddress,
)
from aconnect.resolvers import clock as clocks
from aconnect.testing import FakeNetwork, VirtualClock
from aconnect.testing.conformance import check_resolver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

V6, V4 = socket.AF_INET6, socket.AF_INET
TCP = (socket.SOCK_STREAM, socket.IPPROTO_TCP)
ADDRESS = TCPAddress("db.test", 5)
ONE, TWO, THREE = "192.0.2.1", "192.0.2.2", "2001:db8::1"


def endpoint(host: str, port: int = 5) -> Endpoint:
    if ":" in host:
        return Endpoint(V6, *TCP, (host, port, 0, 0))
    return Endpoint(V4, *TCP, (host, port))


class Scripted:
    """A resolver that answers each question with the next of its answers: batches, and an error
    if there is one; a number is seconds to wait."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []
        self.cut_short = 0

    async def resolve(self, address: Any) -> AsyncIterator[Batch]:
        self.asked.append(address)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        try:
            for each in answer:
                if isinstance(each, BaseException):
                    raise type(each)(*each.args)
                if isinstance(each, (int, float)):
                    await anyio.sleep(each)
                else:
                    yield each
        except BaseException as error:
            self.cut_short += not isinstance(error, OSError)
            raise


def batch(*hosts: str, **options: Any) -> Batch:
    return Batch(tuple(map(endpoint, hosts)), **{"sorted": True, **options})


NO_NAME = socket.gaierror(socket.EAI_NONAME, "no such name")
LATER = socket.gaierror(socket.EAI_AGAIN, "later")


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    with VirtualClock() as clock:
        yield clock


async def answer(resolver: Any, address: Any = ADDRESS) -> list[Any]:
    """The hosts of each batch, what is withdrawn with a minus, and the error."""
    said: list[Any] = []
    try:
        async with aclosing(resolver.resolve(address)) as answers:
            async for each in answers:
                hosts = [str(one.sockaddr[0]) for one in each.endpoints]
                gone = [f"-{one.sockaddr[0]}" for one in each.withdrawn]
                said.append([*hosts, *gone])
    except OSError as error:
        said.append(error.errno)
    return said


def known(resolver: CachingResolver, address: Any = ADDRESS) -> Any:
    found = resolver.known(address)
    return None if found is None else [each.sockaddr[0] for each in found]


def on_each_loop(function: Any) -> Any:
    """Run a coroutine function by a virtual clock, on asyncio and on trio."""

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test(backend: str, clock: VirtualClock) -> None:
        clock.run(function, clock, backend=backend)

    test.__doc__ = function.__doc__
    return test


# ------------------------------------------------------------------------------- what is kept


@on_each_loop
async def test_an_answer_is_kept_for_its_time(clock: VirtualClock) -> None:
    inner = Scripted([batch(THREE, ONE)], [batch(TWO)])
    resolver = CachingResolver(inner, ttl=10)
    assert known(resolver) is None
    assert await answer(resolver) == [[THREE, ONE]]
    clock.advance(9.5)
    assert known(resolver) == [THREE, ONE]
    assert await answer(resolver) == [[THREE, ONE]]
    assert len(inner.asked) == 1
    clock.advance(0.51)
    assert known(resolver) is None
    assert await answer(resolver) == [[TWO]]


@on_each_loop
async def test_what_is_answered_from_memory_is_sorted_and_its_list_the_callers(clock: Any) -> None:
    resolver = CachingResolver(Scripted([batch(ONE, TWO)]))
    await answer(resolver)
    async with aclosing(resolver.resolve(ADDRESS)) as answers:
        (one,) = [each async for each in answers]
    assert one == Batch((endpoint(ONE), endpoint(TWO)), sorted=True)
    resolver.known(ADDRESS).clear()  # type: ignore[union-attr]
    assert known(resolver) == [ONE, TWO]


@on_each_loop
async def test_names_are_compared_as_dns_does_but_for_a_dot_at_the_end(clock: Any) -> None:
    """With it, there is no search list."""
    inner = Scripted([batch(ONE)])
    resolver = CachingResolver(inner)
    await answer(resolver)
    assert known(resolver, TCPAddress("DB.test", 5)) == [ONE]
    assert known(resolver, TCPAddress("db.test.", 5)) is None
    assert known(resolver, TCPAddress("db.test", 6)) is None
    assert known(resolver, UDPAddress("db.test", 5)) is None


@on_each_loop
async def test_that_there_is_no_address_is_kept_for_a_shorter_time(clock: VirtualClock) -> None:
    inner = Scripted([NO_NAME], [batch(ONE)])
    resolver = CachingResolver(inner, negative_ttl=2)
    for _ in range(2):
        assert await answer(resolver) == [socket.EAI_NONAME]
        assert known(resolver) is None
    assert len(inner.asked) == 1
    clock.advance(2.01)
    assert await answer(resolver) == [[ONE]]


@on_each_loop
async def test_an_error_from_memory_says_what_the_first_did(clock: Any) -> None:
    resolver = CachingResolver(Scripted([NO_NAME]))
    errors = []
    for _ in range(3):
        with pytest.raises(socket.gaierror, match="no such name") as caught:
            _ = [each async for each in resolver.resolve(ADDRESS)]
        errors.append(caught.value)
    assert len({id(error) for error in errors}) == 3
    for error in errors:
        error.__traceback__ = None


@on_each_loop
async def test_an_end_without_an_endpoint_is_a_negative_answer(clock: VirtualClock) -> None:
    inner = Scripted([batch(answered=V6), batch(answered=V4)])
    resolver = CachingResolver(inner, negative_ttl=2)
    assert await answer(resolver) == [[], []]
    assert await answer(resolver) == [[]]
    assert len(inner.asked) == 1
    clock.advance(2.01)
    await answer(resolver)
    assert len(inner.asked) == 2


@pytest.mark.parametrize(
    "error", [LATER, socket.gaierror(socket.EAI_FAIL), OSError(errno.EMFILE, "x")], ids=repr
)
@pytest.mark.parametrize("before", [[], [batch(ONE)]], ids=["nothing", "an address"])
def test_what_nobody_could_tell_is_not_kept(error: OSError, before: Any, clock: Any) -> None:
    async def main() -> None:
        inner = Scripted([*before, error], [batch(TWO)])
        resolver = CachingResolver(inner)
        assert (await answer(resolver))[-1] == error.errno
        assert await answer(resolver) == [[TWO]]

    clock.run(main)


@on_each_loop
async def test_an_error_after_an_address_is_no_negative_answer(clock: Any) -> None:
    inner = Scripted([batch(ONE, answered=V4), NO_NAME], [batch(TWO)])
    resolver = CachingResolver(inner)
    assert await answer(resolver) == [[ONE], socket.EAI_NONAME]
    assert await answer(resolver) == [[TWO]]


@on_each_loop
async def test_an_answer_that_is_cut_short_is_not_kept(clock: Any) -> None:
    inner = Scripted([batch(ONE), 5.0, batch(TWO)])
    resolver = CachingResolver(inner)
    async with aclosing(resolver.resolve(ADDRESS)) as answers:
        assert await anext(answers) == batch(ONE)
    assert inner.cut_short == 1
    assert known(resolver) is None


@pytest.mark.parametrize(
    ("batches", "order"),
    [
        ([batch(ONE, THREE)], [ONE, THREE]),
        ([batch(TWO), batch(ONE, THREE)], [TWO, ONE, THREE]),
        # As the race has it, which waits for IPv6.
        ([batch(ONE, answered=V4), batch(THREE, answered=V6)], [THREE, ONE]),
        ([batch(ONE), batch(TWO, withdrawn=(endpoint(ONE),))], [TWO]),
        ([batch(ONE), batch(ONE)], [ONE]),
    ],
)
def test_batches_are_put_together(batches: Any, order: list[str], clock: Any) -> None:
    async def main() -> None:
        resolver = CachingResolver(Scripted(batches))
        await answer(resolver)
        assert known(resolver) == order

    clock.run(main)


def test_what_is_not_sorted_is_sorted_once(clock: Any, monkeypatch: Any) -> None:
    async def main() -> None:
        sources = {"192.0.2.1": None, "192.0.2.2": "192.0.2.9"}
        asked: list[Any] = []

        def source_address(each: Endpoint) -> Any:
            asked.append(each)
            return sources[str(each.sockaddr[0])]

        monkeypatch.setattr("aconnect.resolvers.answers.source_address", source_address)
        resolver = CachingResolver(Scripted([batch(ONE, TWO, sorted=False)]))
        await answer(resolver)
        for _ in range(3):
            assert known(resolver) == [TWO, ONE]
        assert len(asked) == 2

    clock.run(main)


@pytest.mark.parametrize(
    ("batches", "remembered"),
    [
        ([batch(ONE), batch(TWO, rank=1)], [[ONE], [TWO]]),
        ([batch(TWO, rank=7), batch(ONE, rank=2)], [[ONE], [TWO]]),
        ([batch(ONE, TWO), batch(TWO, rank=1)], [[ONE], [TWO]]),
        ([batch(ONE, rank=1), batch(TWO, rank=1)], [[ONE, TWO]]),
    ],
)
def test_ranks_are_remembered(batches: Any, remembered: Any, clock: Any) -> None:
    async def main() -> None:
        resolver = CachingResolver(Scripted(batches))
        await answer(resolver)
        assert await answer(resolver) == remembered
        assert known(resolver) == (remembered[0] if len(remembered) == 1 else None)
        async with aclosing(resolver.resolve(ADDRESS)) as answers:
            ranks = [each.rank async for each in answers]
        assert ranks == list(range(len(remembered)))

    clock.run(main)


class OfFamilies(Scripted):
    """The same, where it can be kept to one family: then it answers with what is for that."""

    def __init__(self, *answers: Any, v4: Any = (), v6: Any = ()) -> None:
        super().__init__(*answers)
        self.kept = {V4: Scripted(*v4), V6: Scripted(*v6)}

    def for_family(self, family: int) -> Any:
        return self.kept[family]

    def counts(self) -> tuple[int, int, int]:
        return (len(self.asked), *(len(each.asked) for each in self.kept.values()))


@on_each_loop
async def test_who_keeps_to_a_family_has_it_asked_for_alone(clock: VirtualClock) -> None:
    inner = OfFamilies([batch(ONE, THREE)], v4=[[batch(ONE)]], v6=[[batch(THREE)]])
    both = CachingResolver(inner)
    v4, v6 = both.for_family(V4), both.for_family(V6)
    for _ in range(2):  # and then from memory
        assert await answer(v4) == [[ONE]]
    assert known(v4) == [ONE]
    assert (known(v6), known(both)) == (None, None)  # as nobody has asked for the other
    assert await answer(v6) == [[THREE]]
    assert inner.counts() == (0, 1, 1)
    both.forget(ADDRESS)
    assert (known(v4), known(v6)) == (None, None)


@on_each_loop
async def test_an_answer_for_both_serves_everybody(clock: VirtualClock) -> None:
    inner = OfFamilies([batch(ONE, THREE)], [batch(TWO)], v4=[[batch(ONE)]])
    both = CachingResolver(inner)
    v4 = both.for_family(V4)
    await answer(v4)
    clock.advance(5)
    await answer(both)
    assert known(v4) == [ONE, THREE]  # of which a dial takes those of its family
    clock.advance(10.01)
    assert known(v4) is None
    await answer(both)
    assert known(v4) == [TWO]
    assert inner.counts() == (2, 1, 0)
    v4.forget(ADDRESS)
    assert known(both) is None


@pytest.mark.parametrize("negative", [[NO_NAME], []], ids=["an error", "nothing"])
def test_that_one_family_has_none_ends_what_was_known_of_it_alone(
    negative: Any, clock: VirtualClock
) -> None:
    async def main() -> None:
        inner = OfFamilies([batch(ONE, THREE), batch(TWO, rank=1)], [LATER], v6=[[LATER]])
        inner.kept[V4] = Scripted(negative, [LATER])
        both = CachingResolver(inner, stale=100)
        v4, v6 = both.for_family(V4), both.for_family(V6)
        await answer(both)
        clock.advance(10.01)
        none = [NO_NAME.errno] if negative else []
        assert await answer(v4) == none
        clock.advance(1.01)
        assert await answer(v4) == [[THREE], socket.EAI_AGAIN]
        assert await answer(v6) == [[THREE]]  # it has just failed

    clock.run(main)


@on_each_loop
async def test_that_one_family_has_none_may_be_all_that_was_known(clock: VirtualClock) -> None:
    inner = OfFamilies([batch(ONE)], [LATER], v4=[[], [LATER]])
    both = CachingResolver(inner, stale=100)
    v4 = both.for_family(V4)
    await answer(both)
    clock.advance(10.01)
    assert await answer(v4) == []
    clock.advance(1.01)
    assert await answer(v4) == [socket.EAI_AGAIN]
    assert await answer(both) == [socket.EAI_AGAIN]


@on_each_loop
async def test_what_is_stale_of_both_serves_one(clock: VirtualClock) -> None:
    inner = OfFamilies([batch(ONE, THREE)], [batch(TWO)], v4=[[LATER], [batch(TWO)]])
    both = CachingResolver(inner, stale=100)
    v4 = both.for_family(V4)
    await answer(both)
    clock.advance(10.01)
    assert await answer(v4) == [[ONE, THREE], socket.EAI_AGAIN]
    clock.advance(30.01)
    assert await answer(v4) == [[TWO]]
    assert known(v4) == [TWO]  # which came last


def test_who_cannot_be_kept_to_a_family_is_asked_as_he_is() -> None:
    resolver = CachingResolver(Scripted([batch(ONE)]))
    assert resolver.for_family(V4) is resolver


@on_each_loop
async def test_no_more_are_kept_than_there_is_room_for(clock: Any) -> None:
    inner = Scripted([batch(ONE)])
    resolver = CachingResolver(inner, entries=2)
    addresses = [TCPAddress(f"{name}.test", 5) for name in "abc"]
    for address in addresses:
        await answer(resolver, address)
    assert [known(resolver, address) for address in addresses] == [None, [ONE], [ONE]]


@on_each_loop
async def test_forget_and_clear(clock: Any) -> None:
    resolver = CachingResolver(Scripted([batch(ONE)]))
    other = TCPAddress("other.test", 5)
    for address in (ADDRESS, other):
        await answer(resolver, address)
    resolver.forget(ADDRESS)
    assert [known(resolver), known(resolver, other)] == [None, [ONE]]
    resolver.clear()
    assert known(resolver, other) is None


@on_each_loop
async def test_nonsense_is_refused_and_not_kept(clock: Any) -> None:
    resolver = CachingResolver(Scripted([Batch(("nonsense",))]))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Endpoints"):
        await answer(resolver)
    assert known(resolver) is None


def test_machines_that_sleep_grow_old(monkeypatch: Any, clock: VirtualClock) -> None:
    slept = 0.0
    real = time.clock_gettime

    def clock_gettime(which: int) -> float:
        return real(which) + (slept if which == time.CLOCK_BOOTTIME else 0.0)

    async def main() -> None:
        nonlocal slept
        resolver = CachingResolver(Scripted([batch(ONE)]))
        await answer(resolver)
        assert known(resolver) == [ONE]
        slept = 3600.0
        assert known(resolver) is None

    monkeypatch.setattr(time, "clock_gettime", clock_gettime)
    clock.run(main)
    assert clocks.uptime() >= clock.now


# -------------------------------------------------------------------------------------- stale


@on_each_loop
async def test_a_stale_answer_is_not_used_unless_asked_for(clock: VirtualClock) -> None:
    resolver = CachingResolver(Scripted([batch(ONE)], [LATER]))
    await answer(resolver)
    clock.advance(10.01)
    assert await answer(resolver) == [socket.EAI_AGAIN]


@on_each_loop
async def test_a_stale_answer_is_used_when_the_resolver_fails(clock: VirtualClock) -> None:
    inner = Scripted([batch(ONE)], [LATER], [batch(TWO)])
    resolver = CachingResolver(inner, stale=100)
    await answer(resolver)
    clock.advance(10.01)
    assert known(resolver) is None
    assert await answer(resolver) == [[ONE], socket.EAI_AGAIN]
    # It is left alone for half a minute, and the dial need not wait.
    clock.advance(29)
    assert known(resolver) == [ONE]
    assert await answer(resolver) == [[ONE]]
    assert len(inner.asked) == 2
    clock.advance(1.02)
    assert known(resolver) is None
    assert await answer(resolver) == [[TWO]]
    assert known(resolver) == [TWO]


@on_each_loop
async def test_a_stale_answer_is_used_when_the_resolver_is_silent(clock: VirtualClock) -> None:
    inner = Scripted([batch(ONE)], [5.0, batch(TWO)])
    resolver = CachingResolver(inner, stale=100)
    await answer(resolver)
    clock.advance(10.01)
    before = clock.now
    assert await answer(resolver) == [[ONE]]
    assert round(clock.now - before, 6) == 1.8
    assert inner.cut_short == 1
    assert known(resolver) == [ONE]


@on_each_loop
async def test_a_resolver_that_is_late_but_not_too_late_is_heard(clock: VirtualClock) -> None:
    inner = Scripted([batch(ONE)], [1.0, batch(TWO, answered=V4), 0.5, batch(answered=V6)])
    resolver = CachingResolver(inner, stale=100)
    await answer(resolver)
    clock.advance(10.01)
    assert await answer(resolver) == [[TWO], []]


@on_each_loop
async def test_a_stale_answer_ends_some_time(clock: VirtualClock) -> None:
    inner = Scripted([batch(ONE)], [LATER])
    resolver = CachingResolver(inner, stale=100)
    await answer(resolver)
    clock.advance(110.01)
    assert await answer(resolver) == [socket.EAI_AGAIN]


@pytest.mark.parametrize("optimistic", [False, True])
@pytest.mark.parametrize("says_no", [[NO_NAME], []], ids=["an error", "nothing"])
def test_that_there_is_no_address_ends_a_stale_answer(
    optimistic: bool, says_no: Any, clock: Any
) -> None:
    async def main() -> None:
        inner = Scripted([batch(ONE)], says_no)
        resolver = CachingResolver(inner, stale=100, optimistic=optimistic)
        await answer(resolver)
        clock.advance(10.01)
        said = await answer(resolver)
        errors = [each for each in said if isinstance(each, int)]
        assert errors == [socket.EAI_NONAME] * len(says_no)
        batches = [each for each in said if isinstance(each, list)]
        assert batches == ([[ONE], [f"-{ONE}"]] if optimistic else [])
        assert known(resolver) is None
        assert len(inner.asked) == 2
        await answer(resolver)
        assert len(inner.asked) == 2

    clock.run(main)


@on_each_loop
async def test_optimistic_begins_with_what_is_stale(clock: VirtualClock) -> None:
    inner = Scripted(
        [batch(ONE, THREE, "2001:db8::2")],
        [batch(ONE, TWO, answered=V4), 1.0, batch(THREE, answered=V6)],
    )
    resolver = CachingResolver(inner, stale=100, optimistic=True)
    await answer(resolver)
    clock.advance(10.01)
    assert known(resolver) is None  # for it has to be asked as well
    assert await answer(resolver) == [
        [ONE, THREE, "2001:db8::2"],
        [ONE, TWO],
        [THREE, "-2001:db8::2"],
        [],
    ]
    assert known(resolver) == [THREE, ONE, TWO]


@on_each_loop
async def test_what_is_left_of_it_is_withdrawn_in_the_end(clock: VirtualClock) -> None:
    inner = Scripted([batch(ONE, TWO)], [batch(TWO), batch(THREE)])
    resolver = CachingResolver(inner, stale=100, optimistic=True)
    await answer(resolver)
    clock.advance(10.01)
    assert await answer(resolver) == [[ONE, TWO], [TWO], [THREE], [f"-{ONE}"]]


@on_each_loop
async def test_optimistic_with_a_resolver_that_fails(clock: VirtualClock) -> None:
    inner = Scripted([batch(ONE)], [LATER])
    resolver = CachingResolver(inner, stale=100, optimistic=True)
    await answer(resolver)
    clock.advance(10.01)
    assert await answer(resolver) == [[ONE], socket.EAI_AGAIN]
    assert known(resolver) == [ONE]
    clock.advance(30.01)
    assert known(resolver) is None


@on_each_loop
async def test_cancelled_while_the_resolver_is_waited_for(clock: VirtualClock) -> None:
    inner = Scripted([batch(ONE)], [math.inf])
    resolver = CachingResolver(inner, stale=100)
    await answer(resolver)
    clock.advance(10.01)
    with anyio.move_on_after(1) as scope:
        await answer(resolver)
    assert scope.cancelled_caught
    assert inner.cut_short == 1
    assert known(resolver) is None


# ----------------------------------------------------------------------------------- in a dial


@on_each_loop
async def test_a_dial_from_memory_asks_nobody(clock: Any) -> None:
    with FakeNetwork() as network:
        network.add("db.test", ONE, THREE)
        dialer = network.dialer(resolver=CachingResolver(network.resolver))
        for _ in range(3):
            report = Report()
            (await dialer.connect(ADDRESS, report=report)).close()
        assert len(network.lookups) == 1
        assert report.resolution is not None
        assert report.resolution.remembered
        assert "remembered" in str(report)


@on_each_loop
async def test_a_name_whose_every_address_failed_is_forgotten(clock: VirtualClock) -> None:
    with FakeNetwork() as network:
        network.add("db.test", ONE, TWO, outcome=["connects", "refused"])
        network.add("silent.test", THREE, outcome=["connects", "silent"])
        dialer = network.dialer(resolver=CachingResolver(network.resolver, ttl=1000))
        for name in ("db.test", "silent.test"):
            (await dialer.connect((name, 5))).close()
        before = len(network.lookups)
        for name in ("db.test", "silent.test"):
            with pytest.raises(ConnectError):
                await dialer.connect((name, 5), timeout=5)
        assert len(network.lookups) == before
        for name in ("db.test", "silent.test"):
            with pytest.raises(ConnectError):
                await dialer.connect((name, 5), timeout=5)
        assert len(network.lookups) == before + 2


@on_each_loop
async def test_the_resolver_forgets_as_well(clock: Any) -> None:
    with FakeNetwork() as network:
        network.add("db.test", ONE, outcome=["refused", "connects"])
        remembers = CachingResolver(network.resolver, ttl=1000)
        dialer = network.dialer(resolver=CachingResolver(remembers, ttl=1000))
        with pytest.raises(ConnectError):
            await dialer.connect(ADDRESS)
        (await dialer.connect(ADDRESS)).close()
        assert len(network.lookups) == 2
        (await dialer.connect(ADDRESS)).close()
        assert len(network.lookups) == 2


@on_each_loop
async def test_one_that_has_not_been_tried_whole_is_not(clock: Any) -> None:
    with FakeNetwork() as network:
        network.add("db.test", ONE, TWO, outcome=["connects", "silent"])
        resolver = CachingResolver(network.resolver, ttl=1000)
        (await network.dialer(resolver=resolver).connect(ADDRESS)).close()
        with pytest.raises(ConnectError):
            await network.dialer(resolver=resolver).connect(ADDRESS, timeout=0.1)
        with pytest.raises(ConnectError):
            await network.dialer(resolver=resolver, permit=lambda _: False).connect(ADDRESS)
        assert known(resolver) == [ONE, TWO]


@on_each_loop
async def test_a_name_without_an_address(clock: Any) -> None:
    with FakeNetwork() as network:
        dialer = network.dialer(resolver=CachingResolver(network.resolver))
        for _ in range(2):
            with pytest.raises(ResolveError) as caught:
                await dialer.connect(ADDRESS)
            assert caught.value.errno == socket.EAI_NONAME
        assert len(network.lookups) == 1


def test_several_threads_and_loops(monkeypatch: Any) -> None:
    """All have the answers in common, and none is lost or torn."""
    resolver = CachingResolver(
        StaticResolver({f"{n}.test": [f"192.0.2.{n}"] for n in range(50)}), entries=20
    )
    wrong: list[Any] = []

    async def work() -> None:
        for turn in range(300):
            name = turn % 50
            address = TCPAddress(f"{name}.test", 5)
            if known(resolver, address) not in (None, [f"192.0.2.{name}"]):
                wrong.append(name)
            if await answer(resolver, address) != [[f"192.0.2.{name}"]]:
                wrong.append(name)
            if turn % 7 == 0:
                resolver.forget(address)

    threads = [threading.Thread(target=anyio.run, args=(work,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.anyio
async def test_lookups_are_shared_as_the_resolver_shares_them(monkeypatch: Any) -> None:
    may_answer = threading.Event()
    asked: list[Any] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> Any:
        asked.append(host)
        assert may_answer.wait(10)
        return [(V4, *TCP, "", (ONE, port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    resolver = CachingResolver(SystemResolver())
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(answer, resolver)
        await anyio.wait_all_tasks_blocked()
        may_answer.set()
    assert asked == ["db.test"]
    assert known(resolver) == [ONE]


@pytest.mark.anyio
@pytest.mark.parametrize("options", [{}, {"stale": 60}, {"stale": 60, "optimistic": True}])
async def test_it_conforms(options: Any) -> None:
    inner = StaticResolver({"exists.test": ["127.0.0.1", "::1"]})
    resolver = CachingResolver(inner, **options)
    await check_resolver(
        resolver, exists="exists.test", missing="missing.test", hosts=["127.0.0.1", "::1"]
    )


# ---------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"inner": None}, TypeError, "inner must have a resolve() method, not None"),
        ({"ttl": "5"}, TypeError, "ttl must be a number of seconds, not '5'"),
        ({"ttl": True}, TypeError, "ttl must be a number of seconds, not True"),
        ({"ttl": -1}, ValueError, "ttl must be finite and not negative, not -1"),
        ({"negative_ttl": math.nan}, ValueError, "negative_ttl must be finite and not negative"),
        ({"stale": math.inf}, ValueError, "stale must be finite and not negative, not inf"),
        ({"entries": 0}, ValueError, "entries must be at least 1, not 0"),
        ({"entries": 1.5}, TypeError, "entries must be an int, not 1.5"),
        ({"entries": True}, TypeError, "entries must be an int, not True"),
        ({"optimistic": 1}, TypeError, "optimistic must be a bool, not 1"),
        ({"optimistic": True}, ValueError, "optimistic=True needs stale"),
        ({"optimistic": True, "stale": 0}, ValueError, "optimistic=True needs stale"),
    ],
)
def test_bad_arguments(options: Any, error: Any, words: str) -> None:
    with pytest.raises(error) as caught:
        CachingResolver(**{"inner": SystemResolver(), **options})
    assert words in str(caught.value)


def test_it_shows_what_it_is() -> None:
    resolver = CachingResolver(StaticResolver({}), ttl=5, stale=60)
    assert repr(resolver) == (
        "CachingResolver(StaticResolver({}), ttl=5, negative_ttl=1.0, entries=4096, stale=60, "
        "optimistic=False)"
    )
    assert resolver != CachingResolver(StaticResolver({}), ttl=5, stale=60)
