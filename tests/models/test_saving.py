"""Every file operation of `save_pretrained` fails once; the folder then holds the old weights or the new ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import lenet5
from lenet5 import LeNet5, Preprocess, storage
from lenet5.models import load_model

if TYPE_CHECKING:
    from tests.conftest import Faults

KINDS = ("EIO", "ENOSPC", "kill")


def saved_by(model: LeNet5, folder: Path) -> bool:
    """Return True if a folder holds the weights of a model."""
    loaded = LeNet5.from_pretrained(folder)
    return loaded.num_classes == model.num_classes and bool((loaded.output.bias == model.output.bias).all())


@pytest.mark.parametrize("kind", KINDS)
def test_folder_holds_old_or_new_weights_after_any_fault(tmp_path: Path, faults: Faults, kind: str) -> None:
    old, new, outcomes, number = LeNet5(), LeNet5(3), set(), 1
    (tmp_path / "checkpoints").mkdir()  # as in a run folder
    old.save_pretrained(tmp_path)
    while faults.survive(lambda: new.save_pretrained(tmp_path), kind, number):
        is_new = saved_by(new, tmp_path)
        assert is_new or saved_by(old, tmp_path)
        outcomes.add(is_new)
        storage.write_file(tmp_path / "history.csv", b"")  # clears nothing that is needed
        assert saved_by(new if is_new else old, tmp_path)
        old.save_pretrained(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "README.md",
            "checkpoints",
            "config.json",
            "history.csv",
            "model.safetensors",
        ]
        number += 1
    assert outcomes == {True, False}
    assert faults.injected > 10


def test_weights_left_by_a_kill_are_read_without_writing(tmp_path: Path, faults: Faults) -> None:
    LeNet5().save_pretrained(tmp_path)
    new, number = LeNet5(3), 1
    while not (tmp_path / "config.json").read_text(encoding="utf-8").count('"num_classes": 3'):
        faults.survive(lambda: new.save_pretrained(tmp_path, meta={}, preprocess={}), "kill", number)
        number += 1
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len([name for name in before if name.startswith(".model.safetensors.")]) >= 1
    assert isinstance(load_model(tmp_path), LeNet5)
    assert saved_by(new, tmp_path / "model.safetensors")
    assert lenet5.load(tmp_path).classes == ("0", "1", "2")
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"preprocess": Preprocess(image_size=32)}, r"prepares images \(1, 32, 32\); expected \(1, 28, 28\)"),
        ({"preprocess": {"channels": 3}}, r"prepares images \(3, 28, 28\); expected \(1, 28, 28\)"),
        ({"meta": {"categories": ["a", "b"]}}, "names 2 categories; expected 10"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(extra: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        LeNet5().save_pretrained(tmp_path / "new", **extra)
    assert not list(tmp_path.iterdir())
