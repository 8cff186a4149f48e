"""Who listens to a dial, guarded: nothing that a listener does can harm it.

Rules:

* What a listener raises is one warning, and it gets no more of that dial; the others go on.
* What is not an Exception (KeyboardInterrupt, SystemExit, a cancellation) goes through.
"""

from __future__ import annotations

import traceback
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["each", "guarded"]

T = TypeVar("T")


def guarded(
    listener: Callable[[T], object] | None, name: str = "trace"
) -> Callable[[T], None] | None:
    """Make a callable that tells ``listener`` of the events of one dial, and never fails.

    An exception from ``listener`` is issued as one RuntimeWarning with its text, and it gets no
    more events of this dial.  A filter that makes the warning an error does not harm the dial
    either: the error goes to `sys.unraisablehook`.

    Args:
        listener: the user's callable, or None.
        name: which one it is.

    Returns:
        A callable for this dial alone; None if ``listener`` is.

    Raises:
        TypeError: ``listener`` is neither None nor callable.

    What is not an Exception (KeyboardInterrupt, SystemExit, a cancellation) goes through.
    """
    if listener is None:
        return None
    if not callable(listener):
        raise TypeError(f"{name} must be a callable of one argument, not {listener!r}")
    if isinstance(listener, _Each):
        return _Each([_Guard(one, name) for one in listener.listeners])
    return _Guard(listener, name)


def each(*listeners: Callable[[T], object]) -> Callable[[T], None]:
    """Make one listener of several, for ``on_report`` or ``trace`` of a `Dialer`.

    Args:
        listeners: what is called, in this order.

    Returns:
        A callable.  A dial that is given it guards each of them alone: what one raises is one
        warning, it gets no more of that dial, and the others go on.

    Raises:
        TypeError: one of them is not callable.

    It keeps nothing of a dial, and may be shared by dialers and threads as the listeners may.
    """
    for listener in listeners:
        if not callable(listener):
            raise TypeError(f"each listener must be a callable of one argument, not {listener!r}")
    alone: list[Any] = []
    for listener in listeners:
        alone += listener.listeners if isinstance(listener, _Each) else [listener]
    return _Each(alone)


class _Each:
    __slots__ = ("listeners",)

    def __init__(self, listeners: Iterable[Callable[[Any], object]]) -> None:
        self.listeners = tuple(listeners)

    def __call__(self, event: Any) -> None:
        for listener in self.listeners:
            listener(event)


class _Guard:
    __slots__ = ("_listener", "_name")

    def __init__(self, listener: Callable[[Any], object], name: str) -> None:
        self._listener: Callable[[Any], object] | None = listener
        self._name = name

    def __call__(self, event: Any) -> None:
        if self._listener is None:
            return
        try:
            self._listener(event)
        except Exception as error:
            self._listener = None
            _Complaint(self._name, error)


class _Complaint:
    """Issues its warning from its finalizer, which cannot raise into the dial."""

    __slots__ = ("_text",)

    def __init__(self, name: str, error: Exception) -> None:
        at = error.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        where = "" if at is None else f" ({at.tb_frame.f_code.co_filename}:{at.tb_lineno})"
        words = "".join(traceback.format_exception_only(error)).strip()
        self._text = f"{name} raised {words}{where}; it gets no more events of this dial"

    def __del__(self) -> None:
        warnings.warn(self._text, RuntimeWarning, stacklevel=2)
