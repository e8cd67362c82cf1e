"""Smoke tests of the scripts in benchmarks/. Their measurements take too long for a test."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from lenet5 import DataSplits
from photographs import BLANK, KINDS, render

SCRIPTS = sorted(path.stem for path in (Path(__file__).parents[2] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name not in {"scenes", "strokes"}])
def test_script_can_be_imported(name: str) -> None:
    assert callable(importlib.import_module(name).main)


@pytest.mark.parametrize("kind", [*KINDS, *BLANK])
def test_render_is_reproducible(kind: str, digits: DataSplits) -> None:
    (image, target), (again, _) = (next(render(kind, digits.test, 1, seed=0)) for _ in range(2))
    assert (target is None) == (kind in BLANK)
    assert min(image.size) >= 8
    assert np.array_equal(np.asarray(image), np.asarray(again))
