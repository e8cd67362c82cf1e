"""Integer networks as ONNX files, beside their integer-only reference."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import lenet5
from lenet5 import LeNet5, LeNet5Original, Preprocess, Pretrained
from lenet5.export import export_onnx
from lenet5.export.onnx_reference import evaluate
from lenet5.models.classifier import ImageClassifier
from lenet5.quantization import IntegerNetwork, convert, prepare, quantize

NETWORKS: dict[str, tuple[Callable[[], ImageClassifier], Preprocess]] = {
    "max": (LeNet5, Preprocess()),
    "avg and tanh": (lambda: LeNet5(pooling="avg", activation=nn.Tanh), Preprocess()),
    "colour": (lambda: LeNet5(2, in_channels=3, image_size=20), Preprocess(20, 3, mean=(0.2, 0.4, 0.6), std=0.3)),
    "original": (lambda: LeNet5Original(init="lecun_uniform"), Preprocess.original()),
}


def build(name: str) -> tuple[ImageClassifier, Preprocess]:
    """Return a network with the same weights at each call, and its preprocessing."""
    network, preprocess = NETWORKS[name]
    torch.manual_seed(0)
    return network(), preprocess


def integers(name: str, *, power_of_two: bool = False) -> tuple[IntegerNetwork, torch.Tensor]:
    """Return an integer network, and pixels for it."""
    model, preprocess = build(name)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (16, *model.image_shape), dtype=torch.uint8, generator=generator)
    pretrained = Pretrained(model.eval(), preprocess, {})
    return quantize(pretrained, pixels, power_of_two=power_of_two), pixels


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("power_of_two", [False, True])
def test_file_computes_the_logits_of_the_integer_reference(name: str, power_of_two: bool, tmp_path: Path) -> None:
    network, pixels = integers(name, power_of_two=power_of_two)
    export_onnx(network, tmp_path / "model.onnx")
    width = network.preprocess.padding  # of the border, which is inside the file
    bare = pixels[..., width : -width or None, width : -width or None]
    bordered = nn.functional.pad(bare, (width,) * 4)
    expected = network.run(bordered)["output"] * network.layers[-1].output_scale
    logits = evaluate(onnx.load(tmp_path / "model.onnx"), bare).numpy()
    assert np.abs(logits - expected).max() < 0.05 * np.abs(expected).max()


def test_weights_are_the_integers_of_the_network(tmp_path: Path) -> None:
    network, _ = integers("max")
    export_onnx(network, tmp_path / "model.onnx", preprocess=True)
    graph = onnx.load(tmp_path / "model.onnx").graph
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for layer in network.layers:
        if isinstance(layer, lenet5.quantization.WeightedLayer):
            np.testing.assert_array_equal(tensors[f"{layer.name}.weight"], layer.weight)
            np.testing.assert_array_equal(tensors[f"{layer.name}.bias"], layer.bias)
            assert tensors[f"{layer.name}.weight.dequantize.scale"] == pytest.approx(layer.weight_scale)
    assert [value.name for value in graph.output] == ["probabilities"]
    assert sum(node.op_type == "QuantizeLinear" for node in graph.node) == 4


def test_file_of_4_bits_computes_the_logits_of_the_integer_reference(tmp_path: Path) -> None:
    model, preprocess = build("max")
    pixels = torch.randint(256, (16, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    network = convert(prepare(Pretrained(model.eval(), preprocess, {}), pixels, weight_bits=4, activation_bits=4))
    export_onnx(network, tmp_path / "model.onnx")
    expected = network.run(pixels)["output"] * network.layers[-1].output_scale
    logits = evaluate(onnx.load(tmp_path / "model.onnx"), pixels).numpy()
    np.testing.assert_allclose(logits, expected, atol=0.05 * np.abs(expected).max())
