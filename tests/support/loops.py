"""Event loops that lack something."""

from __future__ import annotations

from typing import Any, NoReturn

from support.stepping import CountingLoop


class NoWriterLoop(CountingLoop):
    """A loop that refuses add_writer(), as the proactor loop does; sock_connect() works."""

    def add_writer(self, fd: Any, callback: Any, *args: Any) -> NoReturn:
        raise NotImplementedError
