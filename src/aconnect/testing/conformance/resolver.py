"""What a resolver must do, rule by rule.

Rules:

* Each check is of one rule of `aconnect.resolvers.base`, and looks at nothing else: what is not
  well-formed is one rule's business, and left out by the others.
* The names are the caller's.  Nothing else is looked up.
"""

from __future__ import annotations

import inspect
import socket
import time
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ...addresses.values import TCPAddress, UDPAddress
from ...resolvers.answers import check_batch, closable
from ...resolvers.base import Batch
from ..descriptors import describe_descriptor, open_descriptors
from .bench import NotApplicable, Rules, expect, moment

if TYPE_CHECKING:
    from ...addresses.values import Endpoint
    from ...resolvers.base import Resolver
    from .bench import Bench

__all__ = ["RULES", "Names"]

RULES = Rules()

_MOST_TURNS = 30
"""After how many turns of the loop a lookup is cancelled, at most: in each it may be at another
await."""


class Names(NamedTuple):
    """What is looked up."""

    exists: TCPAddress
    missing: TCPAddress
    hosts: frozenset[str] | None

    @property
    def datagram(self) -> UDPAddress:
        """The name that exists, for UDP."""
        return UDPAddress(self.exists.host, self.exists.port)


@RULES.add(
    "resolve.iterator", "`resolve` returns an asynchronous iterator, without waiting.", first=True
)
async def _iterator(_bench: Bench, resolver: Resolver, names: Names) -> None:
    answers = resolver.resolve(names.exists)
    if inspect.iscoroutine(answers):
        answers.close()
    is_iterator = hasattr(answers, "__aiter__") and hasattr(answers, "__anext__")
    expect(is_iterator, f"{answers!r} was returned")
    await closable(answers).aclose()


@RULES.add("batches.form", "Batches are yielded, of endpoints that connect(2) can be given.")
async def _form(_bench: Bench, resolver: Resolver, names: Names) -> None:
    for batch in await _all_that_is_yielded(resolver, names.exists):
        try:
            _checked(batch)
        except (TypeError, ValueError) as error:
            expect(False, str(error))


@RULES.add("answers.exists", "A name that has addresses is answered with them.")
async def _exists(_bench: Bench, resolver: Resolver, names: Names) -> None:
    hosts = {str(each.sockaddr[0]) for each in await _endpoints(resolver, names.exists)}
    if names.hosts is None:
        expect(hosts, "no endpoint was yielded")
    else:
        expect(hosts == names.hosts, f"{sorted(hosts)} were yielded, not {sorted(names.hosts)}")


@RULES.add(
    "answers.missing", "For a name that has none, an OSError is raised, or no endpoint is yielded."
)
async def _missing(_bench: Bench, resolver: Resolver, names: Names) -> None:
    try:
        endpoints = await _endpoints(resolver, names.missing)
    except OSError:
        return
    expect(not endpoints, f"{endpoints!r} were yielded")


@RULES.add("batches.port", "Endpoints have the port that was asked for.")
async def _port(_bench: Bench, resolver: Resolver, names: Names) -> None:
    for endpoint in await _endpoints(resolver, names.exists):
        expect(endpoint.sockaddr[1:2] == (names.exists.port,), f"{endpoint!r} was yielded")


@RULES.add("batches.stream", "For a TCPAddress, endpoints are of stream sockets.")
async def _stream(_bench: Bench, resolver: Resolver, names: Names) -> None:
    for endpoint in await _endpoints(resolver, names.exists):
        expect(endpoint.type == socket.SOCK_STREAM, f"{endpoint!r} was yielded")


@RULES.add("batches.datagram", "A UDPAddress is answered with endpoints of datagram sockets.")
async def _datagram(_bench: Bench, resolver: Resolver, names: Names) -> None:
    endpoints = await _endpoints(resolver, names.datagram)
    expect(endpoints, "no endpoint was yielded")
    for endpoint in endpoints:
        expect(endpoint.type == socket.SOCK_DGRAM, f"{endpoint!r} was yielded")


@RULES.add("batches.sorted", "`sorted` is True or False.")
async def _sorted(_bench: Bench, resolver: Resolver, names: Names) -> None:
    for batch in await _batches(resolver, names.exists):
        expect(isinstance(batch.sorted, bool), f"it is {batch.sorted!r}")


@RULES.add("batches.answered", "`answered` is AF_INET, AF_INET6 or None.")
async def _answered(_bench: Bench, resolver: Resolver, names: Names) -> None:
    for batch in await _batches(resolver, names.exists):
        families = (socket.AF_INET, socket.AF_INET6, None)
        expect(batch.answered in families, f"it is {batch.answered!r}")


@RULES.add("batches.final", "Once a family has been answered, nothing more of it comes.")
async def _final(_bench: Bench, resolver: Resolver, names: Names) -> None:
    answered: set[int | None] = set()
    for batch in await _batches(resolver, names.exists):
        for endpoint in batch.endpoints:
            expect(endpoint.family not in answered, f"{endpoint!r} came after its family was done")
        answered.add(batch.answered)


@RULES.add("batches.rank", "`rank` is an int from 0.")
async def _rank(_bench: Bench, resolver: Resolver, names: Names) -> None:
    for batch in await _all_that_is_yielded(resolver, names.exists):
        rank = getattr(batch, "rank", 0)
        expect(type(rank) is int and rank >= 0, f"it is {rank!r}")


@RULES.add(
    "batches.awaiting",
    "What is awaited is said in the first batch, and from then on only taken away.",
)
async def _awaiting(_bench: Bench, resolver: Resolver, names: Names) -> None:
    awaited: frozenset[Any] | None = None
    for place, batch in enumerate(await _batches(resolver, names.exists)):
        if batch.awaiting is not None:
            expect(awaited is not None or not place, "it is not said in the first batch")
            more = batch.awaiting - (awaited if awaited is not None else batch.awaiting)
            expect(not more, f"{sorted(map(str, more))} came to be awaited later")
            awaited = batch.awaiting


@RULES.add("batches.withdrawn", "What is withdrawn is an endpoint of an earlier batch.")
async def _withdrawn(_bench: Bench, resolver: Resolver, names: Names) -> None:
    earlier: set[Endpoint] = set()
    for batch in await _batches(resolver, names.exists):
        unknown = [each for each in batch.withdrawn if each not in earlier]
        expect(not unknown, f"{unknown!r} had not been yielded")
        earlier.update(batch.endpoints)


@RULES.add("resolve.concurrent", "Lookups that run at the same time are answered each for itself.")
async def _concurrent(bench: Bench, resolver: Resolver, names: Names) -> None:
    lookups = [
        (address, bench.start(_endpoints, resolver, address))
        for _ in range(4)
        for address in (names.exists, names.missing)
    ]
    for address, lookup in lookups:
        expect(await bench.ended(lookup), f"the lookup of {address} did not end")
        if address == names.exists:
            expect(lookup.result, f"of {address}: {lookup.outcome}")
        else:
            expect(not lookup.result, f"of {address}: {lookup.outcome}")


@RULES.add("resolve.closed", "`aclose` after the first batch ends it, and leaves nothing.")
async def _closed(bench: Bench, resolver: Resolver, names: Names) -> None:
    answers: Any = resolver.resolve(names.exists)
    if not hasattr(answers, "aclose"):
        raise NotApplicable
    left = await _Left.before(bench)
    await anext(answers)
    await answers.aclose()
    more = await anext(answers, None)
    expect(more is None, f"{more!r} was yielded afterwards")
    await left.nothing()


@RULES.add(
    "resolve.cancelled", "A cancellation, wherever it comes, is passed on, and leaves nothing."
)
async def _cancelled(bench: Bench, resolver: Resolver, names: Names) -> None:
    left = await _Left.before(bench)
    for turns in range(_MOST_TURNS):
        lookup = bench.start(_all_that_is_yielded, resolver, names.exists)
        await bench.turns(turns)
        if lookup.done:
            break
        lookup.cancel()
        expect(await bench.ended(lookup), f"cancelled in turn {turns}, it did not end")
        expect(lookup.error is None, f"cancelled in turn {turns}: {lookup.outcome}")
    await left.nothing()


@RULES.add("resolve.leaves_nothing", "A lookup that has ended leaves no task and no descriptor.")
async def _leaves_nothing(bench: Bench, resolver: Resolver, names: Names) -> None:
    await bench.ended(bench.start(_endpoints, resolver, names.exists))  # what it keeps, it has now
    left = await _Left.before(bench)
    for address in (names.exists, names.missing):
        await bench.ended(bench.start(_endpoints, resolver, address))
    await left.nothing()


class _Left:
    """What there was before, to tell what has been left.  Looks are taken until nothing is: a
    thread may still hold a descriptor, and a task that was cancelled ends in the next turn."""

    def __init__(self, bench: Bench, descriptors: dict[int, tuple[int, int]]) -> None:
        self._bench = bench
        self._descriptors = descriptors
        self._contents = bench.contents()

    @classmethod
    async def before(cls, bench: Bench) -> _Left:
        return cls(bench, await bench.in_thread(open_descriptors))

    async def nothing(self) -> None:
        """Have the rule be broken if anything stays."""
        await self._bench.until(lambda: not self._contents.left())
        left = [str(each) for each in self._contents.left()]
        left += await self._new_descriptors()
        expect(not left, f"left behind: {'; '.join(left)}")

    async def _new_descriptors(self) -> list[str]:
        end = moment(self._bench.limit)
        while True:
            now = await self._bench.in_thread(open_descriptors)
            new = [number for number, what in now.items() if self._descriptors.get(number) != what]
            if not new or time.monotonic() >= end:
                break
            await self._bench.sleep(0.01)
        return [
            f"descriptor {await self._bench.in_thread(partial(describe_descriptor, number))}"
            for number in new
        ]


async def _all_that_is_yielded(resolver: Resolver, address: TCPAddress | UDPAddress) -> list[Any]:
    async with aclosing(closable(resolver.resolve(address))) as answers:
        return [batch async for batch in answers]


async def _batches(resolver: Resolver, address: TCPAddress | UDPAddress) -> list[Batch]:
    """The batches that are well-formed."""
    batches = []
    for batch in await _all_that_is_yielded(resolver, address):
        try:
            batches.append(_checked(batch))
        except (TypeError, ValueError):
            pass
    return batches


def _checked(batch: Any) -> Batch:
    """A batch that is well-formed, but for its rank, which has a rule of its own."""
    return check_batch(batch._replace(rank=0) if isinstance(batch, Batch) else batch)


async def _endpoints(resolver: Resolver, address: TCPAddress | UDPAddress) -> list[Endpoint]:
    """The endpoints that have not been withdrawn."""
    endpoints: dict[Endpoint, None] = {}
    for batch in await _batches(resolver, address):
        for endpoint in batch.withdrawn:
            endpoints.pop(endpoint, None)
        endpoints.update(dict.fromkeys(batch.endpoints))
    return list(endpoints)
