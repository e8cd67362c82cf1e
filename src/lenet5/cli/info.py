"""The command `info`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ..arguments import as_number
from .group import echo, loading, main
from .parameters import NETWORKS, Location, bundled_weights

if TYPE_CHECKING:
    import pandas as pd

_MODEL = Location("network", [*NETWORKS, "default", *bundled_weights()], remote=True)
_HELP = """List the networks, the bundled weights and the device, or the layers of one network.

The layers of a network are counted from its modules, for one image: connections are the inputs of all units with
their biases, multiply-adds the products of an input and a weight.
"""


@main.command(help=_HELP)
@click.option(
    "--model", "name", type=_MODEL, help="Print the layers of this network, or of the network of these weights."
)
@click.option("--json", "as_json", is_flag=True, help="Print the layers as an object; with --model.")
def info(name: str | None, as_json: bool) -> None:
    """Run the command `info`; see its help."""
    if name is None:
        if as_json:
            raise click.UsageError("--json prints the layers of a network; expected --model with its name")
        _list_all()
        return
    with loading():
        import lenet5
        from lenet5.models import load_model

    if name in NETWORKS:
        model = getattr(lenet5, NETWORKS[name])()
    else:
        model = load_model(lenet5.LeNet5_Weights.DEFAULT.value if name == "default" else name)
    table = lenet5.layer_table(model)
    echo(_as_json(model, table) if as_json else _as_text(model, table))


def _list_all() -> None:
    import torch

    import lenet5
    from lenet5.models import kernels
    from lenet5.models.classifier import KERNELS
    from lenet5.runtime.device import resolve_device

    echo(f"lenet5 {lenet5.__version__}, torch {torch.__version__}, device {resolve_device('auto')}")
    echo(f"CPU kernels: {kernels.library.description()}; {torch.get_num_threads()} threads")
    echo("\nnetworks (lenet5 info --model NAME prints the layers)")
    for name, architecture_name in NETWORKS.items():
        architecture = getattr(lenet5, architecture_name)
        num_params = sum(parameter.numel() for parameter in architecture().parameters())
        echo(f"  {architecture_name}  {num_params:,} parameters  --model {name}")
        kernel = KERNELS.get(architecture.forward)
        echo(f"    kernel: {kernel.limits if kernel else 'none; runs layer by layer'}")
    echo("\nweights")
    for member in [*lenet5.LeNet5_Weights, *lenet5.LeNet5Original_Weights]:
        meta = member.meta
        default = " (default)" if member is lenet5.LeNet5_Weights.DEFAULT else ""
        echo(f"  {member.value}{default}  {meta['num_params']:,} parameters  sha256 {meta['sha256']}")
        for name, metrics in meta["metrics"].items():
            low, high = metrics["accuracy_interval"]
            echo(f"    {name}: accuracy {metrics['accuracy']:.2%} (95 % confidence: {low:.2%} to {high:.2%})")
        echo(f"    {meta['recipe']}")


def _as_json(model: Any, table: pd.DataFrame) -> str:
    layers = json.loads(table.reset_index().to_json(orient="records"))
    total = {name: None if table[name].hasnans else int(table[name].sum()) for name in table.columns[1:]}
    head = {"network": type(model).__name__, "image_shape": list(model.image_shape)}
    return json.dumps({**head, "layers": layers, "total": total}, indent=2)


def _as_text(model: Any, table: pd.DataFrame) -> str:
    """Return one line per layer, and a total."""
    total = table.iloc[:, 1:].sum(skipna=False)
    rows = [[name, *row] for name, row in zip(table.index, table.itertuples(index=False), strict=True)]
    cells = [[_cell(value) for value in row] for row in [*rows, ["total", "", *total]]]
    lines = [["layer", "output shape", "parameters", "connections", "multiply-adds"], *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join([left.ljust(widths[0]), *map(str.rjust, right, widths[1:])]) for left, *right in lines]
    return "\n".join([f"{type(model).__name__}, images {_cell(model.image_shape)}", "", *text])


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    number = as_number(value)  # not one where a layer has an unknown class
    return "-" if number is None else f"{number:,}"
