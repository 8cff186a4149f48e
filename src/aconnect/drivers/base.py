"""What the rest of aconnect needs of an event loop.

Rules:

* A driver waits; it decides nothing.
* Moments are seconds of `time.monotonic`; infinity means that there is no limit.  A wait
  may end up to a millisecond late and, on a loop with a coarse clock, as much early: who
  waits looks at the clock again.
* Whatever ends a wait (its event, its moment, a cancellation, the loop being closed), when
  it is over nothing of it is registered with the loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Collection, Coroutine
    from typing import Self

    from ..addresses.values import SockAddr
    from .threads import Job

__all__ = ["DialDriver", "Driver", "Watch"]

T = TypeVar("T")


class Watch(Protocol):
    """The sockets and tasks of one race.  It is entered with ``async with``; when that is left,
    nothing is registered, and its tasks have ended; but for one that takes its time to clean up
    when it is left without an error, if the event loop can look after a task by itself.

    One that has neither sockets nor tasks need not be entered: it is `notify` and `wait`.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, kind: object, error: object, traceback: object, /) -> None: ...

    def add(self, sock: socket.socket) -> None:
        """Have `wait` report when ``sock`` is writable or hung up, once."""

    def discard(self, sock: socket.socket) -> None:
        """Undo `add`; to be called before the socket is closed."""

    def notify(self) -> None:
        """Make `wait` return; called in the loop's thread."""

    def spawn(
        self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any
    ) -> Callable[[], object]:
        """Run a coroutine function in a task.

        What it raises, but for a cancellation, `wait` raises, or the end of the ``async with``:
        as it is, in no group.

        Returns:
            What cancels it.
        """

    async def ready(self, sock: socket.socket, write: bool) -> None:
        """Wait, in a task of this watch, until ``sock`` has something to read, its end and its
        failure included; or, with ``write``, until it takes more, or has failed.

        One task at a time may wait for a socket in this way, and none while it is added.
        `discard` ends its registration, so that the socket can be closed.

        Raises:
            OSError: EBADF, it is closed.
        """

    async def wait(self, until: float) -> list[tuple[socket.socket, int]]:
        """Wait for a socket, a notification or a moment.

        Returns:
            The sockets that are ready, each with its SO_ERROR; they are not watched any more.
        """


class DialDriver(Protocol):
    """What a dial waits on: an event loop, or the calling thread."""

    @property
    def completes(self) -> bool:
        """Whether connecting is the loop's own business (`sock_connect`), because it cannot
        tell when a socket is writable."""

    @property
    def checkpoint(self) -> Callable[[], Awaitable[None]] | None:
        """What the loop's conventions ask of an awaitable that need not wait: under trio a
        chance to be cancelled and to let others run; None where they ask nothing, as under
        asyncio."""

    async def wait_writable(self, sock: socket.socket, until: float) -> int | None:
        """Wait until ``sock`` is writable or hung up, and read SO_ERROR.

        SO_ERROR is read before the socket is unregistered: the registration may be what
        holds it open.

        Returns:
            SO_ERROR, or None if ``until`` came first.

        Raises:
            BlockingIOError: EALREADY, another task waits for this socket; not where `completes`.
            OSError: the socket cannot be waited for.
        """

    async def wait_readable(
        self,
        socks: Collection[socket.socket],
        until: float,
        *,
        writable: Collection[socket.socket] = (),
    ) -> list[socket.socket]:
        """Wait until one of several sockets has something to read, its end and its failure
        included; or one of ``writable`` takes something, or has failed.

        Nobody else waits for these sockets, and nobody closes them meanwhile.

        Returns:
            Those that are ready; none if ``until`` came first.
        """

    async def converse(
        self, sock: socket.socket, until: float, step: Callable[[], bool | None]
    ) -> bool:
        """Have a function called, at once and then whenever a socket is ready, until it is done:
        one registration and one timer, however often it has to wait.

        Nobody else waits for the socket, and nobody closes it meanwhile.

        Args:
            step: does what can be done without a wait.  It tells what is to be waited for next,
                something to read (False) or room to write (True), the end and the failure of the
                connection included; or None, when it is done.  What it raises ends the wait, and
                is raised here.  It is called in the loop's thread, but not always in this task,
                and it is not called any more when this is over.

        Returns:
            Whether it is done; False if ``until`` came first.
        """

    async def sock_connect(
        self, sock: socket.socket, sockaddr: SockAddr, until: float
    ) -> int | None:
        """Connect as the loop does it; only where `completes` is true.

        Returns:
            0, an errno, or None if ``until`` came first.
        """

    def watch(self) -> Watch:
        """A new watch."""

    async def run_blocking(self, call: Callable[[], T], until: float) -> T | None:
        """Make a blocking call and wait for it; on an event loop, in a daemon thread that is not
        the loop's own pool's.

        A call that nobody waits for any more is not started, and its result is dropped.

        Returns:
            What it returned, or None if ``until`` came first.

        Raises:
            BaseException: what the call raised.
            RuntimeError: no thread could be started.
        """


class Driver(DialDriver, Protocol):
    """One event loop, to wait on."""

    async def sleep_until(self, when: float) -> None:
        """Wait until the moment has come."""

    def start_blocking(
        self, call: Callable[[], T], deliver: Callable[[T | None, BaseException | None], None]
    ) -> Job:
        """Have a blocking call made in a daemon thread that is not the loop's own pool's.

        Calls are taken up in the order in which they were started.

        Args:
            deliver: called in the loop's thread with what the call returned, or with None and
                what it raised; must raise nothing.  A loop that has ended calls it no more.  It
                is kept until the call is over, which may be after the loop: it must not keep
                alive what waits there.

        Returns:
            What can be abandoned: a call that has not been taken up yet is not made then.

        Raises:
            RuntimeError: no thread could be started.
        """
