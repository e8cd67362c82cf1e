"""Write docs/results.md from the raw results in benchmarks/results: nothing in it is typed by hand.

python benchmarks/results_page.py
"""

from dataclasses import fields
from pathlib import Path

import pandas as pd
from model_card import markdown
from scipy import stats

from lenet5 import Augment, TrainerConfig
from lenet5.recipes import RECIPES

RESULTS, PAGE = Path("benchmarks/results"), Path("docs/results.md")
SEEDS = {
    "record": ("mnist", "mnist_record.csv"),
    "record, validation split kept out": ("mnist", "mnist_record_55000.csv"),
    "mnist_v1": ("mnist", "mnist_v1.csv"),
    "robust": ("mnist", "mnist_robust_v1.csv"),
    "fast": ("mnist", "mnist_fast.csv"),
    "fashion": ("fashion_mnist", "fashion_mnist.csv"),
    "1998": ("mnist", "mnist_1998.csv"),
    "1998_distorted": ("mnist", "mnist_1998_distorted.csv"),
}
ABLATIONS = {"record": "ablation_record.csv", "1998": "ablation_1998.csv"}
REMARKS = {
    "record": "The losses tell more: training loss is that of distorted images. In so few epochs the network cannot use"
    " all the distortions that it has in 300; what each is worth there was not measured.",
    "1998": "The losses are those that were trained with. With a linear output go its loss and its second derivatives.",
}

INTRODUCTION = """# Results

What the recipes give, and with which settings. `benchmarks/results_page.py` writes this page from the files in
`benchmarks/results`, which other scripts wrote.

## The protocol

- 5,000 of the 60,000 training images are the validation split, the same for everybody: stratified, by a rule that has a
  version and never changes (`load_data`). Every setting was chosen on it, and so is the seed that a release ships. A
  recipe that says `all_images` is trained on these 5,000 too, with the settings and the seed that were chosen without.
- A recipe ends with the weights of its last epoch, except where it says `restore_best`.
- The test set is read once for each number below. A recipe that was improved was measured again; no choice between two
  versions used the test set. Nothing is done to a test image but the scaling of its pixels: no averaging
  over shifted copies, and no ensemble.
- ± is the standard deviation over the seeds, and the interval is that of Student's t for their mean, at 95 %. An
  accuracy on 10,000 images has itself a standard error of 0.06 percentage points at 99.6 %, which no number of seeds
  makes smaller.
"""


def spread(percent: pd.Series) -> str:
    """Return mean and standard deviation, if there are several."""
    return f"{percent.mean():.2f} ± {percent.std():.2f}" if len(percent) > 1 else f"{percent.mean():.2f}"


def differing(settings: object, usual: object) -> str:
    """Return those settings that are not the usual ones, as Python writes them."""
    names = [field.name for field in fields(type(settings))]  # type: ignore[arg-type]
    changed = [name for name in names if getattr(settings, name) != getattr(usual, name)]
    return f"{type(settings).__name__}({', '.join(f'{name}={getattr(settings, name)!r}' for name in changed)})"


def summary() -> str:
    """Return a row for each recipe."""
    rows = []
    for title, (data, file) in SEEDS.items():
        if not (RESULTS / file).exists():
            continue
        recipe, comma, remark = title.partition(",")
        table = pd.read_csv(RESULTS / file)
        test = 100 * table["test_accuracy"]
        half = stats.t.ppf(0.975, len(test) - 1) * test.sem()
        rows.append(
            {
                "recipe": f"`{recipe}`{comma}{remark}",
                "set": data,
                "epochs": RECIPES[recipe].config.max_epochs,
                "seeds": len(table),
                "validation %": "" if table["val_accuracy"].isna().all() else spread(100 * table["val_accuracy"]),
                "test %": spread(test),
                "95 % interval of the mean": f"{test.mean() - half:.2f} to {test.mean() + half:.2f}",
                "calibration error %": spread(100 * table["test_ece"]),
            }
        )
    return markdown(pd.DataFrame(rows))


def by_seed(title: str) -> str:
    """Return the settings of a recipe, and a row for each seed."""
    data, file = SEEDS[title]
    recipe, comma, remark = title.partition(",")
    table = pd.read_csv(RESULTS / file)
    rows = pd.DataFrame({"seed": table["seed"], "epoch": table["epoch"]})
    for column, name in (("validation %", "val_accuracy"), ("test %", "test_accuracy")):
        if not table[name].isna().all():
            rows[column] = (100 * table[name]).map("{:.2f}".format)
    rows["test loss"] = table["test_loss"].map("{:.4f}".format)
    rows["SHA-256 of the weights"] = "`" + table["sha256"].str[:16] + "…`"
    config, augment = RECIPES[recipe].config, RECIPES[recipe].augment
    settings = [differing(config, TrainerConfig())]
    if augment is not None:
        settings.append(differing(augment, Augment(0, 0, 0, 0)) if isinstance(augment, Augment) else repr(augment))
    if RECIPES[recipe].loss_fn is not None:
        names = type(RECIPES[recipe].model(10)).__name__, repr(RECIPES[recipe].loss_fn), "SDLM"
        settings.append(", ".join(names))
    settings += [f"{name}=True" for name in ("calibrate", "all_images") if getattr(RECIPES[recipe], name)]
    if remark:
        return f"### `{recipe}`{comma}{remark}\n\n{markdown(rows)}"
    command = f"python benchmarks/seeds.py --recipe {recipe} --data {data} --root DIR --runs RUNS --results FILE"
    code = "```text\n" + "\n".join(settings) + "\n```\n\n```shell\n" + command + "\n```"
    return f"### `{recipe}`\n\n{code}\n\n{markdown(rows)}"


def ablation(recipe: str) -> str:
    """Return what each change does to a recipe, on the validation split."""
    table = pd.read_csv(RESULTS / ABLATIONS[recipe])
    whole = table[table["change"] == table["change"].iloc[0]].set_index("seed")
    rows = []
    for change, runs in table.groupby("change", sort=False):
        difference = 100 * (runs.set_index("seed")["val_accuracy"] - whole["val_accuracy"])
        rows.append(
            {
                "change": change,
                "epochs": runs["epochs"].iloc[0],
                "validation %": spread(100 * runs["val_accuracy"]),
                "difference": f"{difference.mean():+.2f}"
                + (f" ± {difference.sem():.2f}" if len(difference.dropna()) > 1 else ""),
                "validation loss": f"{runs['val_loss'].mean():.4f}",
                "training loss": f"{runs['train_loss'].mean():.4f}",
            }
        )
    count = table["seed"].nunique()
    epochs = whole["epochs"].iloc[0]
    text = (
        f"`{recipe}` with {epochs} epochs, changed in one thing at a time (`benchmarks/ablation.py`); {count} seeds, on"
        " the validation split."
        " The difference is that of runs with the same seed, ± its standard error: on 5,000 images, one error more or"
        " less is 0.02 points, and only differences well above their error mean something."
        f" {REMARKS[recipe]}"
    )
    return f"## What each part of `{recipe}` is worth\n\n{text}\n\n{markdown(pd.DataFrame(rows))}"


def main() -> None:
    """Write the page."""
    parts = [
        INTRODUCTION.rstrip(),
        "## All recipes",
        summary(),
        *(ablation(recipe) for recipe, file in ABLATIONS.items() if (RESULTS / file).exists()),
        "## Every seed",
        *(by_seed(title) for title, (_, file) in SEEDS.items() if (RESULTS / file).exists()),
    ]
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
