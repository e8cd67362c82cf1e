"""The command `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..storage import shown
from .group import device_option, echo, loading, main, root_option
from .parameters import DATA, WEIGHTS, UserPath, new_png

if TYPE_CHECKING:
    import lenet5

_HELP = "Evaluate weights on a test set."
_FIGURES = {
    "confusion_matrix": "plot",
    "per_class": "plot_per_class",
    "reliability": "plot_reliability",
    "coverage": "plot_coverage",
    "mistakes": "plot_mistakes",
}
"""The files of the figures, and the method of `Evaluation` that draws each."""


@main.command(help=_HELP)
@click.option("--weights", type=WEIGHTS, required=True, help="Name of bundled weights, folder, or .safetensors file.")
@click.option(
    "--data", type=DATA, required=True, help="Dataset whose test set is used, or your own: a folder, .csv or .npz file."
)
@root_option
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--mistakes", type=UserPath(), help="Plot the misclassified images to a new PNG file.")
@click.option(
    "--figures",
    type=UserPath(),
    metavar="FOLDER",
    help="Plot the confusion matrix, the metrics by class, the reliability diagram, the coverage curve and the mistakes"
    " to new PNG files in a folder.",
)
def evaluate(
    weights: str, data: str, root: Path | None, device: str, as_json: bool, mistakes: Path | None, figures: Path | None
) -> None:
    """Run the command `evaluate`; see its help."""
    file = None if mistakes is None else new_png(mistakes, "--mistakes")
    files = {} if figures is None else _new_files(figures)
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
    wanted = [*files.items(), *([] if file is None else [("mistakes", file)])]
    if wanted:
        _plot(wanted, report, test)


def _new_files(folder: Path) -> dict[str, Path]:
    """Return the file of each figure in a folder; raise ValueError if one is taken, or the folder cannot be made."""
    files = {name: folder / f"{name}.png" for name in _FIGURES}
    taken = [path for path in files.values() if path.exists()]
    if taken:
        raise ValueError(
            f"--figures would write {shown(taken[0])}, which exists; expected a folder without a file of this name"
        )
    if not folder.is_dir() and (
        folder.exists() or folder.suffix.lower() == ".png" or not folder.absolute().parent.is_dir()
    ):
        raise ValueError(f"--figures is {shown(folder)}; expected a folder, or the name of a new one in a folder")
    return files


def _plot(files: list[tuple[str, Path]], report: lenet5.Evaluation, test: lenet5.ImageDataset) -> None:
    from ..plots.display import to_png
    from ..plots.style import default_style
    from ..storage import write_file

    with default_style():
        for name, file in files:
            if name == "mistakes" and report.error_rate == 0:
                echo("there are no mistakes to plot", err=True)
                continue
            figure = report.plot_mistakes(test.images) if name == "mistakes" else getattr(report, _FIGURES[name])()
            file.parent.mkdir(exist_ok=True)
            write_file(file, to_png(figure))
