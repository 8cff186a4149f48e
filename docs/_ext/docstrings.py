"""Sphinx: the docstrings' conventions, where Napoleon would read them in another way.

* In "Raises:", a paragraph of its own that names no exception is said of all of them.
* A colon in what is returned, or in what an attribute is, is a colon.
* Exceptions and enumerations have no signature: who uses aconnect does not make them.
* A default is shown as the class has it, where its repr would say nothing.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from sphinx.util.inspect import object_description, signature

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
    _app: Sphinx, what: str, _name: str, obj: Any, _options: Any, arguments: str | None, _: Any
) -> tuple[str, str] | None:
    """The arguments that an object of the class is made with; None for autodoc's own opinion."""
    if what == "exception" or (what == "class" and issubclass(obj, Enum)):
        return "", ""
    if what == "class" and arguments and "<" in arguments:
        for name, written in defaults(obj).items():
            shown = object_description(signature(obj).parameters[name].default)
            if "<" in shown:
                arguments = arguments.replace(f" = {shown}", f" = {written}")
        return arguments, ""
    return None


def defaults(kind: type) -> dict[str, str]:
    """The defaults of a class's arguments that are annotated in it, as they are written there."""
    [tree] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    arguments = signature(kind).parameters
    return {
        each.target.id: ast.unparse(each.value)
        for each in tree.body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and each.value
        if each.target.id in arguments
    }


def setup(app: Sphinx) -> ExtensionMetadata:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", prepare, priority=_BEFORE_NAPOLEON)
    app.connect("autodoc-process-signature", signature_of_class)
    return {"parallel_read_safe": True}
