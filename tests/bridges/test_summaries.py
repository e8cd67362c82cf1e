"""torchinfo, torchview, torchviz and fvcore see every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.bridges.conftest import Example

CONVOLUTIONS = {"LeNet5": 2, "LeNet5Original": 3}
MACS = {"LeNet5": 416_520, "LeNet5Original": 415_680}  # multiply-adds of convolutions and fully connected layers

reason = "nox -s tests_bridges installs it"


def test_torchinfo_shows_every_layer(example: Example) -> None:
    torchinfo = pytest.importorskip("torchinfo", reason=reason)
    model, images, _ = example
    summary = torchinfo.summary(model, input_data=images, depth=3, verbose=0)
    shown = [line.module for line in summary.summary_list]
    assert shown == [*model.modules()]
    assert summary.total_params == sum(parameter.numel() for parameter in model.parameters())
    assert str(summary).count("Conv2d") == CONVOLUTIONS[type(model).__name__]


def test_torchview_draws_every_layer(example: Example) -> None:
    torchview = pytest.importorskip("torchview", reason=reason)
    model, images, _ = example
    graph = torchview.draw_graph(model, input_data=images, expand_nested=True, depth=3)
    assert graph.visual_graph.source.count("Conv2d") == CONVOLUTIONS[type(model).__name__]


def test_torchviz_draws_every_convolution_of_forward(example: Example) -> None:
    torchviz = pytest.importorskip("torchviz", reason=reason)
    model, images, _ = example
    drawing = torchviz.make_dot(model.forward(images), params=dict(model.named_parameters()))
    assert drawing.source.count("ConvolutionBackward") == CONVOLUTIONS[type(model).__name__]


def test_fvcore_counts_the_multiplications_of_every_layer(example: Example) -> None:
    fvcore = pytest.importorskip("fvcore.nn", reason=reason)
    model, images, _ = example
    count = fvcore.FlopCountAnalysis(model, images[:1]).unsupported_ops_warnings(enabled=False)
    operators = count.by_operator()
    assert operators["conv"] + operators["linear"] == MACS[type(model).__name__]
