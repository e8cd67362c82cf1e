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

    own = {name: options.pop(name) for name in ("preprocess", "opset") if name in options}
    return export_onnx(_in_numbers(pretrained, **options), out, **own)


def _program(pretrained: lenet5.Pretrained, out: Path, **options: Any) -> Exported:
    from lenet5.export import export_program

    return export_program(pretrained, out, **options)


def _torchscript(pretrained: lenet5.Pretrained, out: Path, **options: Any) -> Exported:
    from lenet5.export import export_torchscript

    return export_torchscript(pretrained, out, **options)


def _c(pretrained: lenet5.Pretrained, out: Path, *, prefix: str = "lenet5", **options: Any) -> Exported:
    from lenet5.export import export_c

    return export_c(_in_numbers(pretrained, **options), out, prefix=prefix)


def _arrays(array_format: ArrayFormat) -> Callable[..., Exported]:
    def write(pretrained: lenet5.Pretrained, out: Path, **options: Any) -> Exported:
        from lenet5.export import export_arrays

        return export_arrays(_in_numbers(pretrained, **options), out, format=array_format)

    return write


def _vectors(
    pretrained: lenet5.Pretrained, out: Path, *, data: str = "digits", root: Path | None = None, **options: Any
) -> Exported:
    import lenet5
    from lenet5.export import export_vectors

    calibration: dict[str, Any] = {"data": data, "root": root} if options.get("dtype") == "int8" else {}
    network = _in_numbers(pretrained, **calibration, **options)
    return export_vectors(network, out, data=lenet5.load_data(data, root).test)


def _in_numbers(pretrained: lenet5.Pretrained, *, dtype: str = "float32", **options: Any) -> Any:
    """Return the network, or for int8 its integer network, calibrated on the training images of a dataset."""
    import lenet5
    from lenet5.quantization import quantize

    if dtype == "float32" and options:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in options)
        raise ValueError(f"{names} does not apply to float32, only to int8; pass --dtype int8 too")
    if dtype == "float32":
        return pretrained
    images = lenet5.load_data(options.get("data", "digits"), options.get("root")).train
    return quantize(pretrained, images, power_of_two=options.get("power_of_two", False))


_NUMBERS = frozenset({"dtype", "power_of_two", "data", "root"})

_TRACED = frozenset({"preprocess"})
FORMATS = {
    "onnx": Format("ONNX, for ONNX Runtime and most other tools", "lenet5.onnx", _TRACED | _NUMBERS | {"opset"}, _onnx),
    "pt2": Format("a program of torch.export, for PyTorch without this package", "lenet5.pt2", _TRACED, _program),
    "torchscript": Format("TorchScript, for libtorch and older PyTorch", "lenet5.pt", _TRACED, _torchscript),
    "c": Format("C99, one file and its header, for any processor", "lenet5.c", _NUMBERS | {"prefix"}, _c),
    "npy": Format("a folder with each weight in NumPy's format", "lenet5-npy", _NUMBERS, _arrays("npy")),
    "mem": Format("a folder with each weight as text for Verilog's $readmemh", "lenet5-mem", _NUMBERS, _arrays("mem")),
    "hex": Format("the same, with the suffix .hex", "lenet5-hex", _NUMBERS, _arrays("hex")),
    "vectors": Format(
        "golden vectors: every layer's output, in NumPy's format and as text", "vectors.npz", _NUMBERS, _vectors
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
    "--dtype", type=Name(["float32", "int8"]), help="Numbers; int8 is post-training quantisation.  [default: float32]"
)
@click.option("--power-of-two", is_flag=True, help="Scales of int8 that are powers of two.")
@click.option(
    "--data",
    type=DATA,
    help="Dataset whose training images calibrate int8, and whose first test image of each class gives golden vectors."
    "  [default: digits]",
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
