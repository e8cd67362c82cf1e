"""ONNX files, computed by onnx's own reference implementation."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

import lenet5
from lenet5 import CaffeLeNet, LeNet5, LeNet5Original
from lenet5.export import export_onnx
from lenet5.models.classifier import ImageClassifier

NETWORKS: list[Callable[[], ImageClassifier]] = [LeNet5, LeNet5Original, CaffeLeNet]


def run(path: Path, images: Tensor) -> Tensor:
    """Compute the result of a file."""
    (result,) = ReferenceEvaluator(onnx.load(path)).run(None, {"images": images.numpy()})
    return torch.from_numpy(result)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("count", [1, 3])
def test_file_computes_the_logits_of_any_batch(
    network: Callable[[], ImageClassifier], count: int, tmp_path: Path
) -> None:
    model = network().eval()
    export_onnx(model, tmp_path / "model.onnx")
    images = torch.randn(count, *model.image_shape)
    torch.testing.assert_close(run(tmp_path / "model.onnx", images), model(images).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["mnist_v2", "original_mnist_v1"])
def test_preprocessing_inside_maps_pixels_to_probabilities(
    name: str, digits: lenet5.DataSplits, tmp_path: Path
) -> None:
    pretrained = lenet5.load(name)
    pixels = pretrained.preprocess.without_border().resize(digits.test.images[:20])
    assert pixels.shape == (20, 1, 28, 28)
    export_onnx(pretrained, tmp_path / "model.onnx", preprocess=True)
    expected = pretrained.predict(pixels).probabilities
    torch.testing.assert_close(run(tmp_path / "model.onnx", pixels), expected, rtol=1e-5, atol=1e-5)


def test_nodes_and_tensors_have_the_names_of_the_paper(tmp_path: Path) -> None:
    export_onnx(LeNet5(), tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert [node.name for node in graph.node] == [
        *("c1.conv", "c1.activation", "s2", "c3.conv", "c3.activation", "s4"),
        *("c5.flatten", "c5.linear", "c5.activation", "f6.linear", "f6.activation", "output"),
    ]
    assert {tensor.name for tensor in graph.initializer} == set(LeNet5().state_dict())
    assert ([value.name for value in graph.input], [value.name for value in graph.output]) == (["images"], ["logits"])


def test_metadata_names_the_weights(tmp_path: Path) -> None:
    pretrained = lenet5.load("mnist_v2")
    export_onnx(pretrained, tmp_path / "model.onnx")
    model: Any = onnx.load(tmp_path / "model.onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["classes"]) == list("0123456789")
    assert (metadata["weights"], metadata["sha256"]) == ("mnist_v2", pretrained.meta["sha256"])
    assert lenet5.Preprocess(**json.loads(metadata["preprocessing"])) == pretrained.preprocess
    assert (model.producer_name, model.producer_version) == ("lenet5", lenet5.__version__)


def test_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'export to ONNX needs the package onnx: pip install "\.\[onnx\]"'):
        export_onnx(LeNet5(), tmp_path / "model.onnx")


def test_unknown_layer_is_named(tmp_path: Path) -> None:
    model = LeNet5()
    model.f6.append(nn.LayerNorm(84))
    with pytest.raises(ValueError, match="f6.2 is LayerNorm.*, which has no ONNX nodes here; torch.onnx.export"):
        export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
