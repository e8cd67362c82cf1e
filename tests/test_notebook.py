"""What a notebook shows for a cell that ends with an object of the package."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import IPython.core.formatters
import numpy as np
import pytest
import torch

import lenet5
from lenet5 import Evaluation, History, ImageDataset, LRSearch, Predictions, Trainer, notebook

if TYPE_CHECKING:
    from lenet5 import DataSplits

HOSTILE = "<script>alert('$1$')</script>"


def shown(value: object) -> dict[str, Any]:
    """Return the contents by type that IPython sends to the notebook."""
    content, _ = IPython.core.formatters.DisplayFormatter().format(value)  # type: ignore[no-untyped-call]
    return dict(content)


def images(count: int, classes: list[str], **options: Any) -> ImageDataset:
    targets = torch.arange(count) % len(classes)
    return ImageDataset(torch.zeros(count, 1, 28, 28, dtype=torch.uint8), targets, classes=classes, **options)


def rows(count: int) -> History:
    return History([{"epoch": n + 1, "lr": 0.1, "train_loss": 1 / (n + 1)} for n in range(count)])


def probabilities(count: int) -> torch.Tensor:
    return torch.full((count, 10), 0.1)


LARGE = 60_000
OBJECTS: dict[str, Any] = {
    "History": rows(3),
    "History, empty": History(),
    "History, long": rows(5000),
    "Evaluation": Evaluation(np.arange(LARGE) % 10, probabilities(LARGE)),
    "Predictions": Predictions(torch.zeros(LARGE, dtype=torch.int64), probabilities(LARGE)),
    "Predictions, empty": Predictions(torch.zeros(0, dtype=torch.int64), probabilities(0)),
    "LRSearch": LRSearch(tuple(np.logspace(-6, 0, 1000)), tuple(np.ones(1000)), 0.1),
    "ImageDataset": images(LARGE, ["a", "b"]),
    "DataSplits": lenet5.DataSplits(images(3, ["a"]), images(1, ["a"]), images(1, ["a"])),
    "TensorLoader": lenet5.TensorLoader(images(3, ["a"]), batch_size=2, augment=lenet5.Augment()),
    "TrainerConfig": lenet5.TrainerConfig(checkpoint_dir="checkpoints"),
    "Trainer": Trainer(torch.nn.Linear(2, 2)),
    "Pretrained": lenet5.load("default"),
    **{
        f"Pretrained with the metadata {meta}": lenet5.Pretrained(lenet5.LeNet5(), lenet5.Preprocess(), meta)
        for meta in (
            {"metrics": 3, "categories": 5},
            {"metrics": {"mnist": 0.9}, "recipe": None},
            {"metrics": {"mnist": {"accuracy": "high"}}, "num_params": []},
        )
    },
    "History without epochs": History([{"train_loss": 1.0}]),
    "LRSearch that diverged": LRSearch((0.1, 1.0), (math.nan, math.inf), 0.1),
    "Pretrained, without metadata": lenet5.Pretrained(lenet5.LeNet5(), lenet5.Preprocess(), {}),
    **{str(weights): weights for weights in [*lenet5.LeNet5_Weights, *lenet5.LeNet5Original_Weights]},
}


@pytest.mark.parametrize("value", OBJECTS.values(), ids=OBJECTS)
def test_object_has_a_short_text_and_a_table_or_a_figure(value: object) -> None:
    content = shown(value)
    text = content.pop("text/plain")
    assert len(text) < 200 or isinstance(value, lenet5.TrainerConfig)
    assert "\n" not in text or isinstance(value, lenet5.TrainerConfig)
    ((kind, rich),) = content.items()
    assert kind in {"text/html", "image/png"}
    if kind == "text/html":
        assert "<table" in rich
        assert len(rich) < 10_000
        assert not re.search("<script|https?:|<style|color", rich)


@pytest.mark.parametrize("network", [lenet5.LeNet5, lenet5.LeNet5Original, lenet5.CaffeLeNet])
def test_network_is_a_table_of_layers_and_parameters(network: Any) -> None:
    model = network()
    content = shown(model)
    assert set(content) == {"text/plain", "text/html"}
    text = content["text/html"]
    assert f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters" in text
    for name, layer in model.named_children():
        count = sum(parameter.numel() for parameter in layer.parameters())
        assert re.search(rf"<th>{name}</th>\s*<td>.*</td>\s*<td>{count}</td>", text)
    assert "<td>Conv2d(1, " in text


def test_names_of_users_are_escaped_and_are_no_formulas() -> None:
    report = Evaluation([0, 1], np.eye(2), classes=[HOSTILE, "b"])
    dataset = images(1, [HOSTILE], transform=partial(print, HOSTILE))
    pretrained = lenet5.Pretrained(lenet5.LeNet5(), lenet5.Preprocess(), {"categories": [HOSTILE], "recipe": HOSTILE})
    for value in (report, lenet5.TensorLoader(dataset, batch_size=1), pretrained):
        text = shown(value)["text/html"]
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        assert text.startswith('<div class="tex2jax_ignore mathjax_ignore">')
    assert "image/png" in shown(dataset)


def test_empty_dataset_is_its_text_alone() -> None:
    assert set(shown(images(3, ["a"]).select([]))) == {"text/plain"}
    with pytest.raises(ValueError, match="the dataset is empty"):
        images(3, ["a"]).select([]).plot()


def test_history_marks_its_best_epoch_and_cuts_its_middle() -> None:
    history = rows(5000)
    history.best_epoch = 17
    text = shown(history)["text/html"]
    assert "5000 epochs, best epoch 17" in text
    assert text.count("<tr") < 25
    assert "<th>5000</th>" in text


def test_trained_trainer_shows_its_history(digits: DataSplits) -> None:
    trainer = Trainer(lenet5.LeNet5(), lenet5.TrainerConfig(max_epochs=1, batch_size=500))
    assert "<th>batch_size</th>" in shown(trainer)["text/html"]
    trainer.fit(digits.train)
    assert repr(trainer) == "<Trainer: LeNet5 on cpu, 1 of 1 epochs>"
    assert "train_loss" in shown(trainer)["text/html"]


def test_missing_widgets_of_tqdm_are_no_warning() -> None:
    program = (
        "import sys, types, warnings\n"
        "class ZMQInteractiveShell: kernel = object()\n"
        "sys.modules['ipykernel.zmqshell'] = types.ModuleType('ipykernel.zmqshell')\n"
        "sys.modules['IPython'] = types.SimpleNamespace(get_ipython=ZMQInteractiveShell)\n"
        "sys.modules['ipywidgets'] = None\n"
        "from lenet5 import notebook\n"
        "assert notebook.in_notebook()\n"
        "with notebook.progress_bars()(total=3, disable=None) as bar: bar.update()\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("ipython", "expected"),
    [
        (None, False),
        (SimpleNamespace(), False),
        (SimpleNamespace(get_ipython=lambda: None), False),
        (SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=None)), False),
        (SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1)), True),
    ],
)
def test_a_notebook_is_a_shell_with_a_kernel(monkeypatch: pytest.MonkeyPatch, ipython: Any, expected: bool) -> None:
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert notebook.in_notebook() is expected
