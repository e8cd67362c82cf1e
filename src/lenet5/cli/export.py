"""The command `export`, and the formats that it writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from ..storage import shown
from .group import echo, loading, main
from .parameters import WEIGHTS, Name, UserPath

if TYPE_CHECKING:
    import lenet5
    from lenet5.export import Exported


class Format(NamedTuple):
    """A format of exported files."""

    help: str
    """What it is, in a few words."""

    file: str
    """Name of the file, unless --out gives another."""

    options: frozenset[str]
    """The options of the command that this format takes, which are passed to `write` by name."""

    write: Callable[..., Exported]
    """Writes the files of a `Pretrained` to a path."""


def _onnx(pretrained: lenet5.Pretrained, out: Path, **options: Any) -> Exported:
    from lenet5.export import export_onnx

    return export_onnx(pretrained, out, **options)


FORMATS = {
    "onnx": Format(
        "ONNX, for ONNX Runtime and most other tools", "lenet5.onnx", frozenset({"preprocess", "opset"}), _onnx
    )
}
"""The formats by name."""

_LIST = "\n".join(f"  {name:12} {each.help}" for name, each in FORMATS.items())
_HELP = f"""Write weights in the format of other programs.

Print the files, their sizes, and what goes in and comes out. The same weights and options give the same bytes. An
existing file is replaced.

\b
Formats:
{_LIST}
"""


@main.command(help=_HELP)
@click.option(
    "--weights",
    type=WEIGHTS,
    default="default",
    show_default=True,
    help="Name of bundled weights, folder, or .safetensors file.",
)
@click.option("--format", "format_name", type=Name(list(FORMATS)), required=True, help="Format, as listed above.")
@click.option("--out", type=UserPath(), help="File to write.  [default: lenet5 with the suffix of the format]")
@click.option("--preprocess", is_flag=True, help="Take pixels of uint8 and return probabilities.")
@click.option("--opset", type=int, help="Version of ONNX's operators.  [default: 13]")
@click.pass_context
def export(ctx: click.Context, /, weights: str, format_name: str, out: Path | None, **options: Any) -> None:
    """Run the command `export`; see its help."""
    chosen = FORMATS[format_name]
    given = {
        name: value for name, value in options.items() if ctx.get_parameter_source(name) != ParameterSource.DEFAULT
    }
    for name in given.keys() - chosen.options:
        takers = ", ".join(key for key, each in FORMATS.items() if name in each.options)
        raise ValueError(f"--{name.replace('_', '-')} does not apply to the format {format_name}, only to: {takers}")
    with loading():
        import lenet5

    exported = chosen.write(lenet5.load(weights), out or Path(chosen.file), **given)
    for file in exported.files:
        echo(f"{shown(file)}  {file.stat().st_size:,} bytes")
    for line in exported.description:
        echo(f"  {shown(line)}")
