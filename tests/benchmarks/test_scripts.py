"""Smoke tests of the scripts in benchmarks/. Their measurements take too long for a test."""

import importlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from lenet5 import DataSplits
from photographs import BLANK, KINDS, measure_folder, render

SCRIPTS = sorted(path.stem for path in (Path(__file__).parents[2] / "benchmarks").glob("*.py"))


MODULES = {"canvas", "drawings", "garments", "no_digits", "pages", "scenes", "strokes", "writers"}


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name not in MODULES])
def test_script_can_be_imported(name: str) -> None:
    assert callable(importlib.import_module(name).main)


@pytest.mark.parametrize("kind", [*KINDS, *BLANK])
def test_render_is_reproducible(kind: str, digits: DataSplits) -> None:
    (image, target), (again, _) = (next(render(kind, digits.test, 1, seed=0)) for _ in range(2))
    assert (target is None) == (kind in BLANK)
    assert min(image.size) >= 8
    assert np.array_equal(np.asarray(image), np.asarray(again))


def test_photographs_of_a_folder_are_counted_by_kind_and_half(tmp_path: Path, digits: DataSplits) -> None:
    for number in range(3):
        image = PIL.Image.fromarray(digits.test.images[number, 0].numpy())
        image.save(tmp_path / f"screen_{number}.png")
    rows = [f"screen_{number}.png,{int(digits.test.targets[number])}" for number in range(3)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,digit", *rows]), encoding="utf-8")
    table = measure_folder(tmp_path, ["mnist_robust_v1"]).set_index("half")
    assert table["count"].to_dict() == {"chosen on": 2, "kept aside": 1}
    assert (table["correct"] + table["refused"] <= table["count"]).all()
    assert set(table["kind"]) == {"screen"}
