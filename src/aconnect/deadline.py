"""One moment by which something must be done.

Rules:

* A deadline is absolute and lives on `time.monotonic`, so it can be shared by
  several calls, and by calls on different event loops and threads.  No loop's own
  clock is used: trio's has an arbitrary origin, uvloop's is cached.
* Seconds come in as `int` or `float`, never negative, never NaN.  Infinity is
  allowed and means "never".
* Of a timeout and a deadline given together, the earlier one counts.
"""

from __future__ import annotations

import math
import time

from .sansio.value import Value

__all__ = ["NEVER", "Deadline", "earliest"]

NEVER = math.inf


class Deadline(Value):
    """A moment on the monotonic clock, usable on every event loop.

    Deadlines compare by time, so ``min(a, b)`` is the earlier one.  They are
    immutable and may be shared between threads.  The repr says how much time is left.

    Args:
        when: the moment, in seconds of `time.monotonic`.

    Raises:
        TypeError: ``when`` is not a number.
        ValueError: ``when`` is NaN.
    """

    when: float

    def __post_init__(self) -> None:
        if math.isnan(_number(self.when, "when")):
            raise ValueError(f"when must be a time of the monotonic clock, not {self.when!r}")

    def __lt__(self, other: Deadline) -> bool:
        return self.when < other.when if isinstance(other, Deadline) else NotImplemented

    def __le__(self, other: Deadline) -> bool:
        return self.when <= other.when if isinstance(other, Deadline) else NotImplemented

    def __repr__(self) -> str:
        if self.when == NEVER:
            return "<Deadline that never passes>"
        left = f"{self.remaining():.1f} s left"
        return f"<Deadline {'that has passed' if self.expired else left}>"

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The moment ``seconds`` from now.

        Args:
            seconds: at least 0; `math.inf` is a deadline that never passes.

        Raises:
            TypeError: ``seconds`` is not a number.
            ValueError: ``seconds`` is negative or NaN.
        """
        return cls(time.monotonic() + _duration(seconds, "seconds"))

    def remaining(self) -> float:
        """Seconds left; 0.0 once the deadline has passed, never negative."""
        return max(0.0, self.when - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether the moment has come."""
        return time.monotonic() >= self.when


def earliest(timeout: float | None, deadline: Deadline | None) -> float:
    """The moment by which a call with these two arguments must end.

    Args:
        timeout: seconds from now, or None for no limit.
        deadline: an absolute limit, or None.

    Raises:
        TypeError: either argument is of another type.
        ValueError: ``timeout`` is negative or NaN.
    """
    if timeout is None and deadline is None:
        return NEVER
    when = NEVER if timeout is None else time.monotonic() + _duration(timeout, "timeout")
    if deadline is None:
        return when
    if not isinstance(deadline, Deadline):
        raise TypeError(
            f"deadline must be a Deadline, such as Deadline.after(5), not {deadline!r}"
        )
    return min(when, deadline.when)


def _number(value: float, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} must be a number of seconds that a float can hold") from None


def _duration(seconds: float, name: str) -> float:
    number = _number(seconds, name)
    if not number >= 0:  # also true of NaN
        raise ValueError(f"{name} must be 0 or more seconds, not {seconds!r}")
    return number
