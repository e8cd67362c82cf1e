"""Code blocks of the pages: shell commands that the build runs, and commands that it cannot run.

`{code-cell} shell` runs the commands in the temporary folder of the page, as `{code-cell} python` runs Python. Its last
failing command fails the build.

`{not-run} shell` shows commands that the build cannot run. Its option `because` says why, below the block.
"""

import re
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata, OptionSpec

# IPython's own way to run a cell in a shell, up to the first command that fails; with errors, as a terminal shows them
_MAGIC = "%%bash -e\nexec 2>&1\n"
_SHELL_CELL = re.compile(r"^(```+)\{code-cell\} shell\n((?::.*\n)+|---\n(?:.*\n)*?---\n)?\n?", re.MULTILINE)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add the two kinds of blocks."""
    app.connect("source-read", _add_magic)
    app.add_transform(_ShowShell)
    app.add_directive("not-run", _NotRun)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _add_magic(_app: Sphinx, _page: str, source: list[str]) -> None:
    source[0] = _SHELL_CELL.sub(lambda cell: f"{cell[1]}{{code-cell}} python\n{cell[2] or ''}{_MAGIC}", source[0])


class _ShowShell(SphinxTransform):
    """Show shell commands as such, without the lines that run them."""

    default_priority = 400

    def apply(self, **_: object) -> None:
        """Change the blocks of a page."""
        for block in self.document.findall(nodes.literal_block):
            if (text := block.astext()).startswith(_MAGIC):
                commands = text.removeprefix(_MAGIC)
                shown = nodes.literal_block(commands, commands, language="shell", classes=block["classes"])
                block.replace_self(shown)


class _NotRun(SphinxDirective):
    """A block of code that the build cannot run, and the reason."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[OptionSpec] = {"because": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Return the block, with the reason below it."""
        if "because" not in self.options:
            raise self.error("a block that is not run says why: `:because: it needs two hosts`")
        text = "\n".join(self.content)
        block = nodes.literal_block(text, text, language=self.arguments[0])
        reason = nodes.paragraph("", f"Not run by the build of this page: {self.options['because']}.")
        return [nodes.container("", block, reason, classes=["not-run"])]
