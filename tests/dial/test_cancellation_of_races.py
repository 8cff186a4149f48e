"""Races that are cancelled at every step, on every loop; and whatever else ends them.

After each: what `support.scenarios` says, and every socket that was opened has been closed
exactly once, unless it is the one that was returned; so has what a handshake gave; and every
resolver has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import random
import socket
import weakref
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio
from conftest import open_descriptors
from support.listeners import listening, refusing, silent, unix_full, unix_listening
from support.scenarios import (
    ASYNCIO_LOOPS,
    Scenario,
    assert_nothing_left,
    cancel_at_every_step,
    cancel_at_every_step_of_trio,
    new_runnable,
    result_of,
)
from support.sockets import ScriptedSocket, open_with
from support.stepping import one_turn

from aconnect import ConnectError, ConnectTimeout
from aconnect.addresses.values import Endpoint
from aconnect.dial.dialer import Dialer
from aconnect.dial.runner import Runner
from aconnect.resolvers.base import Batch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.slow

LATER: dict[str, list[Any]] = {"getpeername": [errno.ENOTCONN] * 2}
"""Not connected when connect(2) returns, though the kernel has done it."""


class CountedSocket(ScriptedSocket):
    closes = 0

    def close(self) -> None:
        self.closes += 1
        super().close()


class Session:
    """What a handshake makes of a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.closes = 0

    def close(self) -> None:
        """Leave the socket alone: somebody else closes that."""
        self.closes += 1


class RaceScenario(Scenario):
    """A scenario that keeps account of what a race opens, is given and leaves."""

    def __init__(self, stack: contextlib.ExitStack, monkeypatch: Any, tmp_path: Any) -> None:
        super().__init__(stack, monkeypatch, tmp_path)
        monkeypatch.setattr("support.stepping.STEP_SECONDS", 0.0007)  # there is more to wait for
        self.scripts: list[dict[str, list[Any]]] = []
        self.by_address: dict[Any, dict[str, list[Any]]] = {}
        self.opened: list[CountedSocket] = []
        self.sessions: list[Session] = []
        self.hooks: list[CountedSocket] = []
        self.resolvers: list[str] = []
        open_with(monkeypatch, self._open)

    def _open(self, endpoint: Endpoint) -> CountedSocket:
        script = self.by_address.get(endpoint.sockaddr, {})
        if len(self.opened) < len(self.scripts):
            script = self.scripts[len(self.opened)]
        script = {name: list(answers) for name, answers in script.items()}
        sock = CountedSocket(endpoint.family, endpoint.type, endpoint.proto, script=script)
        self.opened.append(sock)
        return sock

    def renew(self) -> None:
        self.opened.clear()
        self.sessions.clear()
        self.hooks.clear()
        self.resolvers.clear()

    def check(self, won: Any) -> None:
        kept = won.sock if isinstance(won, Session) else won
        assert kept is None or kept in self.opened
        for sock in self.opened:
            assert sock.closes == (sock is not kept), (sock, sock.closes)
            assert (sock.fileno() < 0) == (sock is not kept)
        for session in self.sessions:
            assert session.closes == (session is not won)
        assert self.resolvers.count("entered") == self.resolvers.count("left")

    def close(self, won: Any) -> None:
        won.close()
        if isinstance(won, Session):
            won.sock.close()

    # What scenarios are made of.

    def session(self, sock: socket.socket) -> Session:
        self.sessions.append(Session(sock))
        return self.sessions[-1]

    def listening(self) -> Any:
        return self.stack.enter_context(listening(backlog=4000)).getsockname()

    def refusing(self) -> Any:
        return self.stack.enter_context(refusing())

    def silent(self) -> Any:
        return self.stack.enter_context(silent())

    def found_later(self, *batches: list[Endpoint], ends: bool = True) -> Any:
        """A resolver that pauses before each batch, at the end, and when it is closed."""
        scene = self

        class Slow:
            async def resolve(self, _: Any) -> AsyncIterator[Batch]:
                scene.resolvers.append("entered")
                try:
                    for batch in batches:
                        await anyio.sleep(0.001)
                        yield Batch(batch, sorted=True)
                    await anyio.sleep(0.001 if ends else 30)
                finally:
                    try:
                        with anyio.CancelScope(shield=True):
                            await anyio.sleep(0.001)
                            await anyio.sleep(0.001)
                    finally:
                        scene.resolvers.append("left")

        return Slow()


def of(*addresses: Any) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]


def endpoints(*addresses: Any) -> list[Endpoint]:
    return [
        Endpoint(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, address)
        for address in addresses
    ]


async def some_turns(_: Any = None) -> None:
    for _ in range(3):
        await anyio.sleep(0)
    await anyio.sleep(0.001)


QUICK = Dialer(attempt_delay=0.01, resolution_delay=0)


def several_silent_ones(scene: RaceScenario) -> Any:
    found = of(*(scene.silent() for _ in range(3)))
    return lambda: QUICK.connect(found, timeout=0.025)


def silent_then_healthy(scene: RaceScenario) -> Any:
    found = of(scene.silent(), scene.listening())
    return lambda: QUICK.connect(found, timeout=30)


def refused_then_healthy(scene: RaceScenario) -> Any:
    found = of(scene.refusing(), scene.listening())
    scene.scripts = [{}, LATER]
    return lambda: QUICK.connect(found, timeout=30)


def two_at_once(scene: RaceScenario) -> Any:
    """The first waits in its hook for the second; both are writable in one turn."""
    found = of(scene.listening(), scene.listening())
    scene.scripts = [LATER, LATER]

    async def together(sock: socket.socket, _: Any) -> None:
        while len(scene.opened) < 2:
            await anyio.sleep(0.001)

    dialer = QUICK.replace(on_socket=together)
    return lambda: dialer.connect(found, timeout=30)


def a_winner_while_a_hook_ends(scene: RaceScenario) -> Any:
    """The hook of the first ends in the turn in which the second connects."""
    found = of(scene.listening(), scene.listening())

    async def together(sock: CountedSocket, _: Any) -> None:
        if sock is scene.opened[0]:
            while len(scene.opened) < 2:
                await anyio.sleep(0.001)

    dialer = QUICK.replace(on_socket=together)
    return lambda: dialer.connect(found, timeout=30)


def a_plain_hook(scene: RaceScenario) -> Any:
    found = of(scene.silent(), scene.listening())
    dialer = QUICK.replace(on_socket=lambda sock, _: scene.hooks.append(sock))
    return lambda: dialer.connect(found, timeout=30)


def an_async_hook(scene: RaceScenario) -> Any:
    found = of(scene.silent(), scene.listening())

    async def hook(sock: CountedSocket, _: Any) -> None:
        scene.hooks.append(sock)
        await some_turns()

    dialer = QUICK.replace(on_socket=hook)
    return lambda: dialer.connect(found, timeout=30)


def an_async_hook_that_need_not_wait(scene: RaceScenario) -> Any:
    found = of(scene.silent(), scene.refusing(), scene.listening())

    async def hook(sock: CountedSocket, _: Any) -> None:
        scene.hooks.append(sock)

    dialer = QUICK.replace(on_socket=hook)
    return lambda: dialer.connect(found, timeout=30)


def an_async_hook_that_fails(scene: RaceScenario) -> Any:
    found = of(scene.listening(), scene.listening())

    async def hook(sock: CountedSocket, _: Any) -> None:
        await some_turns()
        if sock is scene.opened[0]:
            raise ValueError("not this one")

    dialer = QUICK.replace(on_socket=hook)
    return lambda: dialer.connect(found, timeout=30)


def a_handshake(scene: RaceScenario) -> Any:
    found = of(scene.silent(), scene.listening())

    async def shake(sock: CountedSocket) -> Any:
        await some_turns()
        return scene.session(sock)

    return lambda: QUICK.connect(found, timeout=30, handshake=shake)


def a_handshake_that_need_not_wait(scene: RaceScenario) -> Any:
    found = of(scene.refusing(), scene.listening(), scene.listening())

    async def shake(sock: CountedSocket) -> Any:
        if len(scene.opened) < 3:
            raise ConnectionResetError(errno.ECONNRESET, "not this one")
        return scene.session(sock)

    return lambda: QUICK.connect(found, timeout=30, handshake=shake)


def a_handshake_that_fails_first(scene: RaceScenario) -> Any:
    found = of(scene.listening(), scene.listening())
    scene.scripts = [LATER, {}]

    async def shake(sock: CountedSocket) -> Any:
        await some_turns()
        if sock is scene.opened[0]:
            raise ValueError("not this one")
        return scene.session(sock)

    return lambda: QUICK.connect(found, timeout=30, handshake=shake)


def a_handshake_that_takes_too_long(scene: RaceScenario) -> Any:
    found = of(scene.listening(), scene.silent())

    async def shake(sock: CountedSocket) -> Any:
        try:
            await anyio.sleep(30)
        finally:
            assert sock.closes == 0  # its own, while it runs

    return lambda: QUICK.connect(found, timeout=0.015, handshake=shake)


def a_handshake_that_cleans_up(scene: RaceScenario) -> Any:
    found = of(scene.listening())

    async def shake(sock: CountedSocket) -> Any:
        try:
            await anyio.sleep(30)
        finally:
            with anyio.CancelScope(shield=True):
                await some_turns()
            assert sock.closes == 0

    return lambda: QUICK.connect(found, timeout=0.005, handshake=shake)


def a_handshake_that_makes_a_session(scene: RaceScenario) -> Any:
    found = of(scene.silent(), scene.listening())

    async def shake(sock: CountedSocket) -> Any:
        await some_turns()
        return scene.session(sock)

    return lambda: QUICK.connect(found, timeout=30, handshake=shake)


def a_handshake_that_will_not_be_cancelled(scene: RaceScenario) -> Any:
    found = of(scene.listening())

    async def shake(sock: CountedSocket) -> Any:
        with contextlib.suppress(asyncio.CancelledError), anyio.CancelScope(shield=True):
            await some_turns()
        return scene.session(sock)

    return lambda: QUICK.connect(found, timeout=30, handshake=shake)


def a_handshake_that_outlives_its_time(scene: RaceScenario) -> Any:
    """It ignores that its time is up, and succeeds when nobody wants it any more."""
    found = of(scene.listening())

    async def shake(sock: CountedSocket) -> Any:
        with contextlib.suppress(asyncio.CancelledError), anyio.CancelScope(shield=True):
            await anyio.sleep(0.015)
        return scene.session(sock)

    return lambda: QUICK.connect(found, timeout=0.01, handshake=shake)


def a_resolver_that_has_not_ended(scene: RaceScenario) -> Any:
    first, second = endpoints(scene.silent()), endpoints(scene.listening())
    dialer = QUICK.replace(resolver=scene.found_later(first, second, ends=False))
    return lambda: dialer.connect("db.example:1", timeout=30)


def a_resolver_that_finds_nothing_good(scene: RaceScenario) -> Any:
    first, second = endpoints(scene.refusing()), endpoints(scene.refusing())
    dialer = QUICK.replace(resolver=scene.found_later(first, [], second))
    return lambda: dialer.connect("db.example:1", timeout=30)


def a_resolver_that_takes_too_long(scene: RaceScenario) -> Any:
    dialer = QUICK.replace(resolver=scene.found_later(endpoints(scene.silent()), ends=False))
    return lambda: dialer.connect("db.example:1", timeout=0.01)


def a_resolver_and_a_handshake(scene: RaceScenario) -> Any:
    found = endpoints(scene.listening())
    dialer = QUICK.replace(resolver=scene.found_later(found, ends=False))

    async def shake(sock: CountedSocket) -> Any:
        await some_turns()
        return scene.session(sock)

    return lambda: dialer.connect("db.example:1", timeout=30, handshake=shake)


def a_full_backlog(scene: RaceScenario) -> Any:
    scene.stack.enter_context(unix_full(scene.path))
    full = (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", str(scene.path))
    found = [full, *of(scene.listening())]
    return lambda: QUICK.connect(found, timeout=30)


def a_backlog_that_drains(scene: RaceScenario) -> Any:
    scene.stack.enter_context(unix_listening(scene.path, backlog=4000))
    scene.scripts = [{}, {"connect": [errno.EAGAIN] * 3}]
    unix = (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", str(scene.path))
    found = [*of(scene.refusing()), unix]
    return lambda: QUICK.connect(found, timeout=30)


SCENARIOS = [
    several_silent_ones,
    silent_then_healthy,
    refused_then_healthy,
    two_at_once,
    a_winner_while_a_hook_ends,
    a_plain_hook,
    an_async_hook,
    an_async_hook_that_need_not_wait,
    an_async_hook_that_fails,
    a_handshake,
    a_handshake_that_need_not_wait,
    a_handshake_that_fails_first,
    a_handshake_that_takes_too_long,
    a_handshake_that_cleans_up,
    a_handshake_that_makes_a_session,
    a_handshake_that_will_not_be_cancelled,
    a_handshake_that_outlives_its_time,
    a_resolver_that_has_not_ended,
    a_resolver_that_finds_nothing_good,
    a_resolver_that_takes_too_long,
    a_resolver_and_a_handshake,
    a_full_backlog,
    a_backlog_that_drains,
]


@pytest.fixture
def scene(request: pytest.FixtureRequest, monkeypatch: Any, tmp_path: Any) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:
        scene = RaceScenario(stack, monkeypatch, tmp_path)
        if hasattr(request, "param"):
            scene.start = request.param(scene)
        yield scene


def scenarios(*chosen: Any) -> Any:
    return pytest.mark.parametrize("scene", chosen, indirect=True, ids=lambda each: each.__name__)


@pytest.mark.parametrize("new_loop", ASYNCIO_LOOPS)
@scenarios(*SCENARIOS)
def test_every_step(new_loop: Any, scene: Any) -> None:
    cancel_at_every_step(new_loop, scene)


@scenarios(*SCENARIOS)
def test_every_step_on_trio(scene: Any) -> None:
    cancel_at_every_step_of_trio(scene)


@pytest.mark.parametrize("new_loop", ASYNCIO_LOOPS)
@scenarios(
    a_handshake_that_cleans_up,
    a_resolver_that_has_not_ended,
    a_resolver_that_takes_too_long,
    a_resolver_and_a_handshake,
)
def test_cancelled_again_in_every_turn_of_the_clean_up(new_loop: Any, scene: Any) -> None:
    cancel_at_every_step(new_loop, scene, again=True)


@pytest.mark.parametrize("new_loop", ASYNCIO_LOOPS)
@scenarios(a_resolver_that_has_not_ended)
def test_cancelled_while_the_resolver_ends(new_loop: Any, scene: Any) -> None:
    """The race is won, and the winner is closed all the same."""
    loop, complaints = new_runnable(new_loop)
    dials: list[Runner] = []
    until_over = Runner._until_over

    async def noted(dial: Runner, *given: Any) -> None:
        dials.append(dial)
        await until_over(dial, *given)

    scene.monkeypatch.setattr(Runner, "_until_over", noted)
    task = loop.create_task(scene.start())
    while not dials or dials[0].winner is None:
        one_turn(loop)
    assert not task.done()
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    assert task.cancelled()
    scene.check(None)
    assert_nothing_left(loop)
    assert not complaints
    loop.close()


@pytest.mark.parametrize("new_loop", ASYNCIO_LOOPS)
@pytest.mark.parametrize("turns", [2, 3, 10])
@scenarios(silent_then_healthy, an_async_hook, a_handshake_that_takes_too_long, a_full_backlog)
# If the loop is closed in the turn in which a hook gave its coroutine, nobody can await it.
@pytest.mark.filterwarnings("ignore:.*an_async_hook:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:coroutine .*an_async_hook:RuntimeWarning")
def test_the_loop_is_closed_meanwhile(new_loop: Any, turns: int, scene: Any) -> None:
    """The tasks are gone with their loop, and the sockets with the tasks."""
    before = open_descriptors()
    loop, _ = new_runnable(new_loop)
    call = scene.start()
    task = loop.create_task(call)
    for _ in range(turns):
        one_turn(loop)
    tasks = asyncio.all_tasks(loop)
    won = task.result() if task.done() and task.exception() is None else None
    loop.close()
    call.close()
    for each in tasks:
        each._log_destroy_pending = False  # that it is pending is what this is about
        each.get_coro().close()
    del task, tasks, call
    for sock in scene.opened:
        assert sock is won or sock.closes == 1
    if won is not None:
        won.close()
    gc.collect()
    assert open_descriptors() - before <= set()


@pytest.mark.parametrize("new_loop", ASYNCIO_LOOPS)
@pytest.mark.parametrize("a_coroutine", [True, False])
def test_a_call_that_is_closed_before_its_hook_has_begun(new_loop: Any, a_coroutine: bool) -> None:
    """The hook does not begin: its socket is closed."""
    seen: list[int] = []

    async def hook(sock: socket.socket, endpoint: Any) -> None:
        seen.append(sock.fileno())
        await asyncio.sleep(0)

    class Later:
        def __init__(self, *args: Any) -> None:
            self.args = args

        def __await__(self) -> Any:
            return hook(*self.args).__await__()

    async def main() -> None:
        call = Dialer(on_socket=hook if a_coroutine else Later).connect(("127.0.0.1", 1))
        call.send(None)
        call.close()
        for _ in range(5):
            await asyncio.sleep(0)

    loop, _ = new_runnable(new_loop)
    loop.run_until_complete(main())
    loop.close()
    assert -1 not in seen


@pytest.mark.parametrize("new_loop", ASYNCIO_LOOPS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@scenarios(a_handshake_that_takes_too_long, a_resolver_that_takes_too_long)
def test_the_interpreter_is_to_stop(new_loop: Any, error: Any, scene: Any) -> None:
    """Raised in a callback, it leaves run_until_complete(); the runner then cancels the task."""

    def stop() -> None:
        raise error

    async def main() -> None:
        asyncio.get_running_loop().call_later(0.004, stop)
        await scene.start()

    with asyncio.Runner(loop_factory=new_loop) as runner, pytest.raises(error):
        runner.run(main())
    scene.check(None)


@pytest.mark.parametrize("new_loop", ASYNCIO_LOOPS)
@scenarios(silent_then_healthy, a_handshake, a_resolver_and_a_handshake)
def test_somebody_elses_time_limit(new_loop: Any, scene: Any) -> None:
    async def main(limit: Any) -> None:
        for delay in range(12):
            scene.renew()
            won = None
            try:
                async with limit(delay / 1000):
                    won = await scene.start()
            except ConnectTimeout:
                raise AssertionError("somebody else's time limit became ours") from None
            except TimeoutError:
                if won is not None:  # it came too late for us
                    scene.close(won)
                    continue
            scene.check(won)
            if won is not None:
                scene.close(won)

    @contextlib.asynccontextmanager
    async def fail_after(delay: float) -> AsyncIterator[None]:
        with anyio.fail_after(delay):
            yield

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main(asyncio.timeout))
        runner.run(main(fail_after))
    trio.run(main, fail_after)


class RandomRace(RaceScenario):
    """What a seed makes: addresses, scripts, a hook, a handshake, a resolver."""

    def shuffle(self, seed: int, addresses: dict[str, list[Any]]) -> None:
        rng = random.Random(seed)
        self.renew()
        chosen = [
            rng.choice(addresses[rng.choice(list(addresses))]) for _ in range(rng.randint(1, 5))
        ]
        chosen = list(dict.fromkeys(chosen))
        kinds: list[dict[str, list[Any]]] = [
            {},
            {},
            LATER,
            {"getpeername": [errno.ENOTCONN] * 3, "so_error": [0, errno.EINPROGRESS]},
            {"connect": [errno.EADDRNOTAVAIL]},
            {"connect": [errno.ENETUNREACH]},
            {"so_error": [errno.ECONNRESET], "getpeername": [errno.ENOTCONN]},
        ]
        self.scripts = [rng.choice(kinds) for _ in range(8)]
        pauses = [rng.choice([None, 0, 0.0005, 0.002, 0.02]) for _ in range(20)]

        async def pause() -> None:
            seconds = pauses.pop()
            if seconds is not None:
                await anyio.sleep(seconds)

        async def hook(sock: socket.socket, _: Any) -> None:
            await pause()

        fails = [rng.random() < 0.4 for _ in range(8)]

        async def shake(sock: socket.socket) -> Session:
            await pause()
            if fails.pop():
                raise ConnectionResetError(errno.ECONNRESET, "not this one")
            return self.session(sock)

        dialer = QUICK.replace(
            attempt_delay=rng.choice([0.01, 0.01, 0.02, None]),
            max_in_flight=rng.randint(1, 3),
            attempt_timeout=rng.choice([None, 0.005]),
            on_socket=rng.choice([None, hook]),
        )
        target: Any = of(*chosen)
        if rng.random() < 0.4:
            found = endpoints(*chosen)
            cut = rng.randint(0, len(found))
            resolver = self.found_later(found[:cut], found[cut:], ends=rng.random() < 0.5)
            dialer = dialer.replace(resolver=resolver)
            target = "db.example:1"
        options = {"timeout": rng.choice([0.0, 0.004, 0.012, 0.025])}
        handshake = rng.choice([None, shake])
        self.start = lambda: dialer.connect(target, handshake=handshake, **options)
        self.cancel_after = rng.choice([None, rng.uniform(0, 0.02), rng.uniform(0, 0.005)])


RANDOM_RACES = 60
"""For each kind of loop."""


@pytest.fixture
def random_race(monkeypatch: Any, tmp_path: Any) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:
        race = RandomRace(stack, monkeypatch, tmp_path)
        addresses = {
            "listening": [race.listening() for _ in range(3)],
            "refusing": [race.refusing() for _ in range(3)],
            "silent": [race.silent() for _ in range(3)],
        }
        yield race, addresses


@pytest.mark.parametrize("new_loop", ASYNCIO_LOOPS)
def test_random_races(new_loop: Any, random_race: Any) -> None:
    race, addresses = random_race
    loop, complaints = new_runnable(new_loop)

    async def main() -> tuple[asyncio.Task[Any], bool]:
        task = asyncio.ensure_future(race.start())
        await asyncio.wait([task], timeout=race.cancel_after)
        cancelled = not task.done() and task.cancel()
        await asyncio.wait([task])
        return task, cancelled

    for seed in range(RANDOM_RACES):
        before = open_descriptors()
        race.shuffle(seed, addresses)
        task, cancelled = loop.run_until_complete(main())
        assert task.cancelled() is cancelled, seed
        won = None if cancelled else result_of(task)
        race.check(won)
        if won is not None:
            race.close(won)
        del task, won
        assert_nothing_left(loop, seed)
        assert open_descriptors() <= before, seed
        assert not complaints, (seed, complaints)
    loop.close()


def test_random_races_on_trio(random_race: Any) -> None:
    race, addresses = random_race

    async def main() -> Any:
        with trio.move_on_after(race.cancel_after or 30) as scope:
            try:
                return await race.start()
            except ConnectError:
                return None
        assert scope.cancelled_caught
        return None

    for seed in range(RANDOM_RACES):
        before = open_descriptors()
        race.shuffle(seed, addresses)
        won = trio.run(main)
        race.check(won)
        if won is not None:
            race.close(won)
        assert open_descriptors() <= before, seed


@pytest.mark.parametrize("backend", ["asyncio", "eager", "uvloop", "no add_writer", "trio"])
@pytest.mark.parametrize(
    "how", ["refused", "handshakes fail", "handshakes hang", "hooks fail", "out of time"]
)
def test_an_error_that_is_dropped_keeps_nothing_alive(how: str, backend: str, scene: Any) -> None:
    traces: list[weakref.ref[Any]] = []

    class Local:
        """Alive for as long as the frame that has it."""

    async def fail(*_: Any) -> None:
        local = Local()
        traces.append(weakref.ref(local))
        await anyio.sleep(30 if how == "handshakes hang" else 0.001)
        raise ValueError("not this one")

    address = {"refused": scene.refusing, "out of time": scene.silent}.get(how, scene.listening)
    found = of(address(), address())
    dialer = QUICK.replace(on_socket=fail if how == "hooks fail" else None)
    handshake = fail if how.startswith("handshakes") else None

    async def main() -> None:
        try:
            await dialer.connect(found, timeout=0.2, handshake=handshake)
        except ConnectError as caught:
            error = caught
        assert len(error.attempts) == 2
        del error
        await anyio.sleep(0.005)
        traces.extend(map(weakref.ref, scene.opened))
        scene.renew()
        assert [each() for each in traces if each() is not None] == []

    loops = {param.id: param for param in ASYNCIO_LOOPS}
    gc.collect()
    gc.disable()
    try:
        if backend == "trio":
            trio.run(main)
        elif backend == "eager" and not hasattr(asyncio, "eager_task_factory"):
            pytest.skip("eager tasks: Python 3.12")
        else:
            with asyncio.Runner(loop_factory=loops[backend].values[0]) as runner:
                runner.run(main())
    finally:
        gc.enable()
