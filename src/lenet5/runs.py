"""A run: settings, a training by a recipe, and a folder that holds all that came of it.

The folder is a weights folder too; its `config.json` has the settings besides, so that the run can be continued.
"""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import torch

from . import __version__, storage
from .data import SPLIT_VERSION, DataSplits, ImageDataset, TensorLoader, load_data
from .metrics import Evaluation, temperature
from .metrics.plots import plot_errors
from .models import read_config
from .models.pretrained import CONFIG
from .recipes import RECIPES
from .training import Callback, History, ProgressBar, Trainer
from .training.history import Row

REPORT = "report.json"
_REPORTED = ("accuracy", "accuracy_interval", "loss", "expected_calibration_error", "num_examples")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run is: all that its result depends on but the versions of the software."""

    data: str
    root: str | None
    recipe: str
    seed: int
    max_epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None

    @classmethod
    def of_run(cls, folder: Path, root: str | None) -> Settings:
        """Return those of the run in a folder; its data lies where it did, unless `root` says otherwise."""
        if not (folder / CONFIG).is_file():
            raise FileNotFoundError(f"there is no run in {folder}; expected a folder that lenet5 train wrote")
        saved = read_config(folder).get("settings")
        if saved is None:
            raise ValueError(f"{folder} holds weights but no run to resume; expected a folder that lenet5 train wrote")
        try:
            return cls(**saved | ({} if root is None else {"root": root}))
        except TypeError as error:
            raise ValueError(f"{folder / CONFIG} does not hold the settings of a run: {error}") from error

    def changes(self) -> dict[str, Any]:
        """Return what takes the place of the recipe's settings."""
        given = {name: getattr(self, name) for name in ("max_epochs", "batch_size", "lr", "seed")}
        return {name: value for name, value in given.items() if value is not None}

    def command(self) -> str:
        """Return the command that makes the run again; DIR stands for where the data lies."""
        flags = {f"--{name.removeprefix('max_').replace('_', '-')}": value for name, value in self.changes().items()}
        root = {} if self.data == "digits" else {"--root": "DIR"}
        options = {"--data": self.data, **root, "--recipe": self.recipe, **flags}
        return " ".join(["lenet5 train", *(f"{flag} {value}" for flag, value in options.items())])


class ErrorCurve(Callback):
    """Measures the accuracy on the training and the test set after each epoch, as figure 5 of LeCun et al. 1998 does.

    Nothing is chosen by it.
    """

    def __init__(self, train: ImageDataset, test: ImageDataset) -> None:
        self.train, self.test = train, test

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Add both to the epoch's row."""
        row["train_accuracy"] = trainer.evaluate(self.train).accuracy
        row["test_accuracy"] = trainer.evaluate(self.test).accuracy


class Run:
    """One training and its folder.

    Parameters
    ----------
    folder
        Where the run lives.
    settings
        What it is.
    device
        Where it computes.

    Raises
    ------
    ValueError
        A setting is unknown or out of range, or the data is damaged.
    FileNotFoundError
        The data is missing and could not be fetched.
    """

    def __init__(self, folder: Path, settings: Settings, device: str) -> None:
        if settings.recipe not in RECIPES:
            raise ValueError(f"no recipe is named {settings.recipe!r}; expected one of: {', '.join(RECIPES)}")
        recipe = RECIPES[settings.recipe]
        if recipe.optimizer is not None and settings.lr is not None:
            raise ValueError(f"lr is {settings.lr}, but {settings.recipe} has learning rates of its own; expected none")
        config = dataclasses.replace(
            recipe.config, **settings.changes(), device=device, checkpoint_dir=folder / "checkpoints"
        )
        self.folder, self.settings, self.recipe = folder, settings, recipe
        self.splits: DataSplits = load_data(settings.data, settings.root)
        self.preprocess = recipe.preprocess or self.splits.preprocess
        for split in self.splits:
            split.transform = self.preprocess
        train = self.splits.train.concat(self.splits.val) if recipe.all_images else self.splits.train
        self.val = None if recipe.all_images else self.splits.val
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed)
            self.model = recipe.model(len(train.classes))
        callbacks = [*(recipe.callbacks(train) if recipe.callbacks else ()), ProgressBar()]
        self.published = recipe.published
        if self.published is not None:
            if settings.data != "mnist":
                self.published = {}
            callbacks.insert(0, ErrorCurve(train, self.splits.test))
        self.trainer = Trainer(
            self.model, config, callbacks=callbacks, loss_fn=recipe.loss_fn, optimizer=recipe.optimizer
        )
        self.loader = TensorLoader(
            train, batch_size=config.batch_size, shuffle=True, augment=recipe.augment, seed=config.seed
        )

    @staticmethod
    def is_unfinished(folder: Path, settings: Settings) -> bool:
        """Whether a folder holds a run of these settings that has not written its report."""
        if not (folder / CONFIG).is_file() or (folder / REPORT).exists():
            return False
        return bool(read_config(folder).get("settings") == dataclasses.asdict(settings))

    def fit(self, resume: str | None = None) -> History:
        """Train, from the newest checkpoint with `resume="auto"`."""
        if resume is None and self.trainer.is_main:  # so that a run that is killed says what it was
            self.folder.mkdir(parents=True, exist_ok=True)
            content = {"settings": dataclasses.asdict(self.settings)}
            storage.write_json(self.folder / CONFIG, storage.sealed(content))
        return self.trainer.fit(self.loader, self.val, resume=resume)

    def report(self) -> Evaluation:
        """Evaluate on the test set, and write all files of the folder but the checkpoints."""
        divisor = self._calibrate() if self.recipe.calibrate else None
        # by the loss that `lenet5 evaluate` has, whatever was trained with
        report = Trainer(self.model, self.trainer.config).evaluate(self.splits.test)
        history = self.trainer.history
        if not self.trainer.is_main:
            return report
        self.model.save_pretrained(
            self.folder,
            preprocess=dataclasses.asdict(self.preprocess),
            meta=self._meta(report, history) | ({} if divisor is None else {"temperature": divisor}),
            settings=dataclasses.asdict(self.settings),
        )
        table = history.to_frame().to_csv(index=False, lineterminator="\n")
        storage.write_file(self.folder / "history.csv", table.encode())
        storage.write_file(self.folder / REPORT, report.to_json().encode())
        figures = {"curves.png": history.plot(), "confusion_matrix.png": report.plot()}
        if self.published is not None:
            figures["errors.png"] = plot_errors(history.to_frame(), self.published)
        for name, figure in figures.items():
            picture = io.BytesIO()
            figure.savefig(picture, dpi=120)
            storage.write_file(self.folder / name, picture.getvalue())
        return report

    def _calibrate(self) -> float:
        """Divide the output layer, and so the logits, by the temperature; return it."""
        val = self.trainer.evaluate(self.splits.val)
        divisor = temperature(val.targets, val.probabilities)
        with torch.no_grad():
            for parameter in self.model.get_submodule("output").parameters():
                parameter.div_(divisor)
        return divisor

    def _meta(self, report: Evaluation, history: History) -> dict[str, Any]:
        """Return what the weights' catalogue tells of weights."""
        metrics = report.to_dict()
        return {
            "num_params": sum(parameter.numel() for parameter in self.model.parameters()),
            "categories": list(report.classes),
            "recipe": self.settings.command(),
            "metrics": {self.settings.data: {name: metrics[name] for name in _REPORTED}},
            "epoch": history.best_epoch if self.trainer.config.restore_best else len(history),
            "split_version": SPLIT_VERSION,
            "versions": {"lenet5": __version__, "torch": torch.__version__.partition("+")[0]},
        }
