"""What Sphinx, furo and myst-nb leave out of a page: descriptions, of it and of its figures, and roles of elements."""

import html
import re
import textwrap
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.typing import ExtensionMetadata

_LONGEST = 160  # characters of a description, of which search engines show about as many
_PARAMETERS = re.compile(r"<dl>\n((?:<dd>.*</dd>\n)+)</dl>")  # of a long signature, one per line


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension."""
    app.add_transform(_DescribeFigures)
    app.connect("html-page-context", _describe)
    app.connect("html-page-context", _level_headings, priority=900)  # after furo
    app.connect("html-page-context", _list_parameters)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class _DescribeFigures(SphinxTransform):
    """Describe a figure of a cell by the title of its section, unless the cell does; else it is named by its file."""

    default_priority = 400

    def apply(self, **_: object) -> None:
        """Describe the figures of a page."""
        for section in self.document.findall(nodes.section):
            title = section.next_node(nodes.title)
            for image in section.findall(nodes.image):
                if "alt" not in image and title is not None and _section(image) is section:
                    image["alt"] = f"Figure: {title.astext()}"


def _section(node: nodes.Node) -> nodes.Node | None:
    """Return the section that holds a node."""
    while node is not None and not isinstance(node, nodes.section):
        node = node.parent
    return node


def _describe(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], document: nodes.document | None
) -> None:
    """Describe a page by its first paragraph, unless its front matter does."""
    if document is None or 'name="description"' in context["metatags"]:
        return
    paragraphs = (node.astext() for node in document.findall(nodes.paragraph) if isinstance(node.parent, nodes.section))
    text = textwrap.shorten(next(paragraphs, ""), _LONGEST, placeholder=" …")
    context["metatags"] += f'<meta name="description" content="{html.escape(text)}" />\n'


def _level_headings(_app: Sphinx, _page: str, _template: str, context: dict[str, Any], _document: object) -> None:
    """Give the captions of the sidebar the level that their role requires."""
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')


def _list_parameters(_app: Sphinx, _page: str, _template: str, context: dict[str, Any], _document: object) -> None:
    """Turn the parameters of long signatures, which Sphinx makes definitions without terms, into plain lines."""
    if "body" in context:
        context["body"] = _PARAMETERS.sub(_lines, context["body"])


def _lines(parameters: re.Match[str]) -> str:
    lines = parameters[1].replace("<dd>", "<div>").replace("</dd>", "</div>")
    return f'<div class="sig-lines">\n{lines}</div>'
