"""Compare the step sizes of the first pass with the range that LeCun et al. 1998 give, 7e-5 to 0.016 (section III.B).

Those of the second pass, too, by the second derivatives of equation 8 and by those of equation 9.

python benchmarks/step_sizes.py --root DIR --results RESULTS.csv
"""

import argparse
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

import lenet5
from lenet5.models.layers import Init, Subsampling, bound
from lenet5.recipes import LRS_OF_1998, RECIPES


def steps_of(model: lenet5.LeNet5Original, loss_fn: torch.nn.Module, train: lenet5.ImageDataset) -> dict[str, float]:
    """Estimate as before a pass with the first learning rate."""
    optimizer = lenet5.SDLM(model.parameters(), lr=LRS_OF_1998[0])
    drawn = train.select(torch.randperm(len(train))[:500])
    assert drawn.transform is not None
    optimizer.estimate(model, loss_fn, drawn.transform(drawn.images), drawn.targets)
    steps = torch.cat([step.flatten() for step in optimizer.step_sizes().values()])
    return {"smallest": float(steps.min()), "median": float(steps.median()), "largest": float(steps.max())}


def first_pass(init: Init, drawn_too: bool, seed: int, train: lenet5.ImageDataset) -> dict[str, object]:
    """Measure before the first pass; `drawn_too` draws the coefficients of subsampling as the weights."""
    torch.manual_seed(seed)
    model = lenet5.LeNet5Original(init=init)
    for module in model.modules():
        if isinstance(module, Subsampling) and drawn_too:
            torch.nn.init.uniform_(module.weight, -bound(4, init), bound(4, init))
    case = f"{init}, the coefficients of subsampling too" if drawn_too else init
    return {"case": case, "seed": seed, **steps_of(model, lenet5.MLELoss(), train)}


def second_pass(seed: int, train: lenet5.ImageDataset) -> list[dict[str, object]]:
    """Train one pass, and measure by either loss."""
    recipe = RECIPES["1998"]
    torch.manual_seed(seed)
    model = lenet5.LeNet5Original(init="lecun_uniform")
    config = replace(recipe.config, max_epochs=1, seed=seed)
    assert recipe.callbacks is not None
    callbacks = recipe.callbacks(train)
    lenet5.Trainer(model, config, callbacks=callbacks, loss_fn=recipe.loss_fn, optimizer=recipe.optimizer).fit(train)
    losses = {"second pass, equation 8": lenet5.MLELoss(), "second pass, equation 9": lenet5.MAPLoss()}
    return [{"case": case, "seed": seed, **steps_of(model, loss_fn, train)} for case, loss_fn in losses.items()]


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    train = lenet5.load_data("mnist", arguments.root, download=False, val_size=0).train
    train.transform = RECIPES["1998"].preprocess
    cases: list[tuple[Init, bool]] = [("paper", False), ("lecun_uniform", False), ("lecun_uniform", True)]
    rows = [first_pass(*case, seed, train) for case in cases for seed in range(arguments.seeds)]
    table = pd.DataFrame([*rows, *(row for seed in range(arguments.seeds) for row in second_pass(seed, train))])
    table.to_csv(arguments.results, index=False, lineterminator="\n", float_format="%.3g")
    print(table.groupby("case", sort=False)[["smallest", "median", "largest"]].agg(["min", "max"]).T)


if __name__ == "__main__":
    main()
