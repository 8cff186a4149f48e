"""The page of a dial: its picture, its attempts as a table, its drawing in text.

Rules: those of the picture.  Nothing is asked for, nothing runs, all text is escaped, and the same
events are the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .picture import markup, picture
from .rows import rows, title, unit_of
from .waterfall import draw

if TYPE_CHECKING:
    from .story import Story

__all__ = ["page"]

_STYLE: Final = """\
:root{color-scheme:light dark}body{font:14px system-ui,sans-serif;margin:2em auto;max-width:60em;
padding:0 1em}div{overflow-x:auto}svg{max-width:100%;min-width:44em;height:auto}
table{border-collapse:collapse}
td,th{border-bottom:1px solid #8886;padding:.3em 1em .3em 0;text-align:left;
white-space:pre-wrap}td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}pre{overflow-x:auto}
"""
_COLUMNS: Final = ("what", "start", "took", "outcome")


def page(story: Story, width: int) -> str:
    """What `Report.to_html` returns; ``width`` is that of the picture."""
    heading, unit = markup(title(story, 200)), unit_of(story.elapsed)
    table = []
    for row in rows(story):
        end = story.elapsed if row.end is None else row.end
        start, took = unit.text(row.start), unit.text(max(0.0, end - row.start))
        table.append(
            f'<tr><td>{markup(row.label)}</td><td class="n">{start}</td><td class="n">{took}</td>'
            f"<td>{markup(row.outcome)}</td></tr>"
        )
    titles = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    lines = "\n".join(table)
    drawing = "\n".join(map(markup, draw(story, 96).splitlines()))
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{heading}</title>
<meta name="viewport" content="width=device-width">
<style>{_STYLE}</style></head>
<body>
<h1>{heading}</h1>
<div>{picture(story, width)}</div>
<table>
<tr>{titles}</tr>
{lines}
</table>
<pre>{drawing}</pre>
</body>
</html>
"""
