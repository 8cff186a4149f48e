"""Ctrl-C, and whatever else a signal handler raises, ends a wait at once, and leaves nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.listeners import listening, silent

from aconnect import Batch, Dialer, Report, StaticResolver, blocking
from aconnect.drivers import private_loop
from aconnect.trace import AttemptEnded, AttemptStarted, DialConnected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from aconnect.trace import Event

NAME = "server.example"


class Interrupted(BaseException):
    """What a handler of the program's raises, such as one for a time limit."""


@contextmanager
def interrupted(error: type[BaseException], after: float = 0.05) -> Iterator[None]:
    """Have a signal handler raise ``error`` while the block waits."""

    def handler(*_: Any) -> None:
        raise error

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, after)
    try:
        with pytest.raises(error):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Silent:
    async def resolve(self, address: Any) -> AsyncIterator[Batch]:
        await asyncio.Event().wait()
        yield Batch([])


@pytest.mark.parametrize("error", [KeyboardInterrupt, Interrupted])
def test_while_the_thread_waits_for_one_address(error: type[BaseException]) -> None:
    with silent() as address, interrupted(error):
        blocking.connect(address, timeout=60)


@pytest.mark.parametrize("error", [KeyboardInterrupt, Interrupted])
def test_while_addresses_race(error: type[BaseException]) -> None:
    with silent() as one, silent("127.0.0.2") as other, interrupted(error):
        blocking.connect([one, other], timeout=60, attempt_delay=0.01)


@pytest.mark.parametrize("error", [KeyboardInterrupt, Interrupted])
def test_while_the_loop_waits(error: type[BaseException]) -> None:
    with listening() as listener:
        port = listener.getsockname()[1]
        dialer = Dialer(resolver=StaticResolver({NAME: ["127.0.0.1"]}))
        with interrupted(error):
            blocking.connect((NAME, port), timeout=60, resolver=Silent())
        blocking.connect((NAME, port), dialer=dialer).close()  # there is another loop


@pytest.mark.parametrize("error", [KeyboardInterrupt, Interrupted])
def test_while_a_hook_is_awaited(error: type[BaseException]) -> None:
    cleaned_up: list[bool] = []

    async def hook(sock: socket.socket, endpoint: Any) -> None:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned_up.append(True)

    with interrupted(error, after=60):
        blocking.connect(("127.0.0.1", 1), timeout=60, on_socket=hook)
    assert cleaned_up == [True]


def test_a_hook_that_raises_it() -> None:
    def hook(sock: socket.socket, endpoint: Any) -> None:
        raise KeyboardInterrupt

    async def later(sock: socket.socket, endpoint: Any) -> None:
        await asyncio.sleep(0)
        raise KeyboardInterrupt

    for each in (hook, later):
        with pytest.raises(KeyboardInterrupt):
            blocking.connect(("127.0.0.1", 1), on_socket=each)


@pytest.mark.parametrize("kind", [AttemptStarted, AttemptEnded, DialConnected])
@pytest.mark.parametrize("host", [NAME, "127.0.0.1"])
def test_a_trace_that_raises_it(kind: type[Event], host: str) -> None:
    def trace(event: Event) -> None:
        if isinstance(event, kind):
            raise KeyboardInterrupt

    dialer = Dialer(resolver=StaticResolver({NAME: ["127.0.0.1"]}), trace=trace)
    with listening() as listener, pytest.raises(KeyboardInterrupt):
        blocking.connect((host, listener.getsockname()[1]), dialer=dialer)


@pytest.mark.parametrize("host", [NAME, "127.0.0.1"])
def test_who_is_told_of_the_report_raises_it(host: str) -> None:
    def told(report: Report) -> None:
        reports.append(report)
        raise KeyboardInterrupt

    reports: list[Report] = []
    dialer = Dialer(resolver=StaticResolver({NAME: ["127.0.0.1"]}), on_report=told)
    with listening() as listener, pytest.raises(KeyboardInterrupt):
        blocking.connect((host, listener.getsockname()[1]), dialer=dialer)
    assert [report.outcome for report in reports] == ["connected"]


def test_a_clean_up_that_takes_too_long_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_loop, "_CLEANING_UP", 0.02)
    cleaned_up: list[str] = []

    async def hook(sock: socket.socket, endpoint: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            try:
                await asyncio.Event().wait()
            finally:
                cleaned_up.append("cut off")

    with interrupted(KeyboardInterrupt):
        blocking.connect(("127.0.0.1", 1), timeout=60, on_socket=hook)
    assert cleaned_up == ["cut off"]


def test_ctrl_c_in_a_program() -> None:
    """With Python's own handler, in the main thread of a process, which is about to wait.

    Where a socket is just being opened, in Python's own code, it would be the garbage collector
    that closes it, and says so.
    """
    program = """
import select, socket
from aconnect import Dialer, StaticResolver, blocking

class Poller:
    def __init__(self):
        self.register, self._poll = (poller := poll()).register, poller.poll

    def poll(self, timeout=None):
        if timeout != 0:
            print("waiting", flush=True)
        return self._poll(timeout)

poll, select.poll = select.poll, Poller
with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    dialer = Dialer(resolver=StaticResolver({"a.example": ["127.0.0.1"]}))
    try:
        blocking.connect(("a.example", listener.getsockname()[1]), dialer=dialer)
    except KeyboardInterrupt:
        print("interrupted")
    for filler in fillers:
        filler.close()
"""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == "waiting\n"
        said = None
        while said is None:
            process.send_signal(signal.SIGINT)
            try:
                said, complaints = process.communicate(timeout=15)
            except subprocess.TimeoutExpired:
                pass  # it came after Python had looked, and before poll(2): that hears the next
    assert (said, complaints, process.returncode) == ("interrupted\n", "", 0)


# At every step


@contextmanager
def raising_at(line: int) -> Iterator[list[Any]]:
    """Raise KeyboardInterrupt at the so-many-th line that this thread runs here.

    Yields:
        How many there were; and where that was.
    """
    count: list[Any] = [0]

    def trace(frame: Any, event: str, _: Any) -> Any:
        if frame.f_code.co_filename == socket.__file__:
            return None  # its socketpair() has descriptors for a moment that are nobody's
        if event == "line":
            count[0] += 1
            if count[0] == line:
                sys.settrace(None)
                count.append(frame)
                count[1] = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(before)


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def at_every_step(call: Callable[[], None], stride: int) -> None:
    """Interrupt the call at every so-many-th line; what is left, the garbage collector has."""
    private_loop.forget_private_loop()
    for line in range(1, 1_000_000, stride):
        gc.collect()
        before = descriptors()
        ended = True
        try:
            with raising_at(line) as count:
                call()
        except KeyboardInterrupt:
            ended = False
        private_loop.forget_private_loop()
        gc.collect()
        deadline = time.monotonic() + 1
        while descriptors() - before and time.monotonic() < deadline:
            time.sleep(0.001)  # a lookup that goes on in its thread
        assert not descriptors() - before, f"at line {line}: {count[1:]}"
        if ended and count[0] < line:
            return
    raise AssertionError("it never ends")


def in_a_thread(call: Callable[[], None]) -> None:
    """Run it where nobody else traces."""
    errors: list[BaseException] = []

    def work() -> None:
        sys.settrace(None)
        try:
            call()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("stride", [101, pytest.param(5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("what", ["one address", "a name"])
def test_at_every_step(what: str, stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_loop, "_CLEANING_UP", 0.02)
    monkeypatch.setattr(sys, "unraisablehook", lambda *_: None)  # and in a destructor
    with listening() as listener, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        port = listener.getsockname()[1]
        dialer = Dialer(resolver=StaticResolver({NAME: ["127.0.0.2", "127.0.0.1"]}))
        address = ("127.0.0.1" if what == "one address" else NAME, port)

        def call() -> None:
            blocking.connect(address, dialer=dialer, timeout=30).close()

        in_a_thread(lambda: at_every_step(call, stride))
