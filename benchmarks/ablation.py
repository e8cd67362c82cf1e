"""Train a recipe with one thing changed, for each of its ingredients, and measure what that is worth on validation.

    python benchmarks/ablation.py --recipe record --data mnist --root DIR --runs RUNS --results RESULTS.csv

Each change is trained with the same seeds. What is in the folder RUNS is not trained again, so that several processes
can share the work: `--only CHANGE` names what one of them trains, and a last call with `--collect` writes the table of
what there is. The validation split is not trained on here, and the test set is not looked at.
"""

import argparse
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import torch
from torch import nn

import lenet5
from lenet5 import MAPLoss, MLELoss, SDLMSchedule
from lenet5.models import read_config, save_model
from lenet5.models.layers import PartialConv2d, bound, draw_uniform
from lenet5.recipes import LRS_OF_1998, RECIPES, Recipe


def of_record(recipe: Recipe) -> dict[str, Recipe]:
    """Return the recipe, and what is left of it without one thing."""
    config, augment = recipe.config, recipe.augment
    assert isinstance(augment, lenet5.Augment)
    still = {"degrees": 0.0, "scale": 0.0, "shear": 0.0, "translate": 0.0}
    return {
        "the recipe": recipe,
        "no distortions": replace(recipe, augment=None),
        "no affine distortions": replace(recipe, augment=replace(augment, **still)),
        "no elastic distortions": replace(recipe, augment=replace(augment, elastic=0.0)),
        "bilinear interpolation": replace(recipe, augment=replace(augment, interpolation="bilinear")),
        "weight decay 0.01": replace(recipe, config=replace(config, weight_decay=0.01)),
        "constant learning rate 0.001": replace(recipe, config=replace(config, schedule="constant", lr=0.001)),
        "a third of the epochs": replace(recipe, config=replace(config, max_epochs=config.max_epochs // 3)),
        "three times the epochs": replace(recipe, config=replace(config, max_epochs=config.max_epochs * 3)),
        "label smoothing 0.05": replace(recipe, config=replace(config, label_smoothing=0.05)),
        "averaged weights, decay 0.999": replace(recipe, config=replace(config, ema_decay=0.999)),
    }


def of_1998(recipe: Recipe) -> dict[str, Recipe]:
    """Return the recipe, and the other ways to read the paper, or to do without what is special in it."""
    return {
        "the recipe": recipe,
        "weights from ±2.4/F": replace(recipe, model=lambda _: lenet5.LeNet5Original()),
        "coefficients of subsampling drawn, too": replace(recipe, model=drawn),
        "mean in subsampling": replace(recipe, model=with_means, optimizer=for_means),
        "C3 sees all of S2": replace(recipe, model=dense),
        "j = 0.1": replace(recipe, loss_fn=MAPLoss(0.1)),
        "j = 1": replace(recipe, loss_fn=MAPLoss(1)),
        "j = 20": replace(recipe, loss_fn=MAPLoss(20)),
        "j = 80": replace(recipe, loss_fn=MAPLoss(80)),
        "equation 8": replace(recipe, loss_fn=MLELoss()),
        "second derivatives of equation 9": replace(recipe, callbacks=of_whole_loss),
        "a fifth of the learning rates": replace(recipe, callbacks=slower),
        "SGD, 0.0005": replace(recipe, optimizer=sgd, callbacks=lambda _: [Rates(1)]),
        "SGD, 0.002": replace(recipe, optimizer=sgd, callbacks=lambda _: [Rates(4)]),
        "linear output, cross-entropy": replace(
            recipe, model=lambda _: WithLinearOutput(), loss_fn=nn.CrossEntropyLoss(), callbacks=of_whole_loss
        ),
    }


HALF = bound(4, "lecun_uniform")


def original() -> lenet5.LeNet5Original:
    """Return the network as the recipe begins with it."""
    return lenet5.LeNet5Original(init="lecun_uniform")


def drawn(_: int) -> lenet5.LeNet5Original:
    """Return one whose coefficients of subsampling are drawn as the weights are."""
    model = original()
    for name in ("s2", "s4"):
        nn.init.uniform_(model.get_parameter(f"{name}.subsampling.weight"), -HALF, HALF)
    return model


def with_means(_: int) -> lenet5.LeNet5Original:
    """Return one whose subsampling takes means; a coefficient for the mean is four times that for the sum."""
    model = original()
    for name in ("s2", "s4"):
        with torch.no_grad():
            model.get_parameter(f"{name}.subsampling.weight").div_(4)
    return model


def for_means(parameters: Iterable[nn.Parameter]) -> lenet5.SDLM:
    """Return the optimizer that does with coefficients for sums what SDLM would do with those for means.

    Of a coefficient c for the mean, c/4 for the sum, the second derivative is a sixteenth. So c/4 moves by
    lr (g/4) / (mu + h/16) / 4 = lr g / (16 mu + h).
    """
    group = list(parameters)
    coefficients = [group[2], group[6]]
    rest = [parameter for place, parameter in enumerate(group) if place not in (2, 6)]
    return lenet5.SDLM([{"params": rest}, {"params": coefficients, "mu": 16 * 0.02}])


def dense(_: int) -> lenet5.LeNet5Original:
    """Return one in which each map of C3 sees all of S2."""
    model = original()
    model.c3.conv = PartialConv2d([range(6)] * 16, 5, init="lecun_uniform")
    return model


class WithLinearOutput(lenet5.LeNet5Original):
    """One whose output layer is linear."""

    def __init__(self) -> None:
        super().__init__(init="lecun_uniform")
        self.output = draw_uniform(nn.Linear(84, 10), "lecun_uniform")

    def arguments(self) -> dict[str, object]:
        """Return none."""
        return {}


def of_whole_loss(patterns: lenet5.ImageDataset) -> list[lenet5.Callback]:
    """Return the published passes with the second derivatives of the loss that is trained with."""
    return [SDLMSchedule(patterns, LRS_OF_1998)]


def slower(patterns: lenet5.ImageDataset) -> list[lenet5.Callback]:
    """Return the published passes with smaller steps."""
    return [SDLMSchedule(patterns, [lr / 5 for lr in LRS_OF_1998], loss_fn=MLELoss())]


def sgd(parameters: Iterable[nn.Parameter]) -> torch.optim.SGD:
    """Return gradient descent with one learning rate for all."""
    return torch.optim.SGD(parameters, lr=0)


class Rates(lenet5.Callback):
    """Gives each pass the published learning rate, times a factor."""

    def __init__(self, factor: float) -> None:
        self.rates = [factor * lr for lr in LRS_OF_1998]

    def _set(self, trainer: lenet5.Trainer, epoch: int) -> None:
        assert trainer.state is not None
        for group in trainer.state.optimization.optimizer.param_groups:
            group["lr"] = self.rates[min(epoch, len(self.rates) - 1)]

    def on_fit_start(self, trainer: lenet5.Trainer) -> None:
        """Set that of the first pass."""
        self._set(trainer, 0)

    def on_epoch_end(self, trainer: lenet5.Trainer, row: dict[str, float]) -> None:
        """Set that of the next."""
        self._set(trainer, int(row["epoch"]))


def train(recipe: Recipe, splits: lenet5.DataSplits, seed: int, folder: Path) -> None:
    """Train as `lenet5 train` does, and save the model with what it is worth."""
    torch.manual_seed(seed)
    config = replace(recipe.config, seed=seed)
    for split in splits:
        split.transform = recipe.preprocess or splits.preprocess
    loader = lenet5.TensorLoader(
        splits.train, batch_size=config.batch_size, shuffle=True, augment=recipe.augment, seed=seed
    )
    trainer = lenet5.Trainer(
        recipe.model(len(splits.train.classes)),
        config,
        callbacks=recipe.callbacks(splits.train) if recipe.callbacks else (),
        loss_fn=recipe.loss_fn,
        optimizer=recipe.optimizer,
    )
    history = trainer.fit(loader, splits.val).to_frame()
    report = trainer.evaluate(splits.val)
    found = {
        "val_accuracy": report.accuracy,
        "val_loss": report.loss,
        "val_ece": report.expected_calibration_error,
        "train_loss": float(history["train_loss"].iloc[-1]),
        "train_accuracy": trainer.evaluate(splits.train).accuracy,
    }
    preprocess = asdict(recipe.preprocess or splits.preprocess)
    save_model(trainer.model, folder, preprocess=preprocess, meta=found)


def main() -> None:
    """Train what is missing, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipe", choices=["record", "1998"], default="record")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--root", required=True)
    parser.add_argument("--epochs", type=int, help="in place of the recipe's")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", metavar="CHANGE")
    parser.add_argument("--collect", action="store_true", help="train nothing, and write what is there")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.recipe]
    if arguments.epochs:
        recipe = replace(recipe, config=replace(recipe.config, max_epochs=arguments.epochs))
    splits = lenet5.load_data(arguments.data, arguments.root, download=False)
    arguments.runs.mkdir(parents=True, exist_ok=True)
    rows = []
    changes = (of_record if arguments.recipe == "record" else of_1998)(recipe)
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
            rows.append({"change": change, "epochs": epochs, "seed": seed, **read_config(folder)["meta"]})
            print(*rows[-1].values(), flush=True)
    if arguments.results:
        pd.DataFrame(rows).to_csv(arguments.results, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
