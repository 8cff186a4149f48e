"""Several hosts in one dial: each a rank, in the order given."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.listeners import listening, refusing, silent

from aconnect import (
    Batch,
    ConnectError,
    ConnectTimeout,
    Dialer,
    Endpoint,
    Handshake,
    Report,
    ResolveError,
    StaticResolver,
    aconnect,
)
from aconnect.trace import AttemptStarted, ResolutionBatch, ResolutionEnded, ResolutionStarted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import ExitStack

    from aconnect import TCPAddress

pytestmark = pytest.mark.anyio

LONG = 30


@pytest.fixture
def stack() -> Any:
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield stack


def entry(address: Any) -> Any:
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)


async def test_the_first_that_answers(stack: ExitStack) -> None:
    one = stack.enter_context(listening()).getsockname()
    two = stack.enter_context(listening("127.0.0.2")).getsockname()
    with await aconnect([one, two], timeout=LONG) as sock:
        assert sock.getpeername() == one


async def test_a_dead_one_costs_no_time(stack: ExitStack) -> None:
    dead = stack.enter_context(refusing())
    good = stack.enter_context(listening()).getsockname()
    report = Report()
    address = [f"{dead[0]}:{dead[1]}", good]
    with await Dialer(trace=report).connect(address, timeout=LONG) as sock:
        assert sock.getpeername() == good
    assert [each.outcome for each in report.attempts] == ["failed", "connected"]
    assert report.winner is not None
    assert report.winner.host == f"{good[0]}:{good[1]}"


async def test_a_silent_one_costs_a_delay(stack: ExitStack) -> None:
    dead = stack.enter_context(silent())
    good = stack.enter_context(listening()).getsockname()
    with await Dialer(attempt_delay=0.02).connect([dead, good], timeout=LONG) as sock:
        assert sock.getpeername() == good


async def test_names_are_looked_up_side_by_side(stack: ExitStack) -> None:
    good = stack.enter_context(listening()).getsockname()
    asked: list[str] = []
    both = anyio.Event()

    class Names:
        async def resolve(self, address: TCPAddress) -> AsyncIterator[Batch]:  # type: ignore[override]
            asked.append(address.host)
            if len(asked) == 2:
                both.set()
            await both.wait()
            yield Batch([Endpoint(*entry(good)[:3], (good[0], address.port))], sorted=True)

    port = good[1]
    dialer = Dialer(resolver=Names())  # type: ignore[arg-type]
    with await dialer.connect([f"a.example:{port}", f"b.example:{port}"], timeout=LONG) as sock:
        assert sock.getpeername() == good
    assert sorted(asked) == ["a.example", "b.example"]


async def test_one_that_does_not_resolve_fails_alone(stack: ExitStack) -> None:
    good = stack.enter_context(listening()).getsockname()
    report = Report()
    resolver = StaticResolver({"b.example": [good[0]]})
    dialer = Dialer(resolver=resolver, trace=report)
    address = [f"a.example:{good[1]}", f"b.example:{good[1]}"]
    with await dialer.connect(address, timeout=LONG) as sock:
        assert sock.getpeername() == good
    ended = [each for each in report.events if isinstance(each, ResolutionEnded)]
    assert {(each.address, each.outcome) for each in ended} == {
        (address[0], "failed"),
        (address[1], "done"),
    }
    started = [each.address for each in report.events if isinstance(each, ResolutionStarted)]
    assert started == address
    assert report.winner is not None
    assert report.winner.host == address[1]
    assert len(report.resolutions) == 2


async def test_none_resolves() -> None:
    dialer = Dialer(resolver=StaticResolver({}))
    with pytest.raises(ResolveError) as caught:
        await dialer.connect(["a.example:1", "b.example:2"], timeout=LONG)
    error = caught.value
    assert error.errno == socket.EAI_NONAME
    assert "could not resolve a.example:1 and 1 more" in str(error)
    assert "a.example:1: EAI_NONAME; b.example:2: EAI_NONAME" in str(error)
    assert isinstance(error.__cause__, ExceptionGroup)
    assert len(error.__cause__.exceptions) == 2


async def test_no_time_to_resolve() -> None:
    with pytest.raises(ConnectTimeout) as caught:
        await aconnect(["a.example:1", "b.example:2"], timeout=0)
    assert caught.value.phase == "resolve"


async def test_all_fail(stack: ExitStack) -> None:
    dead = [stack.enter_context(refusing()), stack.enter_context(refusing())]
    with pytest.raises(ConnectError) as caught:
        await aconnect([dead[0], dead[1]], timeout=LONG)
    assert [each.sockaddr for each in caught.value.attempts] == dead
    assert len(caught.value.address) == 2  # type: ignore[arg-type]


async def test_mixed_with_results(stack: ExitStack) -> None:
    """Results that follow one another are one part."""
    dead = [stack.enter_context(refusing()), stack.enter_context(refusing())]
    good = stack.enter_context(listening()).getsockname()
    report = Report()
    address = [*map(entry, dead), f"{good[0]}:{good[1]}"]
    with await Dialer(trace=report).connect(address, timeout=LONG):
        pass
    started = [each for each in report.events if isinstance(each, AttemptStarted)]
    assert [each.endpoint.sockaddr for each in started] == [*dead, good]
    first = f"{dead[0][0]}:{dead[0][1]} and 1 more"
    assert [each.host for each in started] == [first, first, address[-1]]


async def test_a_list_of_one_is_that_one(stack: ExitStack) -> None:
    good = stack.enter_context(listening()).getsockname()
    report = Report()
    with await Dialer(trace=report).connect([good], timeout=LONG):
        pass
    assert report.address == f"{good[0]}:{good[1]}"
    assert report.winner is not None
    assert report.winner.host == ""


async def test_a_zone_that_is_no_interface_fails_alone(stack: ExitStack) -> None:
    good = stack.enter_context(listening()).getsockname()
    with await aconnect(["[fe80::1%nosuch0]:1", good], timeout=LONG) as sock:
        assert sock.getpeername() == good


async def test_of_one_family(stack: ExitStack) -> None:
    good = stack.enter_context(listening()).getsockname()
    dialer = Dialer(family=socket.AF_INET)
    with await dialer.connect(["[::1]:1", good], timeout=LONG) as sock:
        assert sock.getpeername() == good


@pytest.mark.parametrize("first", [socket.AF_INET, socket.AF_INET6])
async def test_a_family_that_is_preferred(first: int, stack: ExitStack) -> None:
    """It goes first, and the other is tried as well."""
    v4 = stack.enter_context(listening()).getsockname()
    v6 = stack.enter_context(listening("::1")).getsockname()
    found = [entry(v4), (socket.AF_INET6, *entry(v6)[1:])]
    with await Dialer(prefer=first).connect(found, timeout=LONG) as sock:
        assert sock.family == first
    with await Dialer(prefer=first).connect([entry(v4)], timeout=LONG) as sock:
        assert sock.family == socket.AF_INET


@pytest.mark.parametrize(
    ("prefer", "error"), [("v4", TypeError), (True, TypeError), (1, ValueError)]
)
async def test_a_preference_that_cannot_be(prefer: Any, error: Any) -> None:
    with pytest.raises(error, match="prefer must be"):
        Dialer(prefer=prefer)


async def test_silent_ones_make_room(stack: ExitStack) -> None:
    """Eight that are silent and a good ninth: the dial is over long before any gives up."""
    dead = [stack.enter_context(silent()) for _ in range(8)]
    good = stack.enter_context(listening()).getsockname()
    report = Report()
    with await Dialer(trace=report).connect([*map(entry, [*dead, good])], timeout=LONG) as sock:
        assert sock.getpeername() == good
    assert report.elapsed < 4
    outcomes = [each.outcome for each in report.attempts]
    assert outcomes == ["made room"] * 3 + ["cancelled"] * 5 + ["connected"]
    assert "made room" in report.draw()


async def test_when_all_are_silent_those_that_made_room_are_told_of(stack: ExitStack) -> None:
    dead = [stack.enter_context(silent()) for _ in range(3)]
    dialer = Dialer(max_in_flight=2, attempt_delay=0.01)
    with pytest.raises(ConnectTimeout) as caught:
        await dialer.connect([*map(entry, dead)], timeout=2.2)
    assert [each.outcome for each in caught.value.attempts] == ["made room", *["timed out"] * 2]
    assert "it made room for another address" in str(caught.value)


async def test_many_that_do_not_resolve_are_a_screen_of_words() -> None:
    hosts = [f"{'a' * 60}.{number}.example:80" for number in range(100)]
    with pytest.raises(ResolveError) as raised:
        await Dialer(resolver=StaticResolver({})).connect(hosts, timeout=LONG)
    text = str(raised.value)
    assert len(text) < 2000
    assert text.endswith("and 96 more")
    assert isinstance(raised.value.__cause__, ExceptionGroup)
    assert len(raised.value.__cause__.exceptions) == 4


async def test_a_handshake_that_asks_for_no_host_is_the_same_for_all(stack: ExitStack) -> None:
    async def shake(sock: socket.socket) -> socket.socket:
        return sock

    dead = stack.enter_context(refusing())
    good = stack.enter_context(listening()).getsockname()
    hosts = [f"one.example:{dead[1]}", f"two.example:{good[1]}"]
    dialer = Dialer(resolver=StaticResolver({"one.example": [dead[0]], "two.example": [good[0]]}))
    handshake = Handshake(shake)
    assert handshake.towards("two.example") is handshake
    with await dialer.connect(hosts, timeout=LONG, handshake=handshake) as sock:
        assert sock.getpeername() == good


async def test_an_address_that_two_hosts_have_is_that_of_the_first(stack: ExitStack) -> None:
    asked: list[str | None] = []
    started, second_found = anyio.Event(), anyio.Event()

    class Asking(Handshake[socket.socket]):
        def towards(self, host: str | None) -> Handshake[socket.socket]:
            asked.append(host)
            return self

    async def shake(sock: socket.socket) -> socket.socket:
        return sock

    def trace(event: object) -> None:
        if isinstance(event, ResolutionBatch) and event.address == second:
            second_found.set()

    class Later:
        async def resolve(self, address: TCPAddress) -> AsyncIterator[Batch]:
            if address.host == "two.example":
                await started.wait()
            yield Batch([Endpoint(*entry((host, port))[:3], (host, port))])

    async def start(sock: socket.socket, endpoint: Endpoint) -> None:
        started.set()
        await second_found.wait()

    host, port = stack.enter_context(listening()).getsockname()
    first, second = f"one.example:{port}", f"two.example:{port}"
    resolver: Any = Later()
    dialer = Dialer(resolver=resolver, on_socket=start, trace=trace)
    with await dialer.connect([first, second], timeout=LONG, handshake=Asking(shake)):
        assert asked == ["one.example"]
