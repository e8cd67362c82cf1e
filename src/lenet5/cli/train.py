"""The command `train`."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import itertools
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import storage
from ..recipes.settings import check_settings
from ..runs.settings import RunSettings
from ..storage import shown
from .group import device_option, echo, loading, main, root_option
from .parameters import DATA, RECIPE, RUN, Setting, UserPath
from .seeds import train_seeds

if TYPE_CHECKING:
    from ..runs.run import Run
    from ..runtime.distributed import Processes

_NAMED = ("max_epochs", "batch_size", "lr", "seed")  # settings with an option of their own
_HELP = """Train LeNet-5 and evaluate it on the test set.

Without options, train on scikit-learn's 1,797 handwritten digits, which need no download. The run folder holds the
weights, the history, the report and figures; pass it to the other commands as --weights. Under torchrun, the
processes share the work.
"""


@main.command(help=_HELP)
@click.option(
    "--data", type=DATA, default="digits", show_default=True, help="Dataset, or folder, .csv or .npz file of your own."
)
@root_option
@click.option("--epochs", "max_epochs", type=int, help="Passes over the training data; overrides the recipe.")
@click.option("--batch-size", type=int, help="Images per step; overrides the recipe.")
@click.option("--lr", type=float, help="Peak learning rate; overrides the recipe.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed for the initial weights and all randomness.")
@click.option(
    "--seeds",
    "num_seeds",
    type=click.IntRange(1),
    help="Train this many runs, with seeds from --seed on, and print mean and standard deviation.",
)
@click.option(
    "--set",
    "options",
    type=Setting(),
    multiple=True,
    help="Another setting, such as weight_decay=0.05, augment.degrees=5 or model.pooling=avg; can be repeated.",
)
@device_option
@click.option(
    "--recipe",
    type=RECIPE,
    help="Network, augmentation and settings.  [default: digits below 10,000 training images, else standard]",
)
@click.option("--out", type=UserPath(), help="Folder for the run.  [default: runs/DATA-NUMBER]")
@click.option("--resume", type=RUN, help="Resume the run in this folder, with its settings; --epochs may be higher.")
def train(
    data: str,
    root: Path | None,
    options: tuple[tuple[str, Any], ...],
    device: str,
    recipe: str | None,
    out: Path | None,
    resume: str | None,
    num_seeds: int | None,
    **named: Any,
) -> None:
    """Run the command `train`; see its help."""
    overrides = _overrides(named, options)
    if num_seeds is not None:
        check_settings({"seed": overrides["seed"] + num_seeds - 1})  # the last one
    if resume is not None:
        _reject_settings("resume", "data", "root", "device", "max_epochs")
    with loading():
        from ..runs.run import Run
        from ..runtime.device import resolve_device
        from ..runtime.distributed import join_processes, local_rank

    data_root = None if root is None else root.as_posix()  # which every system reads
    processes = join_processes(resolve_device(device, local_rank()))

    def train_one(settings: RunSettings, folder: Path, resume: bool) -> None:
        run = Run(folder, settings, device)
        _fit_and_report(run, processes, resume=resume, longer="max_epochs" in overrides)

    with contextlib.ExitStack() as claim:  # until the report is written

        def choose() -> bytes:
            if resume is not None:
                folder = Path(resume)
                settings = RunSettings.read(folder, data_root, data if _is_given("data") else None)
                claim.enter_context(storage.claimed(folder))
                if "max_epochs" in overrides:
                    settings = dataclasses.replace(settings, max_epochs=overrides["max_epochs"])
            else:
                settings = RunSettings(data, data_root, recipe, **overrides)
                folder = _claim_folder(settings, out, claim, has_seeds=num_seeds is not None)
            return json.dumps([str(folder), dataclasses.asdict(settings)]).encode()

        if num_seeds is not None and processes.world_size > 1:
            raise ValueError(f"--seeds trains in a single process; found {processes.world_size} processes")
        folder, values = json.loads(processes.broadcast_from_main(choose))
        if num_seeds is not None:
            train_seeds(RunSettings(**values), num_seeds, Path(folder), train_one)
        else:
            train_one(RunSettings(**values), Path(folder), resume is not None)


def _fit_and_report(run: Run, processes: Processes, *, resume: bool, longer: bool) -> None:
    """Train, and print and write the report."""
    say = echo if processes.is_main else _silent
    world = f" in {processes.world_size} processes" if processes.world_size > 1 else ""
    num_val = 0 if run.val is None else len(run.val)
    say(f"{len(run.loader.dataset)} training images, {num_val} validation images, {run.trainer.device}{world}")
    folder, had_report, stopped = shown(run.folder), run.has_report, True
    try:
        run.fit(resume="auto" if resume else None)
        stopped = run.trainer.history.interrupted
    except Exception:
        stopped = False
        if not resume:
            run.withdraw()
        raise
    finally:  # SIGTERM raises SystemExit, and a second Ctrl-C KeyboardInterrupt
        if stopped and run.can_resume:
            say(f"interrupted; to resume: lenet5 train --resume {folder}")
    if stopped:
        raise click.exceptions.Exit(128 + signal.SIGINT)
    if resume and had_report and not longer:
        num_epochs = len(run.trainer.history)
        say(f"the run had finished after {num_epochs} epochs; for more: lenet5 train --resume {folder} --epochs NUMBER")
    report = run.report()
    say(f"\ntest set\n{report}\n\nwritten to {folder}:")
    if processes.is_main:
        say("  " + ", ".join(sorted(path.name for path in run.folder.iterdir() if storage.is_visible(path))))


def _overrides(named: dict[str, Any], options: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """Return the arguments of RunSettings that override the recipe, after checking them."""
    given = {name: value for name, value in named.items() if value is not None and (name != "seed" or _is_given(name))}
    for name, value in options:
        if name in given:
            raise ValueError(f"{name} is given twice; expected one value")
        given[name] = value
    overrides: dict[str, Any] = {"seed": named["seed"]} | given
    check_settings(overrides)
    further = {name: overrides.pop(name) for name in given if name not in _NAMED}
    return {**overrides, "options": further}


def _claim_folder(
    settings: RunSettings, out: Path | None, claim: contextlib.ExitStack, *, has_seeds: bool = False
) -> Path:
    """Claim the folder of a new run, of the run that torchrun restarted, or of runs by seed, and return it."""
    from ..runtime.distributed import was_restarted

    folders = sorted(Path("runs").glob(f"{glob.escape(settings.name)}-*"), reverse=True) if out is None else [out]
    if was_restarted():
        for folder in folders:
            if settings.is_unfinished(folder):
                claim.enter_context(storage.claimed(folder))
                return folder
    if out is None:
        numbers = [path.name.rpartition("-")[2] for path in folders]
        first = max((int(name) for name in numbers if name.isdecimal()), default=0) + 1
        for number in itertools.count(first):
            with contextlib.suppress(FileExistsError):  # a run that was started at the same time has this number
                folder = Path("runs") / f"{settings.name}-{number:03}"
                claim.enter_context(storage.claimed(folder, new=True))
                return folder
    assert out is not None
    claim.enter_context(storage.claimed(out))
    others = [path for path in out.iterdir() if storage.is_visible(path)]  # last, when no other run can write here
    if others and not (
        has_seeds and all(path.name.startswith("seed") or path.name == "report.html" for path in others)
    ):
        raise ValueError(f"{out} is not empty; expected a new folder, or --resume {out} to resume the run in it")
    return out


def _is_given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def _reject_settings(*allowed: str) -> None:
    """Raise UsageError if options other than these were given on the command line."""
    command = click.get_current_context().command
    extra = [option for option in command.params if option.name not in allowed and _is_given(str(option.name))]
    if extra:
        names = ", ".join(option.opts[0] for option in extra)
        raise click.UsageError(f"--resume takes its settings from the run; found {names}")


def _silent(*_: Any, **__: Any) -> None:
    """Print nothing, because rank 0 prints."""
