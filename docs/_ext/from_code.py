"""Sphinx directives for what the reference takes from the code.

``{table-from-code} NAME`` is one of `tables.TABLES`, ``{diagram-from-code}`` the state machine,
``{help-from-code} COMMAND`` what the command line says with ``--help``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import state_diagram
import tables
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from aconnect.cli.commands import command

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata


class TableFromCode(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(tables.TABLES[self.arguments[0]]())


class DiagramFromCode(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", state_diagram.drawn(tables.edges()), format="html")]


class HelpFromCode(SphinxDirective):
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        asked: click.Command = command
        context = click.Context(command, info_name="aconnect", terminal_width=80)
        for name in self.arguments:
            asked = command.commands[name]
            context = click.Context(asked, context, name, terminal_width=80)
        return [nodes.literal_block("", asked.get_help(context), language="text")]


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("table-from-code", TableFromCode)
    app.add_directive("diagram-from-code", DiagramFromCode)
    app.add_directive("help-from-code", HelpFromCode)
    return {"parallel_read_safe": True}
