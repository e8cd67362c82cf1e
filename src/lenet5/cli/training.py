"""The commands that train: `train` and `benchmark`."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import click

from .folders import empty_folder, folder_for, free_folder
from .group import DATA, device_option, main, root_option


@main.command()
@click.option("--data", type=DATA, default="digits", show_default=True, help="What to train on.")
@root_option
@click.option("--epochs", type=int, help="Passes over the training data, in place of the recipe's.")
@click.option("--batch-size", type=int, help="Images per step, in place of the recipe's.")
@click.option("--lr", type=float, help="Highest learning rate, in place of the recipe's.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seeds the initial weights and the order of the images."
)
@device_option
@click.option(
    "--recipe",
    help="standard, fast, record, robust, fashion, 1998, 1998_distorted, mnist_v1 or digits; the default is standard,"
    " for the digits digits.",
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
    written holds the weights, the history, the report and pictures; `--weights FOLDER` of the other commands reads
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
            folder = folder_for(settings, out)
        return json.dumps([str(folder), dataclasses.asdict(settings)]).encode()

    folder, values = json.loads(processes.from_first(choose))
    run = Run(Path(folder), Settings(**values), device)
    echo = click.echo if processes.rank == 0 else _silent
    sizes = f"{len(run.loader.dataset)} images to train on, {0 if run.val is None else len(run.val)} to validate"
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
@click.option("--only", multiple=True, metavar="NAME", help="A candidate to measure; may be given several times.")
@click.option("--rounds", type=int, default=7, show_default=True, help="Times that each is measured.")
@click.option("--data", type=DATA, help="Measure the time to 98 % and 99 % test accuracy on it, too.")
@root_option
@click.option("--seeds", type=int, default=10, show_default=True, help="Trainings of each length to an accuracy.")
@device_option
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

    folder = free_folder("benchmark") if out is None else empty_folder(out)
    splits = None if data is None else lenet5.load_data(data, root)
    report = measure(only, rounds=rounds, seeds=seeds, data=splits, device=device)
    report.write(folder)
    click.echo(f"{report}\n\nwritten to {folder}")


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
