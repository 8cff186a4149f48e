"""What a drawing of a dial says, in whatever form it is drawn: a title, rows, remarks.

Rules:

* There is a row for each lookup, attempt and handshake, in the order in which they began; below a
  lookup there is one for each question that it has asked.
* All times of a drawing are in one unit, so that they can be compared.
* Text is as it came; whoever draws sees to what cannot be printed.
"""

from __future__ import annotations

import errno as errnos
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ..addresses.text import printable, shortened
from ..explanations.explain import lookup
from ..sansio.value import Value
from .attempt import asked
from .story import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..trace import Phase
    from .attempt import AttemptRecord
    from .questions import QuestionSummary, ServiceSummary
    from .story import ResolutionSummary, Story

__all__ = ["Row", "State", "Unit", "remarks", "rows", "title", "unit_of"]

_ANSWERS: Final = (errnos.ECONNREFUSED, errnos.ECONNRESET)
_WHILE: Final[dict[Phase, str]] = {
    "resolve": "resolving",
    "connect": "connecting",
    "proxy": "waiting for a proxy",
    "handshake": "handshaking",
}

State: TypeAlias = Literal["running", "done", "dropped", "lost"]
"""What a row came to: "dropped" when it was cancelled, "lost" for every other failure."""

_STATES: Final[dict[str, State]] = {
    "running": "running",
    "done": "done",
    "connected": "done",
    "cancelled": "dropped",
}


def title(story: Story, width: int, show: Callable[[str], str] = printable) -> str:
    """What was dialled, and what it came to; the address is cut so that it fits, if it can.

    Args:
        show: makes printable what is not.
    """
    unit = unit_of(story.elapsed)
    state: str = story.outcome
    if story.outcome == "running":
        limit = "" if story.timeout is None else f" of {unit.text(story.timeout)}"
        state = f"still running after {unit.text(story.elapsed)}{limit}"
    elif story.outcome != "not started":
        state = f"{story.outcome} after {unit.text(story.elapsed)}"
    if story.phase:
        state += f" while {_WHILE[story.phase]}"
    if story.outcome == "failed" and story.errno is not None:
        state += f": {story.error_name()}"
    address = show(story.address) or "dial"
    address = shortened(address, max(24, width - len(state) - 2))
    way = "".join(f" via {shortened(show(each), width - 5)}" for each in story.via)
    return f"{address}{way}: {state}"


class Row(Value):
    """One of them; times are seconds from the start of the dial, None for what has not come."""

    kind: Phase
    label: str
    start: float
    end: float | None
    outcome: str
    """In words."""
    state: State


class Unit(Value):
    """How times are written: all of a drawing in one unit, so that they can be compared."""

    name: str
    sign: str
    scale: int
    digits: int

    def number(self, seconds: float) -> str:
        return f"{seconds * self.scale:.{self.digits}f}"

    def text(self, seconds: float) -> str:
        return f"{self.number(seconds)} {self.sign}"


def unit_of(longest: float) -> Unit:
    """The unit for times up to the longest."""
    if longest < 0.01:
        return Unit("milliseconds", "ms", 1000, 3)
    if longest < 10:
        return Unit("milliseconds", "ms", 1000, 1)
    return Unit("seconds", "s", 1, 3)


def rows(story: Story) -> Iterator[Row]:
    """What has been begun."""
    for search in story.resolutions.values():
        label, state = _resolve(story, search), _STATES.get(search.outcome, "lost")
        yield Row("resolve", label, search.start, search.end, _found(search), state)
        for asked_for in story.questions:
            if asked_for.address in (search.address, ""):
                label = f"  {' '.join(filter(None, (asked_for.type, asked_for.name)))}"
                state = _answered(asked_for)
                start, end = asked_for.start, asked_for.end
                yield Row("resolve", label, start, end, asked_for.words, state)
    digits = len(str(max(story.attempts, default=0)))
    for number, each in story.attempts.items():
        outcome: str = each.outcome if each.connected is None else "connected"
        words = [outcome]
        if outcome == "failed" and each.errno is not None:
            words = [lookup(each.errno).name]
        words += ["won"] * each.won + ["closed"] * (each.closed is not None)
        of_host = f" ({each.host})" if each.host not in ("", each.peer) else ""
        if each.service:
            of_host += f" of {each.service}"
        if each.target is not None:
            of_host += f" for {asked(each)}"
        label = f"{number:>{digits}} {each.peer}{of_host}"
        state = _STATES.get(outcome, "lost")
        yield Row("connect", label, each.start, each.connect_end, ", ".join(words), state)
        for shake in each.handshakes:
            label, state = f"{' ' * digits} {shake.name}", _STATES.get(shake.outcome, "lost")
            yield Row("handshake", label, shake.start, shake.end, shake.outcome, state)


def _answered(question: QuestionSummary) -> State:
    if question.outcome in _STATES:
        return _STATES[question.outcome]
    answered = question.outcome in ("NOERROR", "NXDOMAIN") or question.source == "system"
    return "done" if answered else "lost"


def _resolve(story: Story, resolution: ResolutionSummary) -> str:
    """What a lookup is called: by its name where there are several."""
    return f"resolve {resolution.address}" if len(story.resolutions) > 1 else "resolve"


def _found(resolution: ResolutionSummary) -> str:
    count = len(resolution.endpoints)
    addresses = f"{count} address{'es' * (count != 1)}"
    if resolution.outcome == "done":
        return f"{addresses}, remembered" if resolution.remembered else addresses
    what: str = resolution.outcome
    if resolution.outcome == "failed" and resolution.errno is not None:
        what = lookup(resolution.errno, resolving=True).name
    return f"{addresses}, {what}" if count else what


def remarks(story: Story) -> Iterator[str]:
    """What does not fit into a row; each remark once."""
    failed = (each for each in story.resolutions.values() if reason(each))
    said = [f"{_resolve(story, search)}: {reason(search)}" for search in failed]
    said += [_offered(each) for each in story.services]
    for number, each in story.attempts.items():
        # What is said of a handshake is said below.
        note = each.note
        if each.handshake is not None:
            note = note.removesuffix(each.handshake.why).removesuffix("; ")
        if note:
            said.append(f"attempt {number}: {note}")
        elif each.errno is not None and each.connected is None:
            row = lookup(each.errno)
            said.append(f"{row.name}: {row.words(each.family)}")
        if _sent(each):
            said.append(f"attempt {number}: {_sent(each)}")
        for shake in each.handshakes:
            facts = [f"{key} {value}" for key, value in shake.details.items()]
            facts = [shake.error, *facts] if shake.error else facts
            if facts:
                said.append(f"attempt {number}: {shake.name}: {', '.join(facts)}")
    if story.untried:
        said.append(f"not tried: {story.untried} of {story.known} addresses")
    slowest = story.slowest_phase()
    if story.outcome == "timed out" and slowest:
        unit = unit_of(story.elapsed)
        spent = f"{unit.number(story.phase_seconds()[slowest])} of {unit.text(story.elapsed)}"
        said.append(f"out of time: {_WHILE[slowest]} took the most, {spent}")
    yield from dict.fromkeys(said)


def _offered(service: ServiceSummary) -> str:
    """What a record says of a service."""
    facts = [
        f"priority {service.priority}",
        *[f"alpn {','.join(service.alpn)}"] * bool(service.alpn),
    ]
    facts += ["ech"] * bool(service.ech)
    how = f"not used: {service.refused}" if service.refused else f"rank {service.rank}"
    return f"service {service.target}:{service.port}: {how}, {', '.join(facts)}"


def _sent(each: AttemptRecord) -> str:
    """What became of the SYNs, if that was not the first one's answer."""
    resent = each.resent
    connected = each.connected is not None
    silent = not connected and (each.outcome == "timed out" or each.errno == errnos.ETIMEDOUT)
    if resent is None or not (resent or silent):
        return ""
    if connected or each.errno in _ANSWERS:
        return (
            f"the first {'SYN was' if resent == 1 else f'{resent} SYNs were'} lost and sent again"
        )
    return f"{resent + 1} SYN{'s' * (resent > 0)} sent, no answer"
