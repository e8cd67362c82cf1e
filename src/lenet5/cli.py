"""The command line: the only part of the package that prints, and the only one that chooses where files go."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import lenet5
    from lenet5.recipes import Recipe

_EXPECTED_ERRORS = (ValueError, TypeError, OSError, FloatingPointError)
_DATA = click.Choice(["digits", "mnist", "fashion_mnist", "kmnist", "emnist", "qmnist"])
_root = click.option("--root", type=click.Path(file_okay=False, path_type=Path), help="Folder that holds MNIST/raw.")
_device = click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps; auto finds one.")


class _Failure(click.ClickException):
    exit_code = 2


class _Group(click.Group):
    """Commands whose foreseeable errors are one sentence on stderr and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        warnings.showwarning = _show_warning  # a sentence, without the line of code that gave it
        try:
            return super().invoke(ctx)
        except _EXPECTED_ERRORS as error:
            raise _Failure(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="lenet5")
def main() -> None:
    """LeNet-5: train it, evaluate it, use it."""


@main.command()
@click.option("--data", type=_DATA, default="digits", show_default=True, help="What to train on.")
@_root
@click.option("--epochs", type=int, help="Passes over the training data.")
@click.option("--batch-size", type=int, help="Images a step.")
@click.option("--lr", type=float, help="Highest learning rate.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the weights and of the order of images.")
@_device
@click.option("--recipe", help="Named settings; the default depends on the data.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write; the default is runs/DATA-NUMBER.")
@click.option("--resume", type=click.Path(path_type=Path), help="Continue the run in this folder, with its settings.")
def train(
    data: str,
    root: Path | None,
    epochs: int | None,
    batch_size: int | None,
    lr: float | None,
    seed: int,
    device: str,
    recipe: str | None,
    out: Path | None,
    resume: Path | None,
) -> None:
    """Train LeNet-5 and report on the test set.

    With no options it trains on scikit-learn's 1,797 handwritten digits, which need no download. The folder that is
    written holds the weights, the history, the report and two pictures; `--weights FOLDER` of the other commands reads
    it.
    """
    from lenet5.recipes import RECIPES

    if resume is not None:
        _refuse_settings("resume", "device")
        return _resume_run(resume, device)
    name = recipe or ("digits" if data == "digits" else "standard")
    if name not in RECIPES:
        raise ValueError(f"no recipe is named {name!r}; expected one of: {', '.join(RECIPES)}")
    out = _free_folder(data) if out is None else _empty_folder(out)
    changes = {"max_epochs": epochs, "batch_size": batch_size, "lr": lr}
    settings = {
        "data": data,
        "root": None if root is None else str(root),
        "recipe": name,
        "seed": seed,
        **{key: value for key, value in changes.items() if value is not None},
    }
    _train(out, settings, device, resume=None)
    return None


@main.command()
@click.option("--weights", required=True, help="A name such as mnist_v1, a folder, or a .safetensors file in one.")
@click.option("--data", type=_DATA, required=True, help="Its test set is used.")
@_root
@_device
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def evaluate(weights: str, data: str, root: Path | None, device: str, as_json: bool) -> None:
    """Report on weights with a test set."""
    import lenet5

    model, preprocess = _load(weights)
    test = lenet5.load_data(data, root).test
    if len(test.classes) != model.num_classes:
        raise ValueError(f"{weights} knows {model.num_classes} classes; {data} has {len(test.classes)}")
    test.transform = preprocess
    report = lenet5.Trainer(model, lenet5.TrainerConfig(device=device)).evaluate(test)
    click.echo(report.to_json() if as_json else str(report))


@main.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--weights", default="mnist_v1", show_default=True, help="A name, a folder, or a .safetensors file.")
@_device
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
def predict(images: tuple[Path, ...], weights: str, device: str, as_json: bool) -> None:
    """Label pictures of one digit each, light on dark: a line of file, label and probability each."""
    import torch

    import lenet5

    model, preprocess = _load(weights)
    batch = torch.cat([preprocess(_open_picture(path)) for path in images])
    predictions = lenet5.Trainer(model, lenet5.TrainerConfig(device=device)).predict(batch)
    categories = _categories(weights, model.num_classes)
    rows = [
        {"file": str(path), "label": categories[int(label)], "probability": float(probabilities.max())}
        for path, label, probabilities in zip(images, predictions.labels, predictions.probabilities, strict=True)
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        for row in rows:
            click.echo(f"{row['file']}  {row['label']}  {row['probability']:.4f}")


@main.command()
def info() -> None:
    """List the models, the weights and the device."""
    import torch

    import lenet5
    from lenet5.training.device import resolve_device

    click.echo(f"lenet5 {lenet5.__version__}, torch {torch.__version__}, device {resolve_device('auto')}")
    num_params = sum(parameter.numel() for parameter in lenet5.LeNet5().parameters())
    click.echo(f"\nmodels\n  LeNet5  {num_params:,} parameters")
    click.echo("\nweights")
    for member in lenet5.LeNet5_Weights:
        meta = member.meta
        default = " (default)" if member is lenet5.LeNet5_Weights.DEFAULT else ""
        click.echo(f"  {member.value}{default}  {meta['num_params']:,} parameters  sha256 {meta['sha256']}")
        for name, metrics in meta["metrics"].items():
            low, high = metrics["accuracy_interval"]
            click.echo(f"    {name}: accuracy {metrics['accuracy']:.2%} (95 % confidence: {low:.2%} to {high:.2%})")
        click.echo(f"    {meta['recipe']}")


def _train(out: Path, settings: dict[str, Any], device: str, *, resume: str | None) -> None:
    """Train as the settings say, and fill the run's folder."""
    import torch

    import lenet5

    recipe = _configured(settings, device, out)
    splits = lenet5.load_data(settings["data"], settings["root"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.config.seed)
        model = lenet5.LeNet5(num_classes=len(splits.train.classes))
    trainer = lenet5.Trainer(model, recipe.config, callbacks=[lenet5.ProgressBar()])
    loader = lenet5.TensorLoader(
        splits.train, batch_size=recipe.config.batch_size, shuffle=True, augment=recipe.augment, seed=recipe.config.seed
    )
    _write_config(out, settings)
    click.echo(f"{len(splits.train)} images of {settings['data']} to train on, {len(splits.val)} to validate; {out}")
    history = trainer.fit(loader, splits.val, resume=resume)
    if history.interrupted:
        click.echo(f"interrupted; lenet5 train --resume {out} continues")
        raise click.exceptions.Exit(130)
    report = trainer.evaluate(splits.test)
    _write_run(out, settings, model, splits.preprocess, history, report)
    click.echo(f"\ntest set\n{report}\n\nwritten to {out}: {', '.join(sorted(p.name for p in out.iterdir()))}")


def _resume_run(run: Path, device: str) -> None:
    from lenet5 import storage

    config = storage.read_json(run / "config.json")
    if "settings" not in config:
        raise ValueError(f"{run} holds weights but no run to resume; expected a folder that lenet5 train wrote")
    _train(run, config["settings"], device, resume="auto")


def _configured(settings: dict[str, Any], device: str, out: Path) -> Recipe:
    from dataclasses import replace

    from lenet5.recipes import RECIPES

    recipe = RECIPES[settings["recipe"]]
    changed = {key: settings[key] for key in ("max_epochs", "batch_size", "lr", "seed") if key in settings}
    return replace(recipe, config=replace(recipe.config, **changed, device=device, checkpoint_dir=out / "checkpoints"))


def _write_config(out: Path, settings: dict[str, Any]) -> None:
    """Say at the start what the run is, so that it can be resumed."""
    from lenet5 import storage

    out.mkdir(parents=True, exist_ok=True)
    if not (out / "config.json").exists():
        storage.write_json(out / "config.json", {"settings": settings})


def _write_run(
    out: Path,
    settings: dict[str, Any],
    model: lenet5.LeNet5,
    preprocess: lenet5.Preprocess,
    history: lenet5.History,
    report: lenet5.Evaluation,
) -> None:
    import dataclasses
    import io

    import torch

    import lenet5
    from lenet5 import storage

    flags = {"max_epochs": "epochs", "batch_size": "batch-size", "lr": "lr", "seed": "seed"}
    command = ["lenet5 train --data", settings["data"], *(["--root DIR"] if settings["data"] != "digits" else [])]
    command += ["--recipe", settings["recipe"]]
    command += [f"--{flag} {settings[key]}" for key, flag in flags.items() if key in settings]
    metrics = ("accuracy", "accuracy_interval", "loss", "expected_calibration_error", "num_examples")
    meta = {
        "num_params": sum(parameter.numel() for parameter in model.parameters()),
        "categories": list(report.classes),
        "recipe": " ".join(command),
        "metrics": {settings["data"]: {name: report.to_dict()[name] for name in metrics}},
        "best_epoch": history.best_epoch,
        "split_version": lenet5.data.SPLIT_VERSION,
        "versions": {"lenet5": lenet5.__version__, "torch": torch.__version__.partition("+")[0]},
    }
    model.save_pretrained(out, preprocess=dataclasses.asdict(preprocess), meta=meta, settings=settings)
    storage.write_file(out / "history.csv", history.to_frame().to_csv(index=False, lineterminator="\n").encode())
    storage.write_file(out / "report.json", report.to_json().encode())
    for name, figure in (("curves.png", history.plot()), ("confusion_matrix.png", report.plot())):
        picture = io.BytesIO()
        figure.savefig(picture, dpi=120)
        storage.write_file(out / name, picture.getvalue())


def _load(weights: str) -> tuple[lenet5.LeNet5, lenet5.Preprocess]:
    """Load a model and what prepares pictures for it."""
    import lenet5
    from lenet5.models import read_config

    model = lenet5.LeNet5.from_pretrained(weights)
    preprocess = read_config(weights).get("preprocess")
    if preprocess is None:
        raise ValueError(f"{weights} does not say how pictures are prepared; expected 'preprocess' in its config.json")
    return model, lenet5.Preprocess(**preprocess)


def _categories(weights: str, num_classes: int) -> list[str]:
    from lenet5.models import read_config

    categories = read_config(weights).get("meta", {}).get("categories")
    return categories or [str(number) for number in range(num_classes)]


def _open_picture(path: Path) -> Any:
    import PIL.Image

    try:
        with PIL.Image.open(path) as picture:
            picture.load()
            return picture
    except PIL.UnidentifiedImageError as error:
        raise ValueError(f"{path} is no picture that can be read; expected PNG, JPEG or the like") from error
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        raise ValueError(f"{path} {reason}") from error


def _free_folder(data: str) -> Path:
    """Return runs/DATA-NUMBER with the lowest number that follows all that are there."""
    taken = [path.name.rpartition("-")[2] for path in Path("runs").glob(f"{data}-*")]
    number = max((int(name) for name in taken if name.isdecimal()), default=0) + 1
    return Path("runs") / f"{data}-{number:03}"


def _empty_folder(out: Path) -> Path:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty; expected a new folder, or --resume {out} to continue the run in it")
    return out


def _refuse_settings(*allowed: str) -> None:
    """Raise unless only these options were given on the command line."""
    context = click.get_current_context()
    given = click.core.ParameterSource.COMMANDLINE
    extra = [name for name in context.params if context.get_parameter_source(name) is given and name not in allowed]
    if extra:
        names = ", ".join("--" + name.replace("_", "-") for name in extra)
        raise click.UsageError(f"--resume takes its settings from the run; found {names}")


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"warning: {message}", err=True)
