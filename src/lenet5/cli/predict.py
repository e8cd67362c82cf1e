"""The command `predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..storage import shown
from .group import Failure, device_option, echo, loading, main
from .images import find_images
from .parameters import WEIGHTS, UserPath, new_png

if TYPE_CHECKING:
    import lenet5

_FIGURE = "predictions.png"
_HELP = """Predict the digit in photographs, scans or drawings of one digit each.

IMAGES are files, folders or patterns such as "*.png". A folder stands for the image files in it, without those in
its subfolders.

Print one line per image: the file, the predicted class and its probability. "low confidence" marks a probability
below the threshold of the weights: the digit is hard to read, or there is none. An image without a digit, or with
several, is reported on stderr, and the exit code is then 2.
"""


@main.command(help=_HELP)
@click.argument("images", nargs=-1, required=True, type=click.Path())
@click.option(
    "--weights",
    type=WEIGHTS,
    default="mnist_robust_v1",
    show_default=True,
    help="Name of bundled weights, folder, or .safetensors file.",
)
@click.option("--raw", is_flag=True, help="Use images as they are; for images already in MNIST format (light on dark).")
@click.option(
    "--show",
    is_flag=False,
    flag_value=_FIGURE,
    type=UserPath(),
    help=f"Plot the network's input and its probabilities to a new PNG file; without a name, {_FIGURE} or the next free"
    " predictions-NUMBER.png.",
)
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
def predict(images: tuple[str, ...], weights: str, raw: bool, show: Path | None, device: str, as_json: bool) -> None:
    """Run the command `predict`; see its help."""
    figure = None if show is None else _new_figure(show)
    found, failures = _find(images)
    if not found:
        raise click.exceptions.Exit(Failure.exit_code)
    with loading():
        import torch

        import lenet5
        from lenet5.runtime.device import resolve_device

    place = resolve_device(device)
    pretrained = lenet5.load(weights)
    paths, inputs = [], []
    for path in found:
        try:
            inputs.append(pretrained.prepare(path, raw=raw))
            paths.append(path)
        except ValueError as error:
            failures += _report(error)
    if paths:
        batch = torch.cat(inputs)
        predictions = lenet5.predict(pretrained.model, batch, device=place)
        _print_predictions(paths, predictions, pretrained, as_json=as_json)
        if figure is not None:
            _plot(figure, paths, batch, predictions.probabilities.numpy(), pretrained)
    if failures:
        raise click.exceptions.Exit(Failure.exit_code)


def _new_figure(file: Path) -> Path:
    """Return the name of the figure, which no file has yet; raise ValueError for a name that is taken or no PNG."""
    if file == Path(_FIGURE):
        numbered = (file.with_stem(f"{file.stem}-{number}") for number in range(2, 10**6))
        return file if not file.exists() else next(name for name in numbered if not name.exists())
    return new_png(file, "--show")


def _find(images: tuple[str, ...]) -> tuple[list[Path], int]:
    """Return the files that the arguments name, and the number of arguments that name none, which are reported."""
    found: list[Path] = []
    failures = 0
    for argument in images:
        try:
            found += find_images(argument)
        except (ValueError, OSError) as error:
            failures += _report(error)
    return found, failures


def _report(error: Exception) -> int:
    echo(f"Error: {shown(error)}", err=True)
    return 1


def _print_predictions(
    paths: list[Path], predictions: lenet5.Predictions, pretrained: lenet5.Pretrained, *, as_json: bool
) -> None:
    rows, lines = [], []
    classes, threshold = pretrained.classes, pretrained.threshold
    for path, label, confidence in zip(paths, predictions.labels, predictions.confidence.tolist(), strict=True):
        row: dict[str, Any] = {"file": str(path), "label": classes[int(label)], "probability": confidence}
        if threshold is not None:
            row["confident"] = confidence >= threshold
        rows.append(row)
        mark = "" if row.get("confident", True) else "  low confidence"
        lines.append(f"{shown(path)}  {shown(row['label'])}  {confidence:.4f}{mark}")
    echo(json.dumps(rows, indent=2) if as_json else "\n".join(lines))


def _plot(file: Path, paths: list[Path], batch: Any, probabilities: Any, pretrained: lenet5.Pretrained) -> None:
    from ..photo.greyscale import thumbnail
    from ..plots import plot_predictions
    from ..plots.display import to_png
    from ..plots.style import default_style
    from ..storage import write_file

    photographs = [(shown(path.name), thumbnail(path)) for path in paths]
    pixels = pretrained.preprocess.denormalize(batch).mean(1).numpy()
    with default_style():
        figure = plot_predictions(photographs, pixels, probabilities, pretrained.classes, pretrained.threshold)
        write_file(file, to_png(figure))
    echo(f"figure written to {shown(file)}", err=True)
