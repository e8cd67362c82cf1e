"""The commands that use weights: `evaluate`, `predict` and `info`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .group import DATA, Failure, device_option, main, root_option

if TYPE_CHECKING:
    import lenet5

_SHOWN = "predictions.png"


@main.command()
@click.option("--weights", required=True, help="A name such as mnist_v1, a folder, or a .safetensors file in one.")
@click.option("--data", type=DATA, required=True, help="Its test set is used.")
@root_option
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def evaluate(weights: str, data: str, root: Path | None, device: str, as_json: bool) -> None:
    """Report on weights with a test set."""
    import lenet5

    weights = _named(weights)
    model, preprocess = _load(weights)
    test = lenet5.load_data(data, root).test
    if len(test.classes) != model.num_classes:
        raise ValueError(f"{weights} knows {model.num_classes} classes; {data} has {len(test.classes)}")
    if (categories := _categories(weights, list(test.classes))) != list(test.classes):
        raise ValueError(f"{weights} knows {', '.join(categories)}; {data} has {', '.join(test.classes)}")
    test.transform = preprocess
    report = lenet5.Trainer(model, lenet5.TrainerConfig(device=device)).evaluate(test)
    click.echo(report.to_json() if as_json else str(report))


@main.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--weights", default="mnist_robust_v1", show_default=True, help="A name, a folder, or a .safetensors file."
)
@click.option("--raw", is_flag=True, help="The pictures are as MNIST's, light on dark: take them as they are.")
@click.option(
    "--show",
    is_flag=False,
    flag_value=_SHOWN,
    type=click.Path(path_type=Path),
    help=f"Draw what the network saw into a new PNG file, or, as the last word, into {_SHOWN}.",
)
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
def predict(images: tuple[Path, ...], weights: str, raw: bool, show: Path | None, device: str, as_json: bool) -> None:
    """Label photographs, scans or drawings of one digit each.

    One line per picture: its file, the label and the probability, and "unsure" where that is lower than the threshold
    of the weights: the digit is hard to read, or is none. A picture in which there is no digit, or more than one, is
    named on stderr, and the exit code is then 2.
    """
    import torch

    import lenet5
    from lenet5.data.photo import open_picture

    if show is not None and (show.suffix != ".png" or (show.exists() and str(show) != _SHOWN)):
        raise ValueError(f"--show would write {show}; expected the name of a new PNG file")
    weights = _named(weights)
    model, preprocess = _load(weights)
    seen: dict[int, Any] = {}
    for index, path in enumerate(images):
        try:
            seen[index] = open_picture(path) if raw else lenet5.load_digit(path)
        except ValueError as error:
            click.echo(f"Error: {error}", err=True)
    if seen:
        batch = torch.cat([preprocess(picture) for picture in seen.values()])
        predictions = lenet5.Trainer(model, lenet5.TrainerConfig(device=device)).predict(batch)
        categories = _categories(weights, [str(number) for number in range(model.num_classes)])
        threshold = _meta(weights).get("abstention", {}).get("threshold")
        _print_labels([images[index] for index in seen], predictions, categories, threshold, as_json=as_json)
        if show is not None:
            shown = batch.mul(preprocess.std).add(preprocess.mean).mean(1)
            _draw(show, [images[index] for index in seen], shown.numpy(), predictions, categories)
    if len(seen) < len(images):
        raise click.exceptions.Exit(Failure.exit_code)


@main.command()
def info() -> None:
    """List the models, the weights and the device."""
    import torch

    import lenet5
    from lenet5.models import fused
    from lenet5.runtime.device import resolve_device

    click.echo(f"lenet5 {lenet5.__version__}, torch {torch.__version__}, device {resolve_device('auto')}")
    how = "C1 to S4 in one pass" if fused.library() else "layer by layer"
    click.echo(f"on the CPU, with {torch.get_num_threads()} threads, LeNet5 computes {how}")
    click.echo("\nmodels")
    for architecture in (lenet5.LeNet5, lenet5.LeNet5Original, lenet5.CaffeLeNet):
        num_params = sum(parameter.numel() for parameter in architecture().parameters())
        click.echo(f"  {architecture.__name__}  {num_params:,} parameters")
    click.echo("\nweights")
    for member in [*lenet5.LeNet5_Weights, *lenet5.LeNet5Original_Weights]:
        meta = member.meta
        default = " (default)" if member is lenet5.LeNet5_Weights.DEFAULT else ""
        click.echo(f"  {member.value}{default}  {meta['num_params']:,} parameters  sha256 {meta['sha256']}")
        for name, metrics in meta["metrics"].items():
            low, high = metrics["accuracy_interval"]
            click.echo(f"    {name}: accuracy {metrics['accuracy']:.2%} (95 % confidence: {low:.2%} to {high:.2%})")
        click.echo(f"    {meta['recipe']}")


def _named(weights: str) -> str:
    """Return weights by the name of their folder; "default" is what the catalogue says."""
    from lenet5 import LeNet5_Weights

    return LeNet5_Weights.DEFAULT.value if weights.lower() == "default" else weights


def _load(weights: str) -> tuple[Any, lenet5.Preprocess]:
    """Load a model of any architecture, and what prepares pictures for it."""
    from lenet5.models import load_model
    from lenet5.weights import load_preprocess

    return load_model(weights), load_preprocess(weights)


def _categories(weights: str, default: list[str]) -> list[str]:
    """Return the names of the classes that weights know, or else the default."""
    return _meta(weights).get("categories") or default


def _meta(weights: str) -> dict[str, Any]:
    """Return what is known of weights."""
    from lenet5.models import read_config

    return read_config(weights).get("meta") or {}


def _print_labels(
    paths: list[Path],
    predictions: lenet5.Predictions,
    categories: list[str],
    threshold: float | None,
    *,
    as_json: bool,
) -> None:
    rows, lines = [], []
    for path, label, confidence in zip(paths, predictions.labels, predictions.confidence.tolist(), strict=True):
        row = {"file": str(path), "label": categories[int(label)], "probability": confidence}
        if threshold is not None:
            row["sure"] = confidence >= threshold
        rows.append(row)
        lines.append(f"{path}  {row['label']}  {confidence:.4f}{'' if row.get('sure', True) else '  unsure'}")
    click.echo(json.dumps(rows, indent=2) if as_json else "\n".join(lines))


def _draw(file: Path, paths: list[Path], seen: Any, predictions: lenet5.Predictions, categories: list[str]) -> None:
    from lenet5.data.photo import thumbnail
    from lenet5.metrics.plots import plot_predictions
    from lenet5.storage import write_file

    pictures = [(path.name, thumbnail(path)) for path in paths]
    png = io.BytesIO()
    plot_predictions(pictures, seen, predictions.probabilities.numpy(), categories).savefig(png, dpi=100)
    write_file(file, png.getvalue())
