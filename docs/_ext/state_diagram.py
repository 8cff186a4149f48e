"""The state machine of an attempt, drawn: a column for each state, an arrow for each transition.

Rules:

* Imports nothing but the standard library, so that the tests can use it.
* The drawing is part of the page: it has the page's colours, light or dark, and no script.
* The title of each arrow says it in words: "STATE, ANSWERS: STATE".
"""

from __future__ import annotations

from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["drawn"]

_COLUMNS: Final = (
    *("start", "CONNECT", "PROBE", "WAIT", "READ_ERROR"),
    *("INSPECT", "RETRY", "REOPEN", "CONNECTED", "FAILED"),
)
_WIDTH: Final = 84
_ROW: Final = 26
_HEAD: Final = 30
_LOOP: Final = 22

_STYLE: Final = """\
.machine{font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;width:100%;height:auto}
.machine text{fill:var(--color-foreground-primary,#1f2328);stroke:none}
.machine .h{font-weight:bold;font-size:10.5px}
.machine .b{fill:var(--color-background-secondary,#f6f8fa)}
.machine .l{stroke:var(--color-background-border,#d1d9e0)}
.machine .a{stroke:var(--color-brand-primary,#0969da);fill:none;stroke-width:1.5}
.machine .p{fill:var(--color-brand-primary,#0969da)}
.machine .t{paint-order:stroke;stroke:var(--color-background-primary,#fff);stroke-width:4px}
"""

_HEADER: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" class="machine" role="img" '
    'aria-label="The states of an attempt, and what leads from one to another"'
)


def drawn(edges: Mapping[tuple[str, str], list[str]]) -> str:
    """The diagram as SVG.

    Args:
        edges: the answers that lead from one state to another, those of a state side by side.
    """
    rows: list[str] = []
    y = _HEAD
    for state, group in groupby(edges.items(), key=lambda edge: edge[0][0]):
        rows.append(f'<rect class="b" x="0" y="{y}" width="{_total()}" height="18"/>')
        rows.append(f'<text class="h" x="6" y="{y + 13}">{escape(state)}</text>')
        y += 18
        for (_, after), answers in group:
            y += _ROW
            rows += _arrow(state, after, answers, y - 7)
        y += 6
    lines = [f'<path class="l" d="M{_x(name)} {_HEAD}V{y}"/>' for name in _COLUMNS]
    heads = [
        f'<text class="h" x="{_x(name)}" y="18" text-anchor="middle">{name}</text>'
        for name in _COLUMNS
    ]
    return "\n".join(
        [
            f'{_HEADER} viewBox="0 0 {_total()} {y}">',
            f"<style>{_STYLE}</style>",
            *heads,
            *lines,
            *rows,
            "</svg>",
        ]
    )


def _arrow(state: str, after: str, answers: list[str], y: int) -> Iterator[str]:
    text = " / ".join(answers)
    start, end = _x(state), _x(after)
    yield f"<g><title>{escape(f'{state}, {text}: {after}')}</title>"
    _, bracket, which = after.partition(" (")
    if bracket:  # what came before decides what follows
        text = f"{text} → {which.removesuffix(')')}"
    # Beside the beginning of the line, where there is room.
    side = -1 if end < start else 1
    place = start + (_LOOP + 6 if start == end else 5 * side)
    anchor = "start" if side > 0 else "end"
    yield f'<text class="t" x="{place}" y="{y - 5}" text-anchor="{anchor}">{escape(text)}</text>'
    if start == end:
        side = -1  # it comes back
        yield f'<path class="a" d="M{start} {y - 8}h{_LOOP}v8h{-_LOOP}"/>'
    else:
        yield f'<path class="a" d="M{start} {y}H{end}"/>'
    yield f'<path class="p" d="M{end} {y}l{-7 * side} -4v8z"/>'
    yield "</g>"


def _x(state: str) -> int:
    """The middle of its column; all that are asked for after a probe share one."""
    name = state.partition(" (")[0]
    return _WIDTH * _COLUMNS.index(name) + _WIDTH // 2


def _total() -> int:
    return _WIDTH * len(_COLUMNS)
