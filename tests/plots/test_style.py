"""Figures do not depend on the environment: neither on backends nor on a user's settings of matplotlib."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from lenet5.plots import plot_confusion_matrix
from lenet5.plots.display import to_png
from lenet5.plots.style import default_style

PROGRAM = """
import os
before = dict(os.environ)
import lenet5.plots
from lenet5.plots.display import new_figure, to_png
assert os.environ == before
figure = new_figure(1, 1)
figure.subplots().plot([1, 2])
assert to_png(figure)[:4] == b"\\x89PNG"
"""


@pytest.mark.parametrize(
    "variables",
    [
        {"MPLBACKEND": "module://a_backend.of_a_notebook"},
        {"MPLBACKEND": "nonsense"},
        {"MPLBACKEND": "tkagg"},
        {"MATPLOTLIBRC": "undecodable"},
        {"MPLBACKEND": "nonsense", "MATPLOTLIBRC": "undecodable"},
    ],
)
def test_figures_need_no_backend_and_no_valid_environment(tmp_path: Path, variables: dict[str, str]) -> None:
    (tmp_path / "undecodable").write_bytes(b"\xff\xfe")
    environment = {**os.environ, **variables}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_default_style_ignores_the_settings_of_the_user() -> None:
    def draw() -> bytes:
        return to_png(plot_confusion_matrix(np.array([[3, 1], [0, 4]]), ["a", "b"]))

    settings: Any = {"text.usetex": True, "font.family": "Nonsense", "savefig.dpi": 3, "savefig.bbox": "tight"}
    with default_style():
        expected = draw()
    with mpl.rc_context(settings), default_style():
        assert draw() == expected
    assert not mpl.rcParams["text.usetex"]


def test_png_is_a_png_whatever_the_default_format() -> None:
    with mpl.rc_context({"savefig.format": "pdf"}):
        assert to_png(plot_confusion_matrix(np.eye(2, dtype=np.int64), ["a", "b"]))[:4] == b"\x89PNG"
