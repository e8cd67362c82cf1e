"""Brevitas: quantization of whole networks, by graph and layer by layer."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from lenet5 import CaffeLeNet, LeNet5

if TYPE_CHECKING:
    from tests.bridges.conftest import Example

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # an optional dependency is missing
    quantize = pytest.importorskip("brevitas.graph.quantize", reason="nox -s tests_bridges installs it")

quantized_layers = pytest.importorskip("brevitas.nn")
tracers = pytest.importorskip("brevitas.fx")
calibrate = pytest.importorskip("brevitas.graph.calibrate")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # on named tensors, and on the platform


def check(quantized: nn.Module, model: nn.Module, images: torch.Tensor) -> None:
    """Assert that the logits of a quantized network approximate those of the model, and that it can be trained."""
    expected = model(images)
    assert (quantized.eval()(images) - expected).abs().max() < 0.05 * expected.abs().max()
    quantized.train()(images).sum().backward()


@pytest.mark.parametrize(
    "model", [LeNet5(), LeNet5(activation=nn.Tanh, pooling="avg"), CaffeLeNet()], ids=["max", "avg", "caffe"]
)
def test_graph_mode_quantizes_every_layer(model: nn.Module) -> None:
    model.eval()
    images = torch.rand(16, 1, 28, 28)
    quantized = quantize.quantize(quantize.preprocess_for_quantize(model))
    with torch.no_grad(), calibrate.calibration_mode(quantized):
        quantized(images)
    with torch.no_grad(), calibrate.bias_correction_mode(quantized):
        quantized(images)
    layers = [type(layer) for layer in quantized.modules()]
    for plain, counterpart in ((nn.Conv2d, "QuantConv2d"), (nn.Linear, "QuantLinear")):
        expected = sum(type(layer) is plain for layer in model.modules())
        assert layers.count(getattr(quantized_layers, counterpart)) == expected
    check(quantized, model, images)


def test_layers_are_quantized_in_place_of_those_of_the_network(example: Example) -> None:
    model, images, _ = example
    expected = model.forward(images)
    quantized = quantize.layerwise_quantize(model)
    with torch.no_grad(), calibrate.calibration_mode(quantized):
        quantized(images)
    logits = quantized.eval()(images)
    assert not torch.equal(logits, expected)
    assert torch.equal(logits.argmax(1), expected.argmax(1))


def test_quantized_layer_in_a_network_is_not_bypassed_by_the_kernel(modern: Example) -> None:
    model, images, _ = modern
    layer = quantized_layers.QuantConv2d(6, 16, 5, weight_bit_width=2)
    layer.load_state_dict(model.get_submodule("c3.conv").state_dict(), strict=False)
    model.set_submodule("c3.conv", layer)
    with torch.no_grad():
        assert torch.equal(model(images), model.forward(images))


def test_tracers_of_brevitas_follow_the_layers(example: Example) -> None:
    model, images, _ = example
    for traced in (tracers.symbolic_trace(model), tracers.value_trace(model, {"images": images})):
        torch.testing.assert_close(traced(images), model(images))
