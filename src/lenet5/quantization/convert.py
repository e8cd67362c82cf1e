"""From a network that rounds to integers."""

import copy
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..models.original.layers import EuclideanRBF, PartialConv2d, Subsampling
from .aware import TABLE_RANGE, IntegerActivation, QuantizationAware, Weighted, connected, is_activation, per_channel
from .layers import DistanceLayer, IntegerLayer, Integers, PoolingLayer, WeightedLayer
from .network import IntegerNetwork
from .prepare import CalibrationImages, Source, check_finite_tensors, prepare
from .scales import fixed_point

_INT32 = -(2**31), 2**31 - 1


def quantize(source: Source, images: CalibrationImages, *, power_of_two: bool = False) -> IntegerNetwork:
    """Convert a network to int8 weights and 8-bit activations, without training: post-training quantisation.

    Parameters
    ----------
    source
        A `LeNet5` or a `LeNet5Original` with its preprocessing, as `lenet5.load` returns.
    images
        Images for the calibration of the activations, not normalised, such as a part of the training set. At most 1,024
        of them are used, at even distances. No labels are needed.
    power_of_two
        Whether all scales are powers of two, so that scaling is a shift without a multiplication.

    Raises
    ------
    ValueError
        The network is not supported, or was changed, or its weights are not finite. Or there are no images, they have
        the wrong shape, hold NaN, or are all blank.
    TypeError
        The source is not a network with its preprocessing, or the images are of an unsupported type.

    Examples
    --------
    >>> digits = lenet5.load_data("digits")
    >>> network = lenet5.quantization.quantize(lenet5.load("mnist_v2"), digits.train)
    >>> network
    <IntegerNetwork: LeNet5, 8-bit weights, 8-bit activations, fixed-point scales>
    >>> network.evaluate(digits.test).accuracy > 0.9
    True
    """
    return convert(prepare(source, images, power_of_two=power_of_two))


def convert(model: QuantizationAware) -> IntegerNetwork:
    """Return the integer network of a prepared network, which may have been trained.

    Its integers are those of the prepared network, except where a value lies so near the middle between two integers
    that the rounding errors of float32 decide.

    Raises
    ------
    ValueError
        The model is not a `QuantizationAware`, or its weights are not finite, or its prototypes are too large.

    Examples
    --------
    >>> digits = lenet5.load_data("digits").val
    >>> prepared = lenet5.quantization.prepare(lenet5.load("mnist_v2"), digits, weight_bits=4)
    >>> lenet5.quantization.convert(prepared).weight_bits
    4
    """
    if not isinstance(model, QuantizationAware):
        raise ValueError(f"the model is a {type(model).__name__}; expected the result of prepare, or quantize it")
    model = copy.deepcopy(model).cpu().float().eval()
    check_finite_tensors(model)
    preprocess = model.preprocess
    with torch.no_grad():
        layers = tuple(_layers(model))
    return IntegerNetwork(
        architecture=type(model.network).__name__,
        preprocess=preprocess,
        classes=model.classes,
        weight_bits=model.weight_bits,
        activation_bits=model.activation_bits,
        power_of_two=model.power_of_two,
        input_scale=float(model.input_scale),
        zero_point=(255 * per_channel(preprocess.mean, preprocess)).round().astype(np.uint8),
        layers=layers,
    )


def _layers(model: QuantizationAware) -> Iterator[IntegerLayer]:
    """Yield the integer layers of a prepared network."""
    scale, dtype = model.input_scale, np.dtype(np.uint8)
    pending: dict[str, Any] | None = None
    for name, part in model.parts():
        if isinstance(part, Weighted):
            pending = _weights(model, name, part, scale)
        elif is_activation(part):
            activation = model.activation(name)
            assert pending is not None
            layer = _activated(pending, activation, part)
            yield layer
            pending, scale, dtype = None, activation.scale, layer.dtype
        elif isinstance(part, nn.MaxPool2d | nn.AvgPool2d):
            kind: Literal["max", "avg"] = "max" if isinstance(part, nn.MaxPool2d) else "avg"
            yield PoolingLayer(name=name, kind=kind, output_scale=float(scale), dtype=dtype)
        elif isinstance(part, EuclideanRBF):
            yield _distances(name, part, float(scale), activation)
    if pending is not None:
        yield _logits(pending)


def _weights(model: QuantizationAware, name: str, part: Weighted, input_scale: Tensor) -> dict[str, Any]:
    """Return the fields of a layer up to its accumulators."""
    weight, bias, scale = model.rounded(name, part, input_scale)
    if name == "c1":
        weight = weight * model.channel_ratio
    weight = connected(part, weight)
    integers = (weight / scale.view(-1, *(1,) * (weight.ndim - 1))).round().to(torch.int8).numpy()
    weight_scale = scale.double().numpy()
    integer_bias = np.rint(bias.double().numpy() / (weight_scale * float(input_scale)))
    is_convolution = isinstance(part, nn.Conv2d | PartialConv2d)
    kind = "convolution" if is_convolution else "subsampling" if isinstance(part, Subsampling) else "dense"
    if kind == "convolution" and name == "c5":
        kind, integers = "dense", integers.reshape(len(integers), -1)
    return {
        "name": name,
        "kind": kind,
        "weight": integers,
        "bias": integer_bias.astype(np.int32),
        "weight_scale": weight_scale,
        "input_scale": float(input_scale),
        "padding": part.padding[0] if isinstance(part, nn.Conv2d) and kind == "convolution" else 0,
        "connections": part.table if isinstance(part, PartialConv2d) else None,
    }


def _activated(fields: dict[str, Any], activation: IntegerActivation, part: nn.Module) -> WeightedLayer:
    """Complete a layer with its activation."""
    low, high, scale = activation.low, activation.high, activation.scale
    lookup: Integers | None = None
    if activation.has_table:
        (low, high), scale = TABLE_RANGE, activation.table_scale
        outputs = activation.round(part(torch.arange(low, high + 1) * scale)) / activation.scale
        lookup = outputs.round().to(torch.int8 if activation.low < 0 else torch.uint8).numpy()
    multiplier, shift = fixed_point(fields["input_scale"] * fields["weight_scale"] / float(scale))
    return WeightedLayer(
        **fields,
        multiplier=multiplier,
        shift=shift,
        low=low,
        high=high,
        lookup=lookup,
        table_scale=float(scale),
        output_scale=float(activation.scale),
    )


def _logits(fields: dict[str, Any]) -> WeightedLayer:
    """Complete the last layer: its accumulators as int32 of one scale, the largest of its channels."""
    scale = fields["input_scale"] * fields["weight_scale"].max()
    multiplier, shift = fixed_point(fields["input_scale"] * fields["weight_scale"] / scale)
    low, high = _INT32
    return WeightedLayer(
        **fields,
        multiplier=multiplier,
        shift=shift,
        low=low,
        high=high,
        lookup=None,
        table_scale=float(scale),
        output_scale=float(scale),
    )


def _distances(name: str, part: EuclideanRBF, scale: float, activation: IntegerActivation) -> DistanceLayer:
    prototypes = np.rint(part.prototypes.double().numpy() / scale)
    reach = np.abs(prototypes) + activation.high
    if (reach**2).sum(1).max() > _INT32[1]:
        raise ValueError(
            f"the prototypes reach {part.prototypes.abs().max():.4g}, and their squared distances do not fit int32;"
            f" expected prototypes in the range of F6, which is {scale * activation.high:.4g}"
        )
    return DistanceLayer(name=name, prototypes=prototypes.astype(np.int16), input_scale=scale)
