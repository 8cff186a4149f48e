"""Sphinx: names in docstrings and signatures lead to where they are documented, also offline.

* A bare name of aconnect's is found on every page, whichever module the page is about.
* A name of Python's is looked up in ``python_names.txt``, which is checked in: a name, what it is,
  and its place on docs.python.org.  No inventory is fetched, so no build needs a network.

The file is made by ``python docs/_ext/links.py objects.inv NAMES``.  The first is the inventory of
any copy of Python's documentation (Debian: python3-doc), the second a file with a name in a line,
such as those of which ``sphinx-build -n`` says that they are not found.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from docutils import nodes

import aconnect

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment
    from sphinx.util.typing import ExtensionMetadata

NAMES: Final = Path(__file__).with_name("python_names.txt")
_SITE: Final = "https://docs.python.org/3/"
_ALIASES: Final = {"ssl_module.": "ssl."}


def find(
    app: Sphinx, env: BuildEnvironment, node: Any, content: nodes.TextElement
) -> nodes.Element | None:
    """Where a name leads that Sphinx has not found; None if nowhere."""
    if node.get("refdomain") != "py":
        return None
    name: str = node["reftarget"]
    for alias, module in _ALIASES.items():
        if name.startswith(alias):
            name = module + name.removeprefix(alias)
    if name.partition(".")[0] in aconnect.__all__:
        where = node.get("refdoc", env.docname)
        domain = env.domains.python_domain
        return domain.resolve_xref(
            env, where, app.builder, "obj", f"aconnect.{name}", node, content
        )
    place = _places().get(name)
    if place is None:
        return None
    return nodes.reference("", "", content, internal=False, refuri=_SITE + place)


@cache
def _places() -> dict[str, str]:
    return {name: place for name, _, place in map(str.split, NAMES.read_text().splitlines())}


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("missing-reference", find)
    return {"parallel_read_safe": True}


def main(inventory: str, names: str) -> None:
    from sphinx.util.inventory import InventoryFile

    known = InventoryFile.loads(Path(inventory).read_bytes(), uri="").data
    wanted = set(Path(names).read_text().split())
    found = [
        f"{name} {kind.removeprefix('py:')} {entry.uri.lstrip('/')}\n"
        for kind, entries in known.items()
        if kind.startswith("py:")
        for name, entry in entries.items()
        if name in wanted
    ]
    NAMES.write_text("".join(sorted(found)))


if __name__ == "__main__":
    main(*sys.argv[1:])
