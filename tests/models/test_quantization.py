"""Static quantization to int8, with FX graph mode and in eager mode."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.ao import quantization
from torch.ao.nn.intrinsic import quantized as fused
from torch.ao.nn.quantized import Conv2d, Linear
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from lenet5 import LeNet5

ENGINE = torch.backends.quantized.engine
FUSED_LAYERS = [
    *(["c1.conv", "c1.activation"], ["c3.conv", "c3.activation"]),
    *(["c5.linear", "c5.activation"], ["f6.linear", "f6.activation"]),
]

pytestmark = pytest.mark.filterwarnings(  # torch deprecates torch.ao.quantization, which many projects still use
    "ignore:torch.ao.quantization is deprecated:DeprecationWarning",
    "ignore:.*quantized tensor creation functions.*deprecated:UserWarning",
    "ignore:.*reduce_range will be deprecated:UserWarning",
)


@pytest.fixture
def network_and_images() -> tuple[LeNet5, Tensor]:
    torch.manual_seed(0)
    return LeNet5().eval(), torch.rand(64, 1, 28, 28)


def check(quantized: nn.Module, model: LeNet5, images: Tensor) -> None:
    """Assert that the logits of the quantized network approximate those of the model."""
    expected = model(images)
    assert (quantized(images) - expected).abs().max() < 0.05 * expected.abs().max()


def prepare(model: nn.Module) -> nn.Module:
    """Add observers to the layers and to the images, for eager mode."""
    wrapped = quantization.QuantWrapper(model).eval()
    wrapped.qconfig = quantization.get_default_qconfig(ENGINE)  # type: ignore[no-untyped-call]
    prepared: nn.Module = quantization.prepare(wrapped)  # type: ignore[no-untyped-call]
    return prepared


def quantize(model: nn.Module, images: Tensor) -> nn.Module:
    """Quantize a model in eager mode, calibrated with the images."""
    prepared = prepare(model)
    prepared(images)
    quantized: nn.Module = quantization.convert(prepared)  # type: ignore[no-untyped-call]
    return quantized


def test_fx_graph_mode_quantizes_every_layer(network_and_images: tuple[LeNet5, Tensor]) -> None:
    model, images = network_and_images
    mapping = quantization.get_default_qconfig_mapping(ENGINE)
    prepared = prepare_fx(copy.deepcopy(model), mapping, (images,))
    prepared(images)
    quantized = convert_fx(prepared)
    types = [type(quantized.get_submodule(layer)) for layer, _ in FUSED_LAYERS]
    assert types == [fused.ConvReLU2d, fused.ConvReLU2d, fused.LinearReLU, fused.LinearReLU]
    assert type(quantized.get_submodule("output")) is Linear
    check(quantized, model, images)


def test_eager_mode_quantizes_every_layer(network_and_images: tuple[LeNet5, Tensor]) -> None:
    model, images = network_and_images
    quantized = quantize(copy.deepcopy(model), images)
    types = [type(quantized.get_submodule(f"module.{name}")) for name in ("c1.conv", "c3.conv", "c5.linear", "output")]
    assert types == [Conv2d, Conv2d, Linear, Linear]
    check(quantized, model, images)


def test_eager_mode_quantizes_fused_layers(network_and_images: tuple[LeNet5, Tensor]) -> None:
    model, images = network_and_images
    fused_model = quantization.fuse_modules(copy.deepcopy(model), FUSED_LAYERS)  # type: ignore[no-untyped-call]
    quantized = quantize(fused_model, images)
    assert type(quantized.get_submodule("module.c1.conv")) is fused.ConvReLU2d
    check(quantized, model, images)


def test_observers_in_eager_mode_see_every_image(network_and_images: tuple[LeNet5, Tensor]) -> None:
    model, images = network_and_images
    prepared = prepare(copy.deepcopy(model))
    with torch.no_grad():
        prepared(images[:1])  # a batch that a kernel could compute in a single call
    observers = [module for module in prepared.modules() if isinstance(module, quantization.HistogramObserver)]
    assert len(observers) == 6
    assert all(observer.min_val.isfinite() for observer in observers)
