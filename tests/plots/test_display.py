"""Figures as notebooks, windows and the axes of others show them."""

import copy
import io
import itertools
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import IPython
import IPython.core.formatters
import IPython.core.pylabtools
import matplotlib as mpl
import numpy as np
import PIL.Image
import pytest
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

import lenet5
from lenet5 import Evaluation, History, LRSearch
from lenet5.plots import plot_images
from lenet5.plots.display import new_figure, panels, to_png

HISTORY = History([{"epoch": 1, "train_loss": 0.5, "val_loss": 0.4, "val_accuracy": 0.9}], best_epoch=1)
SEARCH = LRSearch((0.1, 1.0), (2.0, 1.0), 0.5)
REPORT = Evaluation([0, 1, 1], np.eye(2)[[0, 1, 0]], classes=["$a$", r"$\foo$"])


def bundle(value: object, formatter: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what IPython sends to the notebook for the last line of a cell: content and metadata by type."""
    formatter = formatter or IPython.core.formatters.DisplayFormatter()
    content, metadata = formatter.format(value)
    return content, metadata


@pytest.mark.parametrize("result", [HISTORY, SEARCH, REPORT], ids=["History", "LRSearch", "Evaluation"])
def test_figure_is_displayed_by_a_notebook_without_pyplot(result: Any) -> None:
    figure = result.plot()
    assert isinstance(figure, Figure)
    content, metadata = bundle(figure)
    assert set(content) == {"text/plain", "image/png"}
    size = metadata["image/png"]
    assert content["text/plain"].startswith(f"<Figure size {size['width']}x{size['height']} with ")
    image = PIL.Image.open(io.BytesIO(content["image/png"]))
    assert image.size == (2 * size["width"], 2 * size["height"])


def test_display_keeps_the_proportions_of_a_cropped_figure() -> None:
    with mpl.rc_context({"savefig.bbox": "tight"}):  # a setting of the user
        figure: Any = new_figure(6, 4)
        figure.set_layout_engine("none")
        figure.add_axes((0.4, 0.4, 0.1, 0.2))
        png, size = figure._repr_png_()
    assert PIL.Image.open(io.BytesIO(png)).size == pytest.approx((2 * size["width"], 2 * size["height"]), abs=1)
    assert size["width"] < 200


def test_inline_backend_displays_the_figure_once() -> None:
    formatter = IPython.core.formatters.DisplayFormatter()
    shell = SimpleNamespace(display_formatter=formatter)
    select: Any = IPython.core.pylabtools.select_figure_formats  # what %matplotlib inline calls
    select(shell, {"png"})
    content, _ = bundle(HISTORY.plot(), formatter)
    assert set(content) == {"text/plain", "image/png"}


def test_libraries_that_log_figures_know_them(tmp_path: Path) -> None:
    figure = HISTORY.plot()
    kind = type(figure)
    assert f"{kind.__module__}.{kind.__name__}" == "matplotlib.figure.Figure"  # what wandb.Image asks
    writer: Any = SummaryWriter(tmp_path)
    writer.add_figure("curves", figure, close=False)
    writer.close()
    events: Any = EventAccumulator(str(tmp_path))
    assert events.Reload().Tags()["images"] == ["curves"]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda figure: pickle.loads(pickle.dumps(figure))])
def test_figures_can_be_copied_and_pickled(duplicate: Any) -> None:
    figure = HISTORY.plot()
    assert isinstance(figure, lenet5.plots.Figure)
    other = duplicate(figure)
    assert isinstance(other, lenet5.plots.Figure)
    assert to_png(other) == to_png(figure)


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_figures_are_saved_in_any_format(kind: str, tmp_path: Path) -> None:
    HISTORY.plot().savefig(tmp_path / f"figure.{kind}")
    assert (tmp_path / f"figure.{kind}").stat().st_size > 1000


def test_settings_that_would_break_a_figure_do_not() -> None:
    settings: Any = {"text.usetex": True, "axes.grid": True, "image.origin": "lower", "text.parse_math": False}
    plain = REPORT.plot()
    with mpl.rc_context(settings):
        figure = REPORT.plot()
        assert to_png(figure) == to_png(plain)
        assert mpl.rcParams["text.usetex"]
    with mpl.rc_context({"font.size": 15}):
        assert REPORT.plot().axes[0].xaxis.label.get_fontsize() == 15


def test_show_displays_the_figure_in_a_notebook(displayed: list[object]) -> None:
    figure = HISTORY.plot()
    figure.show()
    assert displayed == [figure]


def test_show_warns_where_no_window_can_open(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    figure = HISTORY.plot()
    with pytest.warns(UserWarning, match=r"'agg' opens no windows; save with figure.savefig") as record:
        figure.show()
    assert record[0].filename == __file__
    figure.show(warn=False)
    assert plt.get_fignums() == before
    monkeypatch.setattr("IPython.get_ipython", SimpleNamespace)  # IPython's terminal has no kernel
    figure.show(warn=False)
    figure.savefig(io.BytesIO())


def test_show_opens_the_figure_in_a_window_of_pyplot(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.pyplot as plt
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    class Window(FigureManagerBase):
        def show(self) -> None:
            shown.append(self.canvas.figure)

    shown: list[Figure] = []
    monkeypatch.setattr(FigureCanvasAgg, "manager_class", Window)
    figure = HISTORY.plot()
    figure.show()
    figure.show()
    assert shown == [figure, figure]
    assert len(plt.get_fignums()) == 1
    plt.close("all")
    figure.show()
    assert shown == [figure] * 3
    plt.close("all")


@pytest.mark.parametrize("result", [SEARCH, REPORT], ids=["LRSearch", "Evaluation"])
def test_plot_draws_on_the_given_axes(result: Any) -> None:
    figure = Figure()
    ax = figure.subplots()
    assert result.plot(ax=ax) is ax
    assert ax.has_data()
    assert ax.get_xlabel()
    figure.savefig(io.BytesIO())


def test_history_plots_losses_on_one_axes_and_accuracy_on_a_second() -> None:
    ax: Any = Figure().subplots()
    assert HISTORY.plot(ax=ax) is ax
    assert [line.get_label() for line in ax.lines] == ["training", "validation", "best: epoch 1"]
    both: Any = Figure().subplots(1, 2)
    assert HISTORY.plot(ax=both) is both
    assert [ax.get_ylabel() for ax in both] == ["loss", "accuracy (%)"]


@pytest.mark.parametrize("ax", ["left", 3, [], [None], Figure().subplots(3)])
def test_plot_rejects_what_is_no_axes_or_more_than_its_panels(ax: Any) -> None:
    with pytest.raises(ValueError, match="expected matplotlib Axes, 2 at most"):
        HISTORY.plot(ax=ax)


def test_panels_of_a_subfigure() -> None:
    subfigures: Any = Figure().subfigures(1, 2)
    subfigure = subfigures[0]
    ax: Axes = subfigure.subplots()
    assert panels(1, 1, ax=ax) == (subfigure, [ax])
    REPORT.plot(ax=ax)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_any_number_of_channels_have_their_labels_as_titles(channels: int) -> None:
    images = np.arange(12 * channels * 36, dtype=np.uint8).reshape(12, channels, 6, 6)
    figure = plot_images(images, [f"$x_{n}$" for n in range(12)], "title")
    figure.savefig(io.BytesIO())
    assert [axes.get_title() for axes in figure.axes if axes.images] == [rf"\$x_{n}\$" for n in range(12)]
    shown = np.asarray(figure.axes[11].images[0].get_array()) * 255
    assert (shown.round() == (images[11].transpose(1, 2, 0) if channels == 3 else images[11, 0])).all()


def test_labels_of_neighbouring_images_do_not_touch() -> None:
    labels = ["Ankle boot", "T-shirt/top", "mitochondrion", "a long name of a class"]
    figure = plot_images(np.zeros((20, 1, 6, 6), np.uint8), labels * 5, "title")
    to_png(figure)
    boxes: Any = [axes.title.get_window_extent() for axes in figure.axes]
    assert not any(left.overlaps(right) for left, right in itertools.pairwise(boxes))


def test_class_names_are_no_formulas() -> None:
    REPORT.plot().savefig(io.BytesIO())


def test_class_names_of_any_alphabet_are_drawn_without_a_warning() -> None:
    names = ["\N{HIRAGANA LETTER A}", "\N{LLAMA}", "two\nlines", ""]
    report = Evaluation([0, 1, 2, 3], np.eye(4), classes=names)
    for figure in (report.plot(), plot_images(np.zeros((4, 1, 6, 6), np.uint8), names, "title")):
        assert to_png(figure)


def test_figures_need_no_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mpl.rcParams, "backend", "module://not_installed")
    HISTORY.plot().savefig(io.BytesIO())
    assert "image/png" in bundle(HISTORY.plot())[0]
