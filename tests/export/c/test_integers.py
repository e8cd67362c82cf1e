"""The C of an integer network computes every integer of the reference."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

import lenet5
from lenet5 import LeNet5, LeNet5Original, Preprocess
from lenet5.export import export_c
from lenet5.models.activations import Square
from lenet5.models.classifier import ImageClassifier
from lenet5.quantization import IntegerNetwork, PoolingLayer, convert, prepare, quantize

if TYPE_CHECKING:
    from .conftest import Compiler

AsLayer = Callable[..., Any]
NETWORKS: dict[str, tuple[Callable[[], ImageClassifier], Preprocess]] = {
    "LeNet5": (LeNet5, Preprocess()),
    "32x32": (lambda: LeNet5(image_size=32), Preprocess(image_size=32, padding=2)),
    "two borders": (LeNet5, Preprocess(padding=4)),
    "odd maps": (lambda: LeNet5(image_size=23), Preprocess(image_size=23)),
    "colour, 26 classes": (
        lambda: LeNet5(26, in_channels=3),
        Preprocess(channels=3, mean=(0.1, 0.5, 0.9), std=(0.2, 0.3, 0.4)),
    ),
    "avg, tanh": (lambda: LeNet5(pooling="avg", activation=nn.Tanh), Preprocess()),
    "square": (lambda: LeNet5(pooling="avg", activation=Square), Preprocess()),
    "leaky": (lambda: LeNet5(activation=nn.LeakyReLU), Preprocess()),
    "original": (lambda: LeNet5Original(init="lecun_uniform"), Preprocess.original()),
}


def pixels_of(network: IntegerNetwork, digits: lenet5.DataSplits) -> torch.Tensor:
    """Digits, noise, black and white, without the border."""
    preprocess = network.preprocess.without_border()
    shape = (preprocess.channels, preprocess.image_size, preprocess.image_size)
    noise = torch.randint(256, (12, *shape), dtype=torch.uint8)
    extremes = torch.stack([torch.full(shape, value, dtype=torch.uint8) for value in (0, 128, 255)])
    binary = torch.randint(2, (12, *shape), dtype=torch.uint8) * 255
    return torch.cat([preprocess.resize(digits.test.images[:40]), noise, binary, extremes])


def check(network: IntegerNetwork, pixels: torch.Tensor, compiler: "Compiler", as_layer: AsLayer, folder: Path) -> None:
    """Compare every integer of every layer."""
    export_c(network, folder / "lenet5.c")
    expected = network.run(network.preprocess.resize(pixels))
    layers = {
        layer.name: as_layer(
            expected[layer.name].shape[1:],
            layer.dtype,
            buffer=isinstance(layer, PoolingLayer) or getattr(layer, "kind", "") != "convolution",
        )
        for layer in network.layers
    }
    outputs = compiler.layers(
        folder / "lenet5.c", layers, pixels.numpy(), "-fsanitize=undefined", "-fno-sanitize-recover"
    )
    assert [*outputs] == [*expected]
    for name, values in outputs.items():
        np.testing.assert_array_equal(values, expected[name], strict=True, err_msg=name)


@pytest.mark.parametrize("power_of_two", [False, True])
@pytest.mark.parametrize(("build", "preprocess"), NETWORKS.values(), ids=NETWORKS.keys())
def test_every_integer_of_every_layer_is_that_of_the_reference(
    build: Callable[[], ImageClassifier],
    preprocess: Preprocess,
    power_of_two: bool,
    compiler: "Compiler",
    as_layer: AsLayer,
    digits: lenet5.DataSplits,
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    model = build().eval()
    pretrained = lenet5.Pretrained(model, preprocess, {})
    network = quantize(pretrained, digits.train.images[:200], power_of_two=power_of_two)
    check(network, pixels_of(network, digits), compiler, as_layer, tmp_path)


@pytest.mark.parametrize("name", ["mnist_v2", "mnist_robust_v1", "original_mnist_v1"])
def test_every_integer_of_trained_networks_is_that_of_the_reference(
    name: str, compiler: "Compiler", as_layer: AsLayer, digits: lenet5.DataSplits, tmp_path: Path
) -> None:
    network = quantize(lenet5.load(name), digits.train)
    check(network, pixels_of(network, digits), compiler, as_layer, tmp_path)


def test_networks_of_fewer_bits_agree_too(
    compiler: "Compiler", as_layer: AsLayer, digits: lenet5.DataSplits, tmp_path: Path
) -> None:
    network = convert(prepare(lenet5.load("mnist_v2"), digits.train, weight_bits=4, activation_bits=4))
    check(network, pixels_of(network, digits), compiler, as_layer, tmp_path)


@pytest.mark.parametrize("name", ["mnist_v2", "original_mnist_v1"])
def test_class_of_every_mnist_test_image_is_that_of_the_reference(
    name: str, compiler: "Compiler", mnist_root: Path, tmp_path: Path
) -> None:
    data = lenet5.load_data("mnist", mnist_root, download=False)
    network = quantize(lenet5.load(name), data.train)
    export_c(network, tmp_path / "lenet5.c")
    labels = compiler.labels(tmp_path / "lenet5.c", data.test.images.numpy())
    np.testing.assert_array_equal(labels, network.predict(data.test.images).labels.numpy())


def test_logits_are_integers(compiler: "Compiler", digits: lenet5.DataSplits, tmp_path: Path) -> None:
    network = quantize(lenet5.load("mnist_v2"), digits.train)
    exported = export_c(network, tmp_path / "lenet5.c")
    assert exported.description[1:] == (
        "int lenet5_classify(const uint8_t pixels[1 * 28 * 28])",
        "void lenet5_logits(const uint8_t pixels[1 * 28 * 28], int32_t logits[10])",
    )
    pixels: npt.NDArray[np.uint8] = digits.test.images.numpy()
    for options in ([], ["-O3", "-fno-math-errno", "-ffinite-math-only"]):
        logits = compiler.logits(tmp_path / "lenet5.c", pixels, 10, np.int32, *options)
        np.testing.assert_array_equal(logits, network.run(pixels)["output"])
    assert "float" not in (tmp_path / "lenet5.c").read_text(encoding="ascii")


def test_careful_compilers_have_nothing_to_say(
    each_compiler: "Compiler", strict: list[str], digits: lenet5.DataSplits, tmp_path: Path
) -> None:
    for name in ("mnist_v2", "original_mnist_v1"):
        export_c(quantize(lenet5.load(name), digits.train), tmp_path / "lenet5.c")
        options: list[str | Path] = [*strict, "-O2", "-c", tmp_path / "lenet5.c", "-o", tmp_path / "object.o"]
        each_compiler.run(*options, "-DLENET5_STORAGE=auto")
        each_compiler.run(*options, "-DLENET5_MAIN")
