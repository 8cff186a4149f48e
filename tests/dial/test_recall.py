"""Dials to names that the resolver knows: the quick way, and the same race as otherwise."""

from __future__ import annotations

import errno
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
    Report,
    StaticResolver,
    UDPAddress,
)
from aconnect.handshakes.base import BoundedHandshake
from aconnect.testing import FakeNetwork, VirtualClock
from aconnect.trace import AttemptStarted, ResolutionBatch, ResolutionEnded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

LONG = 30
NAME = ("db.test", 5)
V6, V6B, V4, V4B = "2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"


class Knowing:
    """Knows its answers; one that it does not know it can be asked for."""

    def __init__(self, known: Any, asked: Any = ()) -> None:
        self.answer = known
        self.asked_for = asked
        self.asked = 0
        self.forgotten: list[Any] = []

    def known(self, address: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def forget(self, address: Any) -> None:
        self.forgotten.append(address)

    async def resolve(self, address: Any) -> AsyncIterator[Batch]:
        self.asked += 1
        yield Batch(tuple(self.asked_for), sorted=True)


def endpoints(*sockaddrs: Any) -> list[Endpoint]:
    tcp = (socket.SOCK_STREAM, socket.IPPROTO_TCP)
    families = {2: socket.AF_INET, 4: socket.AF_INET6}
    return [Endpoint(families[len(each)], *tcp, each) for each in sockaddrs]


class Shake(BoundedHandshake[str]):
    """Says how it was done."""

    def __init__(self) -> None:
        self.name = "test"

    async def within(self, sock: socket.socket, until: float) -> str:
        sock.close()
        return "without a race"

    async def __call__(self, sock: socket.socket) -> str:
        sock.close()
        return "in a race"


@pytest.fixture
def no_race(monkeypatch: Any) -> None:
    monkeypatch.setattr("aconnect.dial.single.race", None)


@pytest.mark.usefixtures("no_race")
class TestWithoutARace:
    @pytest.mark.parametrize("more", [[], [("127.0.0.9", 9)]], ids=["one", "two"])
    @pytest.mark.parametrize(
        "options", [{}, {"permit": lambda _: True}, {"family": socket.AF_INET}], ids="".join
    )
    async def test_connected_at_once(self, more: Any, options: Any) -> None:
        with listening() as listener:
            resolver = Knowing(endpoints(listener.getsockname(), *more))
            dialer = Dialer(resolver=resolver, **options)
            with await dialer.connect(NAME, timeout=LONG) as sock:
                assert sock.getpeername() == listener.getsockname()
        assert not resolver.asked

    async def test_datagrams(self) -> None:
        resolver = StaticResolver({"dns.test": ["127.0.0.1"]})
        with await Dialer(resolver=resolver).connect(UDPAddress("dns.test", 53)) as sock:
            assert sock.type == socket.SOCK_DGRAM
            assert sock.getpeername() == ("127.0.0.1", 53)

    async def test_who_is_told_is_told_of_the_lookup(self) -> None:
        with listening() as listener:
            known = endpoints(listener.getsockname(), ("127.0.0.9", 9))
            report = Report()
            dialer = Dialer(resolver=Knowing(known))
            (await dialer.connect(NAME, timeout=LONG, report=report)).close()
        assert [type(event).__name__ for event in report.events] == [
            *("DialStarted", "ResolutionStarted", "ResolutionBatch", "ResolutionEnded"),
            *("AttemptStarted", "AttemptEnded", "DialConnected"),
        ]
        (batch,) = (each for each in report.events if isinstance(each, ResolutionBatch))
        assert batch.endpoints == tuple(known)
        (ended,) = (each for each in report.events if isinstance(each, ResolutionEnded))
        assert (ended.outcome, ended.found, ended.remembered) == ("done", 2, True)
        (started,) = (each for each in report.events if isinstance(each, AttemptStarted))
        assert (started.place, started.known) == (0, 2)

    async def test_a_handshake_of_one(self) -> None:
        with listening() as listener:
            dialer = Dialer(resolver=Knowing(endpoints(listener.getsockname())))
            done = await dialer.connect(NAME, timeout=LONG, handshake=Shake())
        assert done == "without a race"


async def test_with_several_a_handshake_is_in_the_race() -> None:
    """For there is something to move on to."""
    with listening() as listener, listening() as other:
        both = endpoints(listener.getsockname(), other.getsockname())
        dialer = Dialer(resolver=Knowing(both))
        assert await dialer.connect(NAME, timeout=LONG, handshake=Shake()) == "in a race"


async def test_when_the_first_is_refused_the_next_is_tried() -> None:
    with refusing() as dead, listening() as listener:
        resolver = Knowing(endpoints(dead, listener.getsockname()))
        report = Report()
        with await Dialer(resolver=resolver).connect(NAME, timeout=LONG, report=report) as sock:
            assert sock.getpeername() == listener.getsockname()
    assert [each.outcome for each in report.attempts] == ["failed", "connected"]
    assert [each.remembered for each in report.resolutions] == [True]
    assert not resolver.asked
    assert not resolver.forgotten


async def test_when_the_first_is_silent_the_next_is_tried_beside_it() -> None:
    with silent() as dead, listening() as listener:
        resolver = Knowing(endpoints(dead, listener.getsockname()))
        dialer = Dialer(resolver=resolver, attempt_delay=0.01)
        with await dialer.connect(NAME, timeout=LONG) as sock:
            assert sock.getpeername() == listener.getsockname()


async def test_the_deadline_counts() -> None:
    with silent() as dead, silent() as other:
        resolver = Knowing(endpoints(dead, other))
        with pytest.raises(ConnectTimeout) as caught:
            await Dialer(resolver=resolver).connect(NAME, timeout=0.02)
    assert [each.outcome for each in caught.value.attempts] == ["timed out"]
    assert caught.value.report is not None
    assert [each.remembered for each in caught.value.report.resolutions] == [True]


async def test_cancelled_while_the_first_is_waited_for() -> None:
    with silent() as dead, silent() as other:
        dialer = Dialer(resolver=Knowing(endpoints(dead, other)))
        with anyio.move_on_after(0.02) as scope:
            await dialer.connect(NAME)
    assert scope.cancelled_caught


async def test_of_several_hosts_each_is_recalled() -> None:
    with refusing() as dead, listening() as listener:
        resolver = StaticResolver({"a.test": [dead[0]], "b.test": ["127.0.0.1"]})
        report = Report()
        address = [("a.test", dead[1]), ("b.test", listener.getsockname()[1])]
        (await Dialer(resolver=resolver).connect(address, timeout=LONG, report=report)).close()
    assert [each.remembered for each in report.resolutions] == [True, True]
    assert [each.outcome for each in report.attempts] == ["failed", "connected"]


@pytest.mark.parametrize(
    "nonsense",
    [ValueError("broken"), 5, [None], [Endpoint(1, 2, 3, [])], ["127.0.0.1"], [], None],  # type: ignore[arg-type]
    ids=repr,
)
async def test_a_resolver_that_makes_no_sense_is_asked(nonsense: Any) -> None:
    with listening() as listener:
        resolver = Knowing(nonsense, endpoints(listener.getsockname()))
        (await Dialer(resolver=resolver).connect(NAME, timeout=LONG)).close()
    assert resolver.asked == 1


async def test_one_that_knows_none_of_the_family_is_asked() -> None:
    """It says why there is none."""
    resolver = Knowing(endpoints(("127.0.0.1", 5)), endpoints(("127.0.0.1", 5)))
    with pytest.raises(ConnectError) as caught:
        await Dialer(resolver=resolver, family=socket.AF_INET6).connect(NAME)
    assert resolver.asked == 1
    assert caught.value.errno == socket.EAI_ADDRFAMILY


async def test_literals_and_lists_are_nothing_to_know_of() -> None:
    class Never:
        known = resolve = None

        def __getattribute__(self, name: str) -> Any:
            if name in ("known", "forget", "resolve"):
                return self
            return super().__getattribute__(name)

        def __call__(self, address: Any) -> Any:
            raise AssertionError("it was asked")

    dialer = Dialer(resolver=Never())  # type: ignore[arg-type]
    with listening() as listener:
        (await dialer.connect(listener.getsockname(), timeout=LONG)).close()
    with refusing() as dead, pytest.raises(ConnectionRefusedError):
        await dialer.connect(dead, timeout=LONG)
    with pytest.raises(ConnectError):
        await dialer.connect("[fe80::1%nowhere]:5", timeout=LONG)


# --------------------------------------------------------------------------------- forgotten


async def test_it_is_told_when_all_addresses_have_failed() -> None:
    with refusing() as dead:
        resolver = Knowing(endpoints(dead))
        with pytest.raises(ConnectionRefusedError):
            await Dialer(resolver=resolver).connect(NAME, timeout=LONG)
    (address,) = resolver.forgotten
    assert (address.host, address.port) == NAME


async def test_what_it_raises_then_changes_nothing() -> None:
    class Broken(Knowing):
        def forget(self, address: Any) -> None:
            super().forget(address)
            raise ValueError("broken")

    with refusing() as dead:
        resolver = Broken(endpoints(dead))
        with pytest.raises(ConnectionRefusedError):
            await Dialer(resolver=resolver).connect(NAME, timeout=LONG)
    assert resolver.forgotten


async def test_it_is_not_told_of_what_was_not_permitted() -> None:
    resolver = Knowing(endpoints(("127.0.0.1", 5)))
    with pytest.raises(PermissionError):
        await Dialer(resolver=resolver, permit=lambda _: False).connect(NAME)
    assert not resolver.forgotten


# ------------------------------------------------------------------------- as from a resolver


class Quiet:
    """A resolver without a memory of its own."""

    def __init__(self, resolver: Any) -> None:
        self.resolve = resolver.resolve


OPTIONS: list[Any] = [
    {},
    {"prefer": socket.AF_INET},
    {"prefer": socket.AF_INET6},
    {"family": socket.AF_INET},
    {"attempt_delay": None},
    {"attempt_delay": 0.1, "first_family_count": 2},
    {"max_in_flight": 1},
    {"attempt_timeout": 0.2},
    {"permit": lambda each: each.sockaddr[0] != V6},
    {"on_socket": lambda *_: None},
]
ORDERS = [[V6, V6B, V4, V4B], [V4, V6, V6B, V4B], [V4, V4B], [V6]]
OUTCOMES: dict[str, dict[str, Any]] = {
    "all connect late": {each: {"after": 0.02} for each in (V6, V6B, V4, V4B)},
    "one is slow": {V6: {"after": 0.3}, V4: {"after": 0.3}},
    "some are silent": {V6: {"outcome": "silent"}, V4: {"outcome": "silent"}},
    "all are refused": {
        each: {"outcome": "refused", "after": 0.05} for each in (V6, V6B, V4, V4B)
    },
    "unreachable": {
        V6: {"outcome": errno.ENETUNREACH},
        V6B: {"outcome": errno.ENETUNREACH},
        V4: {"after": 0.4},
    },
}


@pytest.mark.parametrize("options", OPTIONS, ids=lambda each: ", ".join(each))
@pytest.mark.parametrize("outcomes", OUTCOMES)
def test_a_dial_from_memory_goes_as_one_from_a_resolver(options: Any, outcomes: str) -> None:
    """To the microsecond, and is told of alike."""

    async def dial(resolver: Any, tells: bool) -> Any:
        with FakeNetwork() as network:
            for each in (V6, V6B, V4, V4B):
                network.add(None, each, **OUTCOMES[outcomes].get(each, {}))
            report = Report()
            told = {"report": report} if tells else {}
            dialer = network.dialer(resolver=resolver, **options)
            try:
                (await dialer.connect(NAME, timeout=3, **told)).close()
                end: Any = "connected"
            except ConnectError as error:
                end = (error.errno, [each.outcome for each in error.attempts])
            attempts = [
                (each.peer, each.place, each.start, each.end, each.outcome)
                for each in report.attempts
            ]
            return network.timeline(), end, attempts

    for order in ORDERS:
        knows = StaticResolver({"db.test": order})
        for tells in (False, True):
            results = [
                VirtualClock().run(dial, resolver, tells) for resolver in (knows, Quiet(knows))
            ]
            assert results[0] == results[1], (order, tells)
