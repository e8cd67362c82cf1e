"""The command line: the only part of the package that prints, and the only one that chooses where files go."""

from __future__ import annotations

import dataclasses
import io
import json
import signal
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import lenet5
    from lenet5.runs import Settings

_EXPECTED_ERRORS = (ValueError, OSError, FloatingPointError)
_DATA = click.Choice(["digits", "mnist", "fashion_mnist", "kmnist", "emnist", "qmnist"])
_SHOWN = "predictions.png"
_root = click.option(
    "--root", type=click.Path(file_okay=False, path_type=Path), help="Folder that holds MNIST/raw and the like."
)
_device = click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps; auto finds one.")


class _Failure(click.ClickException):
    exit_code = 2


class _Group(click.Group):
    """Commands whose foreseeable errors are one sentence on stderr and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        warnings.showwarning = _show_warning  # a sentence, without the line of code that gave it
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # before a training's first step, or a second time
            click.echo("interrupted", err=True)
            ctx.exit(128 + signal.SIGINT)
        except _EXPECTED_ERRORS as error:
            raise _Failure(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="lenet5")
def main() -> None:
    """LeNet-5: train it, evaluate it, use it."""


@main.command()
@click.option("--data", type=_DATA, default="digits", show_default=True, help="What to train on.")
@_root
@click.option("--epochs", type=int, help="Passes over the training data, in place of the recipe's.")
@click.option("--batch-size", type=int, help="Images per step, in place of the recipe's.")
@click.option("--lr", type=float, help="Highest learning rate, in place of the recipe's.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seeds the initial weights and the order of the images."
)
@_device
@click.option(
    "--recipe", help="standard, fast, digits or mnist_v1; the default is digits for the digits, else standard."
)
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
    it. Under torchrun the processes share the work.
    """
    from lenet5.runs import Run, Settings
    from lenet5.runtime.device import resolve_device
    from lenet5.runtime.distributed import join_processes, local_rank

    data_root = None if root is None else str(root)
    processes = join_processes(resolve_device(device, local_rank()))
    if resume is not None:
        _refuse_settings("resume", "root", "device")

    def choose() -> bytes:
        if resume is not None:
            folder, settings = resume, Settings.of_run(resume, data_root)
        else:
            name = recipe or ("digits" if data == "digits" else "standard")
            settings = Settings(data, data_root, name, seed, epochs, batch_size, lr)
            folder = _folder_for(settings, out)
        return json.dumps([str(folder), dataclasses.asdict(settings)]).encode()

    folder, values = json.loads(processes.from_first(choose))
    run = Run(Path(folder), Settings(**values), device)
    echo = click.echo if processes.rank == 0 else _silent
    sizes = f"{len(run.splits.train)} images to train on, {len(run.splits.val)} to validate"
    echo(f"{sizes}, {run.trainer.device}{f' in {processes.size} processes' if processes.size > 1 else ''}")
    try:
        run.fit(resume=None if resume is None else "auto")
    finally:  # SIGTERM ends it with SystemExit
        if run.trainer.history.interrupted:
            echo(f"interrupted; lenet5 train --resume {run.folder} continues")
    if run.trainer.history.interrupted:
        raise click.exceptions.Exit(128 + signal.SIGINT)
    report = run.report()
    echo(f"\ntest set\n{report}\n\nwritten to {run.folder}:")
    if processes.rank == 0:
        echo("  " + ", ".join(sorted(path.name for path in run.folder.iterdir())))


@main.command()
@click.option("--weights", required=True, help="A name such as mnist_v1, a folder, or a .safetensors file in one.")
@click.option("--data", type=_DATA, required=True, help="Its test set is used.")
@_root
@_device
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def evaluate(weights: str, data: str, root: Path | None, device: str, as_json: bool) -> None:
    """Report on weights with a test set."""
    import lenet5

    weights = _named(weights)
    model, preprocess = _load(weights)
    test = lenet5.load_data(data, root).test
    if len(test.classes) != model.num_classes:
        raise ValueError(f"{weights} knows {model.num_classes} classes; {data} has {len(test.classes)}")
    if (categories := _categories(weights, list(test.classes))) != list(test.classes):
        raise ValueError(f"{weights} knows {', '.join(categories)}; {data} has {', '.join(test.classes)}")
    test.transform = preprocess
    report = lenet5.Trainer(model, lenet5.TrainerConfig(device=device)).evaluate(test)
    click.echo(report.to_json() if as_json else str(report))


@main.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--weights", default="default", show_default=True, help="A name, a folder, or a .safetensors file.")
@click.option("--raw", is_flag=True, help="The pictures are as MNIST's, light on dark: take them as they are.")
@click.option(
    "--show",
    is_flag=False,
    flag_value=_SHOWN,
    type=click.Path(path_type=Path),
    help=f"Draw what the network saw into a new PNG file, or, as the last word, into {_SHOWN}.",
)
@_device
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
def predict(images: tuple[Path, ...], weights: str, raw: bool, show: Path | None, device: str, as_json: bool) -> None:
    """Label photographs, scans or drawings of one digit each.

    One line per picture: its file, the label and the probability. A picture in which there is no digit, or more than
    one, is named on stderr, and the exit code is then 2.
    """
    import torch

    import lenet5
    from lenet5.data.photo import open_picture

    if show is not None and (show.suffix != ".png" or (show.exists() and str(show) != _SHOWN)):
        raise ValueError(f"--show would write {show}; expected the name of a new PNG file")
    weights = _named(weights)
    model, preprocess = _load(weights)
    seen: dict[int, Any] = {}
    for index, path in enumerate(images):
        try:
            seen[index] = open_picture(path) if raw else lenet5.load_digit(path)
        except ValueError as error:
            click.echo(f"Error: {error}", err=True)
    if seen:
        batch = torch.cat([preprocess(picture) for picture in seen.values()])
        predictions = lenet5.Trainer(model, lenet5.TrainerConfig(device=device)).predict(batch)
        categories = _categories(weights, [str(number) for number in range(model.num_classes)])
        _print_labels([images[index] for index in seen], predictions, categories, as_json=as_json)
        if show is not None:
            shown = batch.mul(preprocess.std).add(preprocess.mean).mean(1)
            _draw(show, [images[index] for index in seen], shown.numpy(), predictions, categories)
    if len(seen) < len(images):
        raise click.exceptions.Exit(_Failure.exit_code)


@main.command()
@click.option("--only", multiple=True, metavar="NAME", help="A candidate to measure; may be given several times.")
@click.option("--rounds", type=int, default=7, show_default=True, help="Times that each is measured.")
@click.option("--data", type=_DATA, help="Measure the time to 98 % and 99 % test accuracy on it, too.")
@_root
@click.option("--seeds", type=int, default=10, show_default=True, help="Trainings of each length to an accuracy.")
@_device
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write; the default is runs/benchmark-NUMBER.")
def benchmark(
    only: tuple[str, ...], rounds: int, data: str | None, root: Path | None, seeds: int, device: str, out: Path | None
) -> None:
    """Measure this package and its peers side by side.

    Training, inference, memory and the time to an accuracy, of the peers that are installed: PyTorch, Keras, JAX and
    ONNX Runtime. The folder that is written holds a table, a report and a picture.
    """
    import lenet5
    from lenet5.benchmark.measure import benchmark as measure

    folder = _free_folder("benchmark") if out is None else _empty_folder(out)
    splits = None if data is None else lenet5.load_data(data, root)
    report = measure(only, rounds=rounds, seeds=seeds, data=splits, device=device)
    report.write(folder)
    click.echo(f"{report}\n\nwritten to {folder}")


@main.command()
def info() -> None:
    """List the models, the weights and the device."""
    import torch

    import lenet5
    from lenet5.models import fused
    from lenet5.runtime.device import resolve_device

    click.echo(f"lenet5 {lenet5.__version__}, torch {torch.__version__}, device {resolve_device('auto')}")
    how = "C1 to S4 in one pass" if fused.library() else "layer by layer"
    click.echo(f"on the CPU, with {torch.get_num_threads()} threads, LeNet5 computes {how}")
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


def _named(weights: str) -> str:
    """Return weights by the name of their folder; "default" is what the catalogue says."""
    from lenet5 import LeNet5_Weights

    return LeNet5_Weights.DEFAULT.value if weights.lower() == "default" else weights


def _load(weights: str) -> tuple[lenet5.LeNet5, lenet5.Preprocess]:
    """Load a model and what prepares pictures for it."""
    import lenet5
    from lenet5.weights import load_preprocess

    return lenet5.LeNet5.from_pretrained(weights), load_preprocess(weights)


def _categories(weights: str, default: list[str]) -> list[str]:
    """Return the names of the classes that weights know, or else the default."""
    from lenet5.models import read_config

    meta = read_config(weights).get("meta") or {}
    return meta.get("categories") or default


def _print_labels(paths: list[Path], predictions: lenet5.Predictions, categories: list[str], *, as_json: bool) -> None:
    rows = [
        {"file": str(path), "label": categories[int(label)], "probability": float(probabilities.max())}
        for path, label, probabilities in zip(paths, predictions.labels, predictions.probabilities, strict=True)
    ]
    lines = [f"{row['file']}  {row['label']}  {row['probability']:.4f}" for row in rows]
    click.echo(json.dumps(rows, indent=2) if as_json else "\n".join(lines))


def _draw(file: Path, paths: list[Path], seen: Any, predictions: lenet5.Predictions, categories: list[str]) -> None:
    from lenet5.data.photo import thumbnail
    from lenet5.metrics.plots import plot_predictions
    from lenet5.storage import write_file

    pictures = [(path.name, thumbnail(path)) for path in paths]
    png = io.BytesIO()
    plot_predictions(pictures, seen, predictions.probabilities.numpy(), categories).savefig(png, dpi=100)
    write_file(file, png.getvalue())


def _folder_for(settings: Settings, out: Path | None) -> Path:
    """Return where a run goes: a new folder, or that of the run which torchrun has just started again."""
    from lenet5.runs import Run
    from lenet5.runtime.distributed import was_restarted

    if was_restarted():
        candidates = sorted(Path("runs").glob(f"{settings.data}-*"), reverse=True) if out is None else [out]
        for folder in candidates:
            if Run.is_unfinished(folder, settings):
                return folder
    return _free_folder(settings.data) if out is None else _empty_folder(out)


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


def _silent(*_: Any, **__: Any) -> None:
    """Show nothing: another process shows it."""


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"warning: {message}", err=True)
