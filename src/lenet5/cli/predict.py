"""The command `predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from ..storage import shown
from .group import Failure, device_option, echo, loading, main
from .images import find_images
from .parameters import WEIGHTS, UserPath, new_png

if TYPE_CHECKING:
    from torch import Tensor

    import lenet5

_FIGURE = "predictions.png"
_SHOWN = 50  # digits of a figure: 100 inches, and a few seconds
_HELP = """Predict the digits in photographs, scans or drawings.

IMAGES are files, folders or patterns such as "*.png". A folder stands for the image files in it, without those in
its subfolders.

Print one line per digit: the file, the predicted class and its probability. If an image shows several digits, such as
a postal code, they come from left to right and row by row, each with its box: left, top, right and bottom in pixels.
"low confidence" marks a probability below the threshold of the weights: the digit is hard to read, or there is none. An
image without a digit is reported on stderr, and the exit code is then 2.

Weights of other classes than digits, or trained on your own data, use each image as it is, as with --raw.
"""


class _Digit(NamedTuple):
    """Where a digit was found."""

    file: Path
    box: list[int] | None
    """Left, top, right and bottom in the image; None if the image is used as it is."""

    alone: bool
    """True for the only digit of an image."""


@main.command(help=_HELP)
@click.argument("images", nargs=-1, required=True, type=click.Path())
@click.option(
    "--weights",
    type=WEIGHTS,
    default="mnist_photo_v1",
    show_default=True,
    help="Name of bundled weights, folder, or .safetensors file.",
)
@click.option("--raw", is_flag=True, help="Use images as they are; for images already in MNIST format (light on dark).")
@click.option(
    "--show",
    is_flag=False,
    flag_value=_FIGURE,
    type=UserPath(),
    help="Plot each digit in its image, the network's input and its probabilities to a new PNG file, of many digits the"
    f" first {_SHOWN}; without a name, {_FIGURE} or the next free predictions-NUMBER.png.",
)
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
def predict(images: tuple[str, ...], weights: str, raw: bool, show: Path | None, device: str, as_json: bool) -> None:
    """Run the command `predict`; see its help."""
    figure = None if show is None else _new_figure(show)
    found, failures = _find(images)
    if not found:
        _exit_without_digits(as_json=as_json)
    with loading():
        import torch

        import lenet5
        from lenet5.runtime.device import resolve_device

    place = resolve_device(device)
    pretrained = lenet5.load(weights)
    digits: list[_Digit] = []
    inputs = []
    for path in found:
        try:
            batch, located = _prepare(path, pretrained, raw=raw)
        except ValueError as error:
            failures += _report(error)
        else:
            inputs.append(batch)
            digits += located
    if not inputs:
        _exit_without_digits(as_json=as_json)
    batch = torch.cat(inputs)
    predictions = lenet5.predict(pretrained.model, batch, device=place)
    _print_predictions(digits, predictions, pretrained, as_json=as_json)
    if figure is not None:
        _plot(figure, digits, batch, predictions.probabilities.numpy(), pretrained)
    if failures:
        raise click.exceptions.Exit(Failure.exit_code)


def _exit_without_digits(*, as_json: bool) -> NoReturn:
    """Exit after the errors were reported; a program that reads JSON gets a list, if an empty one."""
    if as_json:
        echo("[]")
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


def _prepare(path: Path, pretrained: lenet5.Pretrained, *, raw: bool) -> tuple[Tensor, list[_Digit]]:
    """Return the inputs of the network (N, C, H, W), and where they are; raise ValueError if there is no digit."""
    import lenet5

    if raw or pretrained.raw:
        return pretrained.prepare(path, raw=True), [_Digit(path, None, alone=True)]
    found = lenet5.load_digits(path)
    if not len(found):
        raise ValueError(f"{path}: no digit was found; expected digits, dark on light or light on dark")
    return pretrained.prepare(found.images), [_Digit(path, box, len(found) == 1) for box in found.boxes.tolist()]


def _report(error: Exception) -> int:
    echo(f"Error: {shown(error)}", err=True)
    return 1


def _print_predictions(
    digits: list[_Digit], predictions: lenet5.Predictions, pretrained: lenet5.Pretrained, *, as_json: bool
) -> None:
    rows, lines = [], []
    classes, threshold = pretrained.classes, pretrained.threshold
    for digit, label, confidence in zip(digits, predictions.labels, predictions.confidence.tolist(), strict=True):
        row: dict[str, Any] = {"file": str(digit.file), "label": classes[int(label)], "probability": confidence}
        if digit.box is not None:
            row["box"] = digit.box
        if threshold is not None:
            row["confident"] = confidence >= threshold
        rows.append(row)
        box = "" if digit.alone else f"  box {' '.join(map(str, digit.box or ()))}"
        mark = "" if row.get("confident", True) else "  low confidence"
        lines.append(f"{shown(digit.file)}  {shown(row['label'])}  {confidence:.4f}{box}{mark}")
    echo(json.dumps(rows, indent=2) if as_json else "\n".join(lines))


def _plot(file: Path, digits: list[_Digit], batch: Tensor, probabilities: Any, pretrained: lenet5.Pretrained) -> None:
    from ..photo.greyscale import thumbnail
    from ..plots import plot_predictions
    from ..plots.display import to_png
    from ..plots.style import default_style
    from ..storage import write_file

    total, digits = len(digits), digits[:_SHOWN]
    batch, probabilities = batch[:_SHOWN], probabilities[:_SHOWN]
    thumbnails = {path: thumbnail(path) for path in dict.fromkeys(digit.file for digit in digits)}
    photographs = [(shown(digit.file.name), thumbnails[digit.file][0]) for digit in digits]
    boxes = [[edge * thumbnails[digit.file][1] for edge in digit.box] for digit in digits if digit.box is not None]
    pixels = pretrained.preprocess.denormalize(batch).mean(1).numpy()
    with default_style():
        figure = plot_predictions(
            photographs, pixels, probabilities, pretrained.classes, pretrained.threshold, boxes or None
        )
        write_file(file, to_png(figure))
    which = "" if len(digits) == total else f" of the first {len(digits)} of {total} digits"
    echo(f"figure{which} written to {shown(file)}", err=True)
