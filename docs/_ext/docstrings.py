"""Sphinx: the docstrings' conventions, where Napoleon would read them in another way.

* In "Raises:", a paragraph of its own that names no exception is said of all of them.
* A colon in what is returned, or in what an attribute is, is a colon.
* The signature of an exception is that of its ``__init__``, and an enumeration has none.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from sphinx.util.inspect import signature, stringify_signature

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

_SECTION: Final = re.compile(r"(Args|Attributes|Raises|Returns):$")
_EXCEPTION: Final = re.compile(r"    \w+(, \w+)*: ")
_ATTRIBUTES: Final = ("attribute", "data", "property")
_BEFORE_NAPOLEON: Final = 400


def prepare(
    _app: Sphinx, what: str, _name: str, _object: Any, _options: Any, lines: list[str]
) -> None:
    """Rewrite a docstring for Napoleon."""
    section = ""
    for number, line in enumerate(lines):
        previous = lines[number - 1] if number else ""
        if match := _SECTION.match(line):
            section = match[1]
        elif line and not line.startswith(" "):
            section = ""
        elif section == "Returns" and previous == "Returns:":
            lines[number] = f"    : {line.strip()}"
        elif section == "Raises" and line and not previous and not _EXCEPTION.match(line):
            section = "said of all"
        if section == "said of all":
            lines[number] = line.strip()
    if what in _ATTRIBUTES and lines:
        lines[0] = f": {lines[0]}"


def signature_of_class(
    _app: Sphinx, what: str, _name: str, obj: Any, *_: Any
) -> tuple[str, str] | None:
    """The arguments that an object of the class is made with; None for autodoc's own opinion."""
    if what == "class" and issubclass(obj, Enum):
        return "", ""
    if what != "exception":
        return None
    made_with = signature(obj.__init__, bound_method=True)
    return stringify_signature(made_with.replace(return_annotation=made_with.empty)), ""


def setup(app: Sphinx) -> ExtensionMetadata:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", prepare, priority=_BEFORE_NAPOLEON)
    app.connect("autodoc-process-signature", signature_of_class)
    return {"parallel_read_safe": True}
