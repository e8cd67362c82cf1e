"""What is refused: networks that are not what their class defines, and images that calibrate nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from lenet5 import CaffeLeNet, LeNet5, Preprocess
from lenet5.data import DataSplits
from lenet5.quantization import prepare, quantize
from lenet5.weights import Pretrained

Build = Callable[..., Pretrained]

CHANGES: dict[str, tuple[Callable[[Any], object], str]] = {
    "activation": (lambda model: setattr(model.c1, "activation", nn.Tanh()), r"c1.activation is Tanh\(\)"),
    "pooling": (lambda model: setattr(model, "s2", nn.AvgPool2d(2)), "s2 is AvgPool2d"),
    "stride": (lambda model: setattr(model.s2, "stride", 1), "s2.stride is 1"),
    "output": (lambda model: setattr(model, "output", nn.Linear(84, 3)), "output.out_features is 3"),
    "dropout": (lambda model: model.f6.append(nn.Dropout(0.5)), "f6.2 is Dropout"),
    "extra layer": (lambda model: model.add_module("extra", nn.ReLU()), "extra is ReLU"),
    "pruned": (
        lambda model: prune.l1_unstructured(model.c3.conv, "weight", 0.5),  # type: ignore[no-untyped-call]
        "c3.conv computes its weights",
    ),
    "parametrized": (lambda model: parametrizations.weight_norm(model.c3.conv), "c3.conv computes its weights"),
    "hook": (lambda model: model.c3.register_forward_hook(lambda *_: None), "it has hooks"),
    "method": (lambda model: setattr(model.c3, "forward", abs), "it has hooks or replaced methods"),
    "mixed": (lambda model: model.c1.bfloat16(), "c1.conv.weight is torch.bfloat16"),
    "NaN": (lambda model: model.c1.conv.bias.data.fill_(torch.nan), "c1.conv.bias holds NaN"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_changed_networks_are_refused(
    build: Build, images: Tensor, change: Callable[[Any], object], message: str
) -> None:
    source = build()
    change(source.model)
    with pytest.raises(ValueError, match=message):
        quantize(source, images)


class OtherForward(LeNet5):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * 2


@pytest.mark.parametrize("model", [CaffeLeNet(), OtherForward()])
def test_other_networks_are_refused(model: Any, images: Tensor) -> None:
    with pytest.raises(ValueError, match="cannot be converted to integers; expected a LeNet5 or a LeNet5Original"):
        quantize(Pretrained(model, Preprocess(), {}), images)


@pytest.mark.parametrize("activation", [nn.Softmax, nn.GLU, lambda: nn.Threshold(0, torch.inf), nn.Hardshrink])
def test_activations_must_act_on_each_number_alone(build: Build, images: Tensor, activation: Any) -> None:
    source = build(activation=activation)
    if activation is nn.Hardshrink:
        quantize(source, images)
        return
    with pytest.raises(ValueError, match="expected one that maps each number alone to a finite number"):
        quantize(source, images)


IMAGES: dict[str, tuple[Any, str]] = {
    "none": (torch.zeros(0, 1, 28, 28, dtype=torch.uint8), "there are no calibration images"),
    "none in a list": ([], "no images were given"),
    "NaN": (torch.full((2, 1, 28, 28), torch.nan), "NaN or infinite"),
    "normalised": (torch.randn(2, 1, 28, 28), r"expected \[0, 1\], not normalised"),
    "black": (np.zeros((3, 28, 28, 1), np.uint8), "the calibration images are blank"),
    "grey": (torch.full((1, 1, 28, 28), 77, dtype=torch.uint8), "the calibration images are blank"),
    "channels": (torch.zeros(2, 7, 28, 28, dtype=torch.uint8), "expected 1, 3 or 4 channels"),
}


@pytest.mark.parametrize(("calibration", "message"), IMAGES.values(), ids=IMAGES)
def test_images_that_calibrate_nothing_are_refused(build: Build, calibration: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quantize(build(), calibration)


def test_targets_are_no_images(build: Build) -> None:
    with pytest.raises(TypeError, match="images are"):
        quantize(build(), object())  # type: ignore[arg-type]


def test_images_of_other_sizes_are_resized_as_for_prediction(build: Build, digits: DataSplits) -> None:
    source = build(image_size=12)
    resized = source.preprocess.resize(digits.val.images)
    for calibration in (digits.val, digits.val.images, digits.val.images.numpy(), list(digits.val.images)):
        layers = [quantize(source, each).layers[0] for each in (calibration, resized)]
        assert layers[0].output_scale == layers[1].output_scale


def test_one_image_calibrates(build: Build, images: Tensor) -> None:
    assert quantize(build(), images[0]).layers[0].output_scale == quantize(build(), images[:1]).layers[0].output_scale


def test_preprocessing_must_fit_the_network(build: Build, images: Tensor) -> None:
    source = build(preprocess=Preprocess(image_size=32))
    with pytest.raises(ValueError, match=r"the preprocessing returns images \(1, 32, 32\); expected \(1, 28, 28\)"):
        quantize(source, images)


@pytest.mark.parametrize("bits", [1, 9, 4.5, None])
@pytest.mark.parametrize("name", ["weight_bits", "activation_bits"])
def test_bits_are_from_2_to_8(build: Build, images: Tensor, name: str, bits: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} is {bits}; expected"):
        prepare(build(), images, **{name: bits})


def test_pixels_must_be_bytes_of_the_network_s_shape(build: Build, images: Tensor) -> None:
    network = quantize(build(), images)
    for pixels in (images.float(), images[0], images[..., :27]):
        with pytest.raises(ValueError, match="expected .* uint8, as preprocess.resize returns"):
            network.run(pixels)
    with pytest.raises(ValueError, match="there are no images; expected at least one"):
        network.run(images[:0])


def test_scales_are_powers_of_two_or_not(build: Build, images: Tensor) -> None:
    assert quantize(build(), images, power_of_two=np.True_).power_of_two is True  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="power_of_two is 'no'; expected True or False"):
        quantize(build(), images, power_of_two="no")  # type: ignore[arg-type]


def test_a_network_without_its_preprocessing_is_refused(build: Build, images: Tensor) -> None:
    with pytest.raises(TypeError, match="the source is a LeNet5; expected a Pretrained, such as lenet5.load returns"):
        quantize(build().model, images)  # type: ignore[arg-type]


def test_only_an_image_dataset_is_evaluated(build: Build, images: Tensor) -> None:
    with pytest.raises(TypeError, match="the dataset is a Tensor; expected an ImageDataset"):
        quantize(build(), images).evaluate(images)  # type: ignore[arg-type]
