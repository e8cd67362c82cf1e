"""The command `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .group import device_option, echo, loading, main, root_option
from .parameters import DATA, WEIGHTS, UserPath, new_png

if TYPE_CHECKING:
    import lenet5

_HELP = "Evaluate weights on a test set."


@main.command(help=_HELP)
@click.option("--weights", type=WEIGHTS, required=True, help="Name of bundled weights, folder, or .safetensors file.")
@click.option(
    "--data", type=DATA, required=True, help="Dataset whose test set is used, or your own: a folder, .csv or .npz file."
)
@root_option
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--mistakes", type=UserPath(), help="Plot the misclassified images to a new PNG file.")
def evaluate(weights: str, data: str, root: Path | None, device: str, as_json: bool, mistakes: Path | None) -> None:
    """Run the command `evaluate`; see its help."""
    figure = None if mistakes is None else new_png(mistakes, "--mistakes")
    with loading():
        import lenet5
        from lenet5.runtime.device import resolve_device

    place = resolve_device(device)
    pretrained = lenet5.load(weights)
    test = lenet5.load_data(data, root).test
    if pretrained.classes != test.classes:
        ours, theirs = (f"{len(names)} classes ({', '.join(names)})" for names in (pretrained.classes, test.classes))
        raise ValueError(f"{weights} has {ours}; {data} has {theirs}")
    test.transform = pretrained.preprocess
    report = lenet5.evaluate(pretrained.model, test, device=place)
    echo(report.to_json() if as_json else str(report))
    if figure is not None and report.error_rate == 0:
        echo("there are no mistakes to plot", err=True)
    elif figure is not None:
        _plot(figure, report, test)


def _plot(file: Path, report: lenet5.Evaluation, test: lenet5.ImageDataset) -> None:
    from ..plots.display import to_png
    from ..plots.style import default_style
    from ..storage import write_file

    with default_style():
        write_file(file, to_png(report.plot_mistakes(test.images)))
