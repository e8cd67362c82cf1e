"""Finished runs, as read from their folders."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import storage
from ..arguments import as_integer, as_number
from ..recipes.catalogue import RECIPES
from ..storage import StrPath, as_path, shown
from .settings import CONFIG, REPORT, RunSettings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..metrics.functions import Interval
    from ..metrics.report import ClassMetrics, Evaluation
    from ..training.history import History
    from .predictions import Mistakes

HISTORY = "history.csv"


@dataclass(frozen=True)
class SavedRun:
    """A finished run.

    Attributes
    ----------
    name
        The path of its folder, as it was given.
    folder
        The folder.
    config
        The content of its `config.json`.
    settings
        All settings that determine the result: the dataset, the recipe, the seed, and those of
        `lenet5 train --set`, by name.
    history
        The metrics of each epoch.
    classes
        The class names.
    confusion_matrix
        (num_classes, num_classes) int64: counts on the test set, one row per true class.
    loss
        Cross-entropy on the test set, in nats; None if unknown.
    expected_calibration_error
        On the test set; None if unknown.
    evaluation
        All predictions for the test set; None for a run of an older version, which did not store them.
    mistakes
        Misclassified images of the test set, the most confident ones at least; None if not stored.

    Examples
    --------
    >>> run = lenet5.runs.read_run("seeds/seed-0")
    >>> run.settings["data"], run.settings["max_epochs"], run.num_examples
    ('digits', 1, 360)
    >>> figure = run.evaluation.plot()
    """

    name: str
    folder: Path
    config: Mapping[str, Any]
    settings: Mapping[str, Any]
    history: History
    classes: tuple[str, ...]
    confusion_matrix: npt.NDArray[np.int64]
    loss: float | None = None
    expected_calibration_error: float | None = None
    evaluation: Evaluation | None = None
    mistakes: Mistakes | None = None

    @property
    def num_examples(self) -> int:
        """Number of test images."""
        return int(self.confusion_matrix.sum())

    @property
    def num_correct(self) -> int:
        """Number of test images that are classified correctly."""
        return int(self.confusion_matrix.trace())

    @property
    def accuracy(self) -> float:
        """Accuracy on the test set."""
        return self.num_correct / self.num_examples

    @property
    def accuracy_interval(self) -> Interval:
        """95 % confidence interval of the accuracy (Wilson score interval)."""
        from ..metrics.functions import confidence_interval

        return confidence_interval(self.num_correct, self.num_examples)

    @functools.cached_property
    def per_class(self) -> dict[str, ClassMetrics]:
        """Precision, recall, F1 score and support by class name."""
        import numpy as np

        from ..metrics.report import Evaluation

        cells = np.indices(self.confusion_matrix.shape).reshape(2, -1)
        targets, predictions = np.repeat(cells, self.confusion_matrix.ravel(), axis=1)
        return Evaluation(targets, np.eye(len(self.classes))[predictions], classes=self.classes).per_class

    @property
    def meta(self) -> Mapping[str, Any]:
        """The metadata of the weights."""
        return self.config.get("meta") or {}


def find_runs(paths: StrPath | Iterable[StrPath]) -> dict[str, Path]:
    """Find the folders of runs, by name.

    Parameters
    ----------
    paths
        Folders of runs, or folders that contain them, such as those of `lenet5 train --seeds`.

    Returns
    -------
    dict
        The folders in the given order, and in a folder in the order of their numbers. Each run appears once. Its name
        is its path.

    Raises
    ------
    FileNotFoundError
        There is no run at a path.

    Examples
    --------
    >>> [folder.name for folder in lenet5.runs.find_runs("seeds").values()]
    ['seed-0', 'seed-1']
    """
    found: dict[Path, str] = {}
    for path in map(as_path, [paths] if isinstance(paths, str | os.PathLike) else paths):
        inner = [] if (path / CONFIG).is_file() or not path.is_dir() else sorted(path.iterdir(), key=_by_number)
        runs = [each for each in inner or [path] if storage.is_visible(each) and (each / CONFIG).is_file()]
        if not runs:
            raise FileNotFoundError(f"there is no run in {path}; expected a folder that lenet5 train wrote")
        for run in runs:
            found.setdefault(run.resolve(), str(run))
    return {name: Path(name) for name in found.values()}


def read_run(folder: StrPath) -> SavedRun:
    """Read a finished run.

    Parameters
    ----------
    folder
        The folder that `lenet5 train` wrote.

    Raises
    ------
    FileNotFoundError
        There is no run in the folder.
    ValueError
        The run has not finished, or a file is damaged.

    Examples
    --------
    >>> run = lenet5.runs.read_run("seeds/seed-0")
    >>> run.history
    <History: 1 epochs, best 1>
    >>> run.confusion_matrix.shape
    (10, 10)
    """
    from ..models.folder import WeightsFolder

    path = as_path(folder)
    if not (path / CONFIG).is_file():
        raise FileNotFoundError(f"there is no run in {path}; expected a folder that lenet5 train wrote")
    config = WeightsFolder.open(path).config
    if not (path / REPORT).is_file() or config.get("settings") is None:
        raise ValueError(f"{path} holds no finished run; expected one (lenet5 train --resume {path})")
    meta = config.get("meta") or {}
    report = _read_report(path / REPORT)
    run = SavedRun(
        name=str(folder),
        folder=path,
        config=config,
        settings=_settings(config, path / CONFIG),
        history=_read_history(path / HISTORY, as_integer(meta.get("best_epoch")), as_integer(meta.get("epoch"))),
        **report,
    )
    return _with_predictions(run)


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Return a key that sorts seed-2 before seed-10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _settings(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the settings of a run as it was trained; a setting that it does not record is that of its recipe."""
    try:
        settings = RunSettings(**config["settings"])
        recorded = (config.get("meta") or {}).get("training") or {}
        recipe = {} if settings.recipe is None else RECIPES[settings.recipe].override(settings.overrides()).settings()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} does not hold the settings of a run: {error}") from error
    return {"data": settings.data, "recipe": settings.recipe, "seed": settings.seed, **recipe, **recorded}


def _read_report(path: Path) -> dict[str, Any]:
    """Return what a SavedRun takes from the report on the test set."""
    import numpy as np

    report = storage.read_json(path)
    classes, counts = report.get("classes"), report.get("confusion_matrix")
    try:
        matrix = np.array(counts, dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        matrix = np.zeros(0, np.int64)
    names = classes if isinstance(classes, list) and all(isinstance(name, str) for name in classes) else []
    if matrix.shape != (len(names), len(names)) or not names or matrix.min() < 0 or not matrix.sum():
        raise ValueError(f"{shown(path)} is damaged or was edited: its confusion matrix does not fit its classes")
    if as_number(report.get("accuracy")) != matrix.trace() / matrix.sum():
        raise ValueError(f"{shown(path)} is damaged or was edited: its accuracy is not that of its confusion matrix")
    numbers = {name: as_number(report.get(name)) for name in ("loss", "expected_calibration_error")}
    return {"classes": tuple(names), "confusion_matrix": matrix, **numbers}


def _read_history(path: Path, best_epoch: int | None, kept_epoch: int | None) -> History:
    import io

    import pandas as pd

    from ..training.history import History

    data = storage.read_file(path, limit=storage.LARGEST)
    try:
        frame = pd.read_csv(io.BytesIO(data))
        rows = [{str(name): value for name, value in row.dropna().items()} for _, row in frame.astype(float).iterrows()]
        epochs = [row.pop("epoch") for row in rows]
        complete = (kept_epoch or 1) <= len(rows) and all("train_loss" in row for row in rows)
        if epochs != [*range(1, len(rows) + 1)] or not complete:
            raise ValueError("expected one row per epoch, with the column train_loss")  # noqa: TRY301
    except (KeyError, ValueError) as error:
        raise ValueError(f"{shown(path)} is damaged or was edited: {error}") from error
    history = History([{"epoch": index + 1, **row} for index, row in enumerate(rows)], best_epoch)
    history.kept_epoch = kept_epoch
    return history


def _with_predictions(run: SavedRun) -> SavedRun:
    """Return a run with its stored predictions, if any."""
    import dataclasses

    from .predictions import PREDICTIONS, read_predictions

    path = run.folder / PREDICTIONS
    if not path.is_file():
        return run
    evaluation, mistakes = read_predictions(path, run.classes, run.loss)
    if (evaluation.confusion_matrix != run.confusion_matrix).any():
        raise ValueError(f"{shown(path)} is not of the same training as {REPORT}; expected files of one run")
    return dataclasses.replace(run, evaluation=evaluation, mistakes=mistakes)
