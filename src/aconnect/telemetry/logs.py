"""A record of each dial, in the logger of the program.

Rules:

* Whether the logger wants the record is asked before anything is worked out.
* The logger is all that is touched: no handler, no configuration, no logger of ours.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..report.rows import title
from ..report.story import read
from ..trace import DialConnected, DialFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..report.report import Report
    from ..report.story import Story
    from ..trace import Event

__all__ = ["log_dials"]

# As the logging module has them.
_DEBUG: Final = 10
_INFO: Final = 20
_WARNING: Final = 30
_METHODS: Final = {_DEBUG: "debug", _INFO: "info", _WARNING: "warning"}

_LONGEST_TITLE: Final = 200  # characters


def log_dials(logger: Any, *, slow: float = 1.0) -> Callable[[Report], None]:
    """Log one record for each dial: ``Dialer(on_report=log_dials(logging.getLogger("app.net")))``.

    The level is DEBUG for a dial that has connected, or was cancelled; INFO if it has connected
    and took ``slow`` seconds or more; WARNING if it failed or timed out.

    A logger of the logging module gets the title of the report as its message, in one line, and
    `Report.to_dict` as the attribute ``dial`` of the record.  One of structlog gets the event
    "dial" with ``address``, ``outcome``, ``elapsed``, ``peer``, ``phase``, ``error``,
    ``attempts`` (how many there were), ``via``, and the seconds of each phase that there was,
    as ``resolve_seconds``, ``connect_seconds``, ``proxy_seconds`` and ``handshake_seconds``.
    A field without a value is left out.

    Args:
        logger: a logger or a LoggerAdapter of the logging module, or a logger of structlog.
        slow: seconds; infinity for no INFO.

    Returns:
        A callable for ``on_report``.  It may be shared by dialers and threads, as the logger may.

    Raises:
        TypeError: ``logger`` is not a logger, or ``slow`` not a number.
        ValueError: ``slow`` is negative, or not a number.

    If the logger raises, that is a warning, and no dial is harmed.
    """
    if isinstance(slow, bool) or not isinstance(slow, (int, float)):
        raise TypeError(f"slow must be a number of seconds, not {slow!r}")
    if math.isnan(slow) or slow < 0:
        raise ValueError(f"slow must be 0 or more seconds, not {slow!r}")
    wants: Callable[[int], bool]
    write: Callable[[Any, int, Story, Report], None]
    if hasattr(logger, "bind") and hasattr(logger, "unbind"):
        wants, write = partial(_structlog_wants, logger), _write_structured
    elif hasattr(logger, "isEnabledFor") and hasattr(logger, "log"):
        wants, write = logger.isEnabledFor, _write_plain
    else:
        raise TypeError(f"logger must be a logger of logging or of structlog, not {logger!r}")

    def log(report: Report) -> None:
        events = report.events
        level = _level(events, slow)
        if wants(level):
            write(logger, level, read(events, 0.0), report)

    return log


def _structlog_wants(logger: Any, level: int) -> bool:
    """Whether a logger of structlog, as that is configured now, does not drop the level."""
    bound = logger.bind()
    kind = type(bound)  # an instance may make a method of any name
    asks = getattr(kind, "is_enabled_for", None) or getattr(kind, "isEnabledFor", None)
    return asks is None or asks(bound, level)


def _level(events: tuple[Event, ...], slow: float) -> int:
    last = events[-1]
    if isinstance(last, DialFailed):
        return _WARNING
    took = last.time - events[0].time
    return _INFO if isinstance(last, DialConnected) and took >= slow else _DEBUG


def _write_plain(logger: Any, level: int, story: Story, report: Report) -> None:
    logger.log(level, "%s", title(story, _LONGEST_TITLE), extra={"dial": report.to_dict()})


def _write_structured(logger: Any, level: int, story: Story, report: Report) -> None:  # noqa: ARG001
    getattr(logger, _METHODS[level])("dial", **_flat(story))


def _flat(story: Story) -> dict[str, Any]:
    winner = next((each for each in story.attempts.values() if each.won), None)
    fields = {
        "address": story.address,
        "outcome": story.outcome,
        "elapsed": story.elapsed,
        "peer": winner and winner.peer,
        "phase": story.phase,
        "error": story.error_name(),
        "attempts": len(story.attempts),
        "via": ", ".join(story.via) or None,
    }
    fields |= {f"{phase}_seconds": took or None for phase, took in story.phase_seconds().items()}
    return {key: value for key, value in fields.items() if value is not None}
