"""What a resolver has given: what is refused, what is sorted, what is kept."""

from __future__ import annotations

import socket
from socket import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    AF_UNSPEC,
    IPPROTO_TCP,
    IPPROTO_UDP,
    SOCK_DGRAM,
    SOCK_STREAM,
)
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aconnect import Batch, Endpoint, Question, Service
from aconnect.resolvers import answers
from aconnect.resolvers.answers import check_batch, closable, in_order, of_family

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def v4(host: str = "127.0.0.1", port: int = 80) -> Endpoint:
    return Endpoint(AF_INET, SOCK_STREAM, IPPROTO_TCP, (host, port))


def v6(host: str = "::1", *more: int) -> Endpoint:
    return Endpoint(AF_INET6, SOCK_STREAM, IPPROTO_TCP, (host, 80, *more))


UNIX = Endpoint(AF_UNIX, SOCK_STREAM, 0, "/run/db")


class TestCheckBatch:
    @pytest.mark.parametrize(
        "batch",
        [
            Batch(()),
            Batch([v4(), v6(), v6("fe80::1", 0, 1), UNIX]),
            Batch((v4(),), answered=AF_INET, sorted=True),
            Batch((), withdrawn=[v4()]),
            Batch([Endpoint(AF_INET, SOCK_DGRAM, IPPROTO_UDP, ("127.0.0.1", 53))]),
            Batch([Endpoint(40, SOCK_STREAM, 0, (2, 1234))]),
            Batch((), rank=3, awaiting=frozenset({AF_INET, AF_INET6})),
            Batch((), awaiting=frozenset({"service"})),
            Batch((), service=Service("a.test", 1, 443)),
        ],
        ids=str,
    )
    def test_what_may_be(self, batch: Batch) -> None:
        checked = check_batch(batch)
        assert checked == batch._replace(
            endpoints=tuple(batch.endpoints), withdrawn=tuple(batch.withdrawn)
        )

    def test_iterators_are_read_once(self) -> None:
        asked = Question("a.test", "A")
        batch: Any = Batch(iter([v4()]), withdrawn=iter([v6()]), questions=iter([asked]))
        checked = check_batch(batch)
        assert (checked.endpoints, checked.withdrawn) == ((v4(),), (v6(),))
        assert checked.questions == (asked,)

    def test_a_protocol_that_is_not_named_is_that_of_the_type(self) -> None:
        """Of what is withdrawn as well, for it is looked for among the others."""
        given = [v4()._replace(proto=0), UNIX]
        checked = check_batch(Batch(given, withdrawn=given))
        assert checked.endpoints == checked.withdrawn == (v4(), UNIX)

    @pytest.mark.parametrize(
        ("batch", "words"),
        [
            (None, "must yield Batches, not None"),
            ([v4()], "must yield Batches, not"),
            (v4(), "must yield Batches, not Endpoint"),
            (((v4(),), None, True, ()), "must yield Batches"),
            (Batch, "must yield Batches"),
            (Batch(None), "NoneType"),  # type: ignore[arg-type]
            (Batch((), withdrawn=None), "NoneType"),  # type: ignore[arg-type]
            (Batch([None]), "must have Endpoints, not None"),  # type: ignore[list-item]
            (Batch("ab"), "must have Endpoints, not 'a'"),  # type: ignore[arg-type]
            (Batch([(AF_INET, 1, 6, ("::1", 1))]), "must have Endpoints"),  # type: ignore[list-item]
            (Batch((), withdrawn=[5]), "must have Endpoints, not 5"),  # type: ignore[list-item]
            (Batch([v4()._replace(family="4")]), "must be ints"),  # type: ignore[arg-type]
            (Batch([v4()._replace(type=True)]), "must be ints"),
            (Batch([v4()._replace(sockaddr="127.0.0.1")]), r"must be \(host, port\)"),
            (Batch([v4()._replace(sockaddr=("127.0.0.1", "80"))]), "port"),  # type: ignore[arg-type]
            (Batch([v4()._replace(sockaddr=(None, 80))]), "host"),  # type: ignore[arg-type]
            (Batch([v6()._replace(sockaddr=("::1", 80, 0))]), "IPv6"),
            (Batch([UNIX._replace(sockaddr=("/run/db",))]), "str or bytes"),
            (Batch([Endpoint(40, SOCK_STREAM, 0, "2:1234")]), "must be a tuple"),
            (Batch([Endpoint(40, SOCK_STREAM, 0, ([], 1))]), "cid"),  # type: ignore[arg-type]
            (Batch((), service="https"), "service of a Batch must be a Service, not 'https'"),  # type: ignore[arg-type]
            (Batch((), questions=["A"]), "must be Questions, not 'A'"),  # type: ignore[list-item]
            (Batch((), questions=5), "not iterable"),  # type: ignore[arg-type]
        ],
        ids=str,
    )
    def test_what_is_of_another_type(self, batch: Any, words: str) -> None:
        with pytest.raises(TypeError, match=words):
            check_batch(batch)

    @pytest.mark.parametrize(
        ("batch", "words"),
        [
            (Batch([v4("localhost")]), "localhost"),
            (Batch([v4("::1")]), "of the entry's family"),
            (Batch([v6("127.0.0.1")]), "of the entry's family"),
            (Batch([v4(port=65536)]), "65536"),
            (Batch([v4(port=-1)]), "-1"),
            (Batch([v4()._replace(type=77)]), "type must be"),
            (Batch([v4()._replace(type=socket.SOCK_RAW)]), "can be connected to"),
            (Batch([Endpoint(16, SOCK_STREAM, 0, (0, 0))]), "can be connected to"),
            (Batch([v4(), v4("nonsense")]), "nonsense"),
            (Batch([v4()], withdrawn=[v4("nonsense")]), "nonsense"),
            (Batch((), rank=-1), "rank of a Batch must be 0 or more, not -1"),
            (Batch((), rank=True), "rank of a Batch must be 0 or more, not True"),
            (Batch((), rank="0"), "rank of a Batch must be 0 or more, not '0'"),  # type: ignore[arg-type]
            (Batch((), awaiting=frozenset({5})), r"'service', not frozenset\(\{5\}\)"),
            (Batch((), awaiting={"service"}), r"a frozenset of .*, not \{'service'\}"),  # type: ignore[arg-type]
        ],
        ids=str,
    )
    def test_what_cannot_be_connected_to(self, batch: Any, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            check_batch(batch)


class TestInOrder:
    @pytest.fixture(autouse=True)
    def sources(self, monkeypatch: pytest.MonkeyPatch) -> list[Endpoint]:
        """The machine has ::1 and 127.0.0.1 and no other address.  What it was asked is kept."""
        asked: list[Endpoint] = []

        def source_address(endpoint: Endpoint) -> str | None:
            asked.append(endpoint)
            host = str(endpoint.sockaddr[0])
            return host if host in ("::1", "127.0.0.1") else None

        monkeypatch.setattr(answers, "source_address", source_address)
        return asked

    def test_what_is_not_sorted_is_sorted(self) -> None:
        there, other, away = v4(), v6(), v6("2001:db8::1")
        assert in_order(of_family(Batch([away, there, other]), AF_UNSPEC)) == [other, there, away]
        assert in_order(of_family(Batch([there, other, away]), AF_UNSPEC)) == [other, there, away]

    def test_what_is_sorted_stays(self, sources: list[Endpoint]) -> None:
        """And nobody is asked."""
        given = [v6("2001:db8::1"), v4(), v6()]
        assert of_family(Batch(given), AF_UNSPEC) == given
        assert sources == []

    @pytest.mark.parametrize("sorted", [False, True])
    def test_only_one_family(self, sorted: bool) -> None:
        batch = Batch([v4(), v6(), v4("127.0.0.2"), UNIX], sorted=sorted)
        assert in_order(of_family(batch, AF_INET)) == [v4(), v4("127.0.0.2")]
        assert in_order(of_family(batch, AF_INET6)) == [v6()]

    def test_only_the_family_that_is_kept_is_asked_for(self, sources: list[Endpoint]) -> None:
        in_order(of_family(Batch([v4(), v6()]), AF_INET6))
        assert sources == [v6()]

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_what_has_no_order_stays_as_it_is(self, sources: list[Endpoint], place: int) -> None:
        """RFC 6724 is about IPv4 and IPv6."""
        given = [v6("2001:db8::1"), v4()]
        given.insert(place, UNIX)
        assert in_order(of_family(Batch(given), AF_UNSPEC)) == given
        assert sources == []

    def test_what_is_left_has_an_order(self) -> None:
        """The family that has none is not asked for."""
        batch = Batch([v4("192.0.2.1"), UNIX, v4()])
        assert in_order(of_family(batch, AF_INET)) == [v4(), v4("192.0.2.1")]

    def test_a_zone(self) -> None:
        near = v6("fe80::1%1")
        assert in_order(of_family(Batch([near, v6()]), AF_UNSPEC)) == [v6(), near]

    def test_nothing(self) -> None:
        assert in_order(of_family(Batch(()), AF_UNSPEC)) == []
        assert in_order(of_family(Batch([v4()]), AF_INET6)) == []

    def test_the_batch_is_left_as_it_is(self) -> None:
        given = [v4(), v6()]
        assert of_family(Batch(given), AF_UNSPEC) is not given
        in_order(of_family(Batch(given), AF_UNSPEC))
        assert given == [v4(), v6()]


def test_the_order_is_that_of_this_machine() -> None:
    """There is a way to loopback, and none to what is not an address of a host."""
    nowhere = v4("255.255.255.255")
    assert in_order(of_family(Batch([nowhere, v4()]), AF_UNSPEC)) == [v4(), nowhere]


class Iterator:
    """An asynchronous iterator that has no aclose()."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        if not self.answers:
            raise StopAsyncIteration
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.anyio
class TestClosable:
    async def test_a_generator_is_itself(self) -> None:
        async def generate() -> AsyncIterator[int]:
            yield 1

        generator: Any = generate()
        assert closable(generator) is generator
        await generator.aclose()

    async def test_an_iterator_that_cannot_be_closed(self) -> None:
        given = closable(Iterator(1, 2))
        assert [each async for each in given] == [1, 2]
        await given.aclose()

    async def test_it_is_left_in_the_middle(self) -> None:
        iterator = Iterator(1, 2)
        given = closable(iterator)
        async for each in given:
            assert each == 1
            break
        await given.aclose()
        assert iterator.answers == [2]

    async def test_what_it_raises_comes_through(self) -> None:
        given = closable(Iterator(1, socket.gaierror(socket.EAI_AGAIN, "later")))
        with pytest.raises(socket.gaierror, match="later"):
            assert [each async for each in given] == [1]

    async def test_a_cancellation_comes_through(self) -> None:
        class Silent(Iterator):
            async def __anext__(self) -> Any:
                await anyio.sleep_forever()

        given = closable(Silent())
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anext(given)
        assert scope.cancelled_caught
        await given.aclose()

    @pytest.mark.parametrize("answers", [None, 5, [Batch(())], Batch(()), iter(())])
    async def test_what_is_no_iterator(self, answers: Any) -> None:
        with pytest.raises(TypeError, match="must return an asynchronous iterator, not"):
            closable(answers)

    async def test_a_coroutine(self) -> None:
        async def resolve() -> None: ...

        coroutine = resolve()
        with pytest.raises(TypeError, match="asynchronous iterator, not <coroutine"):
            closable(coroutine)
        coroutine.close()
