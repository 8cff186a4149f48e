"""Tasks of which none is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..drivers.base import Watch

__all__ = ["AllEnded"]


class AllEnded:
    """A watch that waits for all its tasks whenever it is left.

    One of a single dial does so after an error only: else a result is due.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    async def __aenter__(self) -> Watch:
        return await self._watch.__aenter__()

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        await self._watch.__aexit__(kind or StopAsyncIteration, error, traceback)
