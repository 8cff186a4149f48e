"""The event loops that the command runs on.

Rules:

* A loop is imported when it is asked for, and not before.
* Each is given by its own means: asyncio.Runner for asyncio and uvloop, trio.run for trio.
* What aconnect imports at its first call on trio is imported before anything is timed.
* What is raised inside comes out as itself.  A group of exceptions, which is how trio and
  `asyncio.TaskGroup` report even a single one, is reduced to its first.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol

from aconnect import Dialer, wait_connected

from ..explanations.extras import not_installed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from typing import TypeAlias

    Main: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

__all__ = ["LOOPS", "EventLoop", "advice", "missing"]


class EventLoop(Protocol):
    """An event loop and what the command needs of it.

    Attributes:
        name: its name, which is also that of the extra that installs it.
        needs: the modules that must be there.
    """

    name: str
    needs: tuple[str, ...]

    def run(self, main: Main) -> None:
        """Run ``main()`` to its end on a fresh loop.

        Raises:
            KeyboardInterrupt: on Ctrl-C, when everything has been cancelled.
            BaseException: whatever ``main`` raised.
        """

    async def together(self, job: Main, count: int) -> None:
        """Run ``job()`` in ``count`` tasks at a time, until all have ended."""

    async def readable(self, stream: int | socket.socket) -> None:
        """Wait until there is something to read, or the end; not at all for what never waits."""

    async def writable(self, stream: int | socket.socket) -> None:
        """Wait until something can be written."""


class _AsyncioLoop:
    def __init__(self, name: str, needs: tuple[str, ...], factory_module: str) -> None:
        self.name = name
        self.needs = needs
        self._factory_module = factory_module

    def run(self, main: Main) -> None:
        factory = import_module(self._factory_module).new_event_loop
        with _ungrouped(), asyncio.Runner(loop_factory=factory) as runner:
            runner.run(_warmed_up(main))

    async def together(self, job: Main, count: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(job())

    async def readable(self, stream: int | socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await _until(loop.add_reader, loop.remove_reader, stream)

    async def writable(self, stream: int | socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await _until(loop.add_writer, loop.remove_writer, stream)


class _TrioLoop:
    name = "trio"
    needs: tuple[str, ...] = ("trio", "anyio")

    def run(self, main: Main) -> None:
        import trio

        with _ungrouped():
            # Or Ctrl-C could hit between opening a socket and taking it into care.
            trio.run(_warmed_up, main, restrict_keyboard_interrupt_to_checkpoints=True)

    async def together(self, job: Main, count: int) -> None:
        import trio

        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(job)

    async def readable(self, stream: int | socket.socket) -> None:
        import trio

        with suppress(PermissionError):  # epoll takes no regular file
            await trio.lowlevel.wait_readable(stream)

    async def writable(self, stream: int | socket.socket) -> None:
        import trio

        await trio.lowlevel.wait_writable(stream)


LOOPS: Final[dict[str, EventLoop]] = {
    loop.name: loop
    for loop in (
        _AsyncioLoop("asyncio", (), "asyncio"),
        _AsyncioLoop("uvloop", ("uvloop",), "uvloop"),
        _TrioLoop(),
    )
}
"""By name."""


def missing(loop: EventLoop) -> bool:
    """Whether something that the loop needs is not installed."""
    try:
        for module in loop.needs:
            import_module(module)
    except ImportError:
        return True
    return False


def advice(loop: EventLoop) -> str:
    """What to say of a loop that is not installed."""
    return not_installed(loop.name, loop.name)


async def _until(add: Any, remove: Any, stream: int | socket.socket) -> None:
    """Wait until the loop tells of a descriptor."""
    told = asyncio.Event()
    try:
        add(stream, told.set)
    except PermissionError:  # epoll takes no regular file, which never waits
        return
    try:
        await told.wait()
    finally:
        remove(stream)


async def _warmed_up(main: Main) -> None:
    Dialer()  # brings the race with it
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        await wait_connected(ours)  # it is; no more happens than that
    await main()


@contextmanager
def _ungrouped() -> Iterator[None]:
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
