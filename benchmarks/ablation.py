"""Change one ingredient of a recipe at a time, and measure the effect on the validation split.

    python benchmarks/ablation.py --recipe record --data mnist --root DIR --runs RUNS --results RESULTS.csv

Every change is trained with the same seeds. Runs that are in the folder RUNS already are not repeated, so several
processes can share the work: give each of them `--only CHANGE`, then write the table with `--collect`. The validation
split is never trained on, and the test set is not used.
"""

import argparse
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import torch
from torch import nn

import lenet5
from lenet5.models import WeightsFolder, save_model
from lenet5.models.original.layers import PartialConv2d, init_uniform, uniform_bound
from lenet5.recipes import RECIPES, Recipe
from lenet5.recipes.original import PUBLISHED_LRS


def changes_of_record(recipe: Recipe) -> dict[str, Recipe]:
    """Return the recipe "record", and its variants with one change each."""
    config, augment = recipe.config, recipe.augment
    assert isinstance(augment, lenet5.Augment)
    elastic_only = replace(augment, degrees=0.0, scale=0.0, shear=0.0, translate=0.0)
    return {
        "baseline": recipe,
        "no distortions": replace(recipe, augment=None),
        "no affine distortions": replace(recipe, augment=elastic_only),
        "no elastic distortions": replace(recipe, augment=replace(augment, elastic=0.0)),
        "bilinear interpolation": replace(recipe, augment=replace(augment, interpolation="bilinear")),
        "weight decay 0.01": replace(recipe, config=replace(config, weight_decay=0.01)),
        "constant learning rate 0.001": replace(recipe, config=replace(config, schedule="constant", lr=0.001)),
        "a third of the epochs": replace(recipe, config=replace(config, max_epochs=config.max_epochs // 3)),
        "three times the epochs": replace(recipe, config=replace(config, max_epochs=config.max_epochs * 3)),
        "label smoothing 0.05": replace(recipe, config=replace(config, label_smoothing=0.05)),
        "averaged weights, decay 0.999": replace(recipe, config=replace(config, ema_decay=0.999)),
    }


def changes_of_1998(recipe: Recipe) -> dict[str, Recipe]:
    """Return the recipe "1998", and its variants: other readings of the paper, and modern replacements."""
    return {
        "baseline": recipe,
        "weights uniform in ±2.4/F": replace(recipe, model=lambda _: lenet5.LeNet5Original()),
        "random subsampling coefficients": replace(recipe, model=random_coefficients),
        "subsampling by the mean": replace(recipe, model=mean_subsampling, optimizer=sdlm_for_means),
        "C3 fully connected to S2": replace(recipe, model=fully_connected_c3),
        "j = 0.1": replace(recipe, loss_fn=lenet5.MAPLoss(0.1)),
        "j = 1": replace(recipe, loss_fn=lenet5.MAPLoss(1)),
        "j = 20": replace(recipe, loss_fn=lenet5.MAPLoss(20)),
        "j = 80": replace(recipe, loss_fn=lenet5.MAPLoss(80)),
        "loss of equation 8": replace(recipe, loss_fn=lenet5.MLELoss()),
        "second derivatives of equation 9": replace(recipe, callbacks=curvature_of_the_loss),
        "learning rates divided by 5": replace(recipe, callbacks=smaller_steps),
        "SGD, 0.0005": replace(recipe, optimizer=sgd, callbacks=lambda _: [PublishedRates(1)]),
        "SGD, 0.002": replace(recipe, optimizer=sgd, callbacks=lambda _: [PublishedRates(4)]),
        "linear output, cross-entropy": replace(
            recipe, model=lambda _: LinearOutput(), loss_fn=nn.CrossEntropyLoss(), callbacks=curvature_of_the_loss
        ),
    }


def initial_network() -> lenet5.LeNet5Original:
    """Build the network with the initial weights of the recipe."""
    return lenet5.LeNet5Original(init="lecun_uniform")


def random_coefficients(_: int) -> lenet5.LeNet5Original:
    """Initialise the subsampling coefficients at random, like the weights."""
    model, bound = initial_network(), uniform_bound(4, "lecun_uniform")
    for name in ("s2", "s4"):
        nn.init.uniform_(model.get_parameter(f"{name}.subsampling.weight"), -bound, bound)
    return model


def mean_subsampling(_: int) -> lenet5.LeNet5Original:
    """Subsample by the mean: a coefficient of the mean is four times the coefficient of the sum."""
    model = initial_network()
    for name in ("s2", "s4"):
        with torch.no_grad():
            model.get_parameter(f"{name}.subsampling.weight").div_(4)
    return model


def sdlm_for_means(parameters: Iterable[nn.Parameter]) -> lenet5.SDLM:
    """Create the optimizer that updates coefficients of sums as SDLM would update coefficients of means.

    Let c be a coefficient of the mean, and h its second derivative with respect to the sum's coefficient c/4. Then SDLM
    moves c/4 by lr (g/4) / (mu + h/16) / 4 = lr g / (16 mu + h).
    """
    group = list(parameters)
    coefficients = [group[2], group[6]]
    rest = [parameter for index, parameter in enumerate(group) if index not in (2, 6)]
    return lenet5.SDLM([{"params": rest}, {"params": coefficients, "mu": 16 * 0.02}])


def fully_connected_c3(_: int) -> lenet5.LeNet5Original:
    """Connect each map of C3 to all maps of S2."""
    model = initial_network()
    model.c3.conv = PartialConv2d([range(6)] * 16, 5, init="lecun_uniform")
    return model


class LinearOutput(lenet5.LeNet5Original):
    """The network with a linear output layer."""

    def __init__(self) -> None:
        super().__init__(init="lecun_uniform")
        self.output = init_uniform(nn.Linear(84, 10), "lecun_uniform")  # type: ignore[assignment]

    def arguments(self) -> dict[str, object]:
        """Return no constructor arguments."""
        return {}


def curvature_of_the_loss(patterns: lenet5.ImageDataset) -> list[lenet5.Callback]:
    """Use the published passes with the second derivatives of the training loss."""
    return [lenet5.SDLMSchedule(patterns, PUBLISHED_LRS)]


def smaller_steps(patterns: lenet5.ImageDataset) -> list[lenet5.Callback]:
    """Use the published passes with a fifth of each learning rate."""
    return [lenet5.SDLMSchedule(patterns, [lr / 5 for lr in PUBLISHED_LRS], loss_fn=lenet5.MLELoss())]


def sgd(parameters: Iterable[nn.Parameter]) -> torch.optim.SGD:
    """Create gradient descent with one learning rate for all parameters."""
    return torch.optim.SGD(parameters, lr=0)


class PublishedRates(lenet5.Callback):
    """Sets the published learning rate of each pass, times a factor."""

    def __init__(self, factor: float) -> None:
        self.lrs = [factor * lr for lr in PUBLISHED_LRS]

    def _set_lr(self, state: lenet5.training.TrainingState, epoch: int) -> None:
        assert state.optimizer is not None
        for group in state.optimizer.param_groups:
            group["lr"] = self.lrs[min(epoch, len(self.lrs) - 1)]

    def on_fit_start(self, state: lenet5.training.TrainingState) -> None:
        """Set the rate of the first pass."""
        self._set_lr(state, 0)

    def on_epoch_end(self, state: lenet5.training.TrainingState, row: lenet5.training.Row) -> None:
        """Set the rate of the next pass."""
        self._set_lr(state, int(row["epoch"]))


def fit(recipe: Recipe, train: lenet5.ImageDataset, val: lenet5.ImageDataset | None, seed: int) -> lenet5.Trainer:
    """Train by a recipe as `lenet5 train` does; the data sets have their transforms."""
    torch.manual_seed(seed)
    config = replace(recipe.config, seed=seed)
    loader = lenet5.TensorLoader(train, batch_size=config.batch_size, shuffle=True, augment=recipe.augment, seed=seed)
    trainer = lenet5.Trainer(
        recipe.model(len(train.classes)),
        config,
        callbacks=recipe.callbacks(train) if recipe.callbacks else (),
        loss_fn=recipe.loss_fn,
        optimizer=recipe.optimizer,
    )
    trainer.fit(loader, val)
    return trainer


def train(recipe: Recipe, splits: lenet5.DataSplits, seed: int, folder: Path) -> None:
    """Train, and save the model with its metrics."""
    preprocess = recipe.preprocess or splits.preprocess
    for split in splits:
        split.transform = preprocess
    trainer = fit(recipe, splits.train, splits.val, seed)
    report = trainer.evaluate(splits.val)
    metrics = {
        "val_accuracy": report.accuracy,
        "val_loss": report.loss,
        "val_ece": report.expected_calibration_error,
        "train_loss": float(trainer.state.history.to_frame()["train_loss"].iloc[-1]),
        "train_accuracy": trainer.evaluate(splits.train).accuracy,
    }
    save_model(trainer.model, folder, preprocess=asdict(preprocess), meta=metrics)


def main() -> None:
    """Train the missing runs, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipe", choices=["record", "1998"], default="record")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--root", required=True)
    parser.add_argument("--epochs", type=int, help="overrides the recipe")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", metavar="CHANGE")
    parser.add_argument("--collect", action="store_true", help="write the table of the existing runs; train nothing")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.recipe]
    if arguments.epochs:
        recipe = replace(recipe, config=replace(recipe.config, max_epochs=arguments.epochs))
    splits = lenet5.load_data(arguments.data, arguments.root, download=False)
    arguments.runs.mkdir(parents=True, exist_ok=True)
    rows = []
    changes = (changes_of_record if arguments.recipe == "record" else changes_of_1998)(recipe)
    if unknown := set(arguments.only or ()) - set(changes):
        parser.error(f"{', '.join(unknown)}: expected some of {', '.join(changes)}")
    for change, changed in changes.items():
        if arguments.only and change not in arguments.only:
            continue
        for seed in range(arguments.seeds):
            epochs = changed.config.max_epochs
            name = f"{arguments.recipe} {epochs} epochs {change} {seed}"
            folder = arguments.runs / name.replace(" ", "_").replace("/", "_")
            if not folder.exists() and arguments.collect:
                continue
            if not folder.exists():
                train(changed, splits, seed, folder)
            rows.append({"change": change, "epochs": epochs, "seed": seed, **WeightsFolder.open(folder).config["meta"]})
            print(*rows[-1].values(), flush=True)
    if arguments.results:
        pd.DataFrame(rows).to_csv(arguments.results, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
