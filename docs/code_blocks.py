"""Code blocks of the pages: shell commands that the build runs, and commands that it cannot run.

`{code-cell} shell` runs commands in the temporary folder of the page, as `{code-cell} python` runs Python. A command
that fails makes the build fail. What commands write to stderr is shown too, as in a terminal.

`{not-run} shell` shows commands that the build cannot run. Its option `because` says why, below the block.
"""

import ast
import re
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata, OptionSpec

_CELL = re.compile(
    r"""^(?P<fence>```+)\{code-cell\}\ shell\n
    (?P<options>(?::[^\n]*\n)+|---\n.*?^---\n)?\n*
    (?P<commands>.*?)\n
    (?P=fence)$""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
# IPython's own %%bash writes the output piece by piece, which myst-nb joins with line breaks
_PYTHON = """import subprocess
_shell = subprocess.run(["bash", "-ec", {}], stdout=-1, stderr=-2, text=True)
print(_shell.stdout, end="")
_shell.check_returncode()"""
_BEFORE, _AFTER = _PYTHON.split("{}")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add the two kinds of blocks."""
    app.connect("source-read", _to_python)
    app.add_transform(_ShowShell)
    app.add_directive("not-run", _NotRun)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _to_python(_app: Sphinx, _page: str, source: list[str]) -> None:
    source[0] = _CELL.sub(_python_cell, source[0])


def _python_cell(cell: re.Match[str]) -> str:
    fence, options, commands = cell.group("fence", "options", "commands")
    return f"{fence}{{code-cell}} python\n{options or ''}\n{_BEFORE}{commands!r}{_AFTER}\n{fence}"


class _ShowShell(SphinxTransform):
    """Show shell commands as such, without the Python that runs them."""

    default_priority = 400

    def apply(self, **_: object) -> None:
        """Change the blocks of a page."""
        for block in list(self.document.findall(nodes.literal_block)):
            if (text := block.astext()).startswith(_BEFORE):
                commands = ast.literal_eval(text.removeprefix(_BEFORE).removesuffix(_AFTER))
                block.replace_self(nodes.literal_block(commands, commands, language="shell", classes=block["classes"]))


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
