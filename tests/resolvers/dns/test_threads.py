"""The resolver and threads: it starts none, and works in those that have no event loop."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from contextlib import ExitStack, aclosing
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.liar import Liar, answer
from support.listeners import listening

from aconnect import Dialer, DnsCache, DnsResolver, TCPAddress, blocking
from aconnect.resolvers.dns.cache import Answers
from aconnect.resolvers.dns.exchange import Outcome
from aconnect.resolvers.dns.wire import A, Reply

if TYPE_CHECKING:
    import socket
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
