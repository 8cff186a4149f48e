"""The soak in short: connects and lookups by the thousand, after which nothing may be left.

The long form is ``nox -s soak``.  Connects in a row are `test_endurance`'s.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aconnect.dial.flight import Flight
from aconnect.drivers import asyncio_watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.soak,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="counts what is left in /proc"),
]

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
LOOPS = ("asyncio", "uvloop", "trio")
CONNECTS = 10_000
LOOKUPS = 2000
WARM_UP = 5000  # until what the interpreter, the loop and the caches keep is there
SEED = 1912  # of a soak that has passed; another one would have to pass as well


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes soaks."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = importlib.import_module("soak")

    def make(loop: str, connects: int, **options: Any) -> Any:
        return module.Soak(loop, connects, SEED, **{"warm_up": WARM_UP, **options})

    yield make
    for name in ("soak", "soak_loops", "soak_names", "soak_scenarios", "networks"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("loop", LOOPS)
def test_nothing_is_left(loop: str, soak: Callable[..., Any]) -> None:
    run = soak(loop, CONNECTS)
    assert run.run(), run.complaints
    assert run.outcomes.total() == CONNECTS
    # All that may happen has happened.
    assert set(run.outcomes) == {
        "connected",
        "cancelled",
        "refused",
        "timed out",
        "not found",
        "not permitted",
        "handshake failed",
        "ENOENT",
        "EPERM",
    }


@pytest.mark.parametrize("loop", LOOPS)
def test_nothing_is_left_of_lookups(loop: str, soak: Callable[..., Any]) -> None:
    names = importlib.import_module("soak_names")
    run = soak(loop, LOOKUPS, warm_up=LOOKUPS, places=names.Names)
    assert run.run(), run.complaints
    assert set(run.outcomes) == {"connected", "cancelled", "timed out", "not found"}


def test_the_time_may_be_limited(soak: Callable[..., Any]) -> None:
    run = soak("asyncio", 1_000_000, seconds=0.2, every=1_000_000)
    assert run.run(), run.complaints
    assert 0 < run.outcomes.total() < 1_000_000


class TestALeakIsNoticed:
    """Each leaves something behind after an attempt that has not won, which few connects have.

    What counts it is the same on every loop, but for tasks and timers: one loop each will do.
    """

    @pytest.fixture
    def leak(
        self, soak: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., Any]:
        """Has a function called at the end of each such attempt, and gives the complaints."""
        close = Flight.close

        def run(loop: str, leave: Callable[[Any], object]) -> str:
            def close_and_leave(flight: Any, running: Any, tell: bool = True) -> None:
                leave(running)
                close(flight, running, tell)

            monkeypatch.setattr(Flight, "close", close_and_leave)
            run = soak(loop, 2000, patience=0.1)
            assert not run.run()
            return str(run.complaints)

        return run

    @pytest.mark.parametrize("loop", ["asyncio"])
    def test_an_object(self, loop: str, leak: Callable[..., Any]) -> None:
        kept: list[object] = []
        found = leak(loop, lambda _: kept.append(object()))
        assert "blocks, allowed are" in found

    @pytest.mark.parametrize("loop", ["trio"])
    def test_a_descriptor(self, loop: str, leak: Callable[..., Any]) -> None:
        kept: list[int] = []
        try:
            found = leak(loop, lambda running: kept.append(os.dup(running.sock.fileno())))
        finally:
            for fd in kept:
                os.close(fd)
        assert "descriptors, after the warm-up" in found

    @pytest.mark.parametrize("loop", ["uvloop"])
    def test_a_socket_that_is_closed(self, loop: str, leak: Callable[..., Any]) -> None:
        kept: list[Any] = []
        found = leak(loop, lambda running: kept.append(running.sock))
        assert "sockets, after the warm-up" in found

    @pytest.mark.parametrize("loop", ["trio"])
    def test_a_thread(self, loop: str, leak: Callable[..., Any]) -> None:
        over = threading.Event()
        threads: list[threading.Thread] = []

        numbers = itertools.count()

        def leave(_: object) -> None:
            if next(numbers) % 20 == 0:
                threads.append(threading.Thread(target=over.wait))
                threads[-1].start()

        try:
            found = leak(loop, leave)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert "threads, after the warm-up" in found

    @pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
    def test_a_task(self, loop: str, leak: Callable[..., Any]) -> None:
        kept: list[Any] = []  # asyncio itself keeps no task
        found = leak(loop, lambda _: kept.append(asyncio.ensure_future(asyncio.sleep(60))))
        assert "tasks, after the warm-up" in found

    @pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
    def test_a_timer(
        self, loop: str, soak: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start = asyncio_watch.start_timer

        def start_one_more(*arguments: Any) -> Any:
            asyncio.get_running_loop().call_later(60, int)
            return start(*arguments)

        monkeypatch.setattr(asyncio_watch, "start_timer", start_one_more)
        run = soak(loop, 2000, patience=0.1)
        assert not run.run()
        assert "timers, after the warm-up" in str(run.complaints)

    def test_an_outcome_that_cannot_be(
        self, soak: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("aconnect.policy.policies.permits", lambda *_: True)
        run = soak("asyncio", 2000)
        assert not run.run()
        assert "forbidden: connected" in run.complaints
