"""What a dial makes of hooks, handshakes, resolvers and traces that take their time, or fail."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import socket
import ssl
import weakref
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn

import anyio
import pytest
from conftest import ASYNCIO_LOOPS, LOOPS, LOOPS_AND_DRIVERS, open_descriptors
from support.listeners import LOOPBACK, listening, refusing, silent
from support.loops import NoWriterLoop
from support.scenarios import ASYNCIO_LOOPS as LOOPS_TO_STEP
from support.scenarios import Scenario, cancel_at_every_step, cancel_at_every_step_of_trio
from support.sockets import open_with

from aconnect import (
    Batch,
    ConnectError,
    ConnectTimeout,
    Dialer,
    Endpoint,
    HandshakeError,
    ResolveError,
)
from aconnect.sockets.syscalls import open_socket
from aconnect.trace import (
    AttemptEnded,
    AttemptStarted,
    DialConnected,
    DialStarted,
    Event,
    HandshakeEnded,
    HandshakeStarted,
    ResolutionEnded,
    SocketClosed,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS_AND_DRIVERS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


LONG = 30  # seconds; what takes as long has failed
OWN = 0.1  # seconds that an attempt has for itself
OWN_TIME = "its own time limit was up"
NAME = "db.example:1"


def endpoint(address: Any) -> Endpoint:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    return Endpoint(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, address)


def results(*addresses: Any) -> list[Any]:
    """What getaddrinfo() would have returned."""
    return [(*endpoint(each)[:3], "", each) for each in addresses]


def batch(*addresses: Any) -> Batch:
    return Batch([endpoint(each) for each in addresses], sorted=True)


class Counted(socket.socket):
    """A socket that knows how often it was closed."""

    closes = 0

    def close(self) -> None:
        self.closes += 1
        super().close()


class Log:
    """A trace that keeps the names of events with their numbers and outcomes, and what it is told.

    ``then`` has what to call at which line.
    """

    def __init__(self, **then: Callable[[], object]) -> None:
        self.events: list[Event] = []
        self.lines: list[str] = []
        self.then = {line.replace("_", " "): call for line, call in then.items()}

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        words = [type(event).__name__]
        words += [str(event.attempt)] if hasattr(event, "attempt") else []
        words += [event.outcome] if hasattr(event, "outcome") else []
        self.note(" ".join(words))

    def note(self, line: str) -> None:
        self.lines.append(line)
        if line in self.then:
            self.then[line]()

    def __str__(self) -> str:
        return "; ".join(self.lines)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class Stubborn:
    """Work on sockets to some addresses that does not end until it is cancelled and then told.

    On any other socket there is no work.
    """

    def __init__(self, log: Log, *addresses: Any) -> None:
        self.log = log
        self.told = {address: anyio.Event() for address in addresses}

    def go(self, *addresses: Any) -> None:
        """Let the work on these end."""
        for address in addresses:
            self.told[address].set()

    async def hook(self, sock: socket.socket, where: Endpoint) -> None:
        """An on_socket hook."""
        self.log.note(f"on_socket {where.sockaddr[0]}")
        await self._work(sock, where.sockaddr)

    async def shake(self, sock: socket.socket) -> socket.socket:
        """A handshake."""
        await self._work(sock, sock.getpeername())
        return sock

    async def _work(self, sock: socket.socket, address: Any) -> None:
        if address not in self.told:
            return
        try:
            await anyio.sleep_forever()
        finally:
            try:
                with anyio.CancelScope(shield=True):
                    await self.told[address].wait()
                    await anyio.sleep(0)
            finally:
                assert sock.fileno() >= 0  # its own, until it ends
                self.log.note("work ends")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def opened(monkeypatch: Any) -> Iterator[list[Counted]]:
    """The sockets that are opened."""
    opened: list[Counted] = []

    def open(endpoint: Endpoint) -> Counted:
        with open_socket(endpoint) as sock:
            opened.append(Counted(*endpoint[:3], fileno=sock.detach()))
        return opened[-1]

    open_with(monkeypatch, open)
    yield opened
    for sock in opened:
        sock.close()


def listeners(stack: ExitStack, count: int) -> list[Any]:
    hosts = [f"127.0.0.{n}" for n in range(1, count + 1)]
    return [stack.enter_context(listening(host)).getsockname() for host in hosts]


def without_writers() -> bool:
    """Whether this is the loop that connects by itself."""
    try:
        return isinstance(asyncio.get_running_loop(), NoWriterLoop)
    except RuntimeError:
        return False


def fixed_port() -> Any:
    with socket.socket() as free:
        free.bind(("127.0.0.9", 0))
        return free.getsockname()


# One by one: each is run on all loops, and on one without add_writer.  Nothing in the second half
# of a story depends on the time: what is held is let go when the next event has come.


async def a_hook_that_cleans_up(stack: ExitStack, options: Any) -> None:
    one, two = listeners(stack, 2)
    log = Log(AttemptStarted_1=lambda: work.go(one))
    work = Stubborn(log, one)
    dialer = Dialer(**options, attempt_timeout=OWN, on_socket=work.hook, trace=log)
    with await dialer.connect(results(one, two), timeout=LONG) as sock:
        assert sock.getpeername() == two
        assert sock.getsockname() == options.get("local_address", sock.getsockname())
    assert str(log) == (
        "DialStarted; AttemptStarted 0; on_socket 127.0.0.1; AttemptEnded 0 timed out; "
        "AttemptStarted 1; work ends; SocketClosed 0; on_socket 127.0.0.2; "
        "AttemptEnded 1 connected; DialConnected 1"
    )


async def a_handshake_that_cleans_up(stack: ExitStack, options: Any) -> None:
    one, two = listeners(stack, 2)
    log = Log(AttemptStarted_1=lambda: work.go(one))
    work = Stubborn(log, one)

    def hook(_: Any, where: Endpoint) -> None:
        log.note(f"on_socket {where.sockaddr[0]}")

    dialer = Dialer(**options, attempt_timeout=OWN, on_socket=hook, trace=log)
    with await dialer.connect(results(one, two), timeout=LONG, handshake=work.shake) as sock:
        assert sock.getpeername() == two
        assert sock.getsockname() == options.get("local_address", sock.getsockname())
    assert str(log) == (
        "DialStarted; AttemptStarted 0; on_socket 127.0.0.1; AttemptEnded 0 connected; "
        "HandshakeStarted 0; HandshakeEnded 0 timed out; "
        "AttemptStarted 1; work ends; SocketClosed 0; on_socket 127.0.0.2; "
        "AttemptEnded 1 connected; HandshakeStarted 1; HandshakeEnded 1 done; DialConnected 1"
    )


async def a_silent_peer(stack: ExitStack, options: Any) -> None:
    one = stack.enter_context(silent())
    two = stack.enter_context(listening("127.0.0.2")).getsockname()
    log = Log()

    def hook(_: Any, where: Endpoint) -> None:
        log.note(f"on_socket {where.sockaddr[0]}")

    dialer = Dialer(**options, attempt_timeout=OWN, on_socket=hook, trace=log)
    with await dialer.connect(results(one, two), timeout=LONG) as sock:
        assert sock.getpeername() == two
        assert sock.getsockname() == options.get("local_address", sock.getsockname())
    # Where the loop connects by itself, it has something to clean up.
    between = ["SocketClosed 0", "AttemptStarted 1"]
    if without_writers():
        between.reverse()
    assert str(log) == (
        "DialStarted; AttemptStarted 0; on_socket 127.0.0.1; AttemptEnded 0 timed out; "
        f"{'; '.join(between)}; on_socket 127.0.0.2; AttemptEnded 1 connected; DialConnected 1"
    )


async def several_that_clean_up(stack: ExitStack, options: Any) -> None:
    one, two, three = listeners(stack, 3)
    log = Log(AttemptStarted_1=lambda: work.go(one), AttemptStarted_2=lambda: work.go(two))
    work = Stubborn(log, one, two)
    dialer = Dialer(**options, attempt_timeout=OWN, on_socket=work.hook, trace=log)
    with await dialer.connect(results(one, two, three), timeout=LONG) as sock:
        assert sock.getpeername() == three
    assert str(log) == (
        "DialStarted; AttemptStarted 0; on_socket 127.0.0.1; AttemptEnded 0 timed out; "
        "AttemptStarted 1; work ends; SocketClosed 0; on_socket 127.0.0.2; "
        "AttemptEnded 1 timed out; "
        "AttemptStarted 2; work ends; SocketClosed 1; on_socket 127.0.0.3; "
        "AttemptEnded 2 connected; DialConnected 2"
    )


async def one_that_times_out_before_it_is_opened(stack: ExitStack, options: Any) -> None:
    one, two, three = listeners(stack, 3)
    log = Log(AttemptStarted_2=lambda: work.go(one))
    work = Stubborn(log, one)
    dialer = Dialer(**options, attempt_timeout=OWN, on_socket=work.hook, trace=log)
    with await dialer.connect(results(one, two, three), timeout=LONG) as sock:
        assert sock.getpeername() == three
    assert str(log) == (
        "DialStarted; AttemptStarted 0; on_socket 127.0.0.1; AttemptEnded 0 timed out; "
        "AttemptStarted 1; AttemptEnded 1 timed out; "
        "AttemptStarted 2; work ends; SocketClosed 0; on_socket 127.0.0.3; "
        "AttemptEnded 2 connected; DialConnected 2"
    )
    (ended,) = [each for each in log.of(AttemptEnded) if each.attempt == 1]
    assert (ended.errno, ended.local_address, ended.note) == (None, None, OWN_TIME)


async def all_time_out_before_they_are_opened(stack: ExitStack, options: Any) -> None:
    """When the last socket is closed, nothing waits for it any more."""
    one, two = listeners(stack, 2)
    log = Log(AttemptEnded_1_timed_out=lambda: work.go(one))
    work = Stubborn(log, one)
    dialer = Dialer(**options, attempt_timeout=OWN, on_socket=work.hook, trace=log)
    with pytest.raises(ConnectTimeout) as caught:
        await dialer.connect(results(one, two), timeout=LONG)
    assert [each.note for each in caught.value.attempts] == [OWN_TIME] * 2
    assert [each.local_address for each in caught.value.attempts][1] is None
    assert str(log) == (
        "DialStarted; AttemptStarted 0; on_socket 127.0.0.1; AttemptEnded 0 timed out; "
        "AttemptStarted 1; AttemptEnded 1 timed out; work ends; SocketClosed 0; "
        "DialFailed timed out"
    )


async def one_that_is_cancelled_before_it_is_opened(stack: ExitStack, options: Any) -> None:
    one, two = listeners(stack, 2)

    def cancel() -> None:
        scope.cancel()
        work.go(one)

    log = Log(AttemptStarted_1=cancel)
    work = Stubborn(log, one)
    dialer = Dialer(**options, attempt_timeout=OWN, on_socket=work.hook, trace=log)
    with anyio.CancelScope() as scope:
        await dialer.connect(results(one, two), timeout=LONG)
    assert scope.cancelled_caught
    assert str(log) == (
        "DialStarted; AttemptStarted 0; on_socket 127.0.0.1; AttemptEnded 0 timed out; "
        "AttemptStarted 1; work ends; SocketClosed 0; AttemptEnded 1 cancelled; DialCancelled"
    )


async def one_that_is_not_permitted(stack: ExitStack, options: Any) -> None:
    """It is told so at once, and opens nothing."""
    one, two, three = listeners(stack, 3)
    log = Log(AttemptStarted_2=lambda: work.go(one))
    work = Stubborn(log, one)
    dialer = Dialer(
        **options,
        attempt_timeout=OWN,
        on_socket=work.hook,
        permit=lambda where: where.sockaddr != two,
        trace=log,
    )
    with await dialer.connect(results(one, two, three), timeout=LONG) as sock:
        assert sock.getpeername() == three
    assert str(log) == (
        "DialStarted; AttemptStarted 0; on_socket 127.0.0.1; AttemptEnded 0 timed out; "
        "AttemptStarted 1; AttemptEnded 1 not permitted; "
        "AttemptStarted 2; work ends; SocketClosed 0; on_socket 127.0.0.3; "
        "AttemptEnded 2 connected; DialConnected 2"
    )


ONE_BY_ONE = [
    a_hook_that_cleans_up,
    a_handshake_that_cleans_up,
    a_silent_peer,
    several_that_clean_up,
    one_that_times_out_before_it_is_opened,
    all_time_out_before_they_are_opened,
    one_that_is_cancelled_before_it_is_opened,
    one_that_is_not_permitted,
]
one_by_one = pytest.mark.parametrize("story", ONE_BY_ONE, ids=lambda story: story.__name__)
why = pytest.mark.parametrize("why", ["asked for", "one local port"])


def options_for(why: str) -> Any:
    return {"attempt_delay": None} if why == "asked for" else {"local_address": fixed_port()}


@pytest.mark.slow
@why
@one_by_one
async def test_one_socket_is_closed_before_the_next_is_opened(
    stack: ExitStack, story: Any, why: str
) -> None:
    await story(stack, options_for(why))


@why
@one_by_one
def test_one_socket_is_closed_before_the_next_is_opened_without_add_writer(
    stack: ExitStack, story: Any, why: str
) -> None:
    with asyncio.Runner(loop_factory=NoWriterLoop) as runner:
        runner.run(story(stack, options_for(why)))


class TestOneByOne:
    async def test_one_that_cannot_be_opened_makes_way_for_the_next(
        self, stack: ExitStack
    ) -> None:
        """There is no local address for it, which is seen when it is its turn."""
        one, two = listeners(stack, 2)
        three = stack.enter_context(listening("::1")).getsockname()
        log = Log(AttemptStarted_1=lambda: work.go(one))
        work = Stubborn(log, one)
        dialer = Dialer(
            local_address=fixed_port(), attempt_timeout=OWN, on_socket=work.hook, trace=log
        )
        with await dialer.connect(results(one, three, two), timeout=LONG) as sock:
            assert sock.getpeername() == two
        assert str(log) == (
            "DialStarted; AttemptStarted 0; on_socket 127.0.0.1; AttemptEnded 0 timed out; "
            "AttemptStarted 1; work ends; SocketClosed 0; AttemptEnded 1 failed; "
            "AttemptStarted 2; on_socket 127.0.0.2; AttemptEnded 2 connected; DialConnected 2"
        )
        (ended,) = [each for each in log.of(AttemptEnded) if each.attempt == 1]
        assert ended.errno == errno.EAFNOSUPPORT

    async def test_an_address_that_comes_when_the_socket_is_closed(self, stack: ExitStack) -> None:
        """In the same turn: it is opened once, whichever the dial hears of first."""
        one, two = listeners(stack, 2)
        log = Log()
        cleaning = anyio.Event()
        go = anyio.Event()

        class Resolver:
            async def resolve(self, _: Any) -> AsyncIterator[Batch]:
                yield batch(one)
                await go.wait()
                yield batch(two)

        async def hook(_: Any, where: Endpoint) -> None:
            log.note(f"on_socket {where.sockaddr[0]}")
            if where.sockaddr == one:
                try:
                    await anyio.sleep_forever()
                finally:
                    with anyio.CancelScope(shield=True):
                        cleaning.set()
                        await go.wait()

        async def at_once() -> None:
            await cleaning.wait()
            go.set()

        dialer = Dialer(
            attempt_delay=None,
            attempt_timeout=0.5,  # which the second has as well, on a busy machine
            on_socket=hook,
            resolver=Resolver(),
            trace=log,
        )
        async with anyio.create_task_group() as group:
            group.start_soon(at_once)
            with await dialer.connect(NAME, timeout=LONG) as sock:
                assert sock.getpeername() == two
        opened = [line for line in log.lines if "on_socket" in line]
        assert opened == ["on_socket 127.0.0.1", "on_socket 127.0.0.2"]
        assert log.lines.index("SocketClosed 0") < log.lines.index(opened[1])

    async def test_the_deadline_passes_while_one_is_held(self, stack: ExitStack) -> None:
        one, two = listeners(stack, 2)
        log = Log()
        work = Stubborn(log, one)

        def trace(event: Event) -> None:
            log(event)
            if isinstance(event, AttemptEnded) and event.note != OWN_TIME:
                work.go(one)  # it was the deadline

        dialer = Dialer(attempt_delay=None, attempt_timeout=0.05, on_socket=work.hook, trace=trace)
        with pytest.raises(ConnectTimeout) as caught:
            await dialer.connect(results(one, two), timeout=0.09)
        assert {each.outcome for each in caught.value.attempts} == {"timed out"}
        assert log.lines.count("SocketClosed 0") == 1
        assert "on_socket 127.0.0.2" not in log.lines
        assert log.lines[-1] == "DialFailed timed out"

    async def test_side_by_side_none_waits_for_another(self, stack: ExitStack) -> None:
        """Two sockets are still worked on when the third wins."""
        one, two, three = listeners(stack, 3)
        log = Log(AttemptEnded_2_connected=lambda: work.go(one, two))
        work = Stubborn(log, one, two)
        dialer = Dialer(
            attempt_delay=0.01,
            max_in_flight=2,
            attempt_timeout=OWN,
            on_socket=work.hook,
            trace=log,
        )
        with await dialer.connect(results(one, two, three), timeout=LONG) as sock:
            assert sock.getpeername() == three
        assert str(log).startswith(
            "DialStarted; AttemptStarted 0; on_socket 127.0.0.1; "
            "AttemptStarted 1; on_socket 127.0.0.2; AttemptEnded 0 timed out; "
        )
        closed = sorted(line for line in log.lines if "Closed" in line)
        assert closed == ["SocketClosed 0", "SocketClosed 1"]
        assert log.lines.index("on_socket 127.0.0.3") < log.lines.index(closed[0])
        assert log.lines[-1] == "DialConnected 2"


class OneByOneScenario(Scenario):
    def __init__(self, stack: ExitStack, monkeypatch: Any, tmp_path: Any) -> None:
        super().__init__(stack, monkeypatch, tmp_path)
        self.opened: list[Counted] = []
        open_with(monkeypatch, self._open)
        hosts = [listening(f"127.0.0.{n}", backlog=4000) for n in (1, 2)]
        self.one, self.two = [stack.enter_context(host).getsockname() for host in hosts]

    def _open(self, endpoint: Endpoint) -> Counted:
        assert all(sock.closes for sock in self.opened)
        with open_socket(endpoint) as sock:
            self.opened.append(Counted(*endpoint[:3], fileno=sock.detach()))
        return self.opened[-1]

    def renew(self) -> None:
        self.opened.clear()

    def check(self, won: Any) -> None:
        for sock in self.opened:
            assert sock.closes == (sock is not won)

    async def work(self, sock: socket.socket) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(4):
                    await anyio.sleep(0)
            assert sock.fileno() >= 0


def a_hook(scene: OneByOneScenario) -> Any:
    async def hook(sock: socket.socket, where: Endpoint) -> None:
        if where.sockaddr == scene.one:
            await scene.work(sock)

    dialer = Dialer(attempt_delay=None, attempt_timeout=0.011, on_socket=hook)
    return lambda: dialer.connect(results(scene.one, scene.two), timeout=LONG)


def a_handshake(scene: OneByOneScenario) -> Any:
    async def shake(sock: socket.socket) -> socket.socket:
        if sock.getpeername() == scene.one:
            await scene.work(sock)
        return sock

    dialer = Dialer(local_address=fixed_port(), attempt_timeout=0.011)
    return lambda: dialer.connect(results(scene.one, scene.two), timeout=LONG, handshake=shake)


def silence(scene: OneByOneScenario) -> Any:
    dead = scene.stack.enter_context(silent())
    dialer = Dialer(attempt_delay=None, attempt_timeout=0.011)
    return lambda: dialer.connect(results(dead, scene.two), timeout=LONG)


@pytest.fixture
def scene(request: Any, stack: ExitStack, monkeypatch: Any, tmp_path: Any) -> OneByOneScenario:
    scene = OneByOneScenario(stack, monkeypatch, tmp_path)
    scene.start = request.param(scene)
    return scene


scenes = pytest.mark.parametrize(
    "scene", [a_hook, a_handshake, silence], indirect=True, ids=lambda each: each.__name__
)


@pytest.mark.slow
@scenes
@pytest.mark.parametrize("new_loop", LOOPS_TO_STEP)
def test_one_by_one_cancelled_at_every_step(new_loop: Any, scene: Any) -> None:
    cancel_at_every_step(new_loop, scene)


@scenes
def test_one_by_one_cancelled_at_every_step_of_trio(scene: Any) -> None:
    cancel_at_every_step_of_trio(scene)


class Stream:
    """What a handshake may make of a socket."""

    def __init__(self) -> None:
        self.closes = 0

    def close(self) -> None:
        self.closes += 1


class TestHandshakeResults:
    @pytest.mark.parametrize("kind", ["the socket", "a stream", "without close", "not callable"])
    async def test_the_call_is_cancelled_when_it_is_done(
        self, stack: ExitStack, opened: list[Counted], kind: str
    ) -> None:
        (one,) = listeners(stack, 1)
        log = Log()
        stream = Stream()
        stream_of = {"a stream": stream, "without close": object(), "not callable": Odd()}

        async def shake(sock: socket.socket) -> Any:
            await anyio.sleep(0)  # else the call need not wait, and cannot be cancelled
            scope.cancel()
            return stream_of.get(kind, sock)

        with anyio.CancelScope() as scope:
            await Dialer(trace=log).connect(one, timeout=LONG, handshake=shake)
        assert scope.cancelled_caught
        assert [sock.closes for sock in opened] == [1]
        assert stream.closes == (kind == "a stream")
        assert log.lines.count("SocketClosed 0") == 1

    @pytest.mark.parametrize("kind", ["the socket", "a stream"])
    async def test_the_call_is_cancelled_when_it_has_won(
        self, stack: ExitStack, opened: list[Counted], kind: str
    ) -> None:
        """All that is left to do is to wait for the resolver to end."""
        (one,) = listeners(stack, 1)
        stream = Stream()

        class Resolver:
            async def resolve(self, _: Any) -> AsyncIterator[Batch]:
                yield batch(one)
                try:
                    await anyio.sleep_forever()
                finally:
                    scope.cancel()
                    with anyio.CancelScope(shield=True):
                        await anyio.sleep(0)
                        await anyio.sleep(0)

        async def shake(sock: socket.socket) -> Any:
            return sock if kind == "the socket" else stream

        log = Log()
        with anyio.CancelScope() as scope:
            dialer = Dialer(resolver=Resolver(), resolution_delay=0, trace=log)
            await dialer.connect(NAME, timeout=LONG, handshake=shake)
        assert scope.cancelled_caught
        assert [sock.closes for sock in opened] == [1]
        assert stream.closes == (kind == "a stream")
        assert str(log).endswith(
            "HandshakeEnded 0 done; ResolutionEnded cancelled; SocketClosed 0; DialCancelled"
        )

    async def test_one_that_comes_too_late(self, stack: ExitStack, opened: list[Counted]) -> None:
        """It had no time left, and would not hear of it."""
        one, two = listeners(stack, 2)
        streams: list[Any] = []

        async def shake(sock: socket.socket) -> Any:
            if sock.getpeername() == one:
                try:
                    await anyio.sleep_forever()
                except BaseException:
                    if not streams:
                        streams.append(Stream())
                        return streams[0]
                    raise
            return sock

        dialer = Dialer(attempt_delay=None, attempt_timeout=OWN)
        with await dialer.connect(results(one, two), timeout=LONG, handshake=shake) as sock:
            assert sock.getpeername() == two
            assert [each.closes for each in opened] == [1, 0]
        assert [each.closes for each in streams] == [1]

    async def test_nothing(self, stack: ExitStack, opened: list[Counted]) -> None:
        """None is what it gave, and the socket is its own."""
        (one,) = listeners(stack, 1)

        async def shake(_: Any) -> None:
            return None

        assert await Dialer().connect(one, timeout=LONG, handshake=shake) is None
        assert [sock.closes for sock in opened] == [0]


class Odd:
    close = 5


class TestOwnTime:
    async def test_one_silent_address(self, stack: ExitStack) -> None:
        dead = stack.enter_context(silent())
        with pytest.raises(ConnectTimeout) as caught:
            await Dialer(attempt_timeout=0.02).connect(dead)
        assert caught.value.errno == errno.ETIMEDOUT
        assert f"{OWN_TIME}: still no answer" in str(caught.value)
        assert "deadline" not in str(caught.value)
        assert [each.note for each in caught.value.attempts] == [OWN_TIME]

    async def test_several(self, stack: ExitStack) -> None:
        dead = [stack.enter_context(silent(f"127.0.0.{n}")) for n in (1, 2)]
        log = Log()
        dialer = Dialer(attempt_delay=0.01, attempt_timeout=0.03, trace=log)
        with pytest.raises(ConnectTimeout) as caught:
            await dialer.connect(results(*dead))
        assert caught.value.errno == errno.ETIMEDOUT
        assert "2 of 2 addresses tried" in str(caught.value)
        assert "deadline" not in str(caught.value)
        assert [each.note for each in caught.value.attempts] == [OWN_TIME] * 2
        assert [each.note for each in log.of(AttemptEnded)] == [OWN_TIME] * 2
        group: Any = caught.value.__cause__
        assert all(isinstance(each, ConnectTimeout) for each in group.exceptions)
        assert all(f"{OWN_TIME}: still no answer" in str(each) for each in group.exceptions)

    async def test_the_deadline_is_first(self, stack: ExitStack) -> None:
        dead = stack.enter_context(silent())
        with pytest.raises(ConnectTimeout) as caught:
            await Dialer(attempt_timeout=LONG).connect(dead, timeout=0.02)
        assert "deadline passed: still no answer" in str(caught.value)
        assert caught.value.attempts[0].note == ""

    async def test_of_a_hook(self, stack: ExitStack) -> None:
        (one,) = listeners(stack, 1)

        async def hook(*_: Any) -> None:
            await anyio.sleep_forever()

        with pytest.raises(ConnectTimeout, match=f"{OWN_TIME}: still no answer"):
            await Dialer(attempt_timeout=0.02, on_socket=hook).connect(one)

    @pytest.mark.parametrize("count", [1, 2])
    async def test_of_a_handshake(self, stack: ExitStack, count: int) -> None:
        async def shake(_: Any) -> None:
            await anyio.sleep_forever()

        log = Log()
        dialer = Dialer(attempt_timeout=0.03, trace=log)
        with pytest.raises(ConnectTimeout) as caught:
            await dialer.connect(results(*listeners(stack, count)), handshake=shake)
        assert not isinstance(caught.value, HandshakeError)
        assert caught.value.phase == "handshake"
        assert caught.value.errno == errno.ETIMEDOUT
        assert len(caught.value.attempts) == count
        for each in caught.value.attempts:
            assert (each.outcome, each.phase, each.note) == ("timed out", "handshake", OWN_TIME)
            assert each.fate == "connected, but its handshake had not finished"
        assert "connected, but its handshake had not finished" in str(caught.value)
        assert "deadline" not in str(caught.value)
        assert [each.error for each in log.of(HandshakeEnded)] == [OWN_TIME] * count

    async def test_of_a_handshake_after_a_refusal(self, stack: ExitStack) -> None:
        """It got further than the one that was refused."""
        dead = stack.enter_context(refusing("127.0.0.2"))
        (one,) = listeners(stack, 1)

        async def shake(_: Any) -> None:
            await anyio.sleep_forever()

        with pytest.raises(ConnectTimeout) as caught:
            await Dialer(attempt_timeout=0.03).connect(results(dead, one), handshake=shake)
        assert (caught.value.phase, caught.value.errno) == ("handshake", errno.ETIMEDOUT)

    async def test_a_handshake_and_the_deadline(self, stack: ExitStack) -> None:
        (one,) = listeners(stack, 1)

        async def shake(_: Any) -> None:
            await anyio.sleep_forever()

        log = Log()
        with pytest.raises(ConnectTimeout) as caught:
            await Dialer(trace=log).connect(one, timeout=0.1, handshake=shake)
        words = "deadline passed: connected, but its handshake had not finished"
        assert words in str(caught.value)
        assert [each.error for each in log.of(HandshakeEnded)] == [None]

    async def test_one_that_waits_for_its_handshake(self, stack: ExitStack) -> None:
        """The deadline passes before it is its turn."""
        one, two = listeners(stack, 2)
        both = anyio.Event()

        async def hold(_: Any, where: Endpoint) -> None:
            if where.sockaddr == two:
                both.set()
            await both.wait()

        async def shake(_: Any) -> None:
            await anyio.sleep_forever()

        log = Log()
        with pytest.raises(ConnectTimeout) as caught:
            dialer = Dialer(attempt_delay=0.3, trace=log, on_socket=hold)
            await dialer.connect(results(one, two), timeout=0.45, handshake=shake)
        assert [each.phase for each in caught.value.attempts] == ["handshake"] * 2
        assert len(log.of(HandshakeStarted)) == 1
        assert len(log.of(SocketClosed)) == 2


class TestErrorsOfHandshakes:
    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (ssl.SSLError(1, "[SSL: CERTIFICATE_VERIFY_FAILED]"), errno.EPROTO),
            (ssl.SSLEOFError(8, "EOF occurred"), errno.EPROTO),
            (ConnectionResetError(errno.ECONNRESET, "reset"), errno.ECONNRESET),
            (OSError("no number"), errno.EPROTO),
            (EOFError(), errno.EPROTO),
        ],
    )
    async def test_their_errno(self, stack: ExitStack, error: Exception, code: int) -> None:
        """That of an SSLError is OpenSSL's, and 1 is not EPERM there."""
        (one,) = listeners(stack, 1)

        async def shake(_: Any) -> None:
            raise error

        with pytest.raises(HandshakeError) as caught:
            await Dialer().connect(one, timeout=LONG, handshake=shake)
        assert caught.value.errno == code
        assert caught.value.__cause__ is error
        assert not isinstance(caught.value, PermissionError)
        error.__traceback__ = None


NOTE = "Multipath TCP was asked for, and this is plain TCP"
MPTCP = 262


def mptcp_listening(stack: ExitStack) -> Any:
    try:
        listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP))
    except OSError:
        pytest.skip("the kernel has no Multipath TCP")
    listener.bind((LOOPBACK, 0))
    listener.listen()
    return listener.getsockname()


class TestMultipath:
    async def test_a_peer_that_has_only_tcp(self, stack: ExitStack) -> None:
        (one,) = listeners(stack, 1)
        log = Log()
        with await Dialer(mptcp=True, trace=log).connect(one, timeout=LONG) as sock:
            assert sock.getpeername() == one
        assert [each.note for each in log.of(AttemptEnded)] == [NOTE]

    async def test_a_kernel_that_has_only_tcp(self, stack: ExitStack, monkeypatch: Any) -> None:
        def open(endpoint: Endpoint) -> socket.socket:
            if endpoint.proto == MPTCP:
                raise OSError(errno.EPROTONOSUPPORT, "scripted")
            return open_socket(endpoint)

        open_with(monkeypatch, open)
        (one,) = listeners(stack, 1)
        log = Log()
        with await Dialer(mptcp=True, trace=log).connect(one, timeout=LONG) as sock:
            assert sock.proto == socket.IPPROTO_TCP
        assert [each.note for each in log.of(AttemptEnded)] == [NOTE]

    async def test_a_peer_that_has_it(self, stack: ExitStack) -> None:
        log = Log()
        where = mptcp_listening(stack)
        with await Dialer(mptcp=True, trace=log).connect(where, timeout=LONG) as sock:
            assert sock.proto == MPTCP
        assert [each.note for each in log.of(AttemptEnded)] == [""]

    async def test_nobody_has_asked_for_it(self, stack: ExitStack) -> None:
        (one,) = listeners(stack, 1)
        log = Log()
        (await Dialer(trace=log).connect(one, timeout=LONG)).close()
        assert [each.note for each in log.of(AttemptEnded)] == [""]

    async def test_what_is_not_tcp(self, stack: ExitStack, tmp_path: Any) -> None:
        log = Log()
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        dialer = Dialer(mptcp=True, trace=log)
        (await dialer.connect(tmp_path / "s", timeout=LONG)).close()
        (await dialer.connect(f"udp://{LOOPBACK}:9", timeout=LONG)).close()
        assert [each.note for each in log.of(AttemptEnded)] == ["", ""]

    async def test_the_report_says_it(self, stack: ExitStack) -> None:
        (one,) = listeners(stack, 1)

        async def shake(_: Any) -> None:
            raise EOFError

        with pytest.raises(HandshakeError) as caught:
            await Dialer(mptcp=True).connect(one, timeout=LONG, handshake=shake)
        assert caught.value.report is not None
        assert f"attempt 0: {NOTE}" in str(caught.value.report)
        (attempt,) = caught.value.report.to_dict()["attempts"]
        assert attempt["note"] == f"{NOTE}; the handshake failed: EOFError"


@pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS)
async def test_a_coroutine_that_is_closed_while_a_task_cleans_up(
    stack: ExitStack, opened: list[Counted]
) -> None:
    """It cannot wait for the task, so it closes the socket itself."""
    one, _ = listeners(stack, 2)
    two = stack.enter_context(silent())
    log = Log()
    work = Stubborn(log, one)
    dialer = Dialer(attempt_delay=0.01, attempt_timeout=OWN, on_socket=work.hook, trace=log)
    dialing: Any = dialer.connect(results(one, two), timeout=LONG)
    while True:
        future = dialing.send(None)
        future._asyncio_future_blocking = False
        if "AttemptEnded 0 timed out" in log.lines:
            break  # if both have ended in one turn, it waits for the task now
        await asyncio.wait([future])
    dialing.close()
    assert [sock.closes for sock in opened] == [1, 1]
    lines = list(log.lines)
    assert lines[-1] == "DialCancelled"
    work.go(one)
    for _ in range(10):
        await asyncio.sleep(0)
    assert log.lines == lines


class Interrupt(KeyboardInterrupt):
    """What a trace raises here."""


class Stop(BaseException):
    """What stops a program, and what nobody has heard of."""


BEGUN = 0.25
"""Seconds in which a dial gets to its hook, handshake or lookup on a machine that is busy."""


class Slow:
    """A hook, a handshake and a resolver that have a clean-up of their own, which takes its time.

    Attributes:
        cleaning: one has been told to end.
        ended: how many have been done with it.
    """

    def __init__(self, *winners: Any) -> None:
        self.winners = winners
        self.ended = 0
        self.cleaning = anyio.Event()
        self.go = anyio.Event()

    async def _work(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self.cleaning.set()
            with anyio.CancelScope(shield=True):
                await self.go.wait()
            self.ended += 1

    async def hook(self, sock: socket.socket, where: Endpoint) -> None:
        if where.sockaddr not in self.winners:
            await self._work()
            assert sock.fileno() >= 0, "it was closed under the hook"

    async def shake(self, sock: socket.socket) -> socket.socket:
        if sock.getpeername() not in self.winners:
            await self._work()
        return sock

    async def resolve(self, _: Any) -> AsyncIterator[Batch]:
        if self.winners:
            yield batch(*self.winners)
        await self._work()

    def options(self, who: str) -> Any:
        return {
            "hook": {"on_socket": self.hook},
            "handshake": {},
            "resolver": {"resolver": self},
        }[who]

    def address(self, who: str, *others: Any) -> Any:
        return NAME if who == "resolver" else results(*others, *self.winners)


@pytest.mark.parametrize("who", ["hook", "handshake", "resolver"])
class TestSlowCleanUp:
    """It does not hold up what is due where a task can outlive the call."""

    @pytest.fixture(params=[*ASYNCIO_LOOPS])
    def anyio_backend(self, request: pytest.FixtureRequest) -> Any:
        return request.param

    async def test_a_winner_is_returned(
        self, stack: ExitStack, opened: list[Counted], who: str
    ) -> None:
        loser, winner = listeners(stack, 2)
        slow, log = Slow(winner), Log()
        limit = 0.02 if who == "handshake" else None  # for they may come one after the other
        dialer = Dialer(attempt_delay=0.01, attempt_timeout=limit, trace=log, **slow.options(who))
        shake = slow.shake if who == "handshake" else None
        address = slow.address(who, loser)
        won = await dialer.connect(address, timeout=LONG, handshake=shake)  # type: ignore[arg-type]
        with won:
            assert won.getpeername() == winner
            await self.end(slow, opened, log, "DialConnected 1" if len(opened) > 1 else None)
            assert won.getpeername() == winner

    async def test_a_deadline_raises(
        self, stack: ExitStack, opened: list[Counted], who: str
    ) -> None:
        slow, log = Slow(), Log()
        dialer = Dialer(trace=log, **slow.options(who))
        shake = slow.shake if who == "handshake" else None
        address = slow.address(who, *listeners(stack, 1))
        with pytest.raises(ConnectTimeout):
            await dialer.connect(address, timeout=BEGUN, handshake=shake)  # type: ignore[arg-type]
        await self.end(slow, opened, log, "DialFailed timed out")

    async def end(self, slow: Slow, opened: list[Counted], log: Log, last: str | None) -> None:
        """Let the clean-up end, which closes the socket and is told to nobody."""
        assert slow.ended == 0
        lines = list(log.lines)
        assert last in (None, lines[-1])
        slow.go.set()
        for _ in range(20):
            await asyncio.sleep(0)
        assert slow.ended == 1
        assert log.lines == lines
        assert all(sock.closes == (1 if sock.fileno() < 0 else 0) for sock in opened)
        assert sum(sock.fileno() >= 0 for sock in opened) == (lines[-1][:13] == "DialConnected")

    async def test_a_cancelled_call_waits_for_it(
        self, stack: ExitStack, opened: list[Counted], who: str
    ) -> None:
        slow = Slow()
        dialer = Dialer(**slow.options(who))
        shake = slow.shake if who == "handshake" else None
        address = slow.address(who, *listeners(stack, 1))
        dialing = asyncio.ensure_future(
            dialer.connect(address, timeout=LONG, handshake=shake)  # type: ignore[arg-type]
        )
        for turn in range(200):
            await asyncio.sleep(0)
            if turn > 20:
                dialing.cancel()
        assert not dialing.done()
        slow.go.set()
        await asyncio.wait([dialing])
        assert dialing.cancelled()
        assert slow.ended == 1
        assert all(sock.closes == 1 for sock in opened)

    def test_the_end_of_the_loop_ends_it(self, stack: ExitStack, who: str) -> None:
        """Also one that has no end of its own: what asyncio.run() cancels it waits for."""
        before = open_descriptors()
        slow = Slow()
        slow.go = None  # type: ignore[assignment]

        async def work() -> None:
            for _ in range(2):  # the first cancellation is not enough
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(LONG)
            slow.ended += 1

        slow._work = work  # type: ignore[method-assign]
        address = slow.address(who, *listeners(stack, 1))

        async def main() -> None:
            dialer = Dialer(**slow.options(who))
            shake = slow.shake if who == "handshake" else None
            with pytest.raises(ConnectTimeout):
                await dialer.connect(address, timeout=BEGUN, handshake=shake)  # type: ignore[arg-type]
            assert slow.ended == 0

        asyncio.run(main())
        assert slow.ended == 1
        stack.close()
        assert open_descriptors() <= before


@pytest.mark.parametrize("anyio_backend", [LOOPS[-1], LOOPS_AND_DRIVERS[-1]])
@pytest.mark.parametrize("who", ["hook", "handshake", "resolver"])
async def test_where_no_task_outlives_a_call_the_clean_up_is_waited_for(
    stack: ExitStack, opened: list[Counted], who: str
) -> None:
    """If it is shielded; trio ends any other at once."""
    slow = Slow()
    dialer = Dialer(**slow.options(who))
    shake = slow.shake if who == "handshake" else None
    address = slow.address(who, *listeners(stack, 1))
    raised: list[BaseException] = []

    async def dial() -> None:
        with pytest.raises(ConnectTimeout):
            await dialer.connect(address, timeout=BEGUN, handshake=shake)  # type: ignore[arg-type]
        raised.append(ConnectTimeout(0, ""))

    async with anyio.create_task_group() as group:
        group.start_soon(dial)
        await slow.cleaning.wait()
        for _ in range(20):
            await anyio.sleep(0)
        assert not raised
        slow.go.set()
    assert raised
    assert slow.ended == 1
    assert all(sock.closes == 1 for sock in opened)


@pytest.mark.parametrize("anyio_backend", [LOOPS[0], LOOPS_AND_DRIVERS[-1]])
async def test_no_core_spins_while_a_cancelled_handshake_cleans_up(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scope of anyio's cancels a task in every turn of the loop, until it is out of it."""
    turns = spent = 0
    run_once = asyncio.BaseEventLoop._run_once  # type: ignore[attr-defined]

    def counted(loop: Any) -> None:
        nonlocal turns
        turns += 1
        run_once(loop)

    async def shake(_: Any) -> None:
        nonlocal spent
        try:
            await anyio.sleep_forever()
        finally:
            before = turns
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.1)
            spent = turns - before

    monkeypatch.setattr(asyncio.BaseEventLoop, "_run_once", counted)
    with anyio.move_on_after(0.02) as scope:
        await Dialer().connect(results(*listeners(stack, 1)), timeout=LONG, handshake=shake)
    assert scope.cancelled_caught
    assert 0 < spent < 20


class TestInterrupts:
    @pytest.mark.parametrize("handshake", [False, True])
    async def test_a_trace_that_raises_at_the_end(
        self, stack: ExitStack, opened: list[Counted], handshake: bool
    ) -> None:
        """The winner is closed: nobody gets it."""
        (one,) = listeners(stack, 1)
        streams: list[Stream] = []

        async def shake(_: Any) -> Stream:
            streams.append(Stream())
            return streams[0]

        def trace(event: Event) -> None:
            if isinstance(event, DialConnected):
                raise Interrupt

        with pytest.raises(Interrupt):
            await Dialer(trace=trace).connect(
                one,
                timeout=LONG,
                handshake=shake if handshake else None,  # type: ignore[arg-type]
            )
        assert [sock.closes for sock in opened] == [1]
        assert [each.closes for each in streams] == [1] * handshake

    @pytest.mark.parametrize(
        "kind",
        [
            DialStarted,
            AttemptStarted,
            AttemptEnded,
            SocketClosed,
            HandshakeStarted,
            HandshakeEnded,
        ],
    )
    async def test_a_trace_that_raises_on_the_way(
        self, stack: ExitStack, opened: list[Counted], kind: Any
    ) -> None:
        dead = stack.enter_context(refusing())
        one = stack.enter_context(listening("127.0.0.2")).getsockname()

        async def shake(sock: socket.socket) -> socket.socket:
            return sock

        def trace(event: Event) -> None:
            if isinstance(event, kind):
                raise Interrupt

        with pytest.raises(Interrupt):
            await Dialer(trace=trace).connect(results(dead, one), timeout=LONG, handshake=shake)
        assert all(sock.fileno() < 0 for sock in opened)

    @pytest.mark.parametrize("anyio_backend", LOOPS)
    @pytest.mark.parametrize("kind", [Interrupt, SystemExit, Stop])
    @pytest.mark.parametrize("who", ["hook", "waiting hook", "handshake", "resolver"])
    @pytest.mark.parametrize("number", [1, 2])
    async def test_whoever_stops_the_program(
        self, stack: ExitStack, opened: list[Counted], who: str, kind: Any, number: int
    ) -> None:
        """It is raised as it is, of one address as of several, and keeps nothing alive."""
        addresses = listeners(stack, number)
        raised: list[weakref.ref[BaseException]] = []

        async def stop(*_: Any) -> NoReturn:
            await anyio.sleep(0)
            raise Subclass

        async def resolve(_: Any) -> AsyncIterator[Batch]:
            await stop()
            yield batch()

        def hook(*_: Any) -> NoReturn:
            raise Subclass

        class Subclass(kind):  # type: ignore[misc]
            """One that is watched."""

            def __init__(self) -> None:
                raised.append(weakref.ref(self))

        hooks = {"hook": hook, "waiting hook": stop}
        dialer = Dialer(on_socket=hooks.get(who), resolver=Resolving(resolve))
        gc.collect()
        gc.disable()
        try:
            try:
                await dialer.connect(
                    NAME if who == "resolver" else results(*addresses),
                    timeout=LONG,
                    handshake=stop if who == "handshake" else None,  # type: ignore[arg-type]
                )
            except BaseException as error:
                caught = type(error), error.__context__, error.__cause__
            assert caught == (Subclass, None, None)
            await anyio.sleep(0)
            assert raised.pop()() is None
        finally:
            gc.enable()
        assert all(sock.closes == 1 for sock in opened)

    @pytest.mark.parametrize("anyio_backend", LOOPS)
    async def test_whoever_stops_the_program_while_it_cleans_up(self, stack: ExitStack) -> None:
        """Before the dial is over."""

        async def shake(_: Any) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                raise Interrupt

        with pytest.raises(Interrupt):
            await Dialer().connect(results(*listeners(stack, 1)), timeout=BEGUN, handshake=shake)


class Loop(NoWriterLoop):
    """One whose sock_connect() fails in ways of its own."""

    error: Exception

    async def sock_connect(self, sock: Any, address: Any) -> None:
        raise self.error


@pytest.mark.parametrize(
    "error", [ValueError("own bug"), OSError("no number"), TypeError("makes no sense")]
)
def test_a_loop_that_fails_to_connect(stack: ExitStack, error: Exception) -> None:
    (one,) = listeners(stack, 1)

    async def main() -> None:
        with pytest.raises(ConnectError) as caught:
            await Dialer().connect(one, timeout=LONG)
        assert caught.value.errno == errno.EINVAL
        assert str(error) in str(caught.value)

    loop = Loop()
    loop.error = error
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
    error.__traceback__ = None


class Resolving:
    """A resolver that is a function."""

    def __init__(self, resolve: Any) -> None:
        self.resolve = resolve


class TestResolvers:
    async def test_an_answer_that_comes_when_the_race_is_over(self, stack: ExitStack) -> None:
        """It comes in the turn in which the first address wins."""
        one, two = listeners(stack, 2)
        ready, go = anyio.Event(), anyio.Event()
        log = Log()

        async def resolve(_: Any) -> AsyncIterator[Batch]:
            yield batch(one)
            await go.wait()
            yield batch(two)

        async def hook(*_: Any) -> None:
            ready.set()
            await go.wait()

        async def at_once() -> None:
            await ready.wait()
            go.set()

        dialer = Dialer(resolver=Resolving(resolve), resolution_delay=0, on_socket=hook, trace=log)
        async with anyio.create_task_group() as group:
            group.start_soon(at_once)
            with await dialer.connect(NAME, timeout=LONG) as sock:
                assert sock.getpeername() == one
        assert str(log) == (
            "DialStarted; ResolutionStarted; ResolutionBatch; AttemptStarted 0; "
            "AttemptEnded 0 connected; ResolutionEnded cancelled; DialConnected 0"
        )

    @pytest.mark.parametrize(
        ("then", "words"),
        [
            (None, "must yield Batches, not None"),
            (5, "must yield Batches, not 5"),
            (ValueError("own bug"), "own bug"),
            (Batch(5), "int"),  # type: ignore[arg-type]
            (Batch([5]), "must have Endpoints, not 5"),  # type: ignore[list-item]
        ],
        ids=["None", "a number", "an error", "no endpoints", "no endpoint"],
    )
    async def test_nonsense_after_a_good_answer(
        self, stack: ExitStack, then: Any, words: str
    ) -> None:
        """What there is is dialled."""
        (one,) = listeners(stack, 1)
        log = Log()

        async def resolve(_: Any) -> AsyncIterator[Any]:
            yield batch(one)
            if isinstance(then, Exception):
                raise then
            yield then

        dialer = Dialer(resolver=Resolving(resolve), trace=log)
        with await dialer.connect(NAME, timeout=LONG) as sock:
            assert sock.getpeername() == one
        (ended,) = log.of(ResolutionEnded)
        assert (ended.outcome, ended.found) == ("failed", 1)
        assert words in ended.error

    async def test_ten_thousand_addresses(self, stack: ExitStack) -> None:
        (one,) = listeners(stack, 1)
        many = [(f"127.1.{n // 250}.{n % 250 + 1}", one[1]) for n in range(9_999)]

        async def resolve(_: Any) -> AsyncIterator[Batch]:
            yield batch(one, *many)

        log = Log()
        dialer = Dialer(resolver=Resolving(resolve), trace=log)
        with await dialer.connect(NAME, timeout=LONG) as sock:
            assert sock.getpeername() == one
        assert [each.known for each in log.of(AttemptStarted)] == [10_000]

    @pytest.mark.parametrize("useful", [True, False])
    async def test_one_that_never_ends(self, stack: ExitStack, useful: bool) -> None:
        (one,) = listeners(stack, 1)
        given = batch(one) if useful else Batch(())

        async def resolve(_: Any) -> AsyncIterator[Batch]:
            while True:
                yield given
                await anyio.sleep(0)

        dialer = Dialer(resolver=Resolving(resolve), resolution_delay=0)
        if useful:
            (await dialer.connect(NAME, timeout=LONG)).close()
        else:
            with pytest.raises(ConnectTimeout, match="could not resolve"):
                await dialer.connect(NAME, timeout=0.03)

    @pytest.mark.parametrize(
        "resolve",
        [lambda _: [batch((LOOPBACK, 1))], lambda _: batch((LOOPBACK, 1)), lambda _: iter(())],
        ids=["a list", "a batch", "an iterator"],
    )
    async def test_a_plain_function(self, resolve: Any) -> None:
        with pytest.raises(ResolveError, match="must return an asynchronous iterator"):
            await Dialer(resolver=Resolving(resolve)).connect(NAME, timeout=LONG)

    async def test_a_function_that_raises(self) -> None:
        def resolve(_: Any) -> Any:
            raise ValueError("own bug")

        with pytest.raises(ResolveError, match="own bug"):
            await Dialer(resolver=Resolving(resolve)).connect(NAME, timeout=LONG)

    async def test_one_that_goes_on_when_it_is_cancelled(self, stack: ExitStack) -> None:
        """It yields once more, and is told that it must not."""
        dead = stack.enter_context(silent())

        async def resolve(_: Any) -> AsyncIterator[Batch]:
            yield batch(dead)
            try:
                await anyio.sleep_forever()
            finally:
                yield batch(dead)

        dialer = Dialer(resolver=Resolving(resolve), resolution_delay=0)
        with pytest.raises(ConnectTimeout, match="still no answer"):
            await dialer.connect(NAME, timeout=0.3)

    @pytest.mark.parametrize("broken", ["__aiter__", "__anext__", "no awaitable", "aclose"])
    async def test_an_iterator_of_another_kind(self, stack: ExitStack, broken: str) -> None:
        (one,) = listeners(stack, 1)

        class Answers:
            left = 1

            def __aiter__(self) -> Any:
                return 5 if broken == "__aiter__" else self

            def __anext__(self) -> Any:
                if broken == "__anext__":
                    raise ValueError("own bug")
                return 5 if broken == "no awaitable" else self.answer()

            async def answer(self) -> Batch:
                if not self.left:
                    raise StopAsyncIteration
                self.left -= 1
                return batch(one)

            def aclose(self) -> Any:
                return None if broken == "aclose" else anyio.sleep(0)

        call = Dialer(resolver=Resolving(lambda _: Answers())).connect(NAME, timeout=LONG)
        if broken == "aclose":
            (await call).close()  # there was an answer
        else:
            with pytest.raises(ResolveError, match=r"__a|own bug|object"):
                await call


# Nonsense.


class Secretive(Exception):
    """One that cannot be made text."""

    def __str__(self) -> str:
        raise RuntimeError("there are no words for it")

    __repr__ = __str__


class TestNonsense:
    @pytest.mark.parametrize("where", ["on_socket", "handshake", "resolver"])
    async def test_an_oserror_whose_errno_is_no_number(
        self, stack: ExitStack, opened: list[Counted], where: str
    ) -> None:
        await fail(OSError("custom", "words"), where, stack)

    @pytest.mark.parametrize("where", ["on_socket", "handshake", "resolver", "permit"])
    async def test_an_error_that_cannot_be_made_text(
        self, stack: ExitStack, opened: list[Counted], where: str
    ) -> None:
        await fail(Secretive(), where, stack)

    async def test_a_result_whose_close_cannot_be_had(
        self, stack: ExitStack, opened: list[Counted]
    ) -> None:
        class Broken:
            @property
            def close(self) -> Any:
                raise RuntimeError("own bug")

        async def shake(_: Any) -> Broken:
            await anyio.sleep(0)
            scope.cancel()
            return Broken()

        (one,) = listeners(stack, 1)
        with anyio.CancelScope() as scope:
            await Dialer().connect(one, timeout=LONG, handshake=shake)
        assert [sock.closes for sock in opened] == [1]

    async def test_a_batch_of_an_iterator(self, stack: ExitStack) -> None:
        """It is either refused by name, or taken."""
        (one,) = listeners(stack, 1)

        async def resolve(_: Any) -> AsyncIterator[Batch]:
            yield Batch(iter([endpoint(one)]), sorted=True)  # type: ignore[arg-type]

        sock = code = None
        try:
            sock = await Dialer(resolver=Resolving(resolve)).connect(NAME, timeout=LONG)
            sock.close()
        except ResolveError as error:
            code = error.errno
        assert sock is not None or code == socket.EAI_FAIL

    async def test_an_endpoint_without_a_protocol(self, stack: ExitStack) -> None:
        """As in a list of getaddrinfo() results, it is that of its type."""
        (one,) = listeners(stack, 1)

        async def resolve(_: Any) -> AsyncIterator[Batch]:
            yield Batch([endpoint(one)._replace(proto=0)], sorted=True)

        with await Dialer(resolver=Resolving(resolve)).connect(NAME, timeout=LONG) as sock:
            assert sock.proto == socket.IPPROTO_TCP
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    @pytest.mark.parametrize("change", [{"proto": 2**40}, {"family": 2**40}])
    async def test_numbers_that_no_system_has(self, stack: ExitStack, change: Any) -> None:
        (one,) = listeners(stack, 1)

        async def resolve(_: Any) -> AsyncIterator[Batch]:
            yield Batch([endpoint(one)._replace(**change)], sorted=True)

        with pytest.raises(ConnectError):
            await Dialer(resolver=Resolving(resolve)).connect(NAME, timeout=LONG)

    @pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS)
    async def test_a_clean_up_is_cancelled_once(self, stack: ExitStack) -> None:
        """Its attempt was cancelled; that the dial ends is no reason to do it again."""
        one, two = listeners(stack, 2)
        cleaning, told, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def hook(_: Any, where: Endpoint) -> None:
            if where.sockaddr == one:
                try:
                    await asyncio.sleep(LONG)
                finally:
                    cleaning.set()
                    await told.wait()
                    for _ in range(5):
                        await asyncio.sleep(0)
                    ended.set()
            await cleaning.wait()

        log = Log(AttemptEnded_1_connected=lambda: told.set())
        dialer = Dialer(attempt_delay=2, attempt_timeout=OWN, on_socket=hook, trace=log)
        (await dialer.connect(results(one, two), timeout=LONG)).close()
        assert ended.is_set()


async def fail(error: Exception, where: str, stack: ExitStack) -> None:
    """Have the user's part raise, which must come to no more than a ConnectError."""
    (one,) = listeners(stack, 1)

    async def work(*_: Any) -> Any:
        raise error

    async def resolve(_: Any) -> AsyncIterator[Batch]:
        raise error
        yield batch()

    def permit(_: Any) -> bool:
        raise error

    options: dict[str, Any] = {
        "on_socket": {"on_socket": work},
        "resolver": {"resolver": Resolving(resolve)},
        "permit": {"permit": permit},
        "handshake": {},
    }[where]
    try:
        with pytest.raises(ConnectError):
            await Dialer(**options).connect(
                NAME if where == "resolver" else one,
                timeout=LONG,
                handshake=work if where == "handshake" else None,  # type: ignore[arg-type]
            )
    finally:
        error.__traceback__ = None
