"""Finished runs are read as they were trained, or refused by file."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lenet5
from lenet5 import storage
from lenet5.recipes.catalogue import RECIPES
from lenet5.runs import find_runs, read_run


@pytest.fixture
def copied(runs: Path, tmp_path: Path) -> Path:
    return shutil.copytree(runs / "max" / "seed-9", tmp_path / "run")


def test_run_is_read_with_all_that_it_predicted(runs: Path) -> None:
    run = read_run(runs / "avg" / "seed-10")
    test = lenet5.load_data("digits").test
    pretrained = lenet5.load(run.folder)
    test.transform = pretrained.preprocess
    again = lenet5.evaluate(pretrained.model, test)
    assert run.evaluation is not None
    assert run.evaluation.to_dict() == again.to_dict()
    assert (run.accuracy, run.accuracy_interval, run.loss) == (again.accuracy, again.accuracy_interval, again.loss)
    assert run.per_class == again.per_class
    assert (run.history.kept_epoch, len(run.history)) == (1, 1)


def test_mistakes_are_the_images_that_were_misclassified(runs: Path) -> None:
    run = read_run(runs / "avg" / "seed-9")
    test = lenet5.load_data("digits").test
    assert run.mistakes is not None
    assert run.evaluation is not None
    indices, images = run.mistakes
    assert np.array_equal(images, test.images.numpy()[indices])
    wrong = np.flatnonzero(run.evaluation.predictions != run.evaluation.targets)
    assert sorted(indices) == sorted(wrong) if len(wrong) <= 100 else set(indices) < set(wrong)
    confidence = run.evaluation.probabilities.max(axis=1)[indices]
    assert (np.diff(confidence) <= 0).all()


def test_settings_are_those_of_the_recipe_unless_they_were_set(runs: Path) -> None:
    settings = read_run(runs / "avg" / "seed-10").settings
    assert (settings["seed"], settings["max_epochs"], settings["model.pooling"]) == (10, 1, "avg")
    assert settings["augment.degrees"] == 8
    assert settings["weight_decay"] == RECIPES["digits"].config.weight_decay


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_lists_its_settings(name: str) -> None:
    settings = RECIPES[name].settings()
    assert {"max_epochs", "batch_size", "all_images", "augment.degrees"} <= settings.keys()
    assert ("lr" in settings) == ("model.pooling" in settings) == (not name.startswith("1998"))


def test_run_of_an_older_version_is_read_without_its_predictions(old_run: Path, runs: Path) -> None:
    old, new = read_run(old_run), read_run(runs / "max" / "seed-9")
    assert (old.evaluation, old.mistakes, old.history.best_epoch) == (None, None, None)
    assert (old.settings, old.accuracy, old.per_class) == (new.settings, new.accuracy, new.per_class)


def test_folder_of_runs_stands_for_its_runs_in_the_order_of_their_numbers(runs: Path) -> None:
    nested = [str(runs / "max" / "seed-9"), str(runs / "max" / "seed-10")]
    assert list(find_runs(runs / "max")) == nested
    assert list(find_runs([runs / "max", runs / "max" / "seed-9", runs / "avg" / ".." / "max"])) == nested


@pytest.mark.parametrize("path", ["", "missing", "file", "empty"])
def test_path_without_a_run_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="there is no run in .*; expected a folder that lenet5 train wrote"):
        find_runs(tmp_path / path)
    with pytest.raises(FileNotFoundError, match="there is no run in"):
        read_run(tmp_path / path)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _garble(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00,\n1,2,3\n")


@pytest.mark.parametrize("damage", [_truncate, _empty, _garble])
@pytest.mark.parametrize("name", ["config.json", "report.json", "history.csv", "predictions.safetensors"])
def test_damaged_file_is_named(copied: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(copied / name)
    with pytest.raises(ValueError, match=name):
        read_run(copied)


@pytest.mark.parametrize(
    "change",
    [
        {"confusion_matrix": None},
        {"confusion_matrix": [[1, 2], [3, 4]]},
        {"confusion_matrix": [[1, 2], [3]]},
        {"confusion_matrix": [["a"] * 10] * 10},
        {"confusion_matrix": [[0] * 10] * 10},
        {"confusion_matrix": [[-1] * 10] * 10},
        {"confusion_matrix": [[10**30] * 10] * 10},
        {"classes": []},
        {"classes": [0] * 10},
        {"accuracy": 0.123},
        {"accuracy": None},
    ],
)
def test_edited_report_is_refused(copied: Path, change: dict[str, object]) -> None:
    path = copied / "report.json"
    storage.write_json(path, {**storage.read_json(path), **change})
    with pytest.raises(ValueError, match="report.json is damaged or was edited"):
        read_run(copied)


@pytest.mark.parametrize(
    "text", ["epoch,lr\n1,2\n", "epoch,train_loss\n2,1\n", "epoch,train_loss\n1,a\n", "train_loss\n1\n"]
)
def test_history_that_is_none_is_refused(copied: Path, text: str) -> None:
    (copied / "history.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="history.csv is damaged or was edited"):
        read_run(copied)


def test_predictions_of_another_training_are_refused(copied: Path, runs: Path) -> None:
    shutil.copy(runs / "avg" / "seed-10" / "predictions.safetensors", copied)
    with pytest.raises(ValueError, match="predictions.safetensors is not of the same training as report.json"):
        read_run(copied)


def test_unfinished_run_is_refused_with_the_command_that_finishes_it(copied: Path) -> None:
    (copied / "report.json").unlink()
    with pytest.raises(ValueError, match=f"holds no finished run; expected one .lenet5 train --resume {copied}"):
        read_run(copied)
