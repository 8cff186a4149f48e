"""The resolver and threads: it starts none, and works in those that have no event loop."""

from __future__ import annotations

import gc
import socket
import threading
import tracemalloc
from contextlib import ExitStack, aclosing
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.liar import Liar, answer
from support.listeners import listening

from aconnect import CachingResolver, Dialer, DnsCache, DnsResolver, TCPAddress, blocking
from aconnect.resolvers.dns.cache import Answers
from aconnect.resolvers.dns.outcome import Outcome
from aconnect.resolvers.dns.wire import A, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

SOA = "test. 300 SOA ns.test. root.test. 1 2 3 4 60"


def here(query: bytes, kind: str, way: str) -> Any:
    name = query[13 : 13 + query[12]].decode()
    records = [f"{name}.test 60 A 127.0.0.1"] if kind == "A" else []
    return [answer(query, *records, authority=[SOA])]


@pytest.fixture
def liar() -> Iterator[Liar]:
    with Liar(here) as liar:
        yield liar


@pytest.mark.anyio
async def test_a_hundred_lookups_at_a_time_start_no_thread(liar: Liar) -> None:
    resolver = DnsResolver([liar.address], cache=None)
    before = {*threading.enumerate()}  # one may rest still from lookups of the system's
    started: set[threading.Thread] = set()

    async def look_up(number: int) -> None:
        async with aclosing(resolver.resolve(TCPAddress(f"n{number}.test", 80))) as answers:
            async for _ in answers:
                started.update({*threading.enumerate()} - before)

    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(look_up, number)
    assert not [each.name for each in started if each.name.startswith("aconnect")]


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_thousand_dials_of_one_name_are_one_exchange(liar: Liar) -> None:
    dialer = Dialer(resolver=DnsResolver([liar.address], cache=None))
    with listening(backlog=2048) as listener:
        address = ("a.test", listener.getsockname()[1])
        connected: list[socket.socket] = []

        async def dial() -> None:
            connected.append(await dialer.connect(address, timeout=60))

        with ExitStack() as stack:
            async with anyio.create_task_group() as group:
                for _ in range(1000):
                    group.start_soon(dial)
            for sock in connected:
                stack.callback(sock.close)
    assert len(connected) == 1000
    assert sorted(liar.asked) == [("A", "udp"), ("AAAA", "udp")]


def test_where_there_is_no_event_loop(liar: Liar) -> None:
    dialer = Dialer(resolver=DnsResolver([liar.address], cache=DnsCache()))
    with listening() as listener:
        address = ("a.test", listener.getsockname()[1])
        for _ in range(3):
            with blocking.connect(address, timeout=30, dialer=dialer) as sock:
                assert sock.getpeername() == listener.getsockname()
    assert len(liar.asked) == 2


def test_threads_have_the_answers_in_common(liar: Liar) -> None:
    resolver = DnsResolver([liar.address], cache=DnsCache())
    found: list[Any] = []

    async def look_up() -> None:
        async with aclosing(resolver.resolve(TCPAddress("a.test", 80))) as answers:
            found.append([each async for batch in answers for each in batch.endpoints])

    for _ in range(4):
        thread = threading.Thread(target=anyio.run, args=(look_up,))
        thread.start()
        thread.join()
    assert len(found) == 4
    assert all(each == found[0] for each in found)
    assert len(liar.asked) == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dns", "caching"])
def test_eight_threads_that_cancel(liar: Liar, kind: str) -> None:
    """One cache of a few entries, for both families and for one, lookups that are given up at any
    of their steps, and what is remembered forgotten: all that is found is right, and there is room
    for all."""
    most, names, rounds = 5, 12, 40
    resolver: Any = DnsResolver([liar.address], cache=DnsCache(most), timeout=30)
    if kind == "caching":
        inner = DnsResolver([liar.address], cache=None, timeout=30)
        resolver = CachingResolver(inner, entries=most, ttl=0.01, stale=0.01)
    of_ipv4 = resolver.for_family(socket.AF_INET)
    wrong: list[Any] = []

    async def one(number: int, turns: int) -> None:
        asked = of_ipv4 if number % 3 == 0 else resolver
        address = TCPAddress(f"n{number % names}.test", 80)
        if turns % 5 == 4:
            asked.forget(address)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:

                async def give_up() -> None:
                    for _ in range(turns):
                        await anyio.lowlevel.checkpoint()
                    scope.cancel()

                if turns % 3:
                    group.start_soon(give_up)
                known = asked.known(address)
                async with aclosing(asked.resolve(address)) as answers:
                    found = [each async for batch in answers for each in batch.endpoints]
                hosts = {each.sockaddr[0] for each in (*found, *(known or ()))}
                if hosts != {"127.0.0.1"}:
                    wrong.append((address, found, known))
                group.cancel_scope.cancel()

    async def work(first: int) -> None:
        for each in range(rounds):
            async with anyio.create_task_group() as group:
                for turns in range(3):
                    group.start_soon(one, first + each, first + each + turns)

    def run(number: int) -> None:
        try:
            anyio.run(work, number)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]
    kept: Any = resolver
    memory = kept._memory if kind == "caching" else kept._cache._memory
    assert len(memory) <= most
    if kind == "dns":
        assert not resolver._lookups


def test_what_an_answer_takes_of_memory() -> None:
    answers = Answers(4096, 0.0)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(4096):
            reply = Reply(0, addresses=(f"192.0.{number // 256}.{number % 256}",), ttl=60)
            key = (("home",), f"name-{number}.example.org", A)
            answers.keep(key, Outcome(reply), 0.0)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / 4096 < 1536
