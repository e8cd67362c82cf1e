"""The command `export`, and the formats that it writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from ..storage import shown
from .group import echo, loading, main, root_option
from .parameters import DATA, WEIGHTS, Name, UserPath

if TYPE_CHECKING:
    import lenet5
    from lenet5.export import ArrayFormat, Exported


class Format(NamedTuple):
    """A format of exported files."""

    help: str
    """What it is, in a few words."""

    file: str
    """Name of the file or the folder, unless --out gives another."""

    options: frozenset[str]
    """The options of the command that this format takes, which are passed to `write` by name."""

    write: Callable[..., Exported]
    """Writes the files of a `Pretrained` to a path."""


def _onnx(pretrained: lenet5.Pretrained, out: Path, **options: Any) -> Exported:
    from lenet5.export import export_onnx

    return export_onnx(pretrained, out, **options)


def _c(pretrained: lenet5.Pretrained, out: Path, **options: Any) -> Exported:
    from lenet5.export import export_c

    return export_c(pretrained, out, **options)


def _arrays(array_format: ArrayFormat) -> Callable[..., Exported]:
    def write(pretrained: lenet5.Pretrained, out: Path) -> Exported:
        from lenet5.export import export_arrays

        return export_arrays(pretrained, out, format=array_format)

    return write


def _vectors(
    pretrained: lenet5.Pretrained, out: Path, *, data: str | None = None, root: Path | None = None
) -> Exported:
    import lenet5
    from lenet5.export import export_vectors

    return export_vectors(pretrained, out, data=None if data is None else lenet5.load_data(data, root).test)


FORMATS = {
    "onnx": Format(
        "ONNX, for ONNX Runtime and most other tools", "lenet5.onnx", frozenset({"preprocess", "opset"}), _onnx
    ),
    "c": Format("C99, one file and its header, for any processor", "lenet5.c", frozenset({"prefix"}), _c),
    "npy": Format("a folder with each weight in NumPy's format", "lenet5-npy", frozenset(), _arrays("npy")),
    "mem": Format(
        "a folder with each weight as text for Verilog's $readmemh", "lenet5-mem", frozenset(), _arrays("mem")
    ),
    "hex": Format("the same, with the suffix .hex", "lenet5-hex", frozenset(), _arrays("hex")),
    "vectors": Format(
        "golden vectors: every layer's output, in NumPy's format and as text",
        "vectors.npz",
        frozenset({"data", "root"}),
        _vectors,
    ),
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
@click.option(
    "--out", type=UserPath(), help="File or folder to write.  [default: lenet5.SUFFIX, lenet5-FORMAT or vectors.npz]"
)
@click.option("--preprocess", is_flag=True, help="Take pixels of uint8 and return probabilities.")
@click.option("--opset", type=int, help="Version of ONNX's operators.  [default: 13]")
@click.option("--prefix", help="Prefix of the names in C.  [default: lenet5]")
@click.option(
    "--data",
    type=DATA,
    help="Images for golden vectors: the first of each class in the test set of this dataset.  [default: digits]",
)
@root_option
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
