from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inspection.networks import TutorialNet, unchanged
from torch import Tensor, nn

import lenet5
from lenet5 import CaffeLeNet, LeNet5, LeNet5Original, feature_maps

NETWORKS: list[Any] = [LeNet5, LeNet5Original, CaffeLeNet]


def images_for(model: Any, count: int = 2) -> Tensor:
    return torch.rand(count, *model.image_shape, generator=torch.Generator().manual_seed(0))


class Own(LeNet5):
    """A subclass with a further layer."""

    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Dropout(0.9)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.extra(super().forward(images))
        return logits


@pytest.mark.parametrize("network", [*NETWORKS, Own])
def test_names_are_those_of_the_children_in_the_order_of_computation(network: Any) -> None:
    model = network()
    assert list(feature_maps(model, images_for(model))) == [name for name, _ in model.named_children()]


@settings(deadline=None, max_examples=15)
@given(
    num_classes=st.integers(1, 12),
    in_channels=st.integers(1, 3),
    image_size=st.integers(12, 40),
    pooling=st.sampled_from(["max", "avg"]),
    activation=st.sampled_from([nn.ReLU, nn.Tanh, lenet5.Square]),
    count=st.integers(1, 3),
)
def test_output_of_each_layer_is_the_input_of_the_next(count: int, **arguments: Any) -> None:
    model = LeNet5(**arguments).eval()
    x = images_for(model, count)
    maps = feature_maps(model, x)
    with torch.no_grad():
        for (name, layer), (map_name, output) in zip(model.named_children(), maps.items(), strict=True):
            x = layer(x)
            assert (name, output.shape) == (map_name, x.shape)
            torch.testing.assert_close(output, x)


@pytest.mark.parametrize("network", NETWORKS)
def test_last_map_decides_the_logits(network: Any) -> None:
    model = network().eval()
    images = images_for(model)
    output = list(feature_maps(model, images).values())[-1]
    logits = model.forward(images)
    torch.testing.assert_close(-output if network is LeNet5Original else output, logits.detach())


@pytest.mark.parametrize("network", [*NETWORKS, Own, TutorialNet])
def test_model_and_generator_stay_as_they_are(network: Any) -> None:
    model = network()
    model.train()
    next(model.children()).eval()  # parts in different modes
    parameter = next(model.parameters())
    parameter.grad = torch.ones_like(parameter)
    seen: list[str] = []
    next(model.children()).register_forward_hook(lambda *_: seen.append("hook"))
    images = torch.rand(2, *getattr(model, "image_shape", (1, 28, 28)), requires_grad=True)
    with unchanged(model):
        maps = feature_maps(model, images)
    assert seen == ["hook"]
    assert images.grad is None
    assert not any(output.requires_grad for output in maps.values())


def test_hooks_are_removed_after_an_error() -> None:
    model = LeNet5()
    with unchanged(model), pytest.raises(ValueError, match="images have shape"):
        feature_maps(model, torch.zeros(1, 1, 30, 30))


def test_dropout_is_off_also_in_training_mode() -> None:
    model = Own().train()
    maps = feature_maps(model, images_for(model))
    assert torch.equal(maps["extra"], maps["output"])


def test_output_of_a_hook_counts_as_the_network_sees_it() -> None:
    model = LeNet5()
    model.c1.register_forward_hook(lambda _layer, _input, output: torch.zeros_like(output))
    assert not feature_maps(model, images_for(model))["c1"].any()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_maps_are_ordinary_tensors_in_every_mode(mode: Any) -> None:
    model = LeNet5()
    with mode():
        maps = feature_maps(model, images_for(model))
    assert not any(output.is_inference() for output in maps.values())


def test_autocast_applies() -> None:
    model = LeNet5()
    with torch.autocast("cpu", torch.bfloat16):
        maps = feature_maps(model, images_for(model))
    assert maps["c1"].dtype == maps["output"].dtype == torch.bfloat16


def test_one_image_is_a_batch_of_one() -> None:
    model = LeNet5()
    batch = images_for(model, 1)
    for image in (batch, batch[0], batch.numpy(), batch[0].numpy()):
        assert torch.equal(feature_maps(model, image)["c1"], feature_maps(model, batch)["c1"])


def test_layers_are_chosen_by_name() -> None:
    model = LeNet5()
    images = images_for(model)
    maps = feature_maps(model, images, layers=["c1.conv", "c1"])
    assert list(maps) == ["c1.conv", "c1"]
    assert torch.equal(maps["c1"], maps["c1.conv"].relu())
    assert list(feature_maps(model, images, layers="c3")) == ["c3"]


@pytest.mark.parametrize(
    ("name", "hint"), [("outptu", "did you mean 'output'"), ("layer4.conv7", "expected one of: c1, c1.conv")]
)
def test_unknown_layer_is_refused(name: str, hint: str) -> None:
    model = LeNet5()
    with pytest.raises(ValueError, match=f"the LeNet5 has no layer '{name}'.*{hint}"):
        feature_maps(model, images_for(model), layers=[name])


def test_no_layers_are_refused() -> None:
    model = LeNet5()
    with pytest.raises(ValueError, match="layers is empty; expected names of layers, or None"):
        feature_maps(model, images_for(model), layers=[])


def test_any_module_with_children_has_maps_before_the_next_layer_changes_them_in_place() -> None:
    model = TutorialNet()
    maps = feature_maps(model, torch.rand(2, 1, 28, 28))
    assert list(maps) == ["conv1", "pool", "conv2", "pool_1", "dense.0", "dense.1"]
    assert (maps["conv1"] < 0).any()


@pytest.mark.parametrize("wrap", [torch.nn.DataParallel, torch.compile, lambda model: model.compile() or model])
def test_wrapped_network_has_the_maps_of_the_network(wrap: Any) -> None:
    model = LeNet5().eval()
    images = images_for(model)
    expected = feature_maps(model, images)
    maps = feature_maps(wrap(model), images)
    assert list(maps) == list(expected)
    assert all(map(torch.equal, maps.values(), expected.values()))


def test_network_of_fx_has_the_maps_of_its_layers() -> None:
    model = LeNet5().eval()
    images = images_for(model)
    maps = feature_maps(torch.fx.symbolic_trace(model), images)
    assert torch.equal(maps["c1.activation"], feature_maps(model, images)["c1"])


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_network_whose_layers_do_not_compute_is_refused() -> None:
    images = torch.rand(1, 1, 28, 28)
    traced: Any = torch.jit.trace(LeNet5().eval(), images)  # type: ignore[no-untyped-call]
    for network in (traced, nn.Identity()):
        with pytest.raises(ValueError, match="no layer of the .* has computed anything; expected a module whose"):
            feature_maps(network, images)


def test_layer_that_returns_no_tensor_is_named() -> None:
    model = nn.Sequential(nn.Flatten(1, 2), nn.LSTM(28, 4))
    with pytest.raises(ValueError, match=r"the layer 1 \(LSTM\) returns a tuple; .* name them with layers="):
        feature_maps(model, torch.rand(2, 1, 28, 28))


def test_pretrained_prepares_what_a_network_refuses(tmp_path: Path) -> None:
    pixels = lenet5.load_data("digits").test.images[:1]
    pretrained = lenet5.load("mnist_v2")
    expected = feature_maps(pretrained.model, pretrained.preprocess(pixels))
    for images in (pixels, pixels.numpy(), pixels[0, 0]):
        maps = feature_maps(pretrained, images)
        assert all(map(torch.equal, maps.values(), expected.values()))
    from PIL import Image

    Image.fromarray(255 - pixels[0, 0].numpy()).resize((200, 200)).save(tmp_path / "digit.png")
    assert feature_maps(pretrained, tmp_path / "digit.png")["output"].shape == (1, 10)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.zeros(1, 1, 28, 28, dtype=torch.uint8), ValueError, "uint8; expected .*Preprocess converts"),
        (np.zeros((28, 28), np.uint8), ValueError, "uint8; expected .*Preprocess converts"),
        ("photo.jpg", TypeError, "images are str; expected a tensor .*and so does a lenet5.Pretrained"),
        (None, TypeError, "images are NoneType"),
    ],
)
def test_unprepared_images_are_refused_with_advice(images: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        feature_maps(LeNet5(), images)


def test_other_objects_are_no_networks() -> None:
    with pytest.raises(TypeError, match="the network is a str; expected a torch.nn.Module or a lenet5.Pretrained"):
        feature_maps("mnist_v2", torch.zeros(1, 1, 28, 28))  # type: ignore[arg-type]
