"""Train a recipe without each of its ingredients, and measure what is lost on the validation split.

    python benchmarks/ablation.py --recipe record --data mnist --root DIR --runs RUNS --results RESULTS.csv

Each change is trained with the same seeds. What is in the folder RUNS is not trained again, so that several processes
can share the work: `--only CHANGE` names what one of them trains, and a last call without it writes the table. The test
set is not looked at.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

import lenet5
from lenet5.recipes import RECIPES, Recipe


def changes(recipe: Recipe) -> dict[str, Recipe]:
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


def train(recipe: Recipe, splits: lenet5.DataSplits, seed: int) -> dict[str, float]:
    """Train as `lenet5 train` does, and return what the end is worth."""
    torch.manual_seed(seed)
    model = lenet5.LeNet5(num_classes=len(splits.train.classes), image_size=splits.preprocess.image_size)
    config = replace(recipe.config, seed=seed)
    loader = lenet5.TensorLoader(
        splits.train, batch_size=config.batch_size, shuffle=True, augment=recipe.augment, seed=seed
    )
    trainer = lenet5.Trainer(model, config)
    history = trainer.fit(loader, splits.val).to_frame()
    report = trainer.evaluate(splits.val)
    return {
        "val_accuracy": report.accuracy,
        "val_loss": report.loss,
        "val_ece": report.expected_calibration_error,
        "train_loss": float(history["train_loss"].iloc[-1]),
    }


def main() -> None:
    """Train what is missing, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipe", default="record")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--root", required=True)
    parser.add_argument("--epochs", type=int, help="in place of the recipe's")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", metavar="CHANGE")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.recipe]
    if arguments.epochs:
        recipe = replace(recipe, config=replace(recipe.config, max_epochs=arguments.epochs))
    splits = lenet5.load_data(arguments.data, arguments.root, download=False)
    arguments.runs.mkdir(parents=True, exist_ok=True)
    rows = []
    for change, changed in changes(recipe).items():
        if arguments.only and change not in arguments.only:
            continue
        for seed in range(arguments.seeds):
            file = arguments.runs / f"{change} {seed}.json".replace(" ", "_")
            if not file.exists():
                file.write_text(json.dumps(train(changed, splits, seed)))
            epochs = changed.config.max_epochs
            rows.append({"change": change, "epochs": epochs, "seed": seed, **json.loads(file.read_text())})
            print(*rows[-1].values(), flush=True)
    if arguments.results:
        pd.DataFrame(rows).to_csv(arguments.results, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
