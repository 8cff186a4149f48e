"""A dial for other people's tools: trace events of Chrome, the timings of a HTTP archive.

Rules:

* Nothing is made up: a moment that has not come is not there.
* Times of trace events are those of `time.monotonic`, so that those of many dials fit together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .rows import rows, title

if TYPE_CHECKING:
    from .story import Story

__all__ = ["timings", "trace_events"]

_LOOKUPS = 0  # the thread, as a viewer has it, of all lookups; those of attempts come after it


def trace_events(story: Story, origin: float, process: int) -> list[dict[str, Any]]:
    """What `Report.to_trace_events` returns."""
    events = [_named("process_name", process, _LOOKUPS, title(story, 200))]
    if story.resolutions:
        events.append(_named("thread_name", process, _LOOKUPS, "names"))
    thread = _LOOKUPS
    for row in rows(story):
        if row.kind == "connect":
            thread += 1
            events.append(_named("thread_name", process, thread, row.label.strip()))
        end = story.elapsed if row.end is None else row.end
        events.append(
            {
                "name": row.label.strip(),
                "cat": row.kind,
                "ph": "X",
                "ts": round((origin + row.start) * 1e6, 3),
                "dur": round(max(0.0, end - row.start) * 1e6, 3),
                "pid": process,
                "tid": thread,
                "args": {"outcome": row.outcome},
            }
        )
    return events


def _named(what: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}


def timings(story: Story) -> dict[str, float]:
    """What `Report.timings` returns."""
    seconds = story.phase_seconds()
    attempts = sorted(story.attempts.values(), key=lambda each: each.won)  # the winner's is last
    tls = [
        (story.elapsed if each.end is None else each.end) - each.start
        for attempt in attempts
        for each in attempt.handshakes
        if each.name == "TLS"
    ]
    dns = seconds["resolve"] if story.resolutions else None
    connect = (
        seconds["connect"] + seconds["proxy"] + seconds["handshake"] if story.attempts else None
    )
    blocked = max(0.0, story.elapsed - (dns or 0.0) - (connect or 0.0))
    parts = {
        "blocked": blocked,
        "dns": dns,
        "connect": connect,
        "ssl": tls[-1] if tls else None,
    }
    return {name: -1 if took is None else round(took * 1000, 6) for name, took in parts.items()}
