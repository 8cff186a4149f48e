"""How much of this machine, and of its peers, many dials may take at a time."""

from __future__ import annotations

import math
from typing import Final, Literal

from ..sansio.value import Value

__all__ = ["Limits"]

_COUNTS: Final = ("dials", "sockets")


class Limits(Value, kw_only=True):
    """Limits on how many dials run at once, and on how fast they start.

    Args:
        concurrency: dials in flight; 1 or more.  A dial to a name may have several sockets open,
            up to the ``max_in_flight`` of its dialer.
        per_host: dials in flight to one host, as it is written, upper and lower case being the
            same, or to one unix path; None for no such limit.  A dial that waits for its host does
            not hold up dials to others.
        rate: starts in a second, more than 0; None for as many as can be.  n starts take at least
            ``(n - burst) / rate`` seconds.
        burst: starts that may come at once at the beginning, and after a time without any.
        count: what ``rate`` counts: "dials"; or "sockets", among which are those that a race
            opens for further addresses.  These are not held up: the next dial starts later.
        reuse_answers: seconds for which the addresses of a name are used again; 0 for never.  In
            any case, no name is looked up twice at a time.
        raise_nofile: raise the soft limit on open descriptors to the hard one, until the end.
            Otherwise ``concurrency`` is reduced to what there is room for, with a warning.
        reset: close connections with a RST (SO_LINGER with 0 seconds).  No local port is kept in
            TIME_WAIT then, but servers see a connection reset, and many log it as an error.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument has an invalid value.

    Immutable, and usable from several loops and threads at once.

    Source: getrlimit(2) for RLIMIT_NOFILE, socket(7) for SO_LINGER.
    """

    concurrency: int = 200
    per_host: int | None = None
    rate: float | None = None
    burst: int = 1
    count: Literal["dials", "sockets"] = "dials"
    reuse_answers: float = 1.0
    raise_nofile: bool = False
    reset: bool = False

    def __post_init__(self) -> None:
        for name in ("concurrency", "per_host", "burst"):
            value = getattr(self, name)
            if value is None and name == "per_host":
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be a whole number, not {value!r}")
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, not {value!r}")
        for name in ("rate", "reuse_answers"):
            value = getattr(self, name)
            if value is None and name == "rate":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{name} must be a number, not {value!r}")
        if self.rate is not None and not (self.rate > 0 and math.isfinite(self.rate)):
            raise ValueError(f"rate must be more than 0 and finite, or None, not {self.rate!r}")
        if not self.reuse_answers >= 0:
            raise ValueError(
                f"reuse_answers must be 0 or more seconds, not {self.reuse_answers!r}"
            )
        if self.count not in _COUNTS:
            raise ValueError(f'count must be "dials" or "sockets", not {self.count!r}')
        for name in ("raise_nofile", "reset"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, not {getattr(self, name)!r}")
