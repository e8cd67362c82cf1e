"""The C of a network, compiled, computes what the network computes."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

import lenet5
from lenet5 import CaffeLeNet, LeNet5, LeNet5Original, Preprocess
from lenet5.export import export_c
from lenet5.models.classifier import ImageClassifier

if TYPE_CHECKING:
    from .conftest import Compiler

NETWORKS: dict[str, Callable[[], ImageClassifier]] = {
    "LeNet5": LeNet5,
    "32x32": lambda: LeNet5(image_size=32),
    "odd maps": lambda: LeNet5(image_size=23),
    "large": lambda: LeNet5(image_size=41, in_channels=2),
    "colour, 26 classes": lambda: LeNet5(26, in_channels=3),
    "avg, tanh": lambda: LeNet5(pooling="avg", activation=nn.Tanh),
    "one class": lambda: LeNet5(1),
    "original": LeNet5Original,
    "original, 3 prototypes": lambda: LeNet5Original(prototypes=torch.randn(3, 84)),
    "Caffe": CaffeLeNet,
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS.keys())
def test_logits_are_those_of_the_network(
    network: Callable[[], ImageClassifier], compiler: "Compiler", strict: list[str], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = network().eval()
    export_c(model, tmp_path / "lenet5.c")
    images = torch.randn(5, *model.image_shape)
    expected = model(images).detach().numpy()
    logits = compiler.logits(tmp_path / "lenet5.c", images.numpy(), model.num_classes, np.float32, *strict)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["mnist_v2", "mnist_robust_v1", "original_mnist_v1"])
def test_class_of_every_test_digit_is_the_prediction(
    name: str, compiler: "Compiler", digits: lenet5.DataSplits, tmp_path: Path
) -> None:
    pretrained = lenet5.load(name)
    export_c(pretrained, tmp_path / "lenet5.c")
    labels = compiler.labels(tmp_path / "lenet5.c", digits.test.images.numpy())
    assert labels.tolist() == pretrained.predict(digits.test.images).labels.tolist()


@pytest.mark.parametrize("name", ["mnist_v2", "original_mnist_v1"])
def test_class_of_every_mnist_test_image_is_the_prediction(
    name: str, compiler: "Compiler", mnist_root: Path, tmp_path: Path
) -> None:
    images = lenet5.load_data("mnist", mnist_root, download=False).test.images
    pretrained = lenet5.load(name)
    export_c(pretrained, tmp_path / "lenet5.c")
    labels = compiler.labels(tmp_path / "lenet5.c", images.numpy())
    assert labels.tolist() == pretrained.predict(images).labels.tolist()


def test_logits_of_test_images_agree_to_four_decimals(
    compiler: "Compiler", digits: lenet5.DataSplits, tmp_path: Path
) -> None:
    pretrained = lenet5.load("mnist_v2")
    export_c(pretrained, tmp_path / "lenet5.c")
    images = pretrained.preprocess(digits.test.images)
    expected = pretrained.model(images).detach().numpy()
    for options in ([], ["-O3", "-fno-math-errno", "-ffinite-math-only"]):
        logits = compiler.logits(tmp_path / "lenet5.c", images.numpy(), 10, np.float32, *options)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_dtypes_become_float32(dtype: torch.dtype, compiler: "Compiler", tmp_path: Path) -> None:
    model = LeNet5().to(dtype).eval()
    export_c(model, tmp_path / "lenet5.c")
    assert model.c1[0].weight.dtype == dtype
    images = torch.rand(2, 1, 28, 28)
    logits = compiler.logits(tmp_path / "lenet5.c", images.numpy(), 10, np.float32)
    np.testing.assert_allclose(logits, model.float()(images).detach().numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "preprocess"),
    [
        (LeNet5(in_channels=3), Preprocess(channels=3, mean=0.4, std=0.2)),
        (LeNet5(image_size=32), Preprocess(image_size=32, padding=2)),
        (LeNet5(image_size=28), Preprocess(image_size=28, padding=4)),
    ],
)
def test_pixels_are_prepared_as_by_the_preprocessing(
    model: LeNet5, preprocess: Preprocess, compiler: "Compiler", tmp_path: Path
) -> None:
    pretrained = lenet5.Pretrained(model.eval(), preprocess, {})
    export_c(pretrained, tmp_path / "lenet5.c")
    side = preprocess.without_border().image_size
    pixels = torch.randint(256, (50, preprocess.channels, side, side), dtype=torch.uint8)
    assert compiler.labels(tmp_path / "lenet5.c", pixels.numpy()).tolist() == pretrained.predict(pixels).labels.tolist()


def test_layers_are_those_of_the_network(
    compiler: "Compiler", as_layer: Callable[..., Any], digits: lenet5.DataSplits, tmp_path: Path
) -> None:
    for name in ("mnist_v2", "original_mnist_v1"):
        pretrained = lenet5.load(name)
        export_c(pretrained, tmp_path / f"{name}.c")
        pixels = digits.test.images[:3]
        x = pretrained.preprocess(pixels)
        expected, layers = {}, {}
        for layer, module in pretrained.model.named_children():
            x = -module(x) if name.startswith("original") and layer == "output" else module(x)
            expected[layer] = x.detach().numpy()
            layers[layer] = as_layer(tuple(x.shape[1:]), np.float32, layer not in {"c1", "c3"})
        outputs = compiler.layers(tmp_path / f"{name}.c", layers, pixels.numpy())
        assert [*outputs] == ["c1", "s2", "c3", "s4", "c5", "f6", "output"]
        for layer, values in outputs.items():
            np.testing.assert_allclose(values, expected[layer], rtol=1e-4, atol=1e-4)


def test_swapped_activation_is_exported_as_it_is(compiler: "Compiler", tmp_path: Path) -> None:
    model = LeNet5().eval()
    model.f6[1] = nn.LeakyReLU(0.3)
    model.c5[2] = nn.LeakyReLU(0.2)
    export_c(model, tmp_path / "lenet5.c")
    images = torch.randn(2, 1, 28, 28)
    logits = compiler.logits(tmp_path / "lenet5.c", images.numpy(), 10, np.float32)
    np.testing.assert_allclose(logits, model(images).detach().numpy(), rtol=1e-4, atol=1e-4)
