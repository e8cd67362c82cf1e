"""The commands `evaluate` and `predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .group import DATA, Failure, device_option, main, root_option

if TYPE_CHECKING:
    import lenet5

_FIGURE = "predictions.png"


@main.command()
@click.option("--weights", required=True, help="Name of bundled weights, folder, or .safetensors file.")
@click.option("--data", type=DATA, required=True, help="Dataset whose test set is used.")
@root_option
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def evaluate(weights: str, data: str, root: Path | None, device: str, as_json: bool) -> None:
    """Evaluate weights on a test set."""
    import lenet5

    pretrained = lenet5.load(weights)
    test = lenet5.load_data(data, root).test
    if pretrained.classes != test.classes:
        ours, theirs = (f"{len(names)} classes ({', '.join(names)})" for names in (pretrained.classes, test.classes))
        raise ValueError(f"{weights} has {ours}; {data} has {theirs}")
    test.transform = pretrained.preprocess
    report = lenet5.evaluate(pretrained.model, test, device=device)
    click.echo(report.to_json() if as_json else str(report))


@main.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--weights",
    default="mnist_robust_v1",
    show_default=True,
    help="Name of bundled weights, folder, or .safetensors file.",
)
@click.option("--raw", is_flag=True, help="Use images as they are; for images already in MNIST format (light on dark).")
@click.option(
    "--show",
    is_flag=False,
    flag_value=_FIGURE,
    type=click.Path(path_type=Path),
    help=f"Plot the network's input and its probabilities to a new PNG file; without a name, {_FIGURE}.",
)
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
def predict(images: tuple[Path, ...], weights: str, raw: bool, show: Path | None, device: str, as_json: bool) -> None:
    """Predict the digit in photographs, scans or drawings of one digit each.

    Print one line per image: the file, the predicted class and its probability. "low confidence" marks a probability
    below the threshold of the weights: the digit is hard to read, or there is none. An image without a digit, or with
    several, is reported on stderr, and the exit code is then 2.
    """
    import torch

    import lenet5

    if show is not None and (show.suffix != ".png" or (show.exists() and str(show) != _FIGURE)):
        raise ValueError(f"--show would write {show}; expected the name of a new PNG file")
    pretrained = lenet5.load(weights)
    paths, inputs = [], []
    for path in images:
        try:
            inputs.append(pretrained.prepare(path, raw=raw))
            paths.append(path)
        except ValueError as error:
            click.echo(f"Error: {error}", err=True)
    if paths:
        batch = torch.cat(inputs)
        predictions = lenet5.predict(pretrained.model, batch, device=device)
        _print_predictions(paths, predictions, pretrained, as_json=as_json)
        if show is not None:
            _plot(show, paths, batch, predictions.probabilities.numpy(), pretrained)
    if len(paths) < len(images):
        raise click.exceptions.Exit(Failure.exit_code)


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
        lines.append(f"{path}  {row['label']}  {confidence:.4f}{mark}")
    click.echo(json.dumps(rows, indent=2) if as_json else "\n".join(lines))


def _plot(file: Path, paths: list[Path], batch: Any, probabilities: Any, pretrained: lenet5.Pretrained) -> None:
    from ..photo.digit import thumbnail
    from ..plots.display import to_png
    from ..plots.figures import plot_predictions
    from ..storage import write_file

    photographs = [(path.name, thumbnail(path)) for path in paths]
    pixels = batch.mul(pretrained.preprocess.std).add(pretrained.preprocess.mean).mean(1).numpy()
    write_file(file, to_png(plot_predictions(photographs, pixels, probabilities, pretrained.classes), dpi=100))
