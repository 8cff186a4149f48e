"""The Dialer on real sockets, on all loops; on scripted ones where the kernel has no say."""

from __future__ import annotations

import asyncio
import errno
import gc
import math
import socket
import threading
import time
import warnings
import weakref
from contextlib import ExitStack
from dataclasses import FrozenInstanceError
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from conftest import ASYNCIO_LOOPS, LOOPS_AND_DRIVERS
from support.listeners import LOOPBACK, listening, refusing, silent, unix_full
from support.loops import NoWriterLoop
from support.sockets import SocketFactory, open_with

from aconnect import (
    AddressNotPermitted,
    Batch,
    ConnectError,
    ConnectTimeout,
    Deadline,
    Dialer,
    Endpoint,
    HandshakeError,
    Keepalive,
    Report,
    ResolveError,
    SocketOption,
    StaticResolver,
    SystemResolver,
    aconnect,
)
from aconnect.policy import public_only
from aconnect.sockets.syscalls import open_socket
from aconnect.trace import (
    AttemptEnded,
    AttemptStarted,
    DialCancelled,
    DialFailed,
    Event,
    HandshakeEnded,
    HandshakeStarted,
    ResolutionEnded,
    SocketClosed,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS_AND_DRIVERS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


LONG = 30  # seconds; what takes as long has failed
ROUNDING = 1e-6  # seconds; of the moments of this clock
V4, V6 = socket.AF_INET, socket.AF_INET6


def endpoint(address: Any) -> Endpoint:
    family = V6 if ":" in address[0] else V4
    return Endpoint(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, address)


def results(*addresses: Any) -> list[Any]:
    """What getaddrinfo() would have returned."""
    return [(*endpoint(each)[:3], "", each) for each in addresses]


class Names:
    """What a trace has been told: the names of events, with numbers and outcomes."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def __str__(self) -> str:
        return "; ".join(map(self._line, self.events))

    @staticmethod
    def _line(event: Event) -> str:
        words = [type(event).__name__]
        words += [str(event.attempt)] if hasattr(event, "attempt") else []
        words += [event.outcome] if hasattr(event, "outcome") else []
        return " ".join(words)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class Counter:
    """Opens sockets, and knows how many are open at a time."""

    def __init__(self) -> None:
        self.opened: list[socket.socket] = []
        self.most = 0

    def __call__(self, endpoint: Endpoint) -> socket.socket:
        self.opened.append(open_socket(endpoint))
        self.most = max(self.most, self.open)
        return self.opened[-1]

    @property
    def open(self) -> int:
        return sum(sock.fileno() >= 0 for sock in self.opened)


@pytest.fixture
def counter(monkeypatch: Any) -> Counter:
    counter = Counter()
    open_with(monkeypatch, counter)
    return counter


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Answers:
    """A resolver that does as it is told: batches, seconds to wait, errors to raise."""

    def __init__(self, *script: Any) -> None:
        self.script = script
        self.asked: list[str] = []

    async def resolve(self, address: Any) -> AsyncIterator[Any]:
        self.asked.append(str(address))
        for each in self.script:
            if isinstance(each, BaseException):
                raise each
            if isinstance(each, (int, float)):
                await anyio.sleep(each)
            else:
                yield each


def batch(*addresses: Any, **more: Any) -> Batch:
    return Batch([endpoint(each) for each in addresses], **{"sorted": True, **more})


async def never(*_: Any) -> Any:
    await anyio.sleep_forever()


class TestConstruction:
    @pytest.mark.parametrize(
        ("option", "value", "error"),
        [
            ("attempt_delay", -1, ValueError),
            ("attempt_delay", math.nan, ValueError),
            ("attempt_delay", math.inf, ValueError),
            ("attempt_delay", "1", TypeError),
            ("attempt_delay", True, TypeError),
            ("resolution_delay", -0.1, ValueError),
            ("resolution_delay", None, TypeError),
            ("first_family_count", 0, ValueError),
            ("first_family_count", 1.0, TypeError),
            ("max_in_flight", 0, ValueError),
            ("max_in_flight", True, TypeError),
            ("attempt_timeout", math.inf, ValueError),
            ("attempt_timeout", "5", TypeError),
            ("family", socket.AF_UNIX, ValueError),
            ("family", True, TypeError),
            ("family", "ipv4", TypeError),
            ("local_address", "localhost", ValueError),
            ("local_address", 5, TypeError),
            ("interface", "a/b", ValueError),
            ("interface", b"lo", TypeError),
            ("socket_options", 5, TypeError),
            ("socket_options", [(1, 2)], TypeError),
            ("keepalive", True, TypeError),
            ("user_timeout", 0, ValueError),
            ("user_timeout", "5", TypeError),
            ("nodelay", 1, TypeError),
            ("mptcp", None, TypeError),
            ("mark", -1, ValueError),
            ("mark", "1", TypeError),
            ("tos", 256, ValueError),
            ("tos", 1.5, TypeError),
            ("on_socket", 5, TypeError),
            ("socket_factory", 5, TypeError),
            ("permit", "public", TypeError),
            ("resolver", 5, TypeError),
            ("resolver", None, TypeError),
            ("trace", [], TypeError),
            ("on_report", [], TypeError),
        ],
    )
    def test_nonsense_is_named(self, option: str, value: Any, error: Any) -> None:
        with pytest.raises(error) as caught:
            Dialer(**{option: value})
        assert option in str(caught.value)
        assert repr(value).strip("[]") in str(caught.value)
        with pytest.raises(error, match=option):
            Dialer().replace(**{option: value})

    def test_no_time_for_an_attempt(self) -> None:
        with pytest.raises(ValueError, match="attempt_timeout must be more than 0"):
            Dialer(attempt_timeout=0)

    def test_an_option_that_there_is_not(self) -> None:
        with pytest.raises(TypeError, match="nosuch"):
            Dialer(nosuch=1)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="nosuch"):
            Dialer().replace(nosuch=1)

    def test_defaults(self) -> None:
        dialer = Dialer()
        assert dialer.attempt_delay == 0.25
        assert dialer.resolution_delay == 0.05
        assert dialer.first_family_count == 1
        assert dialer.max_in_flight == 6
        assert dialer.attempt_timeout is None
        assert dialer.family == socket.AF_UNSPEC
        assert isinstance(dialer.resolver, SystemResolver)
        assert dialer.nodelay

    def test_it_is_a_value(self) -> None:
        assert Dialer() == Dialer()
        assert hash(Dialer(tos=8)) == hash(Dialer(tos=8))
        assert Dialer(tos=8) != Dialer()
        with pytest.raises(FrozenInstanceError):
            Dialer().tos = 8  # type: ignore[misc]

    def test_replace(self) -> None:
        dialer = Dialer(tos=8, local_address=LOOPBACK)
        other = dialer.replace(tos=16)
        assert (dialer.tos, other.tos) == (8, 16)
        assert other.local_address == dialer.local_address
        assert other.replace(tos=8) == dialer

    def test_iterables_are_read_once(self) -> None:
        option = SocketOption(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        dialer = Dialer(socket_options=iter([option]), local_address=iter([LOOPBACK, "::1"]))
        assert dialer.replace(tos=8).socket_options == (option,)
        assert len(dialer.replace(tos=8).local_address) == 2  # type: ignore[arg-type]

    async def test_nonsense_for_a_dial(self) -> None:
        with pytest.raises(TypeError, match="handshake must be callable or None, not 5"):
            await Dialer().connect((LOOPBACK, 1), handshake=5)  # type: ignore[call-overload]
        with pytest.raises(ValueError, match="70000"):
            await Dialer().connect((LOOPBACK, 70000))
        with pytest.raises(ValueError, match="-1"):
            await Dialer().connect((LOOPBACK, 1), timeout=-1)

    async def test_many_dials_at_once(self, stack: ExitStack) -> None:
        dead = stack.enter_context(refusing("127.0.0.2"))
        address = stack.enter_context(listening(backlog=200)).getsockname()
        dialer = Dialer()

        async def one() -> None:
            stack.enter_context(await dialer.connect(results(dead, address), timeout=LONG))

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(one)


def test_several_threads_with_loops_of_their_own() -> None:
    dialer = Dialer(resolver=StaticResolver({"db.example": [LOOPBACK]}))
    made: list[Any] = []

    def run(port: int) -> None:
        async def main() -> None:
            for _ in range(20):
                with await dialer.connect(f"db.example:{port}", timeout=LONG) as sock:
                    made.append(sock.getpeername())

        asyncio.run(main())

    with listening(backlog=200) as listener:
        port = listener.getsockname()[1]
        threads = [threading.Thread(target=run, args=(port,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert made == [(LOOPBACK, port)] * 80


# Races: each is run on the four loops, and on one without add_writer.


async def silent_then_listening(stack: ExitStack) -> None:
    dead = stack.enter_context(silent())
    address = stack.enter_context(listening()).getsockname()
    trace = Names()
    dialer = Dialer(attempt_delay=0.02, trace=trace)
    with await dialer.connect(results(dead, address), timeout=LONG) as sock:
        assert sock.getpeername() == address
    assert str(trace) == (
        "DialStarted; AttemptStarted 0; AttemptStarted 1; AttemptEnded 1 connected; "
        "AttemptEnded 0 cancelled; SocketClosed 0; DialConnected 1"
    )
    first, second = trace.of(AttemptStarted)
    assert second.time - first.time >= 0.02 - ROUNDING
    assert (first.place, first.known, second.place, second.known) == (0, 2, 1, 2)


async def refused_then_listening(stack: ExitStack) -> None:
    dead = stack.enter_context(refusing())
    address = stack.enter_context(listening()).getsockname()
    trace = Names()
    dialer = Dialer(attempt_delay=2, trace=trace)
    with await dialer.connect(results(dead, address), timeout=LONG) as sock:
        assert sock.getpeername() == address
    assert str(trace) == (
        "DialStarted; AttemptStarted 0; AttemptEnded 0 failed; SocketClosed 0; "
        "AttemptStarted 1; AttemptEnded 1 connected; DialConnected 1"
    )
    first, second = trace.of(AttemptStarted)
    assert second.time - first.time < 1.9  # it has not waited for the delay


async def all_refuse(stack: ExitStack) -> None:
    dead = [stack.enter_context(refusing(f"127.0.0.{n}")) for n in (1, 2, 3)]
    trace = Names()
    with pytest.raises(ConnectionRefusedError) as caught:
        await Dialer(trace=trace).connect(results(*dead), timeout=LONG)
    error: Any = caught.value
    assert isinstance(error, ConnectError)
    assert [each.sockaddr for each in error.attempts] == dead
    assert {each.outcome for each in error.attempts} == {"failed"}
    assert {each.errno for each in error.attempts} == {errno.ECONNREFUSED}
    assert isinstance(error.__cause__, ExceptionGroup)
    assert len(error.__cause__.exceptions) == 3
    assert error.phase == "connect"
    drawing = error.report.draw()
    assert "ECONNREFUSED" in drawing
    assert "127.0.0.3" in drawing
    assert error.report.to_dict()["outcome"] == "failed"
    assert str(trace).endswith("DialFailed failed")


async def one_at_a_time(stack: ExitStack) -> None:
    dead = stack.enter_context(silent())
    refused = stack.enter_context(refusing())
    address = stack.enter_context(listening()).getsockname()
    trace = Names()
    dialer = Dialer(attempt_delay=None, attempt_timeout=0.05, trace=trace)
    with await dialer.connect(results(dead, refused, address), timeout=LONG) as sock:
        assert sock.getpeername() == address
    assert sorted(each.attempt for each in trace.of(SocketClosed)) == [0, 1]
    trace.events = [each for each in trace.events if not isinstance(each, SocketClosed)]
    assert str(trace) == (
        "DialStarted; AttemptStarted 0; AttemptEnded 0 timed out; "
        "AttemptStarted 1; AttemptEnded 1 failed; "
        "AttemptStarted 2; AttemptEnded 2 connected; DialConnected 2"
    )


async def an_attempt_times_out_alone(stack: ExitStack) -> None:
    dead = [stack.enter_context(silent(f"127.0.0.{n}")) for n in (1, 2)]
    dialer = Dialer(attempt_delay=0.02, attempt_timeout=0.04)
    with pytest.raises(ConnectTimeout) as caught:
        await dialer.connect(results(*dead), timeout=LONG)
    assert [each.outcome for each in caught.value.attempts] == ["timed out"] * 2
    for each in caught.value.attempts:
        assert each.end - each.start >= 0.04 - ROUNDING
        assert each.errno is None


async def a_start_that_is_made_late(stack: ExitStack) -> None:
    """The next is to keep its distance from it, and it has all of its own time."""
    dead = [stack.enter_context(silent(f"127.0.0.{n}")) for n in (1, 2, 3)]
    starts: list[float] = []

    def trace(event: Any) -> None:
        if isinstance(event, AttemptStarted):
            starts.append(event.time)
        elif isinstance(event, AttemptEnded):
            over = time.monotonic() + 0.05  # the next start has been decided upon
            while time.monotonic() < over:
                pass

    dialer = Dialer(attempt_delay=0.01, max_in_flight=1, attempt_timeout=0.02, trace=trace)
    with pytest.raises(ConnectTimeout) as caught:
        await dialer.connect(results(*dead), timeout=LONG)
    assert len(starts) == 3
    for each in caught.value.attempts:
        assert each.end - each.start >= 0.02 - ROUNDING


async def all_silent_until_the_deadline(stack: ExitStack) -> None:
    dead = [stack.enter_context(silent(f"127.0.0.{n}")) for n in (1, 2, 3)]
    trace = Names()
    dialer = Dialer(attempt_delay=0.02, max_in_flight=2, trace=trace)
    with pytest.raises(ConnectTimeout) as caught:
        await dialer.connect(results(*dead), timeout=0.5)
    assert [each.outcome for each in caught.value.attempts] == ["timed out"] * 2
    assert "2 of 3 addresses tried" in str(caught.value)
    assert caught.value.report is not None
    assert "not tried: 1 of 3" in caught.value.report.draw()
    assert len(trace.of(SocketClosed)) == 2
    assert str(trace).endswith("DialFailed timed out")


async def a_handshake_is_part_of_it(stack: ExitStack) -> None:
    one = stack.enter_context(listening()).getsockname()
    two = stack.enter_context(listening("127.0.0.2")).getsockname()
    trace = Names()

    async def shake(sock: socket.socket) -> str:
        await anyio.sleep(0.001)
        if sock.getpeername() == one:
            raise ValueError("not this one")
        sock.close()
        return "shaken"

    dialer = Dialer(attempt_delay=2, trace=trace)
    assert await dialer.connect(results(one, two), timeout=LONG, handshake=shake) == "shaken"
    assert str(trace) == (
        "DialStarted; AttemptStarted 0; AttemptEnded 0 connected; HandshakeStarted 0; "
        "HandshakeEnded 0 failed; SocketClosed 0; AttemptStarted 1; AttemptEnded 1 connected; "
        "HandshakeStarted 1; HandshakeEnded 1 done; DialConnected 1"
    )


async def two_in_the_same_turn(stack: ExitStack) -> None:
    """The one that was started first wins, and the other is closed."""
    addresses = [
        stack.enter_context(listening(host)).getsockname() for host in (LOOPBACK, "127.0.0.2")
    ]
    for _ in range(5):
        opened: list[socket.socket] = []
        both = anyio.Event()

        async def hold(
            sock: socket.socket, _: Endpoint, opened: Any = opened, both: Any = both
        ) -> None:
            opened.append(sock)
            if len(opened) == 2:
                both.set()
            await both.wait()

        trace = Names()
        dialer = Dialer(attempt_delay=0.01, on_socket=hold, trace=trace)
        with await dialer.connect(results(*addresses), timeout=LONG) as sock:
            assert sock is opened[0]
            assert opened[1].fileno() == -1
        assert [each.attempt for each in trace.of(SocketClosed)] == [1]


async def a_hook_that_refuses_one(stack: ExitStack) -> None:
    one = stack.enter_context(listening()).getsockname()
    two = stack.enter_context(listening("127.0.0.2")).getsockname()

    async def hook(sock: socket.socket, where: Endpoint) -> None:
        with pytest.raises(OSError, match="not connected"):
            sock.getpeername()
        if where.sockaddr == one:
            raise ValueError("not this one")

    with await Dialer(on_socket=hook).connect(results(one, two), timeout=LONG) as sock:
        assert sock.getpeername() == two


RACES = [
    silent_then_listening,
    refused_then_listening,
    all_refuse,
    one_at_a_time,
    an_attempt_times_out_alone,
    a_start_that_is_made_late,
    all_silent_until_the_deadline,
    a_handshake_is_part_of_it,
    two_in_the_same_turn,
    a_hook_that_refuses_one,
]


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
async def test_race(race: Any, stack: ExitStack) -> None:
    await race(stack)


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
def test_race_without_add_writer(race: Any, stack: ExitStack) -> None:
    with asyncio.Runner(loop_factory=NoWriterLoop) as runner:
        runner.run(race(stack))


class TestRace:
    async def test_one_at_a_time_is_strict(self, stack: ExitStack, counter: Counter) -> None:
        await one_at_a_time(stack)
        assert len(counter.opened) == 3
        assert counter.most == 1

    async def test_a_hundred_that_are_silent(self, stack: ExitStack, counter: Counter) -> None:
        dead = stack.enter_context(silent())
        found = results(*((f"127.0.1.{n}", dead[1]) for n in range(100)))
        hosts = stack.enter_context(listening("0.0.0.0", backlog=0))
        port = hosts.getsockname()[1]
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((LOOPBACK, port))
        found = results(*((f"127.0.1.{n}", port) for n in range(100)))
        with pytest.raises(ConnectTimeout) as caught:
            await Dialer(attempt_delay=0.01, max_in_flight=6).connect(found, timeout=0.5)
        assert counter.most == 6
        assert counter.open == 0
        assert "of 100 addresses tried" in str(caught.value)

    async def test_two_become_writable_in_one_turn(
        self, stack: ExitStack, monkeypatch: Any
    ) -> None:
        addresses = [
            stack.enter_context(listening(host)).getsockname() for host in (LOOPBACK, "127.0.0.2")
        ]
        both = anyio.Event()
        # The first probe of each says that it is not connected yet.
        factory = SocketFactory(*({"getpeername": [errno.ENOTCONN]} for _ in addresses))
        open_with(monkeypatch, factory)

        async def hold(*_: Any) -> None:
            if len(factory.opened) == 2:
                both.set()
            await both.wait()

        trace = Names()
        dialer = Dialer(attempt_delay=0.01, on_socket=hold, trace=trace)
        with await dialer.connect(results(*addresses), timeout=LONG) as sock:
            assert sock is factory.opened[0]
        assert factory.opened[1].fileno() == -1
        assert str(trace).endswith(
            "AttemptEnded 0 connected; AttemptEnded 1 cancelled; SocketClosed 1; DialConnected 0"
        )

    async def test_a_success_ends_an_attempt_that_has_just_begun(
        self, stack: ExitStack, counter: Counter
    ) -> None:
        """A failure, the start of the next with its hook, and a success, all in one turn."""
        dead = stack.enter_context(refusing())
        one = stack.enter_context(listening("127.0.0.2")).getsockname()
        two = stack.enter_context(listening("127.0.0.3")).getsockname()
        both = anyio.Event()
        begun: list[Any] = []

        async def hold(_: Any, where: Endpoint) -> None:
            begun.append(where.sockaddr)
            if where.sockaddr == two:
                await anyio.sleep_forever()
            if where.sockaddr == one:
                await anyio.sleep(0.03)  # no start is held back any more
                both.set()
            await both.wait()
            if where.sockaddr == dead:
                raise ValueError("not this one")

        dialer = Dialer(attempt_delay=0.01, max_in_flight=2, on_socket=hold)
        with await dialer.connect(results(dead, one, two), timeout=LONG) as sock:
            assert sock.getpeername() == one
            assert counter.open == 1
        assert begun[:2] == [dead, one]

    async def test_families_take_turns(self, stack: ExitStack) -> None:
        v4 = [stack.enter_context(refusing(host)) for host in (LOOPBACK, "127.0.0.2")]
        v6 = stack.enter_context(refusing("::1"))
        with pytest.raises(ConnectionRefusedError) as caught:
            await Dialer().connect(results(*v4, v6), timeout=LONG)
        error: Any = caught.value
        assert [each.sockaddr for each in error.attempts] == [v4[0], v6, v4[1]]

    async def test_a_unix_backlog_that_stays_full(self, tmp_path: Any) -> None:
        with unix_full(tmp_path / "s"), pytest.raises(ConnectTimeout) as caught:
            await Dialer(tos=8).connect(tmp_path / "s", timeout=0.05)
        assert caught.value.attempts[0].errno == errno.EAGAIN

    async def test_a_zone_that_is_no_interface(self) -> None:
        trace = Names()
        with pytest.raises(ResolveError) as caught:
            await Dialer(trace=trace).connect("[fe80::1%nosuch0]:1")
        assert caught.value.report is not None
        assert str(trace) == "DialStarted; DialFailed failed"

    async def test_cancelled(self, stack: ExitStack, counter: Counter) -> None:
        dead = stack.enter_context(silent())
        trace = Names()
        with anyio.move_on_after(0.03) as scope:
            await Dialer(trace=trace).connect(dead)
        assert scope.cancelled_caught
        assert counter.open == 0
        assert isinstance(trace.events[-1], DialCancelled)

    async def test_i3_cancelled_when_it_has_won(self, stack: ExitStack, counter: Counter) -> None:
        """Either the caller has the socket, or it is closed."""
        address = stack.enter_context(listening()).getsockname()
        scope = anyio.CancelScope()
        result = None

        def trace(event: Event) -> None:
            if isinstance(event, AttemptEnded):
                scope.cancel()

        with scope:
            result = await Dialer(trace=trace).connect(address, timeout=LONG)
        assert counter.open == (result is not None)
        if result is not None:
            result.close()

    async def test_a_socket_module_that_makes_no_sense_of_it(
        self, counter: Counter, monkeypatch: Any
    ) -> None:
        def connect(*_: Any) -> int:
            raise TypeError("makes no sense")

        addresses = results((LOOPBACK, 1), ("127.0.0.2", 1))
        monkeypatch.setattr(socket.socket, "connect_ex", connect, raising=False)
        with pytest.raises(ConnectError, match="TypeError: makes no sense") as caught:
            await Dialer().connect(addresses, timeout=LONG)
        assert [each.errno for each in caught.value.attempts] == [errno.EINVAL] * 2
        assert counter.open == 0

    async def test_a_bug_of_our_own(
        self, stack: ExitStack, counter: Counter, monkeypatch: Any
    ) -> None:
        """It is raised as it is, in no group, and nothing is left."""

        def connected(*_: Any) -> Any:
            raise LookupError("a bug")

        addresses = [stack.enter_context(listening()).getsockname() for _ in range(2)]
        monkeypatch.setattr("aconnect.sansio.race.Race.attempts_connected", connected)
        with pytest.raises(LookupError, match="a bug"):
            await Dialer(trace=Report()).connect(results(*addresses), timeout=LONG)
        assert counter.open == 0

    async def test_cancelled_while_the_others_end(
        self, stack: ExitStack, counter: Counter
    ) -> None:
        """The race is won already; cancellation beats it all the same."""
        one = stack.enter_context(listening()).getsockname()
        two = stack.enter_context(listening("127.0.0.2")).getsockname()
        scope = anyio.CancelScope()

        async def hook(_: Any, where: Endpoint) -> None:
            if where.sockaddr == one:
                try:
                    await anyio.sleep_forever()
                finally:
                    scope.cancel()
                    with anyio.CancelScope(shield=True):
                        await anyio.sleep(0.01)

        with scope:
            dialer = Dialer(attempt_delay=0.01, on_socket=hook)
            await dialer.connect(results(one, two), timeout=LONG)
        assert scope.cancelled_caught
        assert counter.open == 0

    async def test_a_shared_deadline(self, stack: ExitStack) -> None:
        dead = stack.enter_context(silent())
        with pytest.raises(ConnectTimeout):
            await Dialer().connect(dead, deadline=Deadline.after(0.02))

    async def test_an_error_leaves_no_reference_cycle(self, stack: ExitStack) -> None:
        one = stack.enter_context(refusing())
        two = stack.enter_context(refusing("127.0.0.2"))
        address = stack.enter_context(listening()).getsockname()

        async def fail(*_: Any) -> None:
            await anyio.sleep(0)
            raise ValueError("no")

        cases: list[tuple[Dialer, Any, Any]] = [
            (Dialer(), results(one, two), None),
            (Dialer(on_socket=fail), results(one, two), None),
            (Dialer(), address, fail),
            (Dialer(resolver=Answers(OSError(5, "no"))), "db.example:1", None),
        ]
        gc.collect()
        gc.disable()
        try:
            for dialer, where, handshake in cases:
                try:
                    await dialer.connect(where, handshake=handshake)
                except ConnectError as error:
                    gone = weakref.ref(error)
                assert gone() is None, dialer
        finally:
            gc.enable()


class TestResolving:
    async def test_a_name(self, stack: ExitStack) -> None:
        address = stack.enter_context(listening()).getsockname()
        trace = Names()
        dialer = Dialer(resolver=StaticResolver({"db.example": [LOOPBACK]}), trace=trace)
        with await dialer.connect(f"db.example:{address[1]}", timeout=LONG) as sock:
            assert sock.getpeername() == address
        assert str(trace) == (
            "DialStarted; ResolutionStarted; ResolutionBatch; ResolutionEnded done; "
            "AttemptStarted 0; AttemptEnded 0 connected; DialConnected 0"
        )

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param(lambda v4, v6: [batch(v4), 0.005, batch(v6)], id="IPv6 in time"),
            pytest.param(lambda v4, v6: [batch(v6), 0.005, batch(v4)], id="IPv6 first"),
            pytest.param(lambda v4, v6: [batch(v6, v4)], id="both"),
        ],
    )
    async def test_ipv6_first(self, stack: ExitStack, script: Any) -> None:
        v4 = stack.enter_context(refusing())
        v6 = stack.enter_context(refusing("::1"))
        dialer = Dialer(resolver=Answers(*script(v4, v6)), resolution_delay=2)
        with pytest.raises(ConnectionRefusedError) as caught:
            await dialer.connect("db.example:1", timeout=LONG)
        error: Any = caught.value
        assert [each.sockaddr for each in error.attempts] == [v6, v4]

    async def test_ipv6_too_late(self, stack: ExitStack) -> None:
        v4 = stack.enter_context(refusing())
        v6 = stack.enter_context(listening("::1")).getsockname()
        dialer = Dialer(resolver=Answers(batch(v4), 0.4, batch(v6), 9), resolution_delay=0.01)
        trace = Names()
        with await dialer.replace(trace=trace).connect("db.example:1", timeout=LONG) as sock:
            assert sock.getpeername() == v6
        assert [each.endpoint.sockaddr for each in trace.of(AttemptStarted)] == [v4, v6]

    async def test_no_ipv6(self, stack: ExitStack) -> None:
        """A negative answer ends the waiting for it."""
        v4 = stack.enter_context(listening()).getsockname()
        resolver = Answers(batch(v4), Batch((), answered=V6), never, LONG)
        dialer = Dialer(resolver=resolver, resolution_delay=LONG)
        with await dialer.connect("db.example:1", timeout=2 * LONG) as sock:
            assert sock.getpeername() == v4

    async def test_withdrawn(self, stack: ExitStack) -> None:
        one, two = (stack.enter_context(refusing(host)) for host in (LOOPBACK, "127.0.0.2"))
        resolver = Answers(batch(one, two), batch(withdrawn=[endpoint(two)]), 0.05)
        with pytest.raises(ConnectionRefusedError) as caught:
            await Dialer(resolver=resolver).connect("db.example:1", timeout=LONG)
        error: Any = caught.value
        assert [each.sockaddr for each in error.attempts] == [one]

    async def test_late_addresses_join_the_race(self, stack: ExitStack) -> None:
        dead = stack.enter_context(silent("::1"))
        address = stack.enter_context(listening()).getsockname()
        dialer = Dialer(resolver=Answers(batch(dead), 0.05, batch(address)), attempt_delay=0.01)
        with await dialer.connect("db.example:1", timeout=LONG) as sock:
            assert sock.getpeername() == address

    async def test_a_resolver_that_fails_later(self, stack: ExitStack) -> None:
        address = stack.enter_context(listening()).getsockname()
        dead = stack.enter_context(silent("::1"))
        resolver = Answers(batch(dead, address), OSError(errno.EIO, "broken"))
        dialer = Dialer(resolver=resolver, attempt_delay=0.02)
        with await dialer.connect("db.example:1", timeout=LONG) as sock:
            assert sock.getpeername() == address
        refused = stack.enter_context(refusing())
        resolver = Answers(batch(refused), OSError(errno.EIO, "broken"))
        with pytest.raises(ConnectionRefusedError) as caught:
            await Dialer(resolver=resolver).connect("db.example:1", timeout=LONG)
        error: Any = caught.value
        assert "EIO" in error.report.draw() or "broken" in error.report.draw()

    @pytest.mark.parametrize(
        ("script", "code", "words"),
        [
            ([], socket.EAI_NONAME, "db.example"),
            ([Batch(())], socket.EAI_NONAME, "db.example"),
            ([socket.gaierror(socket.EAI_AGAIN, "later")], socket.EAI_AGAIN, "EAI_AGAIN"),
            ([OSError(errno.EMFILE, "none left")], errno.EMFILE, "EMFILE"),
            ([OSError("no number")], socket.EAI_FAIL, "EAI_FAIL"),
            ([ValueError("own bug")], socket.EAI_FAIL, "own bug"),
            ([[1, 2]], socket.EAI_FAIL, "must yield Batches, not [1, 2]"),
            ([Batch([(LOOPBACK, 80)])], socket.EAI_FAIL, LOOPBACK),  # type: ignore[list-item]
            ([Batch(None)], socket.EAI_FAIL, "NoneType"),  # type: ignore[arg-type]
            ([batch((LOOPBACK, 70000))], socket.EAI_FAIL, "70000"),
            ([batch(("localhost", 80))], socket.EAI_FAIL, "localhost"),
            ([batch(withdrawn=[5])], socket.EAI_FAIL, "5"),
            ([Batch([Endpoint(41, 1, 0, ([], 1))])], socket.EAI_FAIL, "can be connected to"),
        ],
    )
    async def test_a_resolver_without_an_answer(
        self, script: list[Any], code: int, words: str
    ) -> None:
        trace = Names()
        with pytest.raises(ResolveError) as caught:
            await Dialer(resolver=Answers(*script), trace=trace).connect(
                "db.example:5432", timeout=LONG
            )
        assert caught.value.errno == code
        assert caught.value.phase == "resolve"
        assert words in str(caught.value)
        assert "db.example:5432" in str(caught.value)
        assert caught.value.attempts == ()
        (ended,) = trace.of(ResolutionEnded)
        raised = bool(script) and script != [Batch(())]
        assert ended.outcome == ("failed" if raised else "done")

    @pytest.mark.parametrize(
        "resolve", [lambda _: None, lambda _: [Batch(())], lambda: None, never]
    )
    async def test_what_is_no_iterator(self, resolve: Any) -> None:
        class Wrong:
            pass

        resolver: Any = Wrong()
        resolver.resolve = resolve
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # `never` was never awaited
            with pytest.raises(ResolveError, match=r"asynchronous iterator|argument"):
                await Dialer(resolver=resolver).connect("db.example:1", timeout=LONG)
            gc.collect()

    async def test_an_iterator_that_cannot_be_closed(self, stack: ExitStack) -> None:
        address = stack.enter_context(listening()).getsockname()

        class Once:
            left = 1

            def resolve(self, _: Any) -> Any:
                return self

            def __aiter__(self) -> Any:
                return self

            async def __anext__(self) -> Batch:
                if not self.left:
                    raise StopAsyncIteration
                self.left -= 1
                return batch(address)

        with await Dialer(resolver=Once()).connect("db.example:1", timeout=LONG) as sock:
            assert sock.getpeername() == address

    async def test_a_resolver_that_hangs(self) -> None:
        ended: list[str] = []

        class Hanging:
            async def resolve(self, _: Any) -> AsyncIterator[Batch]:
                try:
                    await anyio.sleep_forever()
                    yield Batch(())
                finally:
                    ended.append("closed")

        trace = Names()
        with pytest.raises(ConnectTimeout) as caught:
            await Dialer(resolver=Hanging(), trace=trace).connect("db.example:1", timeout=0.03)
        assert caught.value.phase == "resolve"
        assert ended == ["closed"]
        (resolution,) = trace.of(ResolutionEnded)
        assert resolution.outcome == "timed out"

    async def test_no_time_at_all(self) -> None:
        resolver = Answers()
        with pytest.raises(ConnectTimeout) as caught:
            await Dialer(resolver=resolver).connect("db.example:1", timeout=0)
        assert caught.value.phase == "resolve"
        assert resolver.asked == []

    async def test_unsorted_answers_are_sorted(self, stack: ExitStack) -> None:
        """There is no route to the one, so it comes last (RFC 6724, rule 1)."""
        v4 = stack.enter_context(refusing())
        v6 = stack.enter_context(refusing("::1"))
        for order in ((v4, v6), (v6, v4)):
            resolver = Answers(Batch([endpoint(each) for each in order]))
            with pytest.raises(ConnectionRefusedError) as caught:
                await Dialer(resolver=resolver).connect("db.example:1", timeout=LONG)
            error: Any = caught.value
            assert [each.sockaddr for each in error.attempts] == [v6, v4]

    async def test_answers_of_one_lookup_ask_the_kernel_once_for_each(
        self, stack: ExitStack, monkeypatch: Any
    ) -> None:
        asked: list[Any] = []

        def source_address(each: Endpoint) -> str | None:
            asked.append(each.sockaddr)
            return None if each.sockaddr == v6 else LOOPBACK

        v6 = stack.enter_context(refusing("::1"))
        v4 = [stack.enter_context(refusing()) for _ in range(3)]
        monkeypatch.setattr("aconnect.resolvers.answers.source_address", source_address)
        batches = [Batch([endpoint(v6)]), *(Batch([endpoint(each)]) for each in (*v4, v4[0]))]
        with pytest.raises(ConnectionRefusedError):
            await Dialer(resolver=Answers(*batches)).connect("db.example:1", timeout=LONG)
        assert asked == [v6, *v4]

    @pytest.mark.parametrize("family", [V4, V6])
    async def test_one_family(self, stack: ExitStack, family: int) -> None:
        both = [stack.enter_context(refusing(host)) for host in (LOOPBACK, "::1")]
        dialer = Dialer(resolver=Answers(batch(*both)), family=family)
        with pytest.raises(ConnectionRefusedError) as caught:
            await dialer.connect("db.example:1", timeout=LONG)
        error: Any = caught.value
        assert [each.family for each in error.attempts] == [family]

    async def test_no_address_of_the_family(self) -> None:
        dialer = Dialer(resolver=Answers(batch((LOOPBACK, 1))), family=V6)
        with pytest.raises(ResolveError) as caught:
            await dialer.connect("db.example:1", timeout=LONG)
        assert caught.value.errno == socket.EAI_ADDRFAMILY
        assert "no address of that family" in str(caught.value)


class TestNoTime:
    @pytest.mark.parametrize("several", [False, True])
    async def test_what_need_not_wait_needs_none(
        self, several: bool, stack: ExitStack, monkeypatch: Any
    ) -> None:
        """However long the processor is away between one reading of the clock and the next."""
        monkeypatch.setattr("aconnect.dial.race._A_START", 1e-6)
        address = stack.enter_context(listening()).getsockname()
        dialer = Dialer(trace=lambda _: None)
        to: Any = results(address, address) if several else address
        with await dialer.connect(to, timeout=0) as sock:
            assert sock.getpeername() == address


class TestFamily:
    """What needs no resolver is kept to it as well."""

    @pytest.mark.parametrize(
        ("family", "address", "name"),
        [
            (V6, "127.0.0.1:80", "AF_INET6"),
            (V4, "[::1]:80", "AF_INET"),
            (V4, "[::1%lo]:80", "AF_INET"),
            (V4, "unix:/run/nosuch", "AF_INET"),
            (V6, "unix:@nosuch", "AF_INET6"),
            (V6, results((LOOPBACK, 80), ("127.0.0.2", 80)), "AF_INET6"),
        ],
    )
    async def test_an_address_of_another(
        self, counter: Counter, family: int, address: Any, name: str
    ) -> None:
        trace = Names()
        with pytest.raises(ResolveError) as caught:
            await Dialer(family=family, trace=trace).connect(address, timeout=LONG)
        assert caught.value.errno == errno.EAFNOSUPPORT
        assert caught.value.phase == "resolve"
        assert str(caught.value).endswith(f"it is not an address of the family {name}")
        assert caught.value.attempts == ()
        assert caught.value.report is not None
        assert str(trace) == "DialStarted; DialFailed failed"
        assert counter.opened == []

    @pytest.mark.parametrize("family", [V4, V6])
    async def test_a_list_of_both(self, stack: ExitStack, family: int) -> None:
        both = [stack.enter_context(refusing(host)) for host in (LOOPBACK, "::1")]
        with pytest.raises(ConnectionRefusedError) as caught:
            await Dialer(family=family).connect(results(*both), timeout=LONG)
        error: Any = caught.value
        assert [each.family for each in error.attempts] == [family]

    @pytest.mark.parametrize(("family", "host"), [(V4, LOOPBACK), (V6, "::1")])
    async def test_a_literal_of_it(self, stack: ExitStack, family: int, host: str) -> None:
        address = stack.enter_context(listening(host)).getsockname()
        with await Dialer(family=family).connect(address, timeout=LONG) as sock:
            assert sock.getpeername() == address

    async def test_an_interface_that_there_is_not(self) -> None:
        """Which is why there is no address at all."""
        with pytest.raises(ResolveError) as caught:
            await Dialer(family=V4).connect("[fe80::1%nosuch0]:1")
        assert caught.value.errno == errno.ENODEV


@pytest.mark.parametrize("connect", [aconnect, Dialer().connect])
async def test_a_socket_that_cannot_be_waited_for(
    connect: Any, stack: ExitStack, counter: Counter, monkeypatch: Any
) -> None:
    """The race takes it up, and knows what to make of it."""

    async def fail(*args: Any) -> Any:
        raise OSError(errno.ENOSPC, "no room in epoll")

    monkeypatch.setattr(
        "aconnect.drivers.asyncio_selector.AsyncioSelectorDriver.wait_writable", fail
    )
    monkeypatch.setattr("aconnect.drivers.anyio_generic.AnyioDriver.wait_writable", fail)
    dead = stack.enter_context(silent())
    with pytest.raises(ConnectTimeout) as caught:
        await connect(dead, timeout=0.02)
    assert len(caught.value.attempts) == len(counter.opened) == 1
    assert counter.open == 0


class TestSocketOptions:
    async def test_they_reach_the_socket(self, stack: ExitStack) -> None:
        address = stack.enter_context(listening()).getsockname()
        dialer = Dialer(
            local_address="127.0.0.3",
            keepalive=Keepalive(30, 10, 3),
            tos=8,
            nodelay=False,
            user_timeout=5,
            socket_options=[SocketOption(socket.SOL_SOCKET, socket.SO_PRIORITY, 3)],
        )
        with await dialer.connect(address, timeout=LONG) as sock:
            assert sock.getsockname()[0] == "127.0.0.3"
            tcp = socket.IPPROTO_TCP
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockopt(tcp, socket.TCP_KEEPIDLE) == 30
            assert sock.getsockopt(tcp, socket.TCP_KEEPINTVL) == 10
            assert sock.getsockopt(tcp, socket.TCP_KEEPCNT) == 3
            assert sock.getsockopt(tcp, socket.TCP_NODELAY) == 0
            assert sock.getsockopt(tcp, socket.TCP_USER_TIMEOUT) == 5000
            assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 8
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == 3

    async def test_a_fixed_local_port_makes_it_one_by_one(
        self, stack: ExitStack, counter: Counter
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.3", 0))
            local = free.getsockname()
        dead = stack.enter_context(refusing())
        address = stack.enter_context(listening("127.0.0.2")).getsockname()
        dialer = Dialer(local_address=local, attempt_delay=0.01)
        with await dialer.connect(results(dead, address), timeout=LONG) as sock:
            assert sock.getsockname() == local
        assert counter.most == 1

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"interface": "nosuch0"}, "SO_BINDTODEVICE"),
            ({"local_address": "192.0.2.1"}, "local_address 192.0.2.1"),
            ({"local_address": "::1"}, "no local_address can reach 127.0.0.1"),
            ({"socket_options": [SocketOption(socket.SOL_SOCKET, 9999, 1)]}, "socket option 9999"),
        ],
    )
    async def test_what_cannot_be_set_is_named(
        self, stack: ExitStack, options: Any, words: str
    ) -> None:
        address = stack.enter_context(listening()).getsockname()
        with pytest.raises(ConnectError) as caught:
            await Dialer(**options).connect(address, timeout=LONG)
        assert words in caught.value.attempts[0].note
        assert words in str(caught.value)


class TestOnSocket:
    async def test_a_socket_that_it_made_block_does_not_block_the_loop(
        self, stack: ExitStack, counter: Counter
    ) -> None:
        dead = stack.enter_context(silent())
        dialer = Dialer(on_socket=lambda sock, _: sock.settimeout(LONG))
        with pytest.raises(ConnectTimeout):
            await dialer.connect(dead, timeout=0.05)
        assert counter.open == 0
        address = stack.enter_context(listening()).getsockname()
        with await dialer.connect(address, timeout=LONG) as sock:
            assert sock.gettimeout() == 0

    async def test_a_socket_that_goes_on_blocking_is_not_connected(self, stack: ExitStack) -> None:
        class Stubborn(socket.socket):
            stuck = False

            def setblocking(self, flag: bool) -> None:
                if self.stuck:
                    raise OSError(errno.EBADF, "scripted")
                super().setblocking(flag)

        def hook(sock: Any, where: Endpoint) -> None:
            if where.sockaddr == blocking:
                sock.settimeout(LONG)
                sock.stuck = True

        blocking = stack.enter_context(listening()).getsockname()
        address = stack.enter_context(listening()).getsockname()
        dialer = Dialer(on_socket=hook, socket_factory=lambda where: Stubborn(*where[:3]))
        with await dialer.connect(results(blocking, address), timeout=LONG) as sock:
            assert sock.getpeername() == address

    @pytest.mark.parametrize("asynchronous", [False, True])
    async def test_each_socket_before_it_connects(
        self, stack: ExitStack, asynchronous: bool
    ) -> None:
        dead = stack.enter_context(refusing())
        address = stack.enter_context(listening("127.0.0.2")).getsockname()
        seen: list[Any] = []

        def hook(sock: socket.socket, where: Endpoint) -> Any:
            with pytest.raises(OSError, match="not connected"):
                sock.getpeername()
            seen.append(where)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 5)
            return wait() if asynchronous else "ignored"

        async def wait() -> str:
            await anyio.sleep(0)
            return "ignored"

        dialer = Dialer(on_socket=hook)
        with await dialer.connect(results(dead, address), timeout=LONG) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == 5
        assert seen == [endpoint(dead), endpoint(address)]

    @pytest.mark.parametrize("pause", [False, True])
    @pytest.mark.parametrize("asynchronous", [False, True])
    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (ValueError("not this one"), errno.EPERM),
            (OSError(errno.ENOBUFS, "full"), errno.ENOBUFS),
        ],
    )
    async def test_raising_ends_that_attempt_alone(
        self, stack: ExitStack, asynchronous: bool, pause: bool, error: Any, code: int
    ) -> None:
        one = stack.enter_context(listening()).getsockname()
        two = stack.enter_context(listening("127.0.0.2")).getsockname()

        def hook(sock: socket.socket, where: Endpoint) -> Any:
            if asynchronous:
                return fail(where)
            if where.sockaddr == one:
                raise error
            return None

        async def fail(where: Endpoint) -> None:
            if pause:
                await anyio.sleep(0)
            if where.sockaddr == one:
                raise error

        with await Dialer(on_socket=hook).connect(results(one, two), timeout=LONG) as sock:
            assert sock.getpeername() == two
        with pytest.raises(ConnectError) as caught:
            await Dialer(on_socket=hook).connect(one, timeout=LONG)
        assert caught.value.errno == code
        assert "on_socket" in str(caught.value)
        assert caught.value.__cause__ is error
        error.__traceback__ = None

    @pytest.mark.parametrize("pause", [False, True])
    async def test_an_asynchronous_hook_and_a_refusal(
        self, stack: ExitStack, counter: Counter, pause: bool
    ) -> None:
        dead = stack.enter_context(refusing())

        async def hook(*_: Any) -> None:
            if pause:
                await anyio.sleep(0)

        with pytest.raises(ConnectionRefusedError):
            await Dialer(on_socket=hook).connect(dead, timeout=LONG)
        assert len(counter.opened) == 1
        assert counter.open == 0

    async def test_one_that_never_returns(self, stack: ExitStack, counter: Counter) -> None:
        address = stack.enter_context(listening()).getsockname()
        with pytest.raises(ConnectTimeout) as caught:
            await Dialer(on_socket=never).connect(address, timeout=0.03)
        assert counter.open == 0
        assert caught.value.attempts[0].outcome == "timed out"
        trace = Names()
        with pytest.raises(ConnectTimeout):
            dialer = Dialer(on_socket=never, attempt_timeout=0.02, trace=trace)
            await dialer.connect(address, timeout=LONG)
        assert str(trace) == (
            "DialStarted; AttemptStarted 0; AttemptEnded 0 timed out; SocketClosed 0; "
            "DialFailed timed out"
        )

    async def test_what_it_returns_is_left_alone(self, stack: ExitStack) -> None:
        dead = stack.enter_context(silent())
        kept = stack.enter_context(socket.socket())

        async def hook(*_: Any) -> Any:
            return kept

        with pytest.raises(ConnectTimeout):
            await Dialer(on_socket=hook).connect(dead, timeout=0.03)
        assert kept.fileno() >= 0

    @pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS)
    async def test_one_that_is_cancelled_by_itself(self, stack: ExitStack) -> None:
        address = stack.enter_context(listening()).getsockname()

        async def hook(*_: Any) -> None:
            raise asyncio.CancelledError

        with pytest.raises(ConnectError) as caught:
            await Dialer(on_socket=hook).connect(address, timeout=LONG)
        assert caught.value.errno == errno.ECANCELED
        with pytest.raises(HandshakeError) as failure:
            await Dialer().connect(address, timeout=LONG, handshake=hook)
        assert failure.value.errno == errno.ECANCELED
        with pytest.raises(ResolveError) as resolution:
            resolver = Answers(asyncio.CancelledError())
            await Dialer(resolver=resolver).connect("db.example:1", timeout=LONG)
        assert resolution.value.errno == errno.ECANCELED


class TestSocketFactory:
    @pytest.mark.parametrize("several", [False, True])
    async def test_its_sockets_are_connected(self, several: bool, stack: ExitStack) -> None:
        made = []

        def factory(endpoint: Endpoint) -> socket.socket:
            made.append(socket.socket(*endpoint[:3]))
            return made[-1]

        address = stack.enter_context(listening()).getsockname()
        dead = stack.enter_context(refusing())
        dialer = Dialer(socket_factory=factory, attempt_delay=0.01)
        to: Any = results(dead, address) if several else address
        with await dialer.connect(to, timeout=LONG) as sock:
            assert sock is made[-1]
            assert sock.gettimeout() == 0
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert len(made) == (2 if several else 1)
        assert all(each.fileno() < 0 for each in made)

    async def test_what_it_raises_ends_that_attempt_alone(self, stack: ExitStack) -> None:
        def factory(endpoint: Endpoint) -> socket.socket:
            if endpoint.sockaddr == dead:
                raise LookupError("no socket for that")
            return socket.socket(*endpoint[:3])

        dead = stack.enter_context(refusing())
        address = stack.enter_context(listening()).getsockname()
        dialer = Dialer(socket_factory=factory)
        with await dialer.connect(results(dead, address), timeout=LONG):
            pass
        with pytest.raises(ConnectError) as caught:
            await dialer.connect(dead, timeout=LONG)
        assert caught.value.errno == errno.EINVAL
        assert "socket_factory failed: LookupError: no socket for that" in str(caught.value)


class TestPermit:
    async def test_loopback_is_not_public(self, monkeypatch: Any, stack: ExitStack) -> None:
        factory = SocketFactory()
        open_with(monkeypatch, factory)
        address = stack.enter_context(listening()).getsockname()
        trace = Names()
        dialer = Dialer(permit=public_only(), trace=trace)
        with pytest.raises(AddressNotPermitted) as caught:
            await dialer.connect(address, timeout=LONG)
        assert isinstance(caught.value, PermissionError)
        assert caught.value.errno == errno.EPERM
        assert caught.value.attempts[0].outcome == "not permitted"
        assert factory.endpoints == []
        assert str(trace) == (
            "DialStarted; AttemptStarted 0; AttemptEnded 0 not permitted; DialFailed failed"
        )

    async def test_the_permitted_ones_are_dialled(
        self, stack: ExitStack, counter: Counter
    ) -> None:
        one = stack.enter_context(listening()).getsockname()
        two = stack.enter_context(listening("127.0.0.2")).getsockname()
        dialer = Dialer(permit=lambda where: where.sockaddr == two)
        with await dialer.connect(results(one, two), timeout=LONG) as sock:
            assert sock.getpeername() == two
        assert len(counter.opened) == 1

    async def test_a_policy_that_raises(self, stack: ExitStack, counter: Counter) -> None:
        def policy(where: Endpoint) -> bool:
            raise ValueError("own bug")

        address = stack.enter_context(listening()).getsockname()
        with pytest.raises(AddressNotPermitted, match="own bug"):
            await Dialer(permit=policy).connect(address)
        assert counter.opened == []

    @pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
    async def test_an_asynchronous_policy(self, stack: ExitStack, counter: Counter) -> None:
        async def policy(where: Endpoint) -> bool:
            return True

        address = stack.enter_context(listening()).getsockname()
        with pytest.raises(AddressNotPermitted, match="must answer True or False"):
            await Dialer(permit=policy).connect(address)  # type: ignore[arg-type]
        gc.collect()
        assert counter.opened == []

    async def test_what_is_dialled_is_what_was_checked(
        self, stack: ExitStack, counter: Counter
    ) -> None:
        """A name server that answers with another address the second time."""
        address = stack.enter_context(listening()).getsockname()
        answers = [batch(("192.0.2.1", 80)), batch(address)]
        checked: list[Endpoint] = []

        class Rebinding:
            async def resolve(self, _: Any) -> AsyncIterator[Batch]:
                yield answers.pop(0)

        def policy(where: Endpoint) -> bool:
            checked.append(where)
            return where.sockaddr == address

        dialer = Dialer(resolver=Rebinding(), permit=policy)
        with pytest.raises(AddressNotPermitted):
            await dialer.connect("db.example:1", timeout=LONG)
        assert counter.opened == []
        with await dialer.connect("db.example:1", timeout=LONG) as sock:
            assert sock.getpeername() == checked[-1].sockaddr


class TestHandshake:
    async def test_all_fail(self, stack: ExitStack, counter: Counter) -> None:
        one = stack.enter_context(listening()).getsockname()
        errors: list[Exception] = [ValueError("bad hello"), OSError(errno.ECONNRESET, "reset")]
        for error, code in zip(errors, (errno.EPROTO, errno.ECONNRESET), strict=True):

            async def shake(_: Any, error: Exception = error) -> None:
                raise error

            with pytest.raises(HandshakeError) as caught:
                await Dialer().connect(one, timeout=LONG, handshake=shake)
            assert caught.value.__cause__ is error
            assert caught.value.errno == code
            assert caught.value.phase == "handshake"
            assert caught.value.attempts[0].phase == "handshake"
            error.__traceback__ = None
        assert counter.open == 0

    async def test_a_call_that_raises_is_a_handshake_that_fails(self, stack: ExitStack) -> None:
        address = stack.enter_context(listening()).getsockname()

        def shake(_: Any) -> Any:
            raise ValueError("at once")

        with pytest.raises(HandshakeError, match="at once"):
            await Dialer().connect(address, timeout=LONG, handshake=shake)
        with pytest.raises(HandshakeError, match="await"):
            await Dialer().connect(address, timeout=LONG, handshake=lambda _: 5)  # type: ignore[arg-type,return-value]

    async def test_they_overlap_a_delay_apart(self, stack: ExitStack) -> None:
        """Two that are silent cost a delay each, and no more; the first to finish wins."""
        addresses = [
            stack.enter_context(listening(host)).getsockname()
            for host in ("127.0.0.1", "127.0.0.2", "127.0.0.3")
        ]

        async def shake(sock: socket.socket) -> socket.socket:
            if sock.getpeername() != addresses[2]:
                await anyio.sleep_forever()
            return sock

        trace = Names()
        dialer = Dialer(attempt_delay=0.02, trace=trace)
        with await dialer.connect(results(*addresses), timeout=LONG, handshake=shake) as sock:
            assert sock.getpeername() == addresses[2]
        started = [each.time for each in trace.of(HandshakeStarted)]
        assert [each.attempt for each in trace.of(HandshakeStarted)] == [0, 1, 2]
        assert all(after - before >= 0.02 for before, after in pairwise(started))
        ended = trace.of(HandshakeEnded)
        assert [each.attempt for each in ended] == [2, 0, 1]
        assert [each.outcome for each in ended] == ["done", "cancelled", "cancelled"]

    async def test_one_that_fails_lets_the_next_begin(self, stack: ExitStack) -> None:
        one = stack.enter_context(listening()).getsockname()
        two = stack.enter_context(listening("127.0.0.2")).getsockname()
        both = anyio.Event()

        async def hold(_: Any, where: Endpoint) -> None:
            if where.sockaddr == two:
                both.set()

        async def shake(sock: socket.socket) -> socket.socket:
            if sock.getpeername() == one:
                await both.wait()
                raise ValueError("not this one")
            return sock

        dialer = Dialer(attempt_delay=0.02, on_socket=hold)
        with await dialer.connect(results(one, two), timeout=LONG, handshake=shake) as sock:
            assert sock.getpeername() == two

    async def test_one_by_one_they_are_serial(self, stack: ExitStack) -> None:
        addresses = [
            stack.enter_context(listening(host)).getsockname()
            for host in ("127.0.0.1", "127.0.0.2")
        ]
        running: list[Any] = []

        async def shake(sock: socket.socket) -> socket.socket:
            running.append(sock)
            assert len(running) == 1
            await anyio.sleep(0.02)
            running.remove(sock)
            if sock.getpeername() != addresses[1]:
                raise ValueError("not this one")
            return sock

        dialer = Dialer(attempt_delay=None)
        with await dialer.connect(results(*addresses), timeout=LONG, handshake=shake) as sock:
            assert sock.getpeername() == addresses[1]

    async def test_its_own_time(self, stack: ExitStack, counter: Counter) -> None:
        one = stack.enter_context(listening()).getsockname()
        two = stack.enter_context(listening("127.0.0.2")).getsockname()

        async def shake(sock: socket.socket) -> socket.socket:
            if sock.getpeername() == one:
                await anyio.sleep_forever()
            return sock

        dialer = Dialer(attempt_delay=2, attempt_timeout=0.03)
        with await dialer.connect(results(one, two), timeout=LONG, handshake=shake) as sock:
            assert sock.getpeername() == two
            assert counter.open == 1

    async def test_a_connected_one_that_waits_is_closed(
        self, stack: ExitStack, counter: Counter
    ) -> None:
        """Both have connected in one turn; the first is done before it is the second one's."""
        one = stack.enter_context(listening()).getsockname()
        two = stack.enter_context(listening("127.0.0.2")).getsockname()
        both = anyio.Event()

        async def hold(_: Any, where: Endpoint) -> None:
            if where.sockaddr == two:
                both.set()
            await both.wait()

        async def shake(sock: socket.socket) -> socket.socket:
            return sock

        dialer = Dialer(attempt_delay=0.01, on_socket=hold)
        with await dialer.connect(results(one, two), timeout=LONG, handshake=shake) as sock:
            assert sock.getpeername() == one
            assert counter.open == 1

    @pytest.mark.parametrize("kind", ["plain", "raises", "coroutine"])
    async def test_a_result_nobody_gets_is_closed(
        self, stack: ExitStack, counter: Counter, kind: str
    ) -> None:
        """It is done in the moment in which the call is cancelled."""
        address = stack.enter_context(listening()).getsockname()
        closed: list[str] = []

        class Stream:
            def close(self) -> Any:
                closed.append(kind)
                if kind == "raises":
                    raise OSError("own bug")
                return anyio.sleep(0) if kind == "coroutine" else None

        scope = anyio.CancelScope()

        async def shake(_: Any) -> Stream:
            await anyio.sleep(0)
            scope.cancel()
            return Stream()

        with scope:
            await Dialer().connect(address, timeout=LONG, handshake=shake)
        assert scope.cancelled_caught
        assert closed == [kind]
        assert counter.open == 0


class TestTrace:
    async def test_one_that_raises_does_no_harm(self, stack: ExitStack) -> None:
        address = stack.enter_context(listening()).getsockname()

        def trace(event: Event) -> None:
            raise ValueError("own bug")

        with pytest.warns(RuntimeWarning, match="own bug") as caught:
            (await Dialer(trace=trace).connect(address, timeout=LONG)).close()
        assert len(caught) == 1

    async def test_a_report_of_ones_own(self, stack: ExitStack) -> None:
        address = stack.enter_context(listening()).getsockname()
        report = Report()
        (await Dialer(trace=report).connect(address, timeout=LONG)).close()
        story = report.to_dict()
        assert story["outcome"] == "connected"
        assert story["winner"] == 0
        assert f"{LOOPBACK}:{address[1]}" in report.draw()

    async def test_each_error_has_a_report_of_its_own(self, stack: ExitStack) -> None:
        dead = stack.enter_context(refusing())
        dialer = Dialer()
        reports = []
        for _ in range(2):
            with pytest.raises(ConnectError) as caught:
                await dialer.connect(dead, timeout=LONG)
            reports.append(caught.value.report)
        assert reports[0] is not reports[1]
        assert len(reports[0].to_dict()["attempts"]) == 1  # type: ignore[union-attr]

    async def test_an_etimedout_of_a_handshakes_own_is_no_deadline_that_passed(
        self, stack: ExitStack
    ) -> None:
        async def shake(_: Any) -> Any:
            raise OSError(errno.ETIMEDOUT, "the proxy's peer did not answer")

        address = stack.enter_context(listening()).getsockname()
        with pytest.raises(HandshakeError) as caught:
            await Dialer().connect(address, timeout=LONG, handshake=shake)
        assert caught.value.report is not None
        assert caught.value.report.to_dict()["outcome"] == "failed"

    async def test_the_last_event_tells_the_error(self, stack: ExitStack) -> None:
        dead = stack.enter_context(refusing())
        trace = Names()
        with pytest.raises(ConnectError):
            await Dialer(trace=trace).connect(dead, timeout=LONG)
        last = trace.events[-1]
        assert isinstance(last, DialFailed)
        assert (last.errno, last.phase) == (errno.ECONNREFUSED, "connect")
        (ended,) = trace.of(AttemptEnded)
        assert ended.errno == errno.ECONNREFUSED


class TestOnReport:
    """It gets a report of each dial, for a dialer that is used for many."""

    async def test_of_each_dial(self) -> None:
        reports: list[Report] = []
        dialer = Dialer(on_report=reports.append)
        with listening() as listener, refusing() as dead:
            for _ in range(2):
                (await dialer.connect(listener.getsockname(), timeout=LONG)).close()
            with pytest.raises(ConnectError) as caught:
                await dialer.connect(dead, timeout=LONG)
        assert [report.outcome for report in reports] == ["connected", "connected", "failed"]
        assert caught.value.report is reports[-1]

    async def test_of_one_that_is_cancelled(self) -> None:
        reports: list[Report] = []
        with silent() as address, anyio.move_on_after(0.01):
            await Dialer(on_report=reports.append).connect(address)
        assert [report.outcome for report in reports] == ["cancelled"]

    async def test_beside_a_trace(self) -> None:
        reports: list[Report] = []
        trace = Report()
        dialer = Dialer(on_report=reports.append, trace=trace)
        with listening() as listener:
            (await dialer.connect(listener.getsockname())).close()
        assert [report.events for report in reports] == [trace.events]

    async def test_one_that_raises_does_no_harm(self) -> None:
        def fail(report: Report) -> None:
            raise LookupError("own bug")

        with listening() as listener, pytest.warns(RuntimeWarning, match="on_report raised Look"):
            (await Dialer(on_report=fail).connect(listener.getsockname())).close()


def test_the_repr_has_what_is_not_the_default() -> None:
    assert repr(Dialer()) == "Dialer()"
    assert repr(Dialer(attempt_delay=0.25, socket_options=[])) == "Dialer()"
    dialer = Dialer(attempt_delay=None, interface="lo", socket_options=iter(()))
    assert repr(dialer) == "Dialer(attempt_delay=None, interface='lo')"
    assert repr(dialer.replace(interface=None)) == "Dialer(attempt_delay=None)"
