"""What the reference says about the code, taken from the code, as Markdown.

Rules:

* Imports nothing but aconnect and the standard library, so that the tests can use it.
* The state machine is not described here.  It is driven through every answer that a system
  call may give, on every kind of socket, and what it asks for is written down.
"""

from __future__ import annotations

import errno as errnos
import inspect
import json
import socket
from collections import deque
from copy import copy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aconnect.explanations.explain import BY_CODE, BY_ERRNO
from aconnect.policy import SPECIAL_NETWORKS
from aconnect.sansio.attempt import (
    CONNECT_TABLE,
    Action,
    Attempt,
    Failed,
    Meaning,
    RetryAt,
    Step,
    WaitWritable,
    classify,
)
from aconnect.sansio.commands import State
from aconnect.sansio.order import POLICY_TABLE
from aconnect.sansio.race import BeginHandshake, Cancel, Race, Rules, Start, Won
from aconnect.sansio.race import Failed as RaceFailed
from aconnect.telemetry.conventions import ERROR_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from aconnect.explanations.explain import Explanation

__all__ = ["KINDS", "TABLES", "Kind", "Transition", "edges", "transitions"]


# Tables of errnos


def connect_table() -> str:
    """What connect(2) answers, row by row of `CONNECT_TABLE`."""
    owners = {None: "any", True: "aconnect's own", False: "the caller's"}
    rows = [
        (
            "0 (success)" if row.errno == "0" else f"`{row.errno}`",
            "any" if row.families is None else ", ".join(f"`{name}`" for name in row.families),
            owners[row.owned],
            f"`{row.meaning.name}`: {row.meaning.value}",
        )
        for row in CONNECT_TABLE
    ]
    rows.append(("any other", "any", "any", f"`{Meaning.FAILED.name}`: {Meaning.FAILED.value}"))
    return _table(("errno", "family", "socket", "meaning"), rows)


def errno_table() -> str:
    """The explanation of each errno."""
    rows = (
        (*_explanation(row), f"`{type(OSError(number, '')).__name__}`")
        for number, row in BY_ERRNO.items()
    )
    return _table(("errno", "what happened", "what to check", "transient", "also a"), rows)


def lookup_table() -> str:
    """The explanation of each code of getaddrinfo(3)."""
    rows = map(_explanation, BY_CODE.values())
    return _table(("code", "what happened", "what to check", "transient"), rows)


def error_type_table() -> str:
    """The kind of error that telemetry has for each errno, and each code of getaddrinfo(3)."""
    kinds: dict[str, list[str]] = {}
    for name, kind in ERROR_TYPES.items():
        kinds.setdefault(kind, []).append(f"`{name}`")
    rows = ((f"`{kind}`", ", ".join(kinds[kind])) for kind in sorted(kinds))
    return _table(("`error.type`", "stands for"), rows)


def _explanation(row: Explanation) -> tuple[str, str, str, str]:
    return f"`{row.name}`", row.words(None), row.advice(None), "yes" if row.transient else "no"


# The state machine


class Kind(NamedTuple):
    """A kind of socket for which the machine may decide in its own way."""

    name: str
    detail: str
    family: int
    type: int
    owned: bool
    port_fixed: bool = False


_AF_VSOCK: Final = getattr(socket, "AF_VSOCK", 40)  # but a number to the machine
_OWNERS: Final = (("own", True), ("caller's", False))

KINDS: Final = (
    *(
        Kind("TCP", f"{owner}, local port {port}", socket.AF_INET6, socket.SOCK_STREAM, own, fixed)
        for owner, own in _OWNERS
        for port, fixed in (("free", False), ("fixed", True))
    ),
    *(
        Kind(name, owner, family, type, own)
        for name, family, type in (
            ("UDP", socket.AF_INET6, socket.SOCK_DGRAM),
            ("unix stream", socket.AF_UNIX, socket.SOCK_STREAM),
            ("unix datagram", socket.AF_UNIX, socket.SOCK_DGRAM),
            ("VSOCK", _AF_VSOCK, socket.SOCK_STREAM),
        )
        for owner, own in _OWNERS
    ),
)


class Transition(NamedTuple):
    """What the machine asks for when it is given ``answer`` in ``state``.

    ``after`` has more than one entry where it is not the same every time: a socket is
    replaced twice, and then no more.
    """

    state: str
    answer: str
    after: tuple[str, ...]
    kinds: tuple[Kind, ...]


class _Answer(NamedTuple):
    text: str
    tell: Callable[[Attempt], Action]
    errno: int = 0


@cache
def transitions() -> tuple[Transition, ...]:
    """Every transition of the machine, found by having it make them."""
    found: dict[tuple[str, str], dict[Kind, list[str]]] = {}
    for kind in KINDS:
        for state, answer, after in _explore(kind):
            targets = found.setdefault((state, answer), {}).setdefault(kind, [])
            if after not in targets:
                targets.append(after)
    result = []
    for (state, answer), by_kind in found.items():
        cases: dict[tuple[str, ...], list[Kind]] = {}
        for kind, targets in by_kind.items():
            cases.setdefault(tuple(targets), []).append(kind)
        for after, kinds in cases.items():
            result.append(Transition(state, answer, after, tuple(kinds)))
    states = list(dict.fromkeys(each.state for each in result))
    return tuple(sorted(result, key=lambda each: states.index(each.state)))


def _explore(kind: Kind) -> Iterator[tuple[str, str, str]]:
    """Walk breadth first from the start, to every state of the machine that is new."""
    attempt = Attempt(kind.family, kind.type, owned=kind.owned, port_fixed=kind.port_fixed)
    answers = [_Answer("begin()", Attempt.begin)]
    if not kind.owned:  # nobody else can have started an attempt on a socket of our own
        answers.append(_Answer("resume()", Attempt.resume))
    queue = deque([("start", attempt, answers)])
    seen = set()
    while queue:
        state, attempt, answers = queue.popleft()
        for answer in answers:
            told = copy(attempt)
            action = answer.tell(told)
            yield state, answer.text, _target(action, told, answer.errno)
            key = (_name(action, told), *sorted(vars(told).items(), key=repr))
            if key not in seen:
                seen.add(key)
                queue.append((key[0], told, list(_answers(action, told, kind))))


def _name(action: Action, attempt: Attempt) -> str:
    if action is Step.PROBE:  # here, and only here, it matters how the machine got there
        return f"PROBE ({attempt._state.value})"
    if isinstance(action, Step):
        return action.name
    return {WaitWritable: "WAIT", RetryAt: "RETRY", Failed: "FAILED"}[type(action)]


def _target(action: Action, attempt: Attempt, errno: int) -> str:
    name = _name(action, attempt)
    if isinstance(action, WaitWritable) and action.not_before is not None:
        return f"{name} after a pause"
    if isinstance(action, Failed) and action.errno != errno:
        return f"{name}: {errnos.errorcode[action.errno]}"
    return name


def _answers(action: Action, attempt: Attempt, kind: Kind) -> Iterator[_Answer]:
    """Every answer to ``action`` that is a case of its own; none to one that is final."""
    now = 0.0
    if action is Step.CONNECT:
        meanings = {_meaning(errno, kind): errno for errno in reversed(_connect_errnos())}
        for meaning in Meaning:
            if meaning in meanings:
                errno = meanings[meaning]
                yield _Answer(meaning.name, lambda it, e=errno: it.called(e, now), errno)
    elif action is Step.PROBE:
        yield _Answer("a peer", lambda it: it.probed(0))
        if attempt.watch_for_itself:
            yield _Answer("itself", lambda it: it.probed(0, True))
        yield _Answer("ENOTCONN", lambda it: it.probed(errnos.ENOTCONN))
        yield _Answer("another errno", lambda it: it.probed(errnos.EBADF), errnos.EBADF)
    elif action is Step.READ_ERROR or isinstance(action, WaitWritable):
        yield _Answer("0", lambda it: it.woken(0, now))
        yield _Answer("EINPROGRESS, EALREADY, EINTR", lambda it: it.woken(errnos.EINPROGRESS, now))
        refused = errnos.ECONNREFUSED
        yield _Answer("another errno", lambda it: it.woken(refused, now), refused)
    elif action is Step.INSPECT:
        yield _Answer("hung up", lambda it: it.inspected(True, now))
        yield _Answer("not hung up", lambda it: it.inspected(False, now))
    elif action is Step.REOPEN:
        yield _Answer("begin()", Attempt.begin)
    elif isinstance(action, RetryAt):
        # Carried out without asking the machine: see RetryAt.
        yield _Answer("the moment has come", lambda _: Step.CONNECT)


def _connect_errnos() -> list[int]:
    """An errno for each row of `CONNECT_TABLE`, and one that has no row."""
    names = [row.errno for row in CONNECT_TABLE if row.errno != "0"]
    numbers = (getattr(errnos, name, None) for name in names)
    return [0, *(number for number in numbers if number is not None), errnos.ECONNREFUSED]


def _meaning(errno: int, kind: Kind) -> Meaning:
    return classify(errno, kind.family, owned=kind.owned)


def transition_table() -> str:
    """Every transition, one to a row."""
    reach: dict[str, set[Kind]] = {}
    for each in transitions():
        reach.setdefault(each.state, set()).update(each.kinds)
    rows = (
        (
            f"`{each.state}`",
            each.answer,
            "; then ".join(f"`{after}`" for after in each.after),
            _sockets(each.kinds, reach[each.state]),
        )
        for each in transitions()
    )
    return _table(("state", "answer", "next", "sockets"), rows)


def _sockets(kinds: Iterable[Kind], every: set[Kind]) -> str:
    """The kinds as text; "any" for all that get into the state."""
    chosen = set(kinds)
    if chosen == {kind for kind in every if not kind.owned}:
        return "the caller's"
    if chosen == every:
        return "any"
    texts = []
    for name in dict.fromkeys(kind.name for kind in KINDS if kind in chosen):
        here = [kind for kind in KINDS if kind.name == name and kind in chosen]
        if here == [kind for kind in KINDS if kind.name == name and kind in every]:
            texts.append(name)
        else:
            texts += [f"{name} ({kind.detail})" for kind in here]
    return ", ".join(texts)


def edges() -> dict[tuple[str, str], list[str]]:
    """The answers that lead from one state to another, whatever the socket, for a diagram."""
    labels: dict[tuple[str, str], list[str]] = {}
    for each in transitions():
        for after in each.after:
            texts = labels.setdefault((each.state, _node(after)), [])
            if each.answer not in texts:
                texts.append(each.answer)
    return labels


def _node(state: str) -> str:
    return state.partition(":")[0].partition(" after")[0]


# Tables of networks


def network_table() -> str:
    """Which networks can be reached from everywhere."""
    rows = (
        (f"`{network}`", name, "yes" if reachable else "no", source)
        for network, name, reachable, source in SPECIAL_NETWORKS
    )
    return _table(("network", "what it is", "reachable", "source"), rows)


def precedence_table() -> str:
    """The policy table of RFC 6724."""
    rows = ((f"`{row.prefix}`", str(row.precedence), str(row.label)) for row in POLICY_TABLE)
    return _table(("prefix", "precedence", "label"), rows)


# The race


def event_table() -> str:
    """What the race can be told: its methods that return commands."""
    rows = []
    for name, method in vars(Race).items():
        if not name.startswith("_") and callable(method):
            arguments = ", ".join(list(inspect.signature(method).parameters)[1:])
            rows.append((f"`{name}({arguments})`", _first_line(method)))
    return _table(("event", "what has happened"), rows)


def command_table() -> str:
    """What the race can ask for."""
    rows = (
        (f"`{command.__name__}({', '.join(command.__dataclass_fields__)})`", _first_line(command))
        for command in (Start, Cancel, BeginHandshake, Won, RaceFailed)
    )
    return _table(("command", "what to do"), rows)


_TOLD: Final = ("attempts_connected", "attempt_failed", "handshake_done", "handshake_failed")


def told_table() -> str:
    """What the race does when it is told of an attempt, in each state of the attempt.

    Each entry comes from a race with a handshake that has been brought there.
    """
    rows = ((state.value, *(_told(state, event) for event in _TOLD)) for state in State)
    return _table(("the attempt", *(f"`{event}`" for event in _TOLD)), rows)


def _told(state: State, event: str) -> str:
    race, attempt, now = _race_with(state)
    try:
        told = getattr(race, event)(now, [attempt] if event == "attempts_connected" else attempt)
    except RuntimeError:
        return "RuntimeError"
    names = [f"`{type(command).__name__}`" for command in told]
    return ", ".join(names) or "nothing"


def _race_with(state: State) -> tuple[Race[str], int, float]:
    """A race, an attempt of it that is in ``state``, and the moment."""
    race: Race[str] = Race(
        Rules(
            attempt_delay=2,
            attempt_timeout=0.5 if state is State.CANCELLED else None,
            handshake=True,
        ),
        family_of=lambda _: socket.AF_INET6,
    )
    race.addresses_added(0, ["first", "second", "third"])
    if state is State.RUNNING:
        return race, 0, 0
    if state is State.CANCELLED:
        race.time_passed(0.5)
        return race, 0, 0.5
    if state is State.FAILED:
        race.attempt_failed(0, 0)
        race.time_passed(0.01)
        return race, 0, 0.01
    if state is State.CONNECTED:
        race.time_passed(2)
        race.attempts_connected(2, [0, 1])
        return race, 1, 2
    race.attempts_connected(0, [0])
    if state is State.WON:
        race.handshake_done(0, 0)
    return race, 0, 0


def _first_line(documented: object) -> str:
    paragraph = (inspect.getdoc(documented) or "").partition("\n\n")[0]
    return paragraph.replace("\n", " ").replace("``", "`")


# Tables of figures


def speed_table() -> str:
    """What one connect takes, on each loop and Python that was measured."""
    runs = _runs()
    head = [
        "",
        *(f"{python}, µs" for python in runs),
        *(f"{python}, × blocking" for python in runs),
    ]
    lines = []
    for loop in ("asyncio", "uvloop", "trio", "programs"):
        names = dict.fromkeys(
            name for run in runs.values() for name in run["medians"].get(loop, ())
        )
        if names:
            lines.append((f"**{loop}**", *[""] * (len(head) - 1)))
        for name in names:
            took = [run["medians"].get(loop, {}).get(name) for run in runs.values()]
            floors = [
                run["medians"][loop if loop != "programs" else "asyncio"][_FLOOR]
                for run in runs.values()
            ]
            ratios = [
                "" if each is None else f"{each / floor:.2f}"
                for each, floor in zip(took, floors, strict=True)
            ]
            lines.append(
                (name, *("" if each is None else f"{each:.0f}" for each in took), *ratios)
            )
    return _table(tuple(head), lines)


def cost_table() -> str:
    """What each option of a dialer takes besides."""
    runs = _runs()
    head = (
        "option",
        *(f"{python}, µs" for python in runs),
        *(f"{python}, more" for python in runs),
    )
    names = next(iter(runs.values()))["medians"]["dialer"]
    lines = []
    for name in names:
        took = [run["medians"]["dialer"][name] for run in runs.values()]
        plain = [run["medians"]["dialer"]["Dialer()"] for run in runs.values()]
        more = [f"{each - least:+.1f}" for each, least in zip(took, plain, strict=True)]
        lines.append(
            (f"`{name.replace('|', chr(92) + '|')}`", *(f"{each:.1f}" for each in took), *more)
        )
    return _table(head, lines)


def goal_table() -> str:
    """What was wanted of each comparison, what came of it, and what its floor would have."""
    runs = _runs()
    head = ("of medians", *runs, "at the floor", "wanted", "")
    goals = {python: {goal[0]: goal[1:] for goal in run["goals"]} for python, run in runs.items()}
    lines = []
    for words, (_, possible, wanted, met) in next(iter(goals.values())).items():
        found = [goals[python].get(words, ("",))[0] for python in runs]
        told = words.replace("|", chr(92) + "|")
        lines.append((told, *found, possible, wanted, "met" if met else "missed"))
    return _table(head, lines)


def _runs() -> dict[str, Any]:
    runs: dict[str, Any] = json.loads(_SPEED.read_text())
    return runs


_SPEED: Final = Path(__file__).parents[1] / "pictures" / "speed.json"
_FLOOR: Final = "blocking socket.connect"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


TABLES: Final = {
    "commands": command_table,
    "connect": connect_table,
    "costs": cost_table,
    "errnos": errno_table,
    "error_types": error_type_table,
    "events": event_table,
    "lookups": lookup_table,
    "networks": network_table,
    "precedence": precedence_table,
    "speed": speed_table,
    "goals": goal_table,
    "told": told_table,
    "transitions": transition_table,
}
