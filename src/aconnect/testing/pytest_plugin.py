"""Fixtures for pytest: a fake network, a virtual clock, and one that fails a test which leaves
something behind.

Enable it in the root ``conftest.py``::

    pytest_plugins = ["aconnect.testing.pytest_plugin"]

Rules:

* A loop is looked at at the last moment at which what was left is still there: when its runner
  is closed, before that cancels all tasks; else when the loop is closed; else when the fixture
  ends.
* What was there when the fixture began is not counted, nor what its own end closes.  A loop may
  have been there and be closed.
* Garbage is collected before anything is counted; an object that had not been closed is then
  reported by the warning that Python makes of it.
* What a fixture from here has open is not what a test leaves: it comes after `no_leaks`, in
  whichever order a test names them.
* What is replaced for the length of the test is put back: `asyncio.Runner.close`; `run_forever`,
  `close` and ``__init__`` of `asyncio.BaseEventLoop` and `uvloop.Loop`; `close` of
  `asyncio.SelectorEventLoop`; `trio.run` and `trio.lowlevel.start_guest_run`, which get one more
  instrument; and `warnings.showwarning`.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import re
import sys
import threading
import warnings
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import pytest

from .clock import VirtualClock
from .leaks import Snapshot
from .loop_contents import Leak, LoopContents, describe_task, pool_threads
from .network import FakeNetwork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["fake_network", "no_leaks", "virtual_clock"]

_GRACE: Final = "no_leaks_grace"

_RUNNER: Final = re.compile("_(class|module|package|session)_scoped_runner")
"""Pytest-asyncio's, for tests that share a loop.  It asks for them late, after all fixtures, but
they outlive the test and so have to be there before it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting."""
    parser.addini(
        _GRACE,
        "seconds that threads have to end after a test that uses the fixture no_leaks",
        default="5",
    )


@pytest.fixture
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test if it leaves a descriptor, a reader, a writer, a timer, a task, a thread, a
    child process, a signal handler or an object that was not closed; or if it closes a descriptor
    that somebody else has open.

    Counted is what comes between the setup of this fixture and its teardown, and so what the
    fixtures that are set up after it leave.  The failure is an error at the teardown of the test.

    Threads have a time to end in: ``no_leaks_grace`` in the settings of pytest, in seconds, 5 by
    default.
    """
    grace = _seconds(request.config.getini(_GRACE))
    for name in request.fixturenames:
        if _RUNNER.fullmatch(name):
            request.getfixturevalue(name)
    _run_uvloop_once()
    gc.collect()
    leaks: list[Leak] = []
    before = Snapshot(None)
    with _loops_watched(leaks, before) as contents, _runs_of_trio_watched(leaks), _unclosed(leaks):
        yield
        gc.collect()
        kept: set[threading.Thread] = set()
        for loop, content in list(contents.items()):
            if not loop.is_closed() and not loop.is_running():
                leaks += content.left()
                kept |= pool_threads(loop)
        leaks += before.left(grace, kept)
    if leaks:
        lines = "\n".join(f"  {leak}" for leak in leaks)
        pytest.fail(f"the test has left behind:\n{lines}", pytrace=False)


@pytest.fixture
def fake_network(request: pytest.FixtureRequest) -> Iterator[FakeNetwork]:
    """An empty `FakeNetwork`, which is closed after the test.

    ``fake_network.dialer()`` connects over it.
    """
    _after_no_leaks(request)
    with FakeNetwork() as network:
        yield network


@pytest.fixture
def virtual_clock(request: pytest.FixtureRequest) -> Iterator[VirtualClock]:
    """A `VirtualClock` that is on during the test.

    ``virtual_clock.run(main)`` runs an async function by it, in a test that is not async itself.
    An async test goes by it if its loop does: see ``VirtualClock.new_event_loop``.
    """
    _after_no_leaks(request)
    with VirtualClock() as clock:
        yield clock


def _after_no_leaks(request: pytest.FixtureRequest) -> None:
    if "no_leaks" in request.fixturenames:
        request.getfixturevalue("no_leaks")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < threading.TIMEOUT_MAX:
        raise pytest.UsageError(f"{_GRACE} must be a number of seconds, not {text!r}")
    return seconds


@functools.cache
def _run_uvloop_once() -> None:
    """Libuv makes a pipe for the whole process when it first runs: nobody leaks that."""
    if find_spec("uvloop") is not None:
        import uvloop

        loop = uvloop.new_event_loop()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


@contextmanager
def _unclosed(leaks: list[Leak]) -> Iterator[None]:
    """Take every ResourceWarning for a leak; other warnings go on to whoever shows them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=ResourceWarning)
        others = warnings.showwarning

        def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, ResourceWarning):
                leaks.append(Leak("object", f"that was not closed: {message}"))
            else:
                others(message, category, *where, **more)

        warnings.showwarning = show
        yield


@contextmanager
def _loops_watched(
    leaks: list[Leak], before: Snapshot
) -> Iterator[WeakKeyDictionary[asyncio.AbstractEventLoop, LoopContents]]:
    """Look at every loop of asyncio's or uvloop's before it is closed.

    Yields:
        The loops that were made or that ran meanwhile and have not been closed, and what they had
        at first.
    """
    contents: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopContents] = WeakKeyDictionary()

    def look(loop: asyncio.AbstractEventLoop | None) -> None:
        content = None if loop is None else contents.pop(loop, None)
        if content is not None:
            leaks.extend(content.left())

    def made(original: Callable[..., None]) -> Callable[..., None]:
        def init(loop: Any, *args: Any, **options: Any) -> None:
            original(loop, *args, **options)
            contents[loop] = LoopContents(loop, empty=True)

        return init

    def run(original: Callable[..., None]) -> Callable[..., None]:
        def run_forever(loop: Any) -> None:
            if loop not in contents:  # it is older than the test
                contents[loop] = LoopContents(loop)
            original(loop)

        return run_forever

    def closed(original: Callable[..., None]) -> Callable[..., None]:
        def close(loop: Any) -> None:
            look(loop)
            with before.closing():
                original(loop)

        return close

    def runner_closed(original: Callable[..., None]) -> Callable[..., None]:
        def close(runner: Any) -> None:
            look(runner._loop)
            original(runner)

        return close

    with ExitStack() as stack:
        _replace(stack, asyncio.Runner, "close", runner_closed)
        # This one closes some of what it has before it calls that of its base.
        _replace(stack, asyncio.SelectorEventLoop, "close", closed)
        for kind in (asyncio.BaseEventLoop, getattr(sys.modules.get("uvloop"), "Loop", None)):
            if kind is not None:
                _replace(stack, kind, "__init__", made)
                _replace(stack, kind, "run_forever", run)
                _replace(stack, kind, "close", closed)
        yield contents


@contextmanager
def _runs_of_trio_watched(leaks: list[Leak]) -> Iterator[None]:
    """Look for system tasks when the main task of a run of trio's has ended: other tasks end
    before it does."""

    def watched(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def run(*args: Any, instruments: Any = (), **options: Any) -> Any:
            instruments = [*instruments, _AtTheEnd(leaks)]
            return original(*args, instruments=instruments, **options)

        return run

    with ExitStack() as stack:
        trio: Any = sys.modules.get("trio")
        if trio is not None:
            _replace(stack, trio, "run", watched)
            _replace(stack, trio.lowlevel, "start_guest_run", watched)
        yield


class _AtTheEnd:
    """An instrument of trio's."""

    def __init__(self, leaks: list[Leak]) -> None:
        self._leaks = leaks

    def task_exited(self, task: Any) -> None:
        """Look, if this is the main task: its nursery is in that of the system tasks."""
        root = sys.modules["trio.lowlevel"].current_root_task()
        nurseries = [] if root is None else root.child_nurseries
        if len(nurseries) > 2 and task.parent_nursery is nurseries[-1]:
            left = nurseries[-2].child_tasks
            self._leaks += [Leak("task", text) for text in sorted(map(describe_task, left))]


def _replace(
    stack: ExitStack, owner: Any, name: str, make: Callable[[Callable[..., Any]], Any]
) -> None:
    """Replace a function by what ``make`` makes of it, until ``stack`` is left."""
    original = getattr(owner, name)
    if name in vars(owner):
        stack.callback(setattr, owner, name, original)
    else:
        stack.callback(delattr, owner, name)
    setattr(owner, name, make(original))
