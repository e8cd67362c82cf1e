"""The description of a page, which search engines show: its first paragraph, unless its front matter has one."""

import html
import textwrap
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

_LONGEST = 160  # characters, of which search engines show about as many


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension."""
    app.connect("html-page-context", _describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _describe(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], document: nodes.document | None
) -> None:
    if document is None or 'name="description"' in context["metatags"]:
        return
    paragraphs = (node.astext() for node in document.findall(nodes.paragraph) if isinstance(node.parent, nodes.section))
    text = textwrap.shorten(next(paragraphs, ""), _LONGEST, placeholder=" …")
    context["metatags"] += f'<meta name="description" content="{html.escape(text)}" />\n'
