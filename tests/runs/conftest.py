from pathlib import Path
from typing import Any

import pytest

from lenet5.runs.run import Run
from lenet5.runs.settings import RunSettings


def train(folder: Path, seed: int = 0, **options: Any) -> Path:
    """Train a run of one epoch on the digits, and return its folder."""
    settings = RunSettings("digits", None, "digits", seed=seed, max_epochs=1, batch_size=128, options=options)
    run = Run(folder, settings, "cpu")
    run.fit()
    run.report()
    return folder


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two recipes of two seeds each: max/seed-9, max/seed-10, avg/seed-9 and avg/seed-10."""
    folder = tmp_path_factory.mktemp("runs")
    for pooling in ("max", "avg"):
        for seed in (9, 10):
            train(folder / pooling / f"seed-{seed}", seed, **({"model.pooling": "avg"} if pooling == "avg" else {}))
    return folder


@pytest.fixture(scope="session")
def old_run(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as versions wrote it that stored neither predictions nor all settings."""
    import shutil

    from lenet5 import storage

    folder = tmp_path_factory.mktemp("old") / "run"
    shutil.copytree(runs / "max" / "seed-9", folder, ignore=shutil.ignore_patterns("predictions*", "report.html"))
    config = storage.unsealed(storage.read_json(folder / "config.json"), folder)
    for name in ("best_epoch", "training", "device"):
        del config["meta"][name]
    storage.write_json(folder / "config.json", storage.sealed(config))
    return folder
