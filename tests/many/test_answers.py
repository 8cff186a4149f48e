"""One question for a name at a time, and its answer for all who ask (L8)."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aconnect import Batch, Dialer, Endpoint, StaticResolver, TCPAddress
from aconnect.many.answers import SharedAnswers
from aconnect.testing import VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def endpoint(host: str, port: int) -> Endpoint:
    return Endpoint(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, (host, port))


class Slow:
    """Answers in two batches, a second apart; or fails with what it is given."""

    def __init__(
        self, error: Exception | None = None, port: int | None = None, sorted: bool = True
    ) -> None:
        self.asked: list[TCPAddress] = []
        self.forgotten: list[TCPAddress] = []
        self._error = error
        self._port = port
        self._sorted = sorted

    async def resolve(self, address: Any) -> AsyncIterator[Batch]:
        self.asked.append(address)
        for number in (1, 2):
            await anyio.sleep(1)
            if self._error is not None and number == 2:
                raise self._error
            found = endpoint(f"192.0.2.{number}", self._port or address.port)
            yield Batch([found], sorted=self._sorted)

    def forget(self, address: TCPAddress) -> None:
        self.forgotten.append(address)


def virtually(main: Callable[[], Any], backend: str) -> Any:
    return VirtualClock().run(main, backend=backend)


async def hosts(resolver: SharedAnswers, address: TCPAddress) -> list[Any]:
    found: list[Any] = []
    async for batch in resolver.resolve(address):
        found += [(anyio.current_time(), each.sockaddr) for each in batch.endpoints]
    return found


async def together(*calls: Any) -> list[Any]:
    results: list[Any] = [None] * len(calls)

    async def run(number: int) -> None:
        try:
            results[number] = await calls[number]
        except OSError as error:
            results[number] = error

    async with anyio.create_task_group() as group:
        for number in range(len(calls)):
            group.start_soon(run, number)
    return results


@BACKENDS
def test_all_get_each_batch_when_it_comes(backend: str) -> None:
    async def main() -> None:
        inner = Slow()
        shared = SharedAnswers(inner, 60)
        start = anyio.current_time()
        first, second = await together(
            hosts(shared, TCPAddress("db", 1)), hosts(shared, TCPAddress("DB.", 2))
        )
        expected = [("192.0.2.1", 1.0), ("192.0.2.2", 2.0)]
        for found, port in (first, 1), (second, 2):
            seen = {sockaddr[0]: at - start for at, sockaddr in found}
            assert seen == pytest.approx(dict(expected), abs=0.01)
            assert {sockaddr[1] for _, sockaddr in found} == {port}
        assert len(inner.asked) == 1
        assert shared.known(TCPAddress("db", 3)) == [
            endpoint("192.0.2.1", 3),
            endpoint("192.0.2.2", 3),
        ]
        assert shared.known(TCPAddress("other", 3)) is None
        await anyio.sleep(100)
        assert shared.known(TCPAddress("db", 3)) is None
        await hosts(shared, TCPAddress("another", 1))
        assert len(shared._questions) == 1  # what is too old has been forgotten

    virtually(main, backend)


@BACKENDS
def test_a_failure_is_shared_too(backend: str) -> None:
    async def main() -> None:
        error = socket.gaierror(socket.EAI_AGAIN, "later")
        inner = Slow(error)
        shared = SharedAnswers(inner, 60)
        address = TCPAddress("db", 1)
        found = await together(*(hosts(shared, address) for _ in range(3)))
        assert found == [error] * 3
        assert (await together(hosts(shared, address))) == [error]
        assert shared.known(address) is None
        assert len(inner.asked) == 1

    virtually(main, backend)


@BACKENDS
def test_without_reuse_nothing_is_kept(backend: str) -> None:
    async def main() -> None:
        inner = Slow()
        shared = SharedAnswers(inner, 0)
        address = TCPAddress("db", 1)
        await together(hosts(shared, address), hosts(shared, address))
        assert len(inner.asked) == 1
        assert shared.known(address) is None
        await hosts(shared, address)
        assert len(inner.asked) == 2

    virtually(main, backend)


@BACKENDS
def test_the_next_takes_over_from_who_has_gone_away(backend: str) -> None:
    async def main() -> None:
        inner = Slow()
        shared = SharedAnswers(inner, 60)
        address = TCPAddress("db", 1)
        found: list[Any] = []

        async def follow() -> None:
            found.extend(await hosts(shared, address))

        async with anyio.create_task_group() as group:
            with anyio.move_on_after(1.5):
                async with anyio.create_task_group() as first:
                    first.start_soon(hosts, shared, address)
                    await anyio.sleep(0.5)
                    group.start_soon(follow)
        assert len(inner.asked) == 2
        assert {sockaddr[0] for _, sockaddr in found} == {"192.0.2.1", "192.0.2.2"}

    virtually(main, backend)


@BACKENDS
def test_an_answer_with_another_port_is_for_that_port_alone(backend: str) -> None:
    async def main() -> None:
        inner = Slow(port=5432)
        shared = SharedAnswers(inner, 60)
        first, second = await together(
            hosts(shared, TCPAddress("db", 1)), hosts(shared, TCPAddress("db", 2))
        )
        assert {sockaddr[1] for _, sockaddr in first + second} == {5432}
        assert sorted(address.port for address in inner.asked) == [1, 2]
        await hosts(shared, TCPAddress("db", 1))
        await hosts(shared, TCPAddress("db", 2))
        assert len(inner.asked) in (2, 3)  # the first was asked before that was known

    virtually(main, backend)


@BACKENDS
def test_an_answer_that_has_to_be_sorted_is_not_known(backend: str) -> None:
    async def main() -> None:
        shared = SharedAnswers(Slow(sorted=False), 60)
        await hosts(shared, TCPAddress("db", 1))
        assert shared.known(TCPAddress("db", 1)) is None

    virtually(main, backend)


def test_what_the_other_knows_and_is_told() -> None:
    static = SharedAnswers(StaticResolver({"db": ["192.0.2.1"]}), 60)
    assert static.known(TCPAddress("db", 1)) == [endpoint("192.0.2.1", 1)]
    static.forget(TCPAddress("db", 1))
    inner = Slow()
    SharedAnswers(inner, 60).forget(TCPAddress("db", 1))
    assert inner.forgotten == [TCPAddress("db", 1)]


@BACKENDS
def test_what_the_resolver_gives_that_makes_no_sense_is_an_error(backend: str) -> None:
    class Broken:
        async def resolve(self, address: Any) -> AsyncIterator[Any]:
            yield "nonsense"

    async def main() -> None:
        shared: Any = SharedAnswers(Broken(), 60)
        for _ in range(2):
            with pytest.raises(TypeError):
                await hosts(shared, TCPAddress("db", 1))

    virtually(main, backend)


def test_endpoints_of_other_families_have_no_port() -> None:
    path = Endpoint(socket.AF_UNIX, socket.SOCK_STREAM, 0, "/x")

    class Local:
        async def resolve(self, address: Any) -> AsyncIterator[Batch]:
            yield Batch([path], sorted=True)

    async def main() -> None:
        shared = SharedAnswers(Local(), 60)
        found = [batch.endpoints async for batch in shared.resolve(TCPAddress("db", 1))]
        assert [list(each) for each in found] == [[path]]
        assert Dialer(resolver=shared).resolver is shared

    virtually(main, "asyncio")
