"""Ranks, and what is worth waiting for, as resolvers tell of them in their batches."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from support.listeners import listening, refusing

from aconnect import Batch, Dialer, Endpoint, Report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.anyio

V4, V6 = socket.AF_INET, socket.AF_INET6
LONG = 90
MUST_NOT_WAIT = 60.0
"""Seconds for which a first start would be held back, if it were."""


class Says:
    """A resolver that gives batches, and then a last one when it is told to go on."""

    def __init__(self, *batches: Batch) -> None:
        self.batches = batches

    async def resolve(self, _: Any) -> AsyncIterator[Batch]:
        for batch in self.batches:
            yield batch


def endpoint(sockaddr: Any) -> Endpoint:
    family = V6 if ":" in sockaddr[0] else V4
    return Endpoint(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, sockaddr)


def batch(*sockaddrs: Any, **more: Any) -> Batch:
    return Batch([endpoint(each) for each in sockaddrs], **{"sorted": True, **more})


def awaiting(*what: Any) -> Any:
    return {"awaiting": frozenset(what)}


@pytest.fixture
def refused() -> Iterator[list[Any]]:
    """Addresses that refuse: three of IPv4, three of IPv6."""
    with ExitStack() as stack:
        hosts = [LOOPBACK, LOOPBACK, LOOPBACK, "::1", "::1", "::1"]
        yield [stack.enter_context(refusing(host)) for host in hosts]


LOOPBACK = "127.0.0.1"


async def tried(*batches: Batch, **options: Any) -> list[Any]:
    """The addresses in the order in which they are tried, all in vain."""
    with pytest.raises(ConnectionRefusedError) as caught:
        await Dialer(resolver=Says(*batches), **options).connect("a.example:1", timeout=LONG)
    error: Any = caught.value
    return [each.sockaddr for each in error.attempts]


async def test_all_of_a_rank_are_tried_before_any_of_the_next(refused: list[Any]) -> None:
    a, b, c, x, y, z = refused
    said = [
        Batch((), **awaiting("service")),
        batch(y, b, rank=2),
        batch(z, c, rank=1),
        batch(x, a, **awaiting()),
    ]
    assert await tried(*said) == [x, a, z, c, y, b]


async def test_an_address_that_comes_again_has_its_last_rank(refused: list[Any]) -> None:
    a, b, c, *_ = refused
    said = [Batch((), **awaiting("service")), batch(a, b, c), batch(a, rank=1, **awaiting())]
    assert await tried(*said) == [b, c, a]
    said = [each._replace(sorted=False) for each in said]
    assert await tried(*said) == [b, c, a]


async def test_what_is_not_sorted_is_sorted_within_its_rank(
    refused: list[Any], monkeypatch: Any
) -> None:
    a, b, _, x, y, _ = refused
    said = [
        Batch((), **awaiting(V6, "service")),
        batch(b, sorted=False),
        batch(a, rank=1, sorted=False),
        batch(y, sorted=False, **awaiting("service")),
        batch(x, rank=1, sorted=False, **awaiting()),
    ]
    assert await tried(*said) == [y, b, x, a]
    # IPv4 begins, in each rank, where IPv6 has no route.
    monkeypatch.setattr(
        "aconnect.resolvers.answers.source_address",
        lambda each: None if each.family == V6 else LOOPBACK,
    )
    assert await tried(*said) == [b, y, a, x]


async def test_what_is_awaited_holds_back_the_first_start(refused: list[Any]) -> None:
    a, _, _, x, *_ = refused
    said = [batch(a, **awaiting(V6)), batch(x, **awaiting())]
    assert await tried(*said, resolution_delay=MUST_NOT_WAIT) == [x, a]
    report = Report()
    with listening() as listener:
        held = Says(batch(listener.getsockname(), **awaiting("service")))
        dialer = Dialer(resolver=held, resolution_delay=MUST_NOT_WAIT)
        with await dialer.connect("a.example:1", timeout=LONG, report=report):
            pass  # it starts when the lookup is at its end
    assert report.resolution is not None
    assert report.resolution.end is not None
    assert report.attempts[0].start >= report.resolution.end


@pytest.mark.parametrize("family", [V4, V6])
async def test_a_family_that_is_not_wanted_is_not_waited_for(family: int) -> None:
    other = V6 if family == V4 else V4
    host = LOOPBACK if family == V4 else "::1"
    with listening(host) as listener:
        said = Says(batch(listener.getsockname(), **awaiting(other)))
        dialer = Dialer(resolver=said, resolution_delay=MUST_NOT_WAIT, family=family)
        with await dialer.connect("a.example:1", timeout=LONG) as sock:
            assert sock.family == family


async def test_a_batch_that_says_nothing_of_addresses_is_not_told_of() -> None:
    report = Report()
    with listening() as listener:
        said = Says(Batch((), **awaiting(V6)), batch(listener.getsockname(), **awaiting()))
        with await Dialer(resolver=said).connect("a.example:1", timeout=LONG, report=report):
            pass
    assert report.resolution is not None
    assert len(report.resolution.batches) == 1
