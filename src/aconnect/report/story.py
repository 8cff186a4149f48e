"""What the events of one dial say: how its lookup, its attempts and its handshakes went.

Rules:

* A story is read from the events alone, and makes sense after each of them.  An event about
  an attempt, or a lookup, that has not begun is passed over.
* Times are seconds from the first event.  A dial that is running lasts until now.
* Each moment of the dial counts for one phase: the furthest one that anything was in.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final, Literal

from ..explanations.explain import lookup
from ..sansio.value import Value
from ..trace import (
    AttemptEnded,
    AttemptStarted,
    DialCancelled,
    DialConnected,
    DialFailed,
    DialStarted,
    HandshakeEnded,
    HandshakeStarted,
    QuestionAnswered,
    QuestionAsked,
    ResolutionBatch,
    ResolutionEnded,
    ResolutionStarted,
    ServiceFound,
    SocketClosed,
    is_last,
)
from .attempt import AttemptRecord, HandshakeSummary
from .questions import QuestionSummary, ServiceSummary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypeAlias

    from ..addresses.values import Endpoint
    from ..trace import Event, Phase, ResolutionOf, ResolutionOutcome

__all__ = [
    "DialOutcome",
    "ResolutionSummary",
    "Story",
    "read",
    "reason",
]

DialOutcome: TypeAlias = Literal[
    "not started", "running", "connected", "failed", "timed out", "cancelled"
]

_PHASES: Final[tuple[Phase, ...]] = ("resolve", "connect", "proxy", "handshake")


class ResolutionSummary(Value):
    """How a name was looked up.  Times are seconds from the start of the dial.

    Attributes:
        start: when it began.
        end: when it ended; None as long as it is running.
        address: what was looked up, as text.
        outcome: as in `ResolutionEnded`, or "running".
        batches: when the resolver gave addresses, and which.
        errno, error, remembered: as in `ResolutionEnded`.
        of: whose name it is: "target", or "proxy".
    """

    start: float
    end: float | None = None
    outcome: ResolutionOutcome | Literal["running"] = "running"
    batches: tuple[tuple[float, tuple[Endpoint, ...]], ...] = ()
    errno: int | None = None
    error: str = ""
    address: str = ""
    of: ResolutionOf = "target"
    remembered: bool = False

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses of all batches."""
        return tuple(endpoint for _, batch in self.batches for endpoint in batch)


class Story:
    """What the events say."""

    def __init__(self) -> None:
        self.address: str = ""
        self.via: tuple[str, ...] = ()
        self.timeout: float | None = None
        self.outcome: DialOutcome = "not started"
        self.elapsed: float = 0.0
        self.errno: int | None = None
        self.phase: Phase | None = None
        self.resolutions: dict[str, ResolutionSummary] = {}
        self.questions: list[QuestionSummary] = []
        self.services: list[ServiceSummary] = []
        self.attempts: dict[int, AttemptRecord] = {}
        self.known: int = 0

    def lasting(self, what: ResolutionSummary) -> float:
        """Seconds from its start to its end, or until now."""
        return max(0.0, self._end(what.end) - what.start)

    def _end(self, end: float | None) -> float:
        """What has not ended lasts until now."""
        return self.elapsed if end is None else end

    @property
    def resolution(self) -> ResolutionSummary | None:
        """The first lookup, if there was one."""
        return next(iter(self.resolutions.values()), None)

    @property
    def untried(self) -> int:
        return max(0, self.known - len({each.place for each in self.attempts.values()}))

    def phase_seconds(self) -> dict[Phase, float]:
        attempts = self.attempts.values()
        spans = [(each.start, self._end(each.connect_end)) for each in attempts]
        shakes = [shake for each in attempts for shake in each.handshakes]
        asking = [(each.start, self._end(each.end)) for each in self.resolutions.values()]
        of: dict[Phase, list[tuple[float, float]]] = {"resolve": asking, "connect": spans}
        for shake in shakes:
            of.setdefault(shake.phase, []).append((shake.start, self._end(shake.end)))
        further: list[tuple[float, float]] = []
        seconds: dict[Phase, float] = {}
        covered = 0.0
        for phase in reversed(_PHASES):  # a moment counts for the furthest
            further += of.get(phase, [])
            before, covered = covered, _covered(further)
            seconds[phase] = round(covered - before, 9)
        return {phase: seconds[phase] for phase in _PHASES}

    def slowest_phase(self) -> Phase | None:
        seconds = self.phase_seconds()
        slowest = max(seconds, key=lambda phase: seconds[phase])
        return slowest if seconds[slowest] > 0 else None

    def error_name(self) -> str | None:
        if self.errno is None:
            return None
        return lookup(self.errno, resolving=self.phase == "resolve").name


def read(events: Iterable[Event], now: float) -> Story:
    """What ``events`` say at the moment ``now``, which counts while the dial is running."""
    story = Story()
    attempts: dict[int, dict[str, Any]] = {}  # the fields of each
    lookups = story.resolutions
    origin = None
    event: Event | None = None

    for event in events:
        if origin is None:
            origin = event.time
            story.outcome = "running"
        at = round(event.time - origin, 9)
        story.elapsed = max(at, story.elapsed)
        match event:
            case DialStarted(_, address, deadline, via):
                story.address, story.via = address, via
                story.timeout = round(deadline - origin, 9) if isfinite(deadline) else None
            case ResolutionStarted(_, address, of):
                lookups[address] = ResolutionSummary(at, address=address, of=of)
            case ResolutionBatch() if (name := _name(event, lookups)) in lookups:
                batches = (*lookups[name].batches, (at, event.endpoints))
                lookups[name] = lookups[name].replace(batches=batches)
                if not story.via:  # of ways by proxies, each attempt says how many there are
                    found = sum(len(each.endpoints) for each in lookups.values())
                    story.known = max(story.known, found)
            case ResolutionEnded() if (name := _name(event, lookups)) in lookups:
                lookups[name] = lookups[name].replace(
                    end=at,
                    outcome=event.outcome,
                    errno=event.errno,
                    error=event.error,
                    remembered=event.remembered,
                )
            case QuestionAsked(_, name, kind, address, of):
                story.questions.append(QuestionSummary(name, kind, at, address=address, of=of))
            case QuestionAnswered():
                _answer(story.questions, event, at)
            case ServiceFound():
                story.services.append(ServiceSummary.found(at, event))
            case AttemptStarted(_, number, endpoint, place, known, host, target):
                attempts[number] = {
                    **endpoint._asdict(),
                    "number": number,
                    "local_address": None,
                    "start": at,
                    "place": place,
                    "host": host,
                    "via": story.via,
                    "target": target,
                    "rank": event.rank,
                    "service": event.service,
                    "handshakes": (),
                }
                story.known = max(story.known, known)
            case AttemptEnded(_, number) if number in attempts:
                attempts[number] |= {
                    "end": at,
                    "connected": at if event.outcome == "connected" else None,
                    "outcome": event.outcome,
                    "errno": event.errno,
                    "local_address": event.local_address,
                    "note": event.note,
                    "round_trip": event.round_trip,
                    "resent": event.resent,
                }
            case HandshakeStarted(_, number, name, layer, phase, proxy) if number in attempts:
                each = attempts[number]
                each["handshakes"] += (HandshakeSummary(name, at, None, layer=layer, phase=phase),)
                each |= {"phase": phase, "outcome": "running", "end": None}
                each |= {"layer": layer, "proxy": proxy}
            case HandshakeEnded(_, number) if number in attempts:
                each = attempts[number]
                shakes = each["handshakes"]
                begun = shakes[-1] if shakes else HandshakeSummary("handshake", at)
                ended = begun.replace(
                    end=at,
                    outcome=event.outcome,
                    error=event.error,
                    details=event.details,
                    layer=event.layer,
                )
                outcome = "connected" if event.outcome == "done" else event.outcome
                each |= {
                    "phase": ended.phase,
                    "unfinished": event.unfinished,
                    "handshakes": (*shakes[:-1], ended),
                    "end": at,
                    "outcome": outcome,
                    "errno": event.errno,
                }
                if event.outcome != "done":
                    each["note"] = "; ".join(filter(None, (each.get("note"), ended.why)))
            case SocketClosed(_, number) if number in attempts:
                attempts[number]["closed"] = at
            case DialConnected(_, number):
                story.outcome = "connected"
                if number in attempts:
                    attempts[number]["won"] = True
            case DialFailed(_, outcome, errno, phase):
                story.outcome, story.errno, story.phase = outcome, errno, phase
            case DialCancelled():
                story.outcome = "cancelled"

    for number, question in enumerate(story.questions):
        lookup_of = lookups.get(question.address)
        if question.end is None and lookup_of is not None and lookup_of.end is not None:
            ended = question.replace(outcome="cancelled", end=lookup_of.end)
            story.questions[number] = ended
    if event is not None and is_last(event):
        for each in attempts.values():
            _settle(each, story.outcome)
    story.attempts = {number: AttemptRecord(**each) for number, each in attempts.items()}
    if origin is not None and story.outcome == "running":
        story.elapsed = max(round(now - origin, 9), story.elapsed)
    return story


def _answer(questions: list[QuestionSummary], event: QuestionAnswered, at: float) -> None:
    """An answer, to the question that is waiting for it; or to one that needed not be put."""
    asked = (event.name, event.type, event.address)
    for number, each in enumerate(questions):
        if (each.name, each.type, each.address) == asked:
            questions[number] = each.answered(at, event)
            return
    put = QuestionSummary(event.name, event.type, at, address=event.address, of=event.of)
    questions.append(put.answered(at, event))


def _name(event: ResolutionBatch | ResolutionEnded, lookups: Mapping[str, object]) -> str:
    """Which lookup it is about: the first, if it does not say."""
    return event.address or next(iter(lookups), "")


def _settle(attempt: dict[str, Any], outcome: DialOutcome) -> None:
    """Of an attempt that is connected and has not won, say that its handshake had no time."""
    if attempt.get("outcome") == "connected" and not attempt.get("won"):
        shakes = attempt["handshakes"]
        waiting = "proxy" if attempt["via"] else "handshake"
        attempt |= {
            "phase": shakes[-1].phase if shakes else waiting,
            "outcome": "timed out" if outcome == "timed out" else "cancelled",
            "end": attempt.get("closed", attempt["end"]),
        }


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of ``spans``."""
    total, reached = 0.0, 0.0
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def reason(resolution: ResolutionSummary) -> str:
    """Why the lookup failed, in words; empty if it did not."""
    if resolution.error or resolution.errno is None:
        return resolution.error
    return lookup(resolution.errno, resolving=True).what
