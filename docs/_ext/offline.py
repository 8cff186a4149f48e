"""Sphinx: no page may have a reader's browser ask anybody else for anything.

Links are the reader's to follow.  Scripts, styles, fonts and pictures come with the page.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sphinx.errors import ExtensionError

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

_ASKS: Final = re.compile(
    r"""<(?:script|link|img|iframe|object|source)\b[^>]*?\b(?:src|href|data)="(?:https?:)?//[^>]*"""
    r"""|(?:\bfrom|\bimport\(?|@import|url\()\s*["']?https?://[^\s)"']*""",
)
"""What a browser loads from elsewhere, in the markup of a page or in a script or style of it."""


def look(app: Sphinx, error: Exception | None) -> None:
    """Fail the build if a page asks for something."""
    if error is not None or app.builder.format != "html":
        return
    found = {
        f"{page.relative_to(app.outdir)}: {match[0]}"
        for page in Path(app.outdir).rglob("*.html")
        for match in _ASKS.finditer(re.sub(r"(?s)<pre>.*?</pre>", "", page.read_text()))
    }
    if found:
        raise ExtensionError(
            "pages that ask others (or are left from before: remove them):\n"
            + "\n".join(sorted(found))
        )


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("build-finished", look)
    return {"parallel_read_safe": True}
