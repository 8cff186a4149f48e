"""What all tests share: the four kinds of event loop, and the hunt for what they leave behind.

* A test that asks for `anyio_backend` (every ``async def`` test marked `anyio` does) runs on
  asyncio, asyncio with eager tasks, uvloop and trio.
* After every test, nothing may be left: no descriptor, no thread, no driver of a dead loop.
* Nothing blocks the event loop: blockbuster makes a blocking call in it an error.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any
from weakref import ref

import coverage
import pytest
import trio
import uvloop
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, given, settings, strategies

from aconnect.drivers.anyio_generic import AnyioDriver
from aconnect.drivers.private_loop import forget_private_loop
from aconnect.drivers.select import _DRIVERS
from aconnect.drivers.threads import LOOKUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["faults.counts"]

# How long an example takes is the machine's affair: no test fails by it.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

LOOPS: list[Any] = [
    pytest.param(("asyncio", {"debug": True}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    pytest.param(("trio", {}), id="trio"),
]
if sys.version_info >= (3, 12):

    def _eager_loop() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        return loop

    LOOPS.insert(1, pytest.param(("asyncio", {"loop_factory": _eager_loop}), id="eager"))


def _loop_with_anyio_driver() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    _DRIVERS[ref(loop, _DRIVERS.pop)] = AnyioDriver()
    return loop


LOOPS_AND_DRIVERS = [
    *LOOPS,
    pytest.param(("asyncio", {"loop_factory": _loop_with_anyio_driver}), id="anyio-driver"),
]
"""All loops, and the driver of trio's on asyncio."""

ASYNCIO_LOOPS = [loop for loop in LOOPS if loop.id != "trio"]
"""For tests of what only asyncio has: parametrize `anyio_backend` with these."""


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@given(strategies.none())
def _run_by_hypothesis(_nothing: None) -> None:
    pass


@pytest.fixture(autouse=True, scope="session")
def loops_have_run() -> Iterator[None]:
    """libuv makes a pipe for the whole process when it first runs; nobody leaked that."""
    uvloop.run(asyncio.sleep(0))
    trio.run(trio.lowlevel.checkpoint)  # and what trio does once is done as well
    _run_by_hypothesis()  # it looks once for who has its random numbers: before they are frozen
    gc.collect()
    gc.freeze()  # what is there now need not be looked through after every test
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def no_lookup_thread_rests() -> Iterator[None]:
    """So that what one holds is gone with it, and none is of another test's network namespace."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LOOKUPS, "_rest_for", 0)
        yield


@pytest.fixture(autouse=True, scope="session")
def nothing_blocks_the_loop() -> Iterator[None]:
    with blockbuster_ctx("aconnect") as blockbuster:
        # Threads of one test meet in the import of what they need, and in coverage, which takes
        # its lock in no frame of its own.
        acquire = blockbuster.functions["threading.Lock.acquire"]
        acquire.can_block_in("<frozen importlib._bootstrap>", "acquire")
        # A look at three small files, every five seconds at the most.
        for call in ("os.stat", "io.TextIOWrapper.read", "io.BufferedReader.read"):
            if call in blockbuster.functions:
                blockbuster.functions[call].can_block_in(
                    "resolvers/dns/machine.py", {"_look", "_read"}
                )
        if coverage.Coverage.current() is not None:
            acquire.deactivate()
        # A file is read without waiting for anybody, and anything else when there is something.
        for function in ("from_file", "from_stream", "shuffled_file"):
            blockbuster.functions["os.read"].can_block_in("cli/source.py", function)
        for name in ("io.BufferedWriter.write", "io.BufferedRandom.write"):
            blockbuster.functions[name].can_block_in("cli/check.py", "_line")
            blockbuster.functions[name].can_block_in("cli/drawn.py", "add")
        # What is in /proc is in memory.
        for name in ("os.listdir", "io.TextIOWrapper.read", "io.BufferedReader.read"):
            for function in ("_open_descriptors", "_local_ports"):
                blockbuster.functions[name].can_block_in("many/resources.py", function)
        yield


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = open_descriptors()
    yield
    forget_private_loop()  # which this thread would keep
    wait_for_threads()  # one that looks something up has a socket for it
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        gc.collect()
        gc.freeze()  # what a test has left to pytest need not be looked through after the next
    assert not [str(warning.message) for warning in caught]
    now = open_descriptors()
    left, gone = now - before, before - now
    assert not left, f"left open: {sorted(map(describe_descriptor, left))}"
    assert not gone, f"closed under somebody: {sorted(gone)}"


def open_descriptors() -> set[int]:
    """The open descriptors of this process."""
    with os.scandir("/proc/self/fd") as entries:
        found = {int(entry.name) for entry in entries}
    return {fd for fd in found if os.path.lexists(f"/proc/self/fd/{fd}")}


def describe_descriptor(fd: int) -> str:
    try:
        return f"{fd}: {os.readlink(f'/proc/self/fd/{fd}')}"
    except OSError:
        return str(fd)


def wait_for_threads() -> None:
    """A lookup that was abandoned may take a moment to end; it must."""
    deadline = time.monotonic() + 15
    for thread in threading.enumerate():
        while thread.name == "aconnect lookup" and thread.is_alive():  # not one that rests
            assert time.monotonic() < deadline, thread.name
            thread.join(0.001)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    skip = pytest.mark.skip(reason="needs root: run it as root to have it make network namespaces")
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(skip)
