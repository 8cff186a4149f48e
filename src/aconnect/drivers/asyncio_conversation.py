"""One socket on asyncio or uvloop, and a function that is called whenever it is ready.

Rules:

* The function is called by the loop itself, not by a task that would have to be woken first: the
  waiter is set when all is over, once.
* A registration is changed only when something else is waited for, and removed before the waiter
  is set.
* One that is found on the descriptor is somebody's who closed it without unregistering it; it is
  removed before another is made.
* Whatever the function raises, an interruption included, is for who waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .asyncio_watch import wake

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

__all__ = ["Conversation"]


class Conversation:
    """A socket, and what is called for it.

    Args:
        loop: the running one.
        sock: is open.
        step: as for a driver's `converse`.

    Attributes:
        over: gets True when the function is done, or what it raises.
    """

    __slots__ = ("_loop", "_number", "_remove", "_sock", "_step", "_write", "over")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        step: Callable[[], bool | None],
    ) -> None:
        self.over: asyncio.Future[bool] = loop.create_future()
        self._loop = loop
        self._sock = sock
        self._number = sock.fileno()
        self._step = step
        self._write = False
        self._remove: Callable[[int], object] | None = None

    def listen(self, write: bool) -> None:
        """Wait for something to read, or for room to write.

        Raises:
            ValueError, OSError: the socket is closed.
        """
        loop = self._loop
        add, remove = loop.add_reader, loop.remove_reader
        if write:
            add, remove = loop.add_writer, loop.remove_writer
        remove(self._number)
        add(self._sock, self._ready)
        self._write, self._remove = write, remove

    def end(self) -> None:
        """See that nothing is registered, and forget what the function has raised."""
        self._leave()
        del self.over  # its exception leads to a frame of this

    def _ready(self) -> None:
        try:
            # It may be over, and who waits has not come round to `end`.
            wanted = None if self.over.done() else self._step()
            if wanted is None:
                self._leave()
                wake(self.over, True)
            elif wanted is not self._write:
                self._leave()
                self.listen(wanted)
        except BaseException as error:
            self._leave()
            if not self.over.done():  # the function may have cancelled who waits
                self.over.set_exception(error)

    def _leave(self) -> None:
        if self._remove is not None and not self._loop.is_closed():
            self._remove(self._number)
        self._remove = None
