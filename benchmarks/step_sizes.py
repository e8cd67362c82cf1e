"""Compare the step sizes of the first pass with the range that LeCun et al. 1998 give, 7e-5 to 0.016 (section III.B).

python benchmarks/step_sizes.py --root DIR --results RESULTS.csv
"""

import argparse
from pathlib import Path

import pandas as pd
import torch

import lenet5
from lenet5.models.layers import Init, Subsampling, bound
from lenet5.recipes import LRS_OF_1998, RECIPES


def measure(init: Init, drawn_too: bool, seed: int, train: lenet5.ImageDataset) -> dict[str, object]:
    """Estimate as before the first pass; `drawn_too` draws the coefficients of subsampling as the weights."""
    torch.manual_seed(seed)
    model = lenet5.LeNet5Original(init=init)
    for module in model.modules():
        if isinstance(module, Subsampling) and drawn_too:
            torch.nn.init.uniform_(module.weight, -bound(4, init), bound(4, init))
    optimizer = lenet5.SDLM(model.parameters(), lr=LRS_OF_1998[0])
    drawn = train.select(torch.randperm(len(train))[:500])
    assert drawn.transform is not None
    optimizer.estimate(model, lenet5.MLELoss(), drawn.transform(drawn.images), drawn.targets)
    steps = torch.cat([step.flatten() for step in optimizer.step_sizes().values()])
    begins = f"{init}, the coefficients of subsampling too" if drawn_too else init
    return {
        "begins": begins,
        "seed": seed,
        "smallest": float(steps.min()),
        "median": float(steps.median()),
        "largest": float(steps.max()),
    }


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
    rows = [measure(*case, seed, train) for case in cases for seed in range(arguments.seeds)]
    table = pd.DataFrame(rows)
    table.to_csv(arguments.results, index=False, lineterminator="\n", float_format="%.3g")
    print(table.groupby("begins", sort=False)[["smallest", "median", "largest"]].agg(["min", "max"]).T)


if __name__ == "__main__":
    main()
