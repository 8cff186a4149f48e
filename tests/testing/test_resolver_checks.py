"""The checks of resolvers: aconnect's own pass, and each defect is found by the rule it breaks."""

from __future__ import annotations

import asyncio
import math
import os
import socket
from functools import partial
from socket import AF_INET, AF_INET6, SOCK_DGRAM, SOCK_STREAM
from typing import Any

import pytest
import trio
import uvloop
from support.stepping import CountingLoop

from aconnect import Batch, Endpoint, StaticResolver, SystemResolver, UDPAddress
from aconnect.testing.conformance import RESOLVER_RULES, NotConformant, check_resolver

LIMIT = 10.0  # seconds, for what is quick when all is well
EXISTS = "exists.test"
HOSTS = ["127.0.0.1", "::1"]
NAMES = [rule.name for rule in RESOLVER_RULES]

check = partial(check_resolver, exists=EXISTS, missing="missing.test", port=5, limit=LIMIT)


def on_asyncio(function: Any, *args: Any, loop: Any = CountingLoop) -> Any:
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(function(*args))


RUNS = [
    pytest.param(on_asyncio, id="asyncio"),
    pytest.param(partial(on_asyncio, loop=uvloop.new_event_loop), id="uvloop"),
    pytest.param(trio.run, id="trio"),
]
every_loop = pytest.mark.parametrize("run", RUNS)


@every_loop
@pytest.mark.parametrize("by_family", [False, True])
def test_the_system_resolver_conforms(run: Any, by_family: bool, monkeypatch: Any) -> None:
    ask = socket.getaddrinfo
    addresses = {AF_INET6: ["::1"], AF_INET: ["127.0.0.1"]}

    def answer(host: str, port: int, *, family: int = 0, **options: Any) -> Any:
        """What getaddrinfo(3) says of the addresses: no name server is asked."""
        if host != "localhost":
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        options["flags"] = socket.AI_NUMERICHOST
        found = addresses.get(family, HOSTS)
        return [each for literal in found for each in ask(literal, port, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    resolver = SystemResolver(by_family=by_family)
    assert list(run(partial(check, resolver, exists="localhost", hosts=HOSTS))) == NAMES


@every_loop
def test_the_static_resolver_conforms(run: Any) -> None:
    resolver = StaticResolver({EXISTS: HOSTS})
    assert list(run(partial(check, resolver, hosts=HOSTS))) == NAMES
    assert list(run(partial(check, resolver))) == NAMES


def endpoint(address: Any, family: int = AF_INET, **changes: Any) -> Endpoint:
    host = "127.0.0.1" if family == AF_INET else "::1"
    kind = SOCK_DGRAM if isinstance(address, UDPAddress) else SOCK_STREAM
    return Endpoint(family, kind, 0, (host, address.port))._replace(**changes)


class Good:
    """A resolver that asks for each family in a task of its own, and waits a little."""

    async def resolve(self, address: Any) -> Any:
        asked = [
            asyncio.ensure_future(self.ask(address, family)) for family in (AF_INET6, AF_INET)
        ]
        try:
            for answer in asked:
                yield await answer
        finally:
            for task in asked:
                task.cancel()

    async def ask(self, address: Any, family: int) -> Any:
        await asyncio.sleep(0.002)
        if address.host != EXISTS:
            return Batch([], family)
        return self.answer(address, family)

    def answer(self, address: Any, family: int) -> Any:
        awaiting = frozenset({AF_INET6} if family == AF_INET6 else ())
        return Batch([endpoint(address, family)], family, sorted=True, awaiting=awaiting)


@pytest.mark.parametrize("loop", [CountingLoop, uvloop.new_event_loop])
def test_a_resolver_with_tasks_conforms(loop: Any) -> None:
    assert list(on_asyncio(partial(check, Good(), hosts=HOSTS), loop=loop)) == NAMES


def test_an_iterator_without_aclose_conforms() -> None:
    class Plain:
        def __init__(self, answers: Any) -> None:
            self._answers = answers

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> Any:
            return await anext(self._answers)

    class Resolver(StaticResolver):
        def resolve(self, address: Any) -> Any:
            return Plain(super().resolve(address))

    ran = on_asyncio(partial(check, Resolver({EXISTS: HOSTS}), hosts=HOSTS))
    assert set(NAMES) - set(ran) == {"resolve.closed"}


# ----------------------------------------------------------------- resolvers with a defect


class ReturnsACoroutine(Good):
    async def resolve(self, address: Any) -> Any:
        return [Batch([])]


class ReturnsAList(Good):
    def resolve(self, address: Any) -> Any:
        return [Batch([])]


class YieldsTuples(Good):
    async def resolve(self, address: Any) -> Any:
        async for batch in super().resolve(address):
            yield batch
        yield ("127.0.0.1", 5)


class YieldsNonsense(Good):
    async def resolve(self, address: Any) -> Any:
        async for batch in super().resolve(address):
            yield batch
        yield Batch([endpoint(address, sockaddr=("no address", 5))])


class FindsHalf(Good):
    def answer(self, address: Any, family: int) -> Any:
        found = super().answer(address, family)
        whole = family == AF_INET or isinstance(address, UDPAddress)
        return found if whole else Batch([], awaiting=frozenset({AF_INET6}))


class FindsAnything(Good):
    async def ask(self, address: Any, family: int) -> Any:
        if len(asyncio.all_tasks()) > 6:
            return await super().ask(address, family)
        return self.answer(address, family)


class RaisesSomethingElse(Good):
    async def resolve(self, address: Any) -> Any:
        if address.host != EXISTS and len(asyncio.all_tasks()) < 6:
            raise LookupError(address.host)
        async for batch in super().resolve(address):
            yield batch


class ForgetsThePort(Good):
    def answer(self, address: Any, family: int) -> Any:
        good = endpoint(address, family)
        return Batch([good._replace(sockaddr=(good.sockaddr[0], 0))], family)


class OnlyDatagrams(Good):
    def answer(self, address: Any, family: int) -> Any:
        return Batch([endpoint(address, family, type=SOCK_DGRAM)], family)


class OnlyStreams(Good):
    def answer(self, address: Any, family: int) -> Any:
        return Batch([endpoint(address, family, type=SOCK_STREAM)], family)


class NoDatagrams(Good):
    def answer(self, address: Any, family: int) -> Any:
        if isinstance(address, UDPAddress):
            return Batch([])
        return super().answer(address, family)


class SortedByWhat(Good):
    def answer(self, address: Any, family: int) -> Any:
        return super().answer(address, family)._replace(sorted="rfc6724")


class AnsweredAll(Good):
    def answer(self, address: Any, family: int) -> Any:
        return super().answer(address, family)._replace(answered=socket.AF_UNSPEC)


class ComesBack(Good):
    async def resolve(self, address: Any) -> Any:
        async for batch in super().resolve(address):
            yield batch
            yield Batch(batch.endpoints)


class RankedByWhat(Good):
    def answer(self, address: Any, family: int) -> Any:
        return super().answer(address, family)._replace(rank=True)


class AwaitsTooLate(Good):
    def answer(self, address: Any, family: int) -> Any:
        awaited = None if family == AF_INET6 else frozenset({"service"})
        return super().answer(address, family)._replace(awaiting=awaited)


class AwaitsMoreAndMore(Good):
    def answer(self, address: Any, family: int) -> Any:
        awaited = frozenset({"service"} if family == AF_INET else ())
        return super().answer(address, family)._replace(awaiting=awaited)


class WithdrawsTheUnknown(Good):
    def answer(self, address: Any, family: int) -> Any:
        other = endpoint(address, family)._replace(sockaddr=("127.0.0.9", 5), family=AF_INET)
        return super().answer(address, family)._replace(withdrawn=[other])


class OneAtATime(Good):
    busy = False

    async def resolve(self, address: Any) -> Any:
        if self.busy:
            raise RuntimeError("busy")
        self.busy = True
        try:
            async for batch in super().resolve(address):
                yield batch
        finally:
            self.busy = False


class MixesThemUp(Good):
    async def ask(self, address: Any, family: int) -> Any:
        if len(asyncio.all_tasks()) > 6:
            address = address.__class__(EXISTS, address.port)
        return await super().ask(address, family)


class GoesOn(Good):
    def resolve(self, address: Any) -> Any:
        return Endless(super().resolve(address))


class Endless:
    """An iterator whose `aclose` closes nothing."""

    def __init__(self, answers: Any) -> None:
        self._answers = answers

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._answers)

    async def aclose(self) -> None:
        """It goes on."""


class LeavesATimerWhenClosed(Good):
    async def resolve(self, address: Any) -> Any:
        try:
            async for batch in super().resolve(address):
                yield batch
        except GeneratorExit:
            asyncio.get_running_loop().call_later(1000, int)
            raise


class TurnsACancellationIntoAnError(Good):
    async def resolve(self, address: Any) -> Any:
        try:
            async for batch in super().resolve(address):
                yield batch
        except asyncio.CancelledError:
            raise socket.gaierror(socket.EAI_AGAIN, "cancelled") from None


class LeavesATaskWhenCancelled(Good):
    def __init__(self) -> None:
        self.left: list[Any] = []

    async def resolve(self, address: Any) -> Any:
        try:
            async for batch in super().resolve(address):
                yield batch
        except asyncio.CancelledError:
            self.left.append(asyncio.ensure_future(asyncio.sleep(1000)))
            raise


class LeavesADescriptor(Good):
    """Where it is asked for a name that there is not, alone."""

    def __init__(self) -> None:
        self.left: list[int] = []
        self.asked: list[str] = []

    async def resolve(self, address: Any) -> Any:
        self.asked.append(address.host)
        if self.asked[-3:] == [EXISTS, EXISTS, address.host] and address.host != EXISTS:
            self.left += os.pipe()
        async for batch in super().resolve(address):
            yield batch


DEFECTS: list[tuple[str, Any]] = [
    ("resolve.iterator", ReturnsACoroutine),
    ("resolve.iterator", ReturnsAList),
    ("batches.form", YieldsTuples),
    ("batches.form", YieldsNonsense),
    ("answers.exists", FindsHalf),
    ("answers.missing", FindsAnything),
    ("answers.missing", RaisesSomethingElse),
    ("batches.port", ForgetsThePort),
    ("batches.stream", OnlyDatagrams),
    ("batches.datagram", OnlyStreams),
    ("batches.datagram", NoDatagrams),
    ("batches.sorted", SortedByWhat),
    ("batches.answered", AnsweredAll),
    ("batches.final", ComesBack),
    ("batches.rank", RankedByWhat),
    ("batches.awaiting", AwaitsTooLate),
    ("batches.awaiting", AwaitsMoreAndMore),
    ("batches.withdrawn", WithdrawsTheUnknown),
    ("resolve.concurrent", OneAtATime),
    ("resolve.concurrent", MixesThemUp),
    ("resolve.closed", GoesOn),
    ("resolve.closed", LeavesATimerWhenClosed),
    ("resolve.cancelled", TurnsACancellationIntoAnError),
    ("resolve.cancelled", LeavesATaskWhenCancelled),
    ("resolve.leaves_nothing", LeavesADescriptor),
]
LEAVING = {LeavesATimerWhenClosed, LeavesATaskWhenCancelled, LeavesADescriptor}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "defect"), DEFECTS, ids=lambda each: str(getattr(each, "__name__", each))
)
def test_a_defect_is_found_by_the_rule_it_breaks(rule: str, defect: Any) -> None:
    resolver = defect()
    limit = 1.5 if defect in LEAVING else LIMIT  # which is how long is waited for it to go away
    with pytest.raises(NotConformant) as caught:
        on_asyncio(partial(check, resolver, hosts=HOSTS, limit=limit))
    assert [each.rule for each in caught.value.broken] == [rule]
    assert caught.value.broken[0].seen
    first = NAMES.index(rule) == 0
    assert list(caught.value.ran) == (NAMES[:1] if first else NAMES)
    for descriptor in getattr(resolver, "left", ()) if defect is LeavesADescriptor else ():
        os.close(descriptor)


def test_there_is_a_defect_for_every_rule() -> None:
    assert {rule for rule, _ in DEFECTS} == set(NAMES)
    assert len(set(NAMES)) == len(NAMES)
    assert all(rule.words.endswith(".") for rule in RESOLVER_RULES)


def test_no_endpoint_where_any_would_do() -> None:
    with pytest.raises(NotConformant) as caught:
        on_asyncio(partial(check, StaticResolver({EXISTS: []})))
    assert "answers.exists" in [each.rule for each in caught.value.broken]


def test_an_endpoint_that_was_withdrawn_does_not_count() -> None:
    class Withdraws(Good):
        async def resolve(self, address: Any) -> Any:
            async for batch in super().resolve(address):
                yield batch
                yield Batch([], withdrawn=batch.endpoints)

    with pytest.raises(NotConformant) as caught:
        on_asyncio(partial(check, Withdraws(), hosts=HOSTS))
    assert caught.value.broken[0].rule == "answers.exists"
    assert caught.value.broken[0].seen == "[] were yielded, not ['127.0.0.1', '::1']"


@pytest.mark.slow
def test_a_lookup_that_hangs() -> None:
    class Hangs:
        async def resolve(self, address: Any) -> Any:
            yield await asyncio.Event().wait()

    with pytest.raises(NotConformant) as caught:
        on_asyncio(partial(check, Hangs(), limit=0.2))
    seen = {each.rule: each.seen for each in caught.value.broken}
    assert seen["answers.exists"] == "it took longer than 0.4 s"
    assert seen["resolve.concurrent"] == "the lookup of exists.test:5 did not end"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"exists": ""}, ValueError),
        ({"missing": 5}, TypeError),
        ({"port": -1}, ValueError),
        ({"limit": math.inf}, ValueError),
        ({"limit": "1"}, TypeError),
    ],
)
def test_what_it_is_called_with(arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        on_asyncio(partial(check, Good(), **arguments))
