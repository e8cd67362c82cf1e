"""Writes the page to draw on beside the pages of the documentation, which link to it and show it."""

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

import lenet5

NAME = "draw.html"


def setup(app: Sphinx) -> ExtensionMetadata:
    """Write the page at the end of the build."""
    app.connect("build-finished", _write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _write(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        (Path(app.outdir) / NAME).write_text(lenet5.demo.page(), encoding="utf-8", newline="\n")
