"""SIGTERM as a tidy end: what Ctrl-C does, with a status of its own."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

from .status import INTERRUPTED, TERMINATED

__all__ = ["Interrupts", "terminable"]


class Interrupts:
    """Attributes: status: what to exit with when there has been a KeyboardInterrupt."""

    status = INTERRUPTED


@contextmanager
def terminable() -> Iterator[Interrupts]:
    """Have SIGTERM interrupt what runs in the block, as Ctrl-C does."""
    interrupts = Interrupts()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        interrupts.status = TERMINATED
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGTERM, before)
