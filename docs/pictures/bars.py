"""Figures as bars, in SVG: one file that asks for nothing, light or dark as the reader has it.

Rules:

* The bars of a picture have one scale, which begins at 0.
* Ours are filled, theirs are pale, and what both are compared with is an outline: it can be read
  without colours, and each bar has its number.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Bar", "chart"]

_WIDTH: Final = 880
_LABELS: Final = 300
_NUMBERS: Final = 70
_ROW: Final = 22
_BAR: Final = 13

_STYLE: Final = """\
.bars{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.bars .p{fill:#fff}.bars text{fill:#1f2328}.bars .t{font-weight:bold}
.bars .ours{fill:#0969da}.bars .theirs{fill:#0969da;fill-opacity:.3}
.bars .floor{fill:none;stroke:#59636e}
@media (prefers-color-scheme:dark){
.bars .p{fill:#0d1117}.bars text{fill:#f0f6fc}
.bars .ours{fill:#4493f8}.bars .theirs{fill:#4493f8;fill-opacity:.4}.bars .floor{stroke:#9198a1}}
"""


class Bar(NamedTuple):
    label: str
    number: float
    kind: str
    """"ours", "theirs" or "floor"."""


def chart(
    title: str, groups: Sequence[tuple[str, Sequence[Bar]]], number: str = "{:.0f} µs"
) -> str:
    """A picture of bars in groups, each with a heading, if that is not empty."""
    most = max(bar.number for _, bars in groups for bar in bars)
    room = _WIDTH - _LABELS - _NUMBERS
    lines: list[str] = []
    y = 30
    lines.append(_text(16, y, title, "t"))
    for heading, bars in groups:
        y += 8
        if heading:
            y += _ROW
            lines.append(_text(16, y, heading, "t"))
        for bar in bars:
            y += _ROW
            long = max(round(bar.number / most * room, 1), 1)
            lines.append(_text(28, y, bar.label))
            lines.append(
                f'<rect class="{bar.kind}" x="{_LABELS}" y="{y - _BAR + 2}" '
                f'width="{long:g}" height="{_BAR}"/>'
            )
            lines.append(_text(_LABELS + long + 8, y, number.format(bar.number)))
    height = y + 20
    return "\n".join(_framed(title, height, lines)) + "\n"


def _framed(title: str, height: int, lines: Iterable[str]) -> Iterable[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="bars" role="img" '
        f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">'
    )
    yield f"<title>{escape(title)}</title>"
    yield f"<style>\n{_STYLE}</style>"
    yield f'<rect class="p" width="{_WIDTH}" height="{height}"/>'
    yield from lines
    yield "</svg>"


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    of = f' class="{kind}"' if kind else ""
    return f'<text{of} x="{x:g}" y="{y}">{escape(words)}</text>'
