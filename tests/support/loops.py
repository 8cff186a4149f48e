"""Event loops that lack something, or do something wrong."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import TYPE_CHECKING, Any, NoReturn

from support.stepping import CountingLoop

if TYPE_CHECKING:
    from typing import Self


class NoWriterLoop(CountingLoop):
    """A loop that refuses add_writer(), as the proactor loop does; sock_connect() works."""

    def add_writer(self, fd: Any, callback: Any, *args: Any) -> NoReturn:
        raise NotImplementedError


class ForgetfulLoop(asyncio.SelectorEventLoop):
    """As uvloop before 0.23: create_connection() that is cancelled closes the number of the socket
    and leaves the object with it.  Every one is cancelled here, and a stranger's descriptor has
    the number at once.

    A context manager; when it is left, all the strangers must live.
    """

    def __init__(self) -> None:
        super().__init__()
        self.strangers: list[int] = []

    async def create_connection(self, *_: Any, sock: Any, **options: Any) -> Any:
        task: Any = asyncio.current_task()
        task.cancel()
        try:
            await asyncio.sleep(0)
        finally:
            with open(os.devnull) as stranger:
                os.dup2(stranger.fileno(), sock.fileno())
            self.strangers.append(sock.fileno())

    def run_cancelled(self, start: Any) -> None:
        """Run what ``start`` gives, which is cancelled."""

        async def main() -> None:
            task = asyncio.ensure_future(start())
            await asyncio.wait([task])
            assert task.cancelled()
            del task
            gc.collect()  # nor does an object close it that nobody has

        self.run_until_complete(main())
        self.run_until_complete(self.shutdown_default_executor())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        assert self.strangers, "no transport was asked for"
        for number in self.strangers:
            assert os.path.samestat(os.fstat(number), os.stat(os.devnull)), number
            os.close(number)
