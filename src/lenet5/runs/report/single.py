"""The report of one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ... import plots
from ...data.catalogue import short_name
from ...inspection import layer_table
from ...metrics.selective import coverage_curve
from ...models.folder import WeightsFolder
from ...recipes.catalogue import RECIPES
from ..saved import SavedRun
from .blocks import Block, Code, Paragraph, Pictures, Section, Table
from .pictures import gallery, panels, picture

_MOST_CLASSES, _MOST_CONFUSIONS = 50, 10


def title(run: SavedRun) -> str:
    """Return the title of the report."""
    settings = run.settings
    data, recipe, seed = short_name(settings["data"]), settings["recipe"], settings["seed"]
    return f"{run.config['architecture']} on {data}: recipe {recipe}, seed {seed}"


def sections(run: SavedRun) -> Iterator[Section]:
    """Return the sections of the report of one run."""
    yield Section("Result", list(_result(run)))
    yield Section("Training", list(_training(run)))
    yield Section("Classes", list(_classes(run)))
    yield Section("Mistakes", list(_mistakes(run)))
    if run.evaluation is not None:
        yield Section("Confidence", list(_confidence(run)))
    yield Section("Network", list(_network(run)))
    yield Section("Settings", list(_settings(run)))


def _result(run: SavedRun) -> Iterator[Block]:
    low, high = run.accuracy_interval
    errors = run.num_examples - run.num_correct
    yield Paragraph(
        f"The network classifies {percent(run.accuracy)} of the {run.num_examples:,} test images correctly"
        f" (95 % confidence interval: {percent(low)} to {percent(high)}).",
        is_lead=True,
    )
    yield Paragraph(
        f"{errors:,} of {run.num_examples:,} test images are misclassified. The interval (Wilson score) accounts for"
        " the choice of the test images alone. A different seed gives a different network, and often a different"
        " accuracy: train several to know the spread."
    )
    yield fields("Results on the test set", _measures(run))


def _measures(run: SavedRun) -> dict[str, str]:
    measures = {"accuracy": percent(run.accuracy), "error rate": percent(1 - run.accuracy)}
    if run.loss is not None:
        measures["cross-entropy (nats)"] = f"{run.loss:.4f}"
    if run.expected_calibration_error is not None:
        measures["expected calibration error"] = percent(run.expected_calibration_error)
    return measures


def _training(run: SavedRun) -> Iterator[Block]:
    frame, history = run.history.to_frame(), run.history
    validated = "val_accuracy" in frame
    best = "" if history.best_epoch is None else f" The best validation epoch is {history.best_epoch}."
    yield Paragraph(f"{len(history)} epochs. The saved weights are those of epoch {history.kept_epoch}.{best}")
    losses = ("Line plot of the loss by epoch", "Loss by epoch (cross-entropy, unless the recipe has its own loss).")
    accuracies = ("Line plot of the validation accuracy by epoch", "Validation accuracy by epoch.")
    yield panels(
        lambda axes: plots.plot_curves(frame, history.best_epoch, kept_epoch=history.kept_epoch, ax=axes),
        [losses, accuracies] if validated else [losses],
    )
    if {"train_accuracy", "test_accuracy"} <= {*frame}:
        published = RECIPES[run.settings["recipe"]].published if run.settings["data"] == "mnist" else None
        alt = "Line plot of training and test error by epoch"
        yield picture(plots.plot_errors(frame, published), alt, "Error by epoch, as in figure 5 of LeCun et al. 1998.")
    yield Table("Metrics by epoch", _epochs(frame))


def _epochs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the history as text."""
    columns = {str(name): [_metric(str(name), value) for value in frame[name]] for name in frame}
    return pd.DataFrame(columns).rename(columns=lambda name: name.replace("_", " "))


def _metric(name: str, value: float) -> str:
    if pd.isna(value):
        return "-"
    if name.endswith("accuracy"):
        return percent(value)
    return str(int(value)) if name == "epoch" else f"{value:.4g}"


def _classes(run: SavedRun) -> Iterator[Block]:
    yield Table(
        "Precision, recall and F1 score by class",
        pd.DataFrame(
            [
                (name, percent(row.precision), percent(row.recall), percent(row.f1), f"{row.support:,}")
                for name, row in run.per_class.items()
            ],
            columns=["class", "precision", "recall", "F1", "images"],
        ),
    )
    if len(run.classes) <= _MOST_CLASSES:
        alt = "Dots of precision, recall and F1 score by class, with the values of the table above"
        yield picture(plots.plot_per_class(run.per_class), alt, "Precision, recall and F1 score by class.")
    yield from confusions(run.confusion_matrix, run.classes)


def confusions(matrix: Any, classes: tuple[str, ...]) -> Iterator[Block]:
    """Return the confusion matrix and the most frequent confusions."""
    if len(classes) > _MOST_CLASSES:
        yield Paragraph(f"Figures by class are left out: there are {len(classes)} classes, more than {_MOST_CLASSES}.")
    else:
        yield picture(
            plots.plot_confusion_matrix(matrix, classes),
            "Confusion matrix: counts, one row per true class and one column per predicted class",
            "Confusion matrix. Colour shows the errors, as fractions of the true class.",
        )
    errors = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-errors, axis=None, kind="stable")[:_MOST_CONFUSIONS]
    rows = [
        (classes[true], classes[predicted], str(errors[true, predicted]))
        for true, predicted in zip(*np.unravel_index(order, errors.shape), strict=True)
        if errors[true, predicted]
    ]
    if rows:
        frame = pd.DataFrame(rows, columns=["true class", "predicted class", "images"])
        yield Table("Most frequent confusions", frame)


def _mistakes(run: SavedRun) -> Iterator[Block]:
    num_errors = run.num_examples - run.num_correct
    if not num_errors:
        yield Paragraph(f"All {run.num_examples:,} test images are classified correctly.")
        return
    if run.evaluation is None or run.mistakes is None:
        yield Paragraph(
            "This run was trained by a version that did not store its predictions, from which this section, the"
            " reliability diagram and the coverage curve are made. lenet5 train --resume stores them."
        )
        return
    indices, images = run.mistakes
    evaluation, names = run.evaluation, run.classes
    captions = [
        (
            f"true: {names[evaluation.targets[i]]}",
            f"predicted: {names[evaluation.predictions[i]]}",
            f"confidence {confidence(float(evaluation.probabilities[i].max()))}",
            f"test image {i}",
        )
        for i in indices
    ]
    shown = "" if len(indices) == num_errors else f" The {len(indices)} most confident of {num_errors:,} are shown."
    yield Paragraph(f"Misclassified test images, the most confident first.{shown}")
    yield gallery("Misclassified test images", images, captions)


def _confidence(run: SavedRun) -> Iterator[Block]:
    assert run.evaluation is not None
    targets, probabilities = run.evaluation.targets, run.evaluation.probabilities
    yield Paragraph(
        f"The confidence of a prediction is its probability. The expected calibration error is"
        f" {percent(run.evaluation.expected_calibration_error)}: by so much, confidence and accuracy differ on average."
    )
    reliability = picture(
        plots.plot_reliability(targets, probabilities),
        "Reliability diagram: accuracy against confidence, and the number of images by confidence",
        "Reliability diagram. On the diagonal, confidence equals accuracy. Below: the number of images, on a"
        " logarithmic scale.",
    )
    coverage = picture(
        plots.plot_coverage(coverage_curve(targets, probabilities)),
        "Line plot of accuracy against coverage",
        "Accuracy when only the most confident predictions count, against their fraction, the coverage.",
    )
    yield Pictures([reliability, coverage])


def _network(run: SavedRun) -> Iterator[Block]:
    network = WeightsFolder.open(run.folder).load()
    table = layer_table(network)
    counts = table.drop(columns="output_shape")
    rows = [
        [str(layer), _shape(shape), *(_count(value) for value in values)]
        for layer, shape, values in zip(table.index, table["output_shape"], counts.to_numpy().tolist(), strict=True)
    ]
    names = [str(name).replace("multiply_adds", "multiply-adds") for name in counts.columns]
    yield Paragraph(f"{run.config['architecture']} with {counts['parameters'].sum():,} parameters.")
    yield Table("Layers", pd.DataFrame(rows, columns=["layer", "output shape", *names]))


def _shape(shape: object) -> str:
    return "x".join(map(str, shape)) if isinstance(shape, tuple) else "-"


def _count(value: Any) -> str:
    return "?" if pd.isna(value) else f"{int(value):,}"


def _settings(run: SavedRun) -> Iterator[Block]:
    if command := run.meta.get("recipe"):
        yield Paragraph("This command trains the run again. Replace DIR by the data folder, if it has one.")
        yield Code("Command", str(command))
    yield fields("Settings", run.settings)
    yield fields("Preprocessing", run.config.get("preprocess") or {})
    yield fields("Software and device", environment(run))


def environment(run: SavedRun) -> dict[str, Any]:
    """Return the versions of the software, and the device, of the training."""
    versions = run.meta.get("versions")
    device = {"device": run.meta["device"]} if "device" in run.meta else {}
    split = {"validation split": f"version {run.meta['split_version']}"} if "split_version" in run.meta else {}
    return {**(versions if isinstance(versions, Mapping) else {}), **device, **split}


def fields(caption: str, values: Mapping[str, Any]) -> Table:
    """Return a table of names and values."""
    rows = [(name, "none" if value is None else str(value)) for name, value in values.items()]
    return Table(caption, pd.DataFrame(rows, columns=["name", "value"]))


def percent(fraction: float) -> str:
    """Format a fraction in percent."""
    return f"{100 * fraction:.2f} %"


def confidence(probability: float) -> str:
    """Format a probability, of which only 1 itself is 100 %."""
    return "> 99.9 %" if 0.9995 <= probability < 1 else f"{100 * probability:.1f} %"
