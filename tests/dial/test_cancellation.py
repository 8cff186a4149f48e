"""Cancelled at every step of every scenario, on every loop; and whatever else ends a wait.

After each: no open descriptor, no registered writer, no pending timer, no task; and a
cancellation that was asked for is a cancellation that happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import signal
import socket
import threading
from contextlib import ExitStack
from typing import Any

import pytest
import trio
import trio.testing
from conftest import open_descriptors, wait_for_threads
from support.listeners import LOOPBACK, listening, refusing, silent, unix_full, unix_listening
from support.scenarios import (
    ASYNCIO_LOOPS,
    Scenario,
    cancel_at_every_step,
    cancel_at_every_step_of_trio,
)
from support.sockets import ScriptedSocket, open_with
from support.stepping import one_turn

from aconnect import ConnectTimeout, Dialer, aconnect, connect_socket, wait_connected
from aconnect.drivers import asyncio_watch


def connected_at_once(scene: Scenario) -> Any:
    address = scene.stack.enter_context(listening(backlog=2000)).getsockname()
    return lambda: aconnect(address)


def connected_later(scene: Scenario) -> Any:
    address = scene.stack.enter_context(listening(backlog=2000)).getsockname()
    scene.script({"getpeername": [errno.ENOTCONN]})
    return lambda: aconnect(address, timeout=30)


def connected_after_a_false_alarm(scene: Scenario) -> Any:
    address = scene.stack.enter_context(listening(backlog=2000)).getsockname()
    scene.script({"getpeername": [errno.ENOTCONN] * 2})
    return lambda: aconnect(address, timeout=30)


def connected_after_false_alarms(scene: Scenario) -> Any:
    address = scene.stack.enter_context(listening(backlog=2000)).getsockname()
    scene.script({"getpeername": [errno.ENOTCONN] * 5, "so_error": [0, errno.EINPROGRESS]})
    return lambda: aconnect(address, timeout=30)


def refused(scene: Scenario) -> Any:
    address = scene.stack.enter_context(refusing())
    return lambda: aconnect(address, timeout=30)


def out_of_time(scene: Scenario) -> Any:
    address = scene.stack.enter_context(silent())
    return lambda: aconnect(address, timeout=0.01)


def a_backlog_that_drains(scene: Scenario) -> Any:
    scene.stack.enter_context(unix_listening(scene.path, backlog=2000))
    scene.script({"connect": [errno.EAGAIN] * 3})
    return lambda: aconnect(scene.path, timeout=30)


def a_backlog_that_stays_full(scene: Scenario) -> Any:
    scene.stack.enter_context(unix_full(scene.path))
    return lambda: aconnect(scene.path, timeout=0.01)


def a_name(scene: Scenario) -> Any:
    address = scene.stack.enter_context(listening(backlog=2000)).getsockname()
    return lambda: aconnect(("localhost", address[1]), timeout=30)


def a_name_that_takes_too_long(scene: Scenario) -> Any:
    released = threading.Event()
    scene.stack.callback(released.set)
    scene.monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: released.wait(0.02))
    return lambda: aconnect("db.example:5432", timeout=0.005)


def a_second_address(scene: Scenario) -> Any:
    dead = scene.stack.enter_context(refusing())
    address = scene.stack.enter_context(listening(backlog=2000)).getsockname()
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each) for each in (dead, address)]
    return lambda: aconnect(found, timeout=30)


def a_second_socket(scene: Scenario) -> Any:
    address = scene.stack.enter_context(listening(backlog=2000)).getsockname()
    scene.script(
        {"connect": [errno.EADDRNOTAVAIL]},
        {"getpeername": [errno.ENOTCONN] * 2},
    )
    return lambda: aconnect(address, timeout=30)


def on_a_callers_socket(scene: Scenario) -> Any:
    address = scene.stack.enter_context(listening(backlog=2000)).getsockname()

    async def call() -> None:
        # Once before connect(2).
        script: dict[str, list[Any]] = {"getpeername": [errno.ENOTCONN] * 3}
        with ScriptedSocket(script=script) as sock:
            try:
                await connect_socket(sock, address, timeout=30)
            finally:
                assert sock.fileno() >= 0  # the caller's to close

    return call


def on_a_callers_unix_socket(scene: Scenario) -> Any:
    scene.stack.enter_context(unix_full(scene.path))

    async def call() -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.setblocking(False)
            try:
                await connect_socket(sock, str(scene.path), timeout=0.01)
            finally:
                assert sock.fileno() >= 0

    return call


def an_attempt_that_runs_already(scene: Scenario) -> Any:
    address = scene.stack.enter_context(refusing())

    async def call() -> None:
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.connect_ex(address)
            try:
                await wait_connected(sock, timeout=30)
            finally:
                assert sock.fileno() >= 0

    return call


def an_attempt_that_stays_pending(scene: Scenario) -> Any:
    address = scene.stack.enter_context(silent())

    async def call() -> None:
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.connect_ex(address)
            try:
                await wait_connected(sock, timeout=0.01)
            finally:
                assert sock.fileno() >= 0

    return call


SCENARIOS = [
    connected_at_once,
    connected_later,
    connected_after_a_false_alarm,
    connected_after_false_alarms,
    refused,
    out_of_time,
    a_backlog_that_drains,
    a_backlog_that_stays_full,
    a_name,
    a_name_that_takes_too_long,
    a_second_address,
    a_second_socket,
    on_a_callers_socket,
    on_a_callers_unix_socket,
    an_attempt_that_runs_already,
    an_attempt_that_stays_pending,
]


@pytest.fixture(params=SCENARIOS, ids=lambda scenario: scenario.__name__)
def scene(request: pytest.FixtureRequest, monkeypatch: Any, tmp_path: Any) -> Any:
    with contextlib.ExitStack() as stack:
        scene = Scenario(stack, monkeypatch, tmp_path)
        scene.start = request.param(scene)
        yield scene


@pytest.mark.slow
@pytest.mark.parametrize("new_loop", ASYNCIO_LOOPS)
def test_every_step(new_loop: Any, scene: Any) -> None:
    cancel_at_every_step(new_loop, scene)


def test_every_step_on_trio(scene: Any) -> None:
    cancel_at_every_step_of_trio(scene)


@pytest.mark.parametrize("new_loop", ASYNCIO_LOOPS[:3])
@pytest.mark.parametrize("cancel_first", [True, False])
@pytest.mark.parametrize(
    ("connect", "probes"),
    [
        pytest.param(aconnect, 1, id="alone"),
        pytest.param(Dialer(attempt_timeout=30).connect, 2, id="race"),
    ],
)
def test_cancelled_in_the_callback_of_success(
    new_loop: Any, cancel_first: bool, connect: Any, probes: int, monkeypatch: Any
) -> None:
    """Made to happen: the callback that finds the socket writable cancels the task as well."""
    wake = asyncio_watch.wake
    opened: list[ScriptedSocket] = []
    tasks: list[asyncio.Task[Any]] = []

    def open_one(endpoint: Any) -> ScriptedSocket:
        opened.append(ScriptedSocket(script={"getpeername": [errno.ENOTCONN] * probes}))
        return opened[-1]

    def wake_and_cancel(waiter: asyncio.Future[Any], result: Any) -> None:
        if cancel_first:
            assert tasks[0].cancel()
        wake(waiter, result)
        assert tasks[0].cancel()

    async def main(address: Any) -> None:
        tasks.append(asyncio.ensure_future(connect(address, timeout=30)))
        await asyncio.wait(tasks)
        assert tasks.pop().cancelled()

    open_with(monkeypatch, open_one)
    for module in ("asyncio_selector", "asyncio_watch"):
        monkeypatch.setattr(f"aconnect.drivers.{module}.wake", wake_and_cancel)
    with listening() as listener, asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main(listener.getsockname()))
    assert [sock.fileno() for sock in opened] == [-1]


@pytest.mark.parametrize("new_loop", ASYNCIO_LOOPS[:3])
def test_cancelled_when_the_waiter_is_done_and_the_task_has_not_run(new_loop: Any) -> None:
    loop = new_loop()
    with refusing() as address:

        async def main() -> None:
            task = asyncio.ensure_future(aconnect(address, timeout=30))
            for turns in range(20):
                for _ in range(turns):
                    await asyncio.sleep(0)
                if task.done():
                    break
                # From within a callback of the same turn, after the selector's.
                asked = task.cancel()
                await asyncio.wait([task])
                assert task.cancelled() is asked
                task = asyncio.ensure_future(aconnect(address, timeout=30))
            await asyncio.wait([task])
            if not task.cancelled():
                assert isinstance(task.exception(), ConnectionRefusedError)

        loop.run_until_complete(main())
    loop.close()


@pytest.mark.parametrize("new_loop", ASYNCIO_LOOPS)
@pytest.mark.parametrize("waits_for", ["the peer", "the lookup"])
def test_the_loop_is_closed_meanwhile(new_loop: Any, waits_for: str, monkeypatch: Any) -> None:
    """The task is gone with its loop, and the socket with the task."""
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: released.wait(30))
    before = open_descriptors()
    with silent() as address:
        call = aconnect(address if waits_for == "the peer" else "db.example:1", timeout=30)
        loop = new_loop()
        task = loop.create_task(call)
        for _ in range(5):
            one_turn(loop)
        assert not task.done()
        tasks = asyncio.all_tasks(loop)
        loop.close()
        call.close()
        for task in tasks:
            task._log_destroy_pending = False  # that it is pending is what this is about
            task.get_coro().close()
        del task, tasks, call
        released.set()
        wait_for_threads()
        gc.collect()
    assert open_descriptors() <= before


@pytest.mark.parametrize("new_loop", ASYNCIO_LOOPS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_interpreter_is_to_stop(new_loop: Any, error: Any) -> None:
    """Raised in a callback, it leaves run_until_complete(); the runner then cancels the task."""
    before = open_descriptors()
    with silent() as address, asyncio.Runner(loop_factory=new_loop) as runner:

        def stop() -> None:
            raise error

        async def main() -> None:
            asyncio.get_running_loop().call_later(0.01, stop)
            await aconnect(address, timeout=30)

        with pytest.raises(error):
            runner.run(main())
    assert open_descriptors() <= before


class _CtrlC(trio.abc.Instrument):
    """Somebody types Ctrl-C when there is nothing to do but to wait."""

    typed = False

    def before_io_wait(self, timeout: float) -> None:
        if timeout > 0 and not self.typed:
            self.typed = True
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("careful", [False, True])
def test_ctrl_c_under_trio(number: int, careful: bool) -> None:
    """It is no group, of one address as of several."""
    before = open_descriptors()
    with ExitStack() as stack:
        results = [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
            for address in [stack.enter_context(silent()) for _ in range(number)]
        ]

        async def main() -> None:
            await aconnect(results, timeout=30)

        with pytest.raises(KeyboardInterrupt) as caught:
            trio.run(
                main,
                instruments=[_CtrlC()],
                restrict_keyboard_interrupt_to_checkpoints=careful,
            )
        assert caught.value.__context__ is None
    assert open_descriptors() <= before


@pytest.mark.parametrize("new_loop", ASYNCIO_LOOPS[:3])
def test_many_time_limits_race_many_successes(new_loop: Any) -> None:
    """asyncio.timeout() around a call that succeeds at about the same time."""
    opened: list[ScriptedSocket] = []

    def open_one(endpoint: Any) -> ScriptedSocket:
        opened.append(ScriptedSocket(script={"getpeername": [errno.ENOTCONN] * 2}))
        return opened[-1]

    async def main(address: Any) -> None:
        for delay in range(200):
            try:
                async with asyncio.timeout(delay / 400_000):
                    sock = await aconnect(address, timeout=30)
            except ConnectTimeout:
                raise AssertionError("somebody else's time limit became ours") from None
            except TimeoutError:
                continue
            sock.close()

    with (
        listening(backlog=1000) as listener,
        pytest.MonkeyPatch.context() as patch,
        asyncio.Runner(loop_factory=new_loop) as runner,
    ):
        open_with(patch, open_one)
        runner.run(main(listener.getsockname()))
    assert {sock.fileno() for sock in opened} == {-1}


def test_trio_checkpoints_even_when_nothing_waits() -> None:
    async def main() -> None:
        with listening() as listener, trio.CancelScope() as scope:
            scope.cancel()
            await aconnect(listener.getsockname())
            raise AssertionError("not a checkpoint")
        with listening() as listener:
            with trio.testing.assert_checkpoints():
                sock = await aconnect(listener.getsockname())
            sock.close()

    trio.run(main)


def test_an_asyncio_task_cancelled_before_it_begins_never_begins() -> None:
    async def main() -> None:
        task = asyncio.get_running_loop().create_task(aconnect((LOOPBACK, 1)))
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(main())
