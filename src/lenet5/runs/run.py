"""A run: a training run with a recipe, and the folder of its results.

The folder is also a weights folder. Its `config.json` holds the settings as well, so that the run can resume.
"""

from __future__ import annotations

import contextlib
import dataclasses
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import __version__, storage
from ..data.catalogue import NAMES
from ..data.datasets import ImageDataset
from ..data.loader import TensorLoader
from ..data.preprocess import Preprocess
from ..data.sets import DataSplits, load_data
from ..data.splits import SPLIT_VERSION
from ..inference import evaluate
from ..metrics.calibration import temperature
from ..metrics.report import Evaluation
from ..models.folder import WeightsFolder
from ..models.pretrained import PretrainedModel, save_model
from ..plots.curves import plot_errors
from ..plots.display import to_png
from ..plots.style import default_style
from ..recipes.catalogue import RECIPES, Recipe
from ..training.callbacks import Callback
from ..training.history import History, Row
from ..training.progress import ProgressBar
from ..training.state import TrainingState
from ..training.trainer import Trainer
from .predictions import PREDICTIONS, predictions_bytes
from .report.page import REPORT_PAGE, is_report, write_report
from .settings import CONFIG, REPORT, RunSettings

if TYPE_CHECKING:
    from ..plots.display import Figure

_LARGE = 10_000  # training images, validation included, from which the recipe "standard" is the default
_REPORTED = ("accuracy", "accuracy_interval", "loss", "expected_calibration_error", "num_examples")


class ErrorCurve(Callback):
    """A callback that measures training and test accuracy after each epoch, as in figure 5 of LeCun et al. 1998.

    The values are only recorded. No decision depends on them.
    """

    train: ImageDataset
    test: ImageDataset

    def __init__(self, train: ImageDataset, test: ImageDataset) -> None:
        self.train, self.test = train, test

    def on_epoch_end(self, state: TrainingState, row: Row) -> None:
        """Add both accuracies to the metrics of the epoch."""
        row["train_accuracy"], row["test_accuracy"] = (
            evaluate(state.model, data, device=state.device, precision=state.config.precision).accuracy
            for data in (self.train, self.test)
        )


class Record(Callback):
    """A callback that calls a function before the first step, when everything that can be refused has been checked."""

    write: Callable[[], None]

    def __init__(self, write: Callable[[], None]) -> None:
        self.write = write

    def on_fit_start(self, state: TrainingState) -> None:
        """Call the function on rank 0."""
        if state.is_main:
            self.write()


class Run:
    """One training run and its folder.

    Parameters
    ----------
    folder
        The folder for the results.
    settings
        The settings.
    device
        Name of the device, as in `TrainerConfig`.

    Raises
    ------
    ValueError
        A setting is unknown or out of range, or the data is damaged.
    FileNotFoundError
        The data is missing and could not be downloaded.
    """

    folder: Path
    settings: RunSettings
    recipe: Recipe
    splits: DataSplits
    preprocess: Preprocess
    val: ImageDataset | None
    model: PretrainedModel
    trainer: Trainer
    loader: TensorLoader

    def __init__(self, folder: Path, settings: RunSettings, device: str) -> None:
        splits, name = None, settings.recipe
        if name is None:
            splits = load_data(settings.data, settings.root)
            name = "digits" if len(splits.train) + len(splits.val) < _LARGE else "standard"
            settings = dataclasses.replace(settings, recipe=name)
        recipe = RECIPES[name].override(settings.overrides())
        config = dataclasses.replace(recipe.config, device=device, checkpoint_dir=folder / "checkpoints")
        if config.patience is not None and recipe.all_images:
            raise ValueError(
                f"patience is {config.patience}, but the recipe {settings.recipe} trains on all images; omit patience"
            )
        self.folder, self.settings, self.recipe = folder, settings, recipe
        self.splits = splits or load_data(settings.data, settings.root)
        self.preprocess = recipe.preprocess or self.splits.preprocess
        for split in self.splits:
            split.transform = self.preprocess
        train = self.splits.train.concat(self.splits.val) if recipe.all_images else self.splits.train
        self.val = None if recipe.all_images else self.splits.val
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed)
            self.model = recipe.model(len(train.classes))
        callbacks = [*(recipe.callbacks(train) if recipe.callbacks else ()), ProgressBar()]
        if recipe.published is not None:
            callbacks.insert(0, ErrorCurve(train, self.splits.test))
        callbacks.append(Record(self.write_settings))
        self.trainer = Trainer(
            self.model, config, callbacks=callbacks, loss_fn=recipe.loss_fn, optimizer=recipe.optimizer
        )
        self.loader = TensorLoader(
            train, batch_size=config.batch_size, shuffle=True, augment=recipe.augment, seed=config.seed
        )

    @property
    def has_report(self) -> bool:
        """Whether the run has finished and written its report."""
        return (self.folder / REPORT).is_file()

    @property
    def can_resume(self) -> bool:
        """Whether the folder holds the settings, from which the run can resume, at least from the start."""
        return (self.folder / CONFIG).is_file()

    def fit(self, resume: str | None = None) -> History:
        """Train the model; with `resume="auto"`, resume from the latest checkpoint."""
        return self.trainer.fit(self.loader, self.val, resume=resume)

    def write_settings(self) -> None:
        """Write the settings to `config.json`, so that a killed run can resume; other entries stay."""
        config = WeightsFolder.open(self.folder).config if (self.folder / CONFIG).is_file() else {}
        settings = dataclasses.asdict(self.settings)
        if config.get("settings") != settings:
            self.folder.mkdir(parents=True, exist_ok=True)
            storage.write_json(self.folder / CONFIG, storage.sealed({**config, "settings": settings}))

    def withdraw(self) -> None:
        """Remove the settings of a run that failed before its first checkpoint: it would fail again."""
        checkpoints = self.folder / "checkpoints"
        if self.trainer.is_main and not any(checkpoints.glob("step-*")):
            (self.folder / CONFIG).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it does not exist
                checkpoints.rmdir()

    def report(self) -> Evaluation:
        """Evaluate the model on the test set, and write all files of the folder except the checkpoints."""
        meta = {"temperature": self._calibrate()} if self.recipe.calibrate else {}
        # the loss is cross-entropy, as in `lenet5 evaluate`, regardless of the training loss
        report = evaluate(
            self.model, self.splits.test, device=self.trainer.device, precision=self.trainer.config.precision
        )
        history = self.trainer.history
        if not self.trainer.is_main:
            return report
        save_model(
            self.model,
            self.folder,
            preprocess=self.preprocess,
            meta=self._meta(report, history) | meta,
            settings=dataclasses.asdict(self.settings),
        )
        table = history.to_frame().to_csv(index=False, lineterminator="\n")
        storage.write_file(self.folder / "history.csv", table.encode())
        storage.write_file(self.folder / REPORT, report.to_json().encode())
        storage.write_file(self.folder / PREDICTIONS, predictions_bytes(report, self.splits.test))
        with default_style():
            for name, figure in self._figures(report, history).items():
                storage.write_file(self.folder / name, to_png(figure))
        page = self.folder / REPORT_PAGE
        if not page.exists() or is_report(page):  # else somebody edited it
            write_report(self.folder.absolute(), page)
        return report

    def _figures(self, report: Evaluation, history: History) -> dict[str, Figure]:
        """Return the figures of the folder, by file name."""
        figures = {"curves.png": history.plot(), "confusion_matrix.png": report.plot()}
        if self.recipe.published is not None:
            published = self.recipe.published if self.settings.data == "mnist" else {}
            figures["errors.png"] = plot_errors(history.to_frame(), published)
        return figures

    def _calibrate(self) -> float:
        """Fit a temperature, divide the output layer and thus the logits by it, and return it."""
        val = self.trainer.evaluate(self.splits.val)
        divisor = temperature(val.targets, val.probabilities)
        with torch.no_grad():
            for parameter in self.model.get_submodule("output").parameters():
                parameter.div_(divisor)
        return divisor

    def _meta(self, report: Evaluation, history: History) -> dict[str, Any]:
        """Return the metadata of the weights."""
        metrics = report.to_dict()
        return {
            "num_params": sum(parameter.numel() for parameter in self.model.parameters()),
            "categories": list(report.classes),
            **({} if self.settings.data in NAMES else {"raw": True}),  # own images are used as they are, digits too
            "recipe": self.settings.command(),
            "metrics": {self.settings.name: {name: metrics[name] for name in _REPORTED}},
            "epoch": history.kept_epoch,
            "best_epoch": history.best_epoch,
            "training": self.recipe.settings(),
            "device": _described(self.trainer.device),
            "split_version": SPLIT_VERSION,
            "versions": {"lenet5": __version__, "torch": torch.__version__.partition("+")[0]},
        }


def _described(device: torch.device) -> str:
    """Return the kind of a device, with the name of its GPU."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return f"{device.type} ({name})"
