"""The help of a command of the command line as part of a page: `{command-help} train`.

It is made from the command itself when the pages are built. Unlike the text of `--help`, it fits a phone.
"""

import re

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from lenet5.cli import main

_AS_IT_IS = "\b\n"  # click's mark of a paragraph that keeps its lines
_OPTIONS = re.compile(r"(--[a-z][a-z-]*)")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add the directive."""
    app.add_directive("command-help", _CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class _CommandHelp(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the usage, the description and the options."""
        name = self.arguments[0]
        command = main.commands[name]
        context = click.Context(
            command, info_name=f"lenet5 {name}", **{**main.context_settings, "max_content_width": 10_000}
        )
        usage = command.get_usage(context).removeprefix("Usage: ")
        text = [_paragraph(paragraph) for paragraph in str(command.help).split("\n\n")]
        records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
        options = nodes.definition_list("", *(_option(*record) for record in records if record is not None))
        return [nodes.literal_block(usage, usage, language="text"), *text, options]


def _paragraph(text: str) -> nodes.Node:
    if text.startswith(_AS_IT_IS):
        lines = text.removeprefix(_AS_IT_IS)
        return nodes.literal_block(lines, lines, language="text")
    return nodes.paragraph("", "", *_text(text))


def _option(option: str, text: str) -> nodes.definition_list_item:
    """Return an option with its values, which can be broken between two of them, and what it does."""
    names, _, values = option.partition(" [")
    term = nodes.term("", "", nodes.literal("", names))
    if values:
        term += nodes.Text(f" {values.removesuffix(']').replace('|', ' | ')}")
    return nodes.definition_list_item("", term, nodes.definition("", nodes.paragraph("", "", *_text(text))))


def _text(text: str) -> list[nodes.Node]:
    """Return text on one line, with options such as --epochs as they are typed."""
    parts = _OPTIONS.split(" ".join(text.split()))
    return [nodes.literal("", part) if _OPTIONS.fullmatch(part) else nodes.Text(part) for part in parts if part]
