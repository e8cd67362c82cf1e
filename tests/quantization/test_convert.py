"""The integer network computes what its network does, as nearly as integers can."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lenet5
from lenet5 import LeNet5, LeNet5Original, Preprocess
from lenet5.data import DataSplits
from lenet5.models.original.network import C3_TABLE
from lenet5.quantization import DistanceLayer, IntegerNetwork, WeightedLayer, convert, prepare, quantize
from lenet5.weights import Pretrained

Build = Callable[..., Pretrained]

NETWORKS: dict[str, dict[str, Any]] = {
    "ReLU": {},
    "average pooling": {"pooling": "avg"},
    "tanh": {"activation": nn.Tanh},
    "sigmoid and average pooling": {"activation": nn.Sigmoid, "pooling": "avg"},
    "leaky ReLU": {"activation": nn.LeakyReLU},
    "GELU": {"activation": nn.GELU},
    "12 pixels, 2 classes": {"image_size": 12, "num_classes": 2},
    "33 pixels, 3 channels": {"image_size": 33, "in_channels": 3},
    "original": {"network_type": LeNet5Original},
    "original, own prototypes": {"network_type": LeNet5Original, "prototypes": torch.linspace(-2, 2, 252).view(3, 84)},
}


def spread(logits: Tensor) -> float:
    return float((logits - logits.mean(1, keepdim=True)).square().mean().sqrt())


def pixels_of(source: Pretrained, images: Tensor) -> Tensor:
    return source.preprocess.resize(images)


def real_logits(network: IntegerNetwork, pixels: Tensor) -> Tensor:
    return torch.from_numpy(network.run(pixels)["output"] * network.layers[-1].output_scale)


@pytest.mark.parametrize("power_of_two", [False, True])
@pytest.mark.parametrize("arguments", NETWORKS.values(), ids=NETWORKS)
def test_logits_are_near_those_of_the_network(
    build: Build, images: Tensor, arguments: dict[str, Any], power_of_two: bool
) -> None:
    source = build(**arguments)
    pixels = pixels_of(source, images)
    network = quantize(source, images, power_of_two=power_of_two)
    expected = source.model(source.preprocess.normalize(pixels)).detach().double()
    error = real_logits(network, pixels) - expected
    assert error.square().mean().sqrt() < 0.1 * spread(expected)


@pytest.mark.parametrize("power_of_two", [False, True])
@pytest.mark.parametrize("arguments", NETWORKS.values(), ids=NETWORKS)
def test_integers_are_those_of_the_prepared_network(
    build: Build, images: Tensor, arguments: dict[str, Any], power_of_two: bool
) -> None:
    source = build(**arguments)
    aware = prepare(source, images, power_of_two=power_of_two)
    rounded: dict[str, Tensor] = {}
    for name, activation in aware.activations.items():
        activation.register_forward_hook(lambda _, __, output, name=name: rounded.update({name: output.detach()}))
    pixels = pixels_of(source, images)
    aware(source.preprocess.normalize(pixels))
    network = convert(aware)
    outputs = network.run(pixels)
    for layer in network.layers:
        if layer.name in rounded:
            expected = (rounded[layer.name] / layer.output_scale).round().numpy()
            differing = (outputs[layer.name] != expected.reshape(outputs[layer.name].shape)).mean()
            assert differing <= (0 if power_of_two else 0.1), layer.name


@pytest.mark.parametrize("arguments", [{}, {"activation": nn.Tanh}, {"network_type": LeNet5Original}])
def test_powers_of_two_need_no_multiplication(build: Build, images: Tensor, arguments: dict[str, Any]) -> None:
    network = quantize(build(**arguments), images, power_of_two=True)
    for layer in network.layers:
        assert np.frexp(layer.output_scale)[0] == 0.5
        if isinstance(layer, WeightedLayer):
            assert (layer.multiplier == 1).all()
            assert (np.frexp(layer.weight_scale)[0] == 0.5).all()
            assert np.frexp(layer.table_scale)[0] == 0.5


def test_layers_have_the_names_of_the_network_and_outputs_their_dtype(build: Build, images: Tensor) -> None:
    for source in (build(), build(activation=nn.Tanh), build(LeNet5Original)):
        network = quantize(source, images)
        outputs = network.run(pixels_of(source, images))
        assert [*outputs] == [name for name, _ in source.model.named_children()]
        for layer in network.layers:
            assert outputs[layer.name].dtype == layer.dtype
        assert outputs["output"].dtype == np.int32


def test_connections_of_c3_are_those_of_the_paper(build: Build, images: Tensor) -> None:
    source = build(LeNet5Original)
    layer = quantize(source, images).layers[2]
    assert isinstance(layer, WeightedLayer)
    assert layer.connections == C3_TABLE
    connected = np.zeros((16, 6), bool)
    for output, inputs in enumerate(layer.connections):
        connected[output, list(inputs)] = True
    assert not layer.weight[~connected].any()
    assert np.abs(layer.weight).reshape(16, -1).max(1).tolist() == [127] * 16


def test_normalisation_is_a_part_of_the_first_layer(build: Build, images: Tensor) -> None:
    """Black images show that the offset between the mean and the whole zero point is in the bias."""
    source = build(preprocess=Preprocess(mean=0.1307, std=0.3081))
    network = quantize(source, images)
    assert network.zero_point.tolist() == [33]
    black = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    expected = source.model.get_submodule("c1")(source.preprocess.normalize(black))[0, :, 14, 14]
    assert torch.tensor(network.run(black)["c1"][0, :, 14, 14] * network.layers[0].output_scale) == pytest.approx(
        expected.detach().double(), abs=network.layers[0].output_scale
    )


@pytest.mark.parametrize("power_of_two", [False, True])
def test_channels_without_weights_compute_their_bias(build: Build, images: Tensor, power_of_two: bool) -> None:
    source = build()
    with torch.no_grad():
        for name in ("c1.conv", "c3.conv", "c5.linear", "f6.linear", "output"):
            source.model.get_parameter(f"{name}.weight")[:2] = 0
            source.model.get_parameter(f"{name}.bias")[:2] = torch.tensor([0, 0.5])
    network = quantize(source, images, power_of_two=power_of_two)
    outputs = network.run(images)
    for layer in network.layers:
        if isinstance(layer, WeightedLayer):
            values = outputs[layer.name][:, :2].reshape(len(images), 2, -1) * layer.output_scale
            assert (values[:, 0] == 0).all()
            assert values[:, 1] == pytest.approx(np.full_like(values[:, 1], 0.5), abs=layer.output_scale, rel=1e-3)


@pytest.mark.parametrize("power_of_two", [False, True])
def test_a_network_of_zeros_answers_the_first_class(build: Build, images: Tensor, power_of_two: bool) -> None:
    source = build()
    for parameter in source.model.parameters():
        nn.init.zeros_(parameter)
    assert not quantize(source, images, power_of_two=power_of_two).predict(images).labels.any()


@pytest.mark.parametrize("power_of_two", [False, True])
@pytest.mark.parametrize("factor", [1e-20, 1e-6, 1e6, 1e20])
def test_no_accumulator_overflows(build: Build, images: Tensor, factor: float, power_of_two: bool) -> None:
    """The largest sum that any input can give fits int32, for weights and biases of any size."""
    for source in (build(), build(LeNet5Original)):
        with torch.no_grad():
            for index, parameter in enumerate(source.model.parameters()):
                parameter.mul_(factor if index % 2 else 1)
        for layer in quantize(source, images, power_of_two=power_of_two).layers:
            if isinstance(layer, WeightedLayer):
                inputs = 4 * 127 if layer.kind == "subsampling" else 255
                weights = np.abs(layer.weight.astype(np.int64)).reshape(len(layer.weight), -1).sum(1)
                assert (weights * inputs + np.abs(layer.bias.astype(np.int64)) < 2**31).all()


def test_colour_images_and_few_classes(digits: DataSplits) -> None:
    model = LeNet5.from_pretrained("mnist_v2", num_classes=2, in_channels=3)
    source = Pretrained(model, Preprocess(channels=3), {"categories": ["even", "odd"]})
    network = quantize(source, digits.train)
    assert network.classes == ("even", "odd")
    assert network.image_shape == (3, 28, 28)
    expected = source.predict(digits.test.images).labels
    assert (network.predict(digits.test.images).labels == expected).float().mean() > 0.98


def test_half_precision_and_subclasses_are_converted(digits: DataSplits) -> None:
    class Own(LeNet5):
        pass

    model = Own.from_pretrained("mnist_v2").bfloat16()
    network = quantize(Pretrained(model, lenet5.load("mnist_v2").preprocess, {}), digits.train)
    assert network.evaluate(digits.test).accuracy > 0.9
    assert all(parameter.dtype == torch.bfloat16 for parameter in model.parameters())


def test_conversion_is_deterministic_and_changes_nothing(build: Build, images: Tensor) -> None:
    source = build()
    before = {name: tensor.clone() for name, tensor in source.model.state_dict().items()}
    state = torch.get_rng_state()
    first, second = (quantize(source, images).run(images) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert all(torch.equal(tensor, before[name]) for name, tensor in source.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_each_image_is_computed_alone(build: Build, images: Tensor) -> None:
    network = quantize(build(), images)
    together = network.run(images[:3])["output"]
    assert np.array_equal(together, np.concatenate([network.run(image[None])["output"] for image in images[:3]]))


@pytest.mark.parametrize("name", ["mnist_v2", "original_mnist_v1"])
@pytest.mark.parametrize("power_of_two", [False, True])
def test_digits_are_recognised_as_by_the_network(digits: DataSplits, name: str, power_of_two: bool) -> None:
    source = lenet5.load(name)
    network = quantize(source, digits.train, power_of_two=power_of_two)
    floating = source.predict(digits.test.images)
    assert (network.predict(digits.test.images).labels != floating.labels).sum() <= 7
    assert network.evaluate(digits.test).classes == digits.test.classes


def test_prototypes_beyond_the_activations_are_refused(build: Build, images: Tensor) -> None:
    source = build(LeNet5Original, prototypes=torch.full((2, 84), 1000.0))
    with pytest.raises(ValueError, match="the prototypes reach 1000, and their squared distances do not fit int32"):
        quantize(source, images)


def test_only_a_prepared_network_is_converted(build: Build) -> None:
    with pytest.raises(ValueError, match="the model is a LeNet5; expected the result of prepare"):
        convert(build().model)  # type: ignore[arg-type]


def test_distances_follow_the_last_activation(build: Build, images: Tensor) -> None:
    network = quantize(build(LeNet5Original), images)
    f6, output = network.layers[-2:]
    assert isinstance(output, DistanceLayer)
    assert output.input_scale == f6.output_scale


def test_networks_and_layers_show_one_line_and_a_table(build: Build, images: Tensor) -> None:
    network = quantize(build(LeNet5Original), images)
    scales = "fixed-point scales"
    assert repr(network) == f"<IntegerNetwork: LeNet5Original, 8-bit weights, 8-bit activations, {scales}>"
    assert repr(network.layers[2]) == "<WeightedLayer c3: convolution (16, 6, 5, 5)>"
    assert repr(quantize(build(), images).layers[1]) == "<PoolingLayer s2: max>"
    assert "<td>(16, 6, 5, 5)</td>" in network._repr_html_()
