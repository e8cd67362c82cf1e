"""Generate docs/results/results.md from the raw results in benchmarks/results.

python benchmarks/results_page.py
"""

from dataclasses import fields
from functools import partial
from pathlib import Path

import pandas as pd
from scipy import stats

from lenet5 import Augment, TrainerConfig
from lenet5.recipes import RECIPES
from model_card import markdown, not_run

RESULTS, PAGE = Path("benchmarks/results"), Path("docs/results/results.md")
SEEDS = {
    "record": ("mnist", "mnist_record.csv"),
    "record, validation split held out": ("mnist", "mnist_record_55000.csv"),
    "mnist_v1": ("mnist", "mnist_v1.csv"),
    "robust": ("mnist", "mnist_robust_v1.csv"),
    "fast": ("mnist", "mnist_fast.csv"),
    "square": ("mnist", "mnist_square.csv"),
    "fashion": ("fashion_mnist", "fashion_mnist.csv"),
    "1998": ("mnist", "mnist_1998.csv"),
    "1998_distorted": ("mnist", "mnist_1998_distorted.csv"),
}
ABLATIONS = {"record": "ablation_record.csv", "1998": "ablation_1998.csv"}
DISTILLED = {  # by the heading of the table
    "`mnist_v3`": "distilled_gentle.csv",
    "`mnist_photo_v1`": "distilled_photo.csv",
    "`fashion_mnist_v2`": "distilled_fashion.csv",
}
REMARKS = {
    "record": "The losses are more sensitive than the accuracies; the training loss is measured on distorted images."
    " 20 epochs are too few to benefit from all distortions; their effect in the full recipe was not measured.",
    "1998": "The losses of different loss functions are not comparable. The linear output is trained with cross-entropy"
    " and its second derivatives.",
}

INTRODUCTION = """# Results

The accuracy of each recipe, and its settings. `benchmarks/results_page.py` generates this page from the files in
`benchmarks/results`.

## Protocol

- The validation split has 5,000 of the 60,000 training images. It is stratified, and its rule is versioned and never
  changes (`load_data`). Every setting was chosen on it, and so was the seed of the bundled weights. A recipe with
  `all_images` is trained on these 5,000 images too; its settings and its seed were chosen without them.
- A run keeps the weights of the epoch with the best validation accuracy. With `restore_best=False` it keeps the weights
  of the last epoch.
- Each model below was evaluated on the test set once. An improved recipe was evaluated again, but no choice between two
  versions used the test set. Test images are only normalised: there is no test-time augmentation and no ensemble.
- ± is the standard deviation over the seeds. The interval is the 95 % confidence interval of their mean, from Student's
  t-distribution. An accuracy of 99.6 % on 10,000 images has a standard error of 0.06 percentage points, which more
  seeds do not reduce.
"""


def spread(percent: pd.Series) -> str:
    """Format the mean, and the standard deviation if there are several values."""
    return f"{percent.mean():.2f} ± {percent.std():.2f}" if len(percent) > 1 else f"{percent.mean():.2f}"


def changed_settings(settings: TrainerConfig | Augment, default: TrainerConfig | Augment) -> str:
    """Format the settings that differ from the default as a constructor call."""
    names = [field.name for field in fields(settings)]
    changed = [name for name in names if getattr(settings, name) != getattr(default, name)]
    return f"{type(settings).__name__}({', '.join(f'{name}={getattr(settings, name)!r}' for name in changed)})"


def summary() -> str:
    """Format the table of all recipes, one row each."""
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
                "data": data,
                "epochs": RECIPES[recipe].config.max_epochs,
                "seeds": len(table),
                "validation accuracy (%)": ""
                if table["val_accuracy"].isna().all()
                else spread(100 * table["val_accuracy"]),
                "test accuracy (%)": spread(test),
                "95 % interval of the mean": f"{test.mean() - half:.2f} to {test.mean() + half:.2f}",
                "calibration error (%)": spread(100 * table["test_ece"]),
            }
        )
    return markdown(pd.DataFrame(rows))


def by_seed(title: str) -> str:
    """Format the settings of a recipe and its results, one row per seed."""
    data, file = SEEDS[title]
    recipe, comma, remark = title.partition(",")
    table = pd.read_csv(RESULTS / file)
    rows = pd.DataFrame({"seed": table["seed"], "epoch": table["epoch"]})
    for column, name in (("validation accuracy (%)", "val_accuracy"), ("test accuracy (%)", "test_accuracy")):
        if not table[name].isna().all():
            rows[column] = (100 * table[name]).map("{:.2f}".format)
    rows["test loss"] = table["test_loss"].map("{:.4f}".format)
    rows["SHA-256 of the weights"] = "`" + table["sha256"].str[:16] + "…`"
    config, augment = RECIPES[recipe].config, RECIPES[recipe].augment
    settings = [changed_settings(config, TrainerConfig())]
    if augment is not None:
        settings.append(
            changed_settings(augment, Augment(0, 0, 0, 0)) if isinstance(augment, Augment) else repr(augment)
        )
    model = RECIPES[recipe].model
    if isinstance(model, partial):
        arguments = ", ".join(f"{name}={value!r}" for name, value in model.keywords.items())
        settings.append(f"LeNet5({arguments})")
    if RECIPES[recipe].loss_fn is not None:
        names = type(RECIPES[recipe].model(10)).__name__, repr(RECIPES[recipe].loss_fn), "SDLM"
        settings.append(", ".join(names))
    settings += [f"{name}=True" for name in ("calibrate", "all_images") if getattr(RECIPES[recipe], name)]
    if remark:
        return f"### `{recipe}`{comma}{remark}\n\n{markdown(rows)}"
    command = f"python benchmarks/seeds.py --recipe {recipe} --data {data} --root DIR --runs RUNS --results FILE"
    code = "```text\n" + "\n".join(settings) + "\n```\n\n" + not_run(command)
    return f"### `{recipe}`\n\n{code}\n\n{markdown(rows)}"


def distilled() -> str:
    """Format the results of the networks that were distilled from a larger one."""
    tables = {title: pd.read_csv(RESULTS / file) for title, file in DISTILLED.items()}
    rows = [
        {
            "network": title,
            "epochs": table["epoch"].iloc[0],
            "seeds": len(table),
            "validation accuracy (%)": spread(100 * table["val_accuracy"]),
            "test accuracy (%)": spread(100 * table["test_accuracy"]),
            "calibration error (%)": spread(100 * table["test_ece"]),
        }
        for title, table in tables.items()
    ]
    text = (
        "These networks have the size and the speed of the others. They learned the probabilities that a larger"
        " network gives for distorted images (`benchmarks/distillation.py`), and the classes of the kinds after"
        " `--classes`. The larger network has 204,778 parameters and a validation accuracy of 99.70 % for MNIST, and"
        " 319,330 parameters and 94.60 % for Fashion-MNIST (`teach --data fashion_mnist --width 40`). The banks were"
        " rendered with `--copies gentle=34,wild=11,retraced=4,drawn=2,none=4`, and with `--copies"
        " gentle=20,shifted=10` for Fashion-MNIST. An epoch has as many images as the training split. No network was"
        " trained on the validation split. The weights of the larger networks are not in the repository."
    )
    commands = "\n\n".join(not_run(command) for command in dict.fromkeys(t["command"].iloc[0] for t in tables.values()))
    by_seed = [
        markdown(
            pd.DataFrame(
                {
                    "seed": table["seed"],
                    "validation accuracy (%)": (100 * table["val_accuracy"]).map("{:.2f}".format),
                    "test accuracy (%)": (100 * table["test_accuracy"]).map("{:.2f}".format),
                    "test loss": table["test_loss"].map("{:.4f}".format),
                    "SHA-256 of the weights": "`" + table["sha256"].str[:16] + "…`",
                }
            )
        )
        for table in tables.values()
    ]
    details = "\n\n".join(
        f"### {title[0].upper()}{title[1:]}\n\n{rows}" for title, rows in zip(tables, by_seed, strict=True)
    )
    return f"## Distilled networks\n\n{text}\n\n{markdown(pd.DataFrame(rows))}\n\n{commands}\n\n{details}"


def ablation(recipe: str) -> str:
    """Format the effect of each change to a recipe on the validation split."""
    table = pd.read_csv(RESULTS / ABLATIONS[recipe])
    unchanged = table[table["change"] == table["change"].iloc[0]].set_index("seed")
    rows = []
    for change, runs in table.groupby("change", sort=False):
        difference = 100 * (runs.set_index("seed")["val_accuracy"] - unchanged["val_accuracy"])
        rows.append(
            {
                "change": change,
                "epochs": runs["epochs"].iloc[0],
                "validation accuracy (%)": spread(100 * runs["val_accuracy"]),
                "difference": f"{difference.mean():+.2f}"
                + (f" ± {difference.sem():.2f}" if len(difference.dropna()) > 1 else ""),
                "validation loss": f"{runs['val_loss'].mean():.4f}",
                "training loss": f"{runs['train_loss'].mean():.4f}",
            }
        )
    count = table["seed"].nunique()
    epochs = unchanged["epochs"].iloc[0]
    text = (
        f"Each row changes one ingredient of `{recipe}` (`benchmarks/ablation.py`). The baseline is the recipe"
        f" with {epochs} epochs. Accuracies are means over {count} seeds on the validation split. The difference is the"
        " mean over pairs of runs with the same seed, ± its standard error. One error in 5,000 images is 0.02 points;"
        f" only differences well above their standard error are meaningful. {REMARKS[recipe]}"
    )
    return f"## Ablation of `{recipe}`\n\n{text}\n\n{markdown(pd.DataFrame(rows))}"


def integer_networks() -> str:
    """Format the accuracy of the integer networks of the bundled weights."""
    keys = ["weights", "weight_bits", "activation_bits", "power_of_two"]
    table = pd.read_csv(RESULTS / "quantization.csv").query("split == 'test'")
    trained = pd.read_csv(RESULTS / "quantization_training.csv").query("split == 'test'")
    trained_accuracy = dict(zip(trained[keys].itertuples(index=False, name=None), trained["accuracy"], strict=True))
    rows = []
    for key, runs in table.groupby(keys, sort=False):
        accuracy = runs.set_index("calibration")["accuracy"]
        weights, weight_bits, activation_bits, power_of_two = key
        percent = 100 * trained_accuracy.get(key, float("nan"))
        rows.append(
            {
                "weights": f"`{weights}`",
                "bits of weights and activations": f"{weight_bits}, {activation_bits}",
                "scales": "powers of two" if power_of_two is True else "any",
                "floating point (%)": f"{100 * runs['float_accuracy'].iloc[0]:.2f}",
                "calibrated with training images (%)": f"{100 * accuracy['training images']:.2f}",
                "calibrated with `digits` (%)": f"{100 * accuracy['digits']:.2f}",
                "trained with rounding (%)": f"{percent:.2f}".replace("nan", ""),
            }
        )
    text = (
        "The test accuracy of integer networks, computed by the integer reference (`benchmarks/quantization.py`):"
        " post-training quantisation, calibrated with 1,024 images, and quantisation-aware training for"
        f" {trained['epochs'].iloc[0]} epochs with a learning rate of {trained['lr'].iloc[0]:g}, one seed. The way to"
        " calibrate and the learning rate were chosen on the validation split, which is a part of what `mnist_v2` was"
        " trained on. [Integer inference](../bridges/integers.md) shows how to make them."
    )
    return f"## Integer networks\n\n{text}\n\n{markdown(pd.DataFrame(rows))}"


def main() -> None:
    """Write the page."""
    parts = [
        INTRODUCTION.rstrip(),
        "## All recipes",
        summary(),
        *(ablation(recipe) for recipe, file in ABLATIONS.items() if (RESULTS / file).exists()),
        distilled(),
        integer_networks(),
        "## Results by seed",
        *(by_seed(title) for title, (_, file) in SEEDS.items() if (RESULTS / file).exists()),
    ]
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
