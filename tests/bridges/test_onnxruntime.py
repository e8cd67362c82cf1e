"""ONNX Runtime, on the files of `export_onnx`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lenet5
from lenet5 import CaffeLeNet, LeNet5, LeNet5Original
from lenet5.export import export_onnx
from lenet5.export.onnx import OPSET
from lenet5.models.classifier import ImageClassifier
from lenet5.quantization import quantize

onnxruntime = pytest.importorskip("onnxruntime", reason="nox -s tests_bridges installs it")

ACTIVATIONS = [
    *(nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.LogSigmoid),
    *(nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.RReLU, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink),
    *(nn.Softsign, nn.Tanh, nn.Tanhshrink, lenet5.Square),
]


def run(path: Path, images: Tensor) -> Tensor:
    """Compute the result of a file."""
    session = onnxruntime.InferenceSession(path)
    (result,) = session.run(None, {"images": images.numpy()})
    return torch.from_numpy(result)


def assert_same(model: ImageClassifier, path: Path, count: int = 3) -> None:
    """Export a network, and compare its logits."""
    export_onnx(model, path)
    images = torch.randn(count, *model.image_shape)
    with torch.no_grad():
        expected = model.eval()(images)
    torch.testing.assert_close(run(path, images), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", [*ACTIVATIONS, lambda: nn.Threshold(0.1, -1), lambda: nn.Softplus(2)])
def test_every_activation_gives_the_same_logits(activation: Callable[[], nn.Module], tmp_path: Path) -> None:
    assert_same(LeNet5(activation=activation), tmp_path / "model.onnx")


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("image_size", [12, 27, 28, 32, 45])
def test_every_size_and_pooling_gives_the_same_logits(pooling: str, image_size: int, tmp_path: Path) -> None:
    model = LeNet5(7, in_channels=2, image_size=image_size, pooling=pooling)  # type: ignore[arg-type]
    assert_same(model, tmp_path / "model.onnx")


@pytest.mark.parametrize("network", [LeNet5, LeNet5Original, CaffeLeNet])
@pytest.mark.parametrize("count", [0, 1, 257])
def test_batch_size_is_free(network: Callable[[], ImageClassifier], count: int, tmp_path: Path) -> None:
    assert_same(network(), tmp_path / "model.onnx", count)


@pytest.mark.parametrize("opset", range(OPSET, 22))
def test_opsets_of_the_last_years_give_the_same_logits(opset: int, tmp_path: Path) -> None:
    pretrained = lenet5.load("original_mnist_v1")
    pixels = torch.randint(256, (3, 1, 28, 28), dtype=torch.uint8)
    export_onnx(pretrained, tmp_path / "model.onnx", preprocess=True, opset=opset)
    probabilities = run(tmp_path / "model.onnx", pixels)
    torch.testing.assert_close(probabilities, pretrained.predict(pixels).probabilities, rtol=1e-5, atol=1e-5)


def assert_same_on(name: str, pixels: Tensor, path: Path) -> None:
    """Compare all labels, logits and probabilities of bundled weights on a test set."""
    pretrained = lenet5.load(name)
    pixels = pretrained.preprocess.without_border().resize(pixels)
    expected = pretrained.predict(pixels)
    export_onnx(pretrained, path, preprocess=True)
    probabilities = run(path, pixels)
    # logits of LeNet5Original, which are distances, reach 274: rounding to float32 alone moves them by 3e-5
    tolerance = 1e-5 if isinstance(pretrained.model, LeNet5) else 1e-4
    torch.testing.assert_close(probabilities, expected.probabilities, rtol=0, atol=tolerance)
    assert torch.equal(probabilities.argmax(1), expected.labels)
    export_onnx(pretrained, path)
    images = pretrained.prepare(pixels)
    with torch.no_grad():
        logits = pretrained.model(images)
    found = run(path, images)
    assert (found - logits).abs().max() <= 1e-5 * logits.abs().max()
    assert torch.equal(found.argmax(1), expected.labels)


@pytest.mark.parametrize("name", ["mnist_v2", "original_mnist_v1"])
def test_all_labels_of_the_digits_are_the_same(name: str, digits: lenet5.DataSplits, tmp_path: Path) -> None:
    assert_same_on(name, digits.test.images, tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["mnist_v1", "mnist_v2", "mnist_robust_v1", "original_mnist_v1"])
def test_all_labels_of_mnist_are_the_same(name: str, mnist_root: Path, tmp_path: Path) -> None:
    images = lenet5.load_data("mnist", mnist_root).test.images
    assert len(images) == 10_000
    assert_same_on(name, images, tmp_path / "model.onnx")


def test_session_knows_names_shapes_and_metadata(tmp_path: Path) -> None:
    export_onnx(lenet5.load("mnist_v2"), tmp_path / "model.onnx", preprocess=True)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (images,), (probabilities,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["batch", 1, 28, 28])
    assert (probabilities.name, probabilities.shape) == ("probabilities", ["batch", 10])
    assert session.get_modelmeta().custom_metadata_map["weights"] == "mnist_v2"
    result = session.run(["probabilities"], {"images": np.zeros((2, 1, 28, 28), np.uint8)})[0]
    assert result.sum(1) == pytest.approx([1, 1])


def assert_same_integers(name: str, calibration: Tensor, pixels: Tensor, path: Path, *, power_of_two: bool) -> None:
    """Compare all labels of an integer network with those of its reference."""
    pretrained = lenet5.load(name)
    network = quantize(pretrained, calibration, power_of_two=power_of_two)
    export_onnx(network, path)
    labels = run(path, pretrained.preprocess.without_border().resize(pixels)).argmax(1)
    assert torch.equal(labels, network.predict(pixels).labels)


@pytest.mark.parametrize("power_of_two", [False, True])
@pytest.mark.parametrize("name", ["mnist_v2", "original_mnist_v1"])
def test_all_labels_of_integer_networks_are_the_same(
    name: str, power_of_two: bool, digits: lenet5.DataSplits, tmp_path: Path
) -> None:
    images = digits.train.images, digits.test.images
    assert_same_integers(name, *images, tmp_path / "model.onnx", power_of_two=power_of_two)


@pytest.mark.parametrize("name", ["mnist_v2", "original_mnist_v1"])
def test_all_labels_of_integer_networks_on_mnist_are_the_same(name: str, mnist_root: Path, tmp_path: Path) -> None:
    splits = lenet5.load_data("mnist", mnist_root)
    images = splits.train.images, splits.test.images
    assert_same_integers(name, *images, tmp_path / "model.onnx", power_of_two=False)
