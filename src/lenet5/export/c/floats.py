"""A network in C in float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...data.preprocess import Preprocess
from ..layers import Convolution, Distances, Layer, Pooling
from .activations import Activation, activation_of
from .buffers import Buffer, Shape, alternate
from .functions import WINDOWS, Function, check_pooling, connections
from .inputs import Input, about_pixels
from .source import Parts
from .text import Constants


def float_parts(layers: Sequence[Layer], preprocess: Preprocess | None, *, title: str, classes: Sequence[str]) -> Parts:
    """Write a network in C in float32.

    Parameters
    ----------
    layers
        The layers, in order.
    preprocess
        The preprocessing; None to take normalised images alone.
    title
        What the network is.
    classes
        The class names.

    Raises
    ------
    ValueError
        A convolution is not followed by pooling, or an activation cannot be written in C.
    """
    check_pooling([(layer.name, _kind(layer)) for layer in layers])
    padding = layers[0].padding if isinstance(layers[0], Convolution) else 0
    buffers = _buffers(layers, padding)
    activations = named_activations(layers)
    return Parts(
        title=f"{title}, in float32.",
        constants=[
            *(_normalisation(preprocess) if preprocess is not None else []),
            *(array for layer in layers for array in _constants(layer)),
        ],
        functions=[
            *(
                f"static float {name}(float x)\n{{\n    return {each.expression};\n}}\n"
                for name, each in activations.items()
            ),
            *_functions(layers, buffers, {activation: name for name, activation in activations.items()}),
        ],
        steps=[buffer.name for buffer in buffers[1:]],
        buffers=buffers,
        inputs=_inputs(layers[0].input_shape, padding, preprocess),
        about_logits="the largest is that of the class",
        classes=classes,
        libm=sorted({name for activation in activations.values() for name in activation.libm}),
    )


def _kind(layer: Layer) -> str:
    return layer.kind if isinstance(layer, Pooling) else type(layer).__name__.lower()


def named_activations(layers: Sequence[Layer]) -> dict[str, Activation]:
    """Return the different activations by the names of their functions, with numbers if a class has several."""
    named: dict[str, Activation] = {}
    for layer in layers:
        if layer.activation is None or (activation := activation_of(layer.activation)) in named.values():
            continue
        taken = sum(known.name == activation.name for known in named.values())
        named[f"{activation.name}_{taken + 1}" if taken else activation.name] = activation
    return named


def describe(layer: Layer) -> str:
    """Describe a layer in a few words."""
    inputs, outputs = ("x".join(map(str, shape)) for shape in (layer.input_shape, layer.output_shape))
    if isinstance(layer, Convolution):
        kernel = layer.weight.shape[-1]
        text = f"{outputs} from {inputs} by {kernel}x{kernel} kernels"
        text += f", padding {layer.padding}" if layer.padding else ""
        text += f", {len(layer.weight)} connections" if layer.table else ""
    elif isinstance(layer, Pooling):
        text = f"{outputs} from {inputs}, the {WINDOWS[layer.kind]} of each 2x2 window"
    elif isinstance(layer, Distances):
        text = f"{outputs} negated squared distances of {inputs} features from the prototypes"
    else:
        text = f"{outputs} units, connected to all inputs {inputs}"
    return text if layer.activation is None else f"{text}; {type(layer.activation).__name__}"


def _constants(layer: Layer) -> list[Constants]:
    about = f"{layer.name.upper()}: {describe(layer)}"
    if isinstance(layer, Distances):
        return [Constants(f"{layer.name}_prototype", "float", layer.weight, about)]
    if not layer.weight.size:
        return []
    weight, bias = Constants(f"{layer.name}_weight", "float", layer.weight, about), layer.bias
    table = connections(layer.name, layer.table) if isinstance(layer, Convolution) and layer.table else []
    return [weight, Constants(f"{layer.name}_bias", "float", bias), *table]


def _buffers(layers: Sequence[Layer], padding: int) -> list[Buffer]:
    """Plan the buffers: the image with its border, and the outputs of all layers but convolutions."""
    channels, height, width = layers[0].input_shape
    image = (channels, height + 2 * padding, width + 2 * padding)
    outputs = {layer.name: layer.output_shape for layer in layers if not isinstance(layer, Convolution)}
    return alternate({name: ("float", shape) for name, shape in {"image": image, **outputs}.items()})


def _functions(layers: Sequence[Layer], buffers: Sequence[Buffer], names: dict[Activation, str]) -> list[str]:
    written, remaining, source, before = [], list(buffers[1:]), buffers[0], ""
    for layer in layers:
        target = source if isinstance(layer, Convolution) else remaining.pop(0)
        function = Function(layer.name, describe(layer), "float", "float", source, target)
        activation = None if layer.activation is None else names[activation_of(layer.activation)]
        written.append(_function(layer, function, before, f"{activation}({{}})" if activation else "{}"))
        source, before = target, layer.name
    return written


def _function(layer: Layer, function: Function, before: str, activation: str) -> str:
    if isinstance(layer, Convolution):
        kernel, connected = layer.weight.shape[-1], layer.table is not None
        return function.convolution(kernel=kernel, connected=connected, zero="", result=activation.format("sum"))
    if isinstance(layer, Pooling):
        result = activation.format({"max": "largest", "avg": "0.25f * sum", "sum": "sum"}[layer.kind])
        return function.pooling(kind=layer.kind, unit=before, unit_type="float", result=result)
    return function.distances() if isinstance(layer, Distances) else function.dense(result=activation.format("sum"))


def _inputs(shape: Shape, padding: int, preprocess: Preprocess | None) -> list[Input]:
    channels, side = shape[0], shape[1]
    about = f"The image is {channels} x {side} x {side}, row by row, normalised as in training."
    image = Input("image", about, "float", "float", channels, side, ((padding, "0.0f"),), "{}")
    if preprocess is None:
        return [image]
    if (preprocess.channels, preprocess.image_size) != (channels, side):
        found = f"{preprocess.channels} x {preprocess.image_size} x {preprocess.image_size}"
        raise ValueError(f"the preprocessing returns images of {found}; expected {channels} x {side} x {side}")
    side -= 2 * preprocess.padding
    scale, shift = (array.name + "[k]" for array in _normalisation(preprocess))
    borders = ((padding, "0.0f"), (preprocess.padding, f"-{shift}"))
    value = f"(float){{}} * {scale} - {shift}"
    return [Input("pixels", about_pixels(channels, side), "uint8_t", "float", channels, side, borders, value), image]


def _normalisation(preprocess: Preprocess) -> list[Constants]:
    """Return what pixels of each channel are multiplied by, and what is subtracted then."""
    mean, std = (np.broadcast_to(value, preprocess.channels) for value in (preprocess.mean, preprocess.std))
    about = "What the pixels of each channel are multiplied by, and what is subtracted then."
    scale = Constants("pixel_scale", "float", (1 / (255 * std)).astype(np.float32), about)
    return [scale, Constants("pixel_shift", "float", (mean / std).astype(np.float32))]
