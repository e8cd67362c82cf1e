"""Where files go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lenet5.runs import Settings


def folder_for(settings: Settings, out: Path | None) -> Path:
    """Return where a run goes: a new folder, or that of the run which torchrun has just started again."""
    from lenet5.runs import Run
    from lenet5.runtime.distributed import was_restarted

    if was_restarted():
        candidates = sorted(Path("runs").glob(f"{settings.data}-*"), reverse=True) if out is None else [out]
        for folder in candidates:
            if Run.is_unfinished(folder, settings):
                return folder
    return free_folder(settings.data) if out is None else empty_folder(out)


def free_folder(data: str) -> Path:
    """Return runs/DATA-NUMBER with the lowest number that follows all that are there."""
    taken = [path.name.rpartition("-")[2] for path in Path("runs").glob(f"{data}-*")]
    number = max((int(name) for name in taken if name.isdecimal()), default=0) + 1
    return Path("runs") / f"{data}-{number:03}"


def empty_folder(out: Path) -> Path:
    """Return a folder, once it is seen to hold nothing."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty; expected a new folder, or --resume {out} to continue the run in it")
    return out
