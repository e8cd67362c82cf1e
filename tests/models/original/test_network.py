import copy
import math
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor
from torchvision.models.feature_extraction import create_feature_extractor

from lenet5 import LeNet5Original, Preprocess, layer_table
from lenet5.models.original.layers import Init
from lenet5.models.original.network import C3_TABLE, digit_prototypes

LAYERS = ["c1", "s2", "c3", "s4", "c5", "f6", "output"]
SHAPES = {
    "c1": (6, 28, 28),
    "s2": (6, 14, 14),
    "c3": (16, 10, 10),
    "s4": (16, 5, 5),
    "c5": (120,),
    "f6": (84,),
    "output": (10,),
}
PARAMETERS = {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164, "output": 0}
CONNECTIONS = {"c1": 122_304, "s2": 5880, "c3": 151_600, "s4": 2000, "c5": 48_120, "f6": 10_164, "output": 840}


def random_images(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(count, 1, 32, 32, dtype=dtype, generator=torch.Generator().manual_seed(0))


def test_layers_have_the_parameters_and_connections_of_the_paper() -> None:
    model = LeNet5Original()
    table = layer_table(model)
    assert table["parameters"].to_dict() == PARAMETERS
    assert table["connections"].to_dict() == CONNECTIONS
    assert (table["parameters"].sum(), table["connections"].sum()) == (60_000, 340_908)
    assert model.output.prototypes.numel() == 840


def test_c3_table_is_that_of_the_paper() -> None:
    assert [len(row) for row in C3_TABLE] == [3] * 6 + [4] * 9 + [6]
    assert [sum(source in row for row in C3_TABLE) for source in range(6)] == [10] * 6
    assert len(set(C3_TABLE)) == 16


def test_prototypes_are_ten_different_bitmaps_of_plus_and_minus_one() -> None:
    prototypes = digit_prototypes()
    assert prototypes.shape == (10, 84)
    assert prototypes.abs().eq(1).all()
    assert torch.pdist(prototypes).min() > 0
    bitmap = prototypes[1].view(12, 7)
    assert (bitmap[9] == torch.tensor([-1.0, 1, 1, 1, 1, 1, 1])).all()  # the foot of the digit 1


@given(count=st.integers(1, 4), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_layers_have_the_output_shapes_of_the_paper(count: int, dtype: torch.dtype) -> None:
    model = LeNet5Original().to(dtype).eval()
    features = create_feature_extractor(model, LAYERS)(torch.zeros(count, 1, 32, 32, dtype=dtype))
    shapes = {name: tuple(value.shape) for name, value in features.items()}
    assert shapes == {name: (count, *shape) for name, shape in SHAPES.items()}


def test_logits_are_negated_squared_distances_to_the_prototypes() -> None:
    model, images = LeNet5Original().double().eval(), random_images(3, torch.float64)
    f6 = create_feature_extractor(model, ["f6"])(images)["f6"].detach().numpy()
    expected = -((f6[:, None] - digit_prototypes().numpy()) ** 2).sum(2)
    np.testing.assert_allclose(model(images).detach().numpy(), expected, rtol=1e-12)


def test_gradients_reach_every_parameter() -> None:
    model = LeNet5Original()
    torch.autograd.backward(model(random_images(2)).sum())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_prototypes_are_saved_but_not_trained() -> None:
    model = LeNet5Original()
    assert "output.prototypes" in model.state_dict()
    assert "output.prototypes" not in dict(model.named_parameters())


@pytest.mark.parametrize(
    ("init", "bound"), [("paper", lambda fan_in: 2.4 / fan_in), ("lecun_uniform", lambda fan_in: math.sqrt(3 / fan_in))]
)
def test_initial_weights_lie_within_the_bound_of_their_fan_in(init: Init, bound: Callable[[int], float]) -> None:
    torch.manual_seed(0)
    model = LeNet5Original(init=init)
    fan_ins = {"c1.conv": 25, "s2.subsampling": 4, "s4.subsampling": 4, "c5.conv": 400, "f6.linear": 120}
    for name, fan_in in fan_ins.items():
        weight = model.get_parameter(f"{name}.weight")
        if "subsampling" in name and init == "lecun_uniform":
            assert weight.eq(0.25).all()
        else:
            assert 0.5 * bound(fan_in) < weight.abs().max() <= bound(fan_in)
        assert not model.get_parameter(f"{name}.bias").any()
    kernels = iter(model.get_parameter("c3.conv.weight"))
    for row in C3_TABLE:
        largest = max(float(next(kernels).detach().abs().max()) for _ in row)
        assert 0.8 * bound(25 * len(row)) < largest <= bound(25 * len(row))


@pytest.mark.parametrize("num_classes", [None, 4])
def test_save_load_and_deepcopy_preserve_the_logits(tmp_path: Path, num_classes: int | None) -> None:
    images = random_images(3)
    prototypes = None if num_classes is None else torch.sign(torch.randn(num_classes, 84))
    model = LeNet5Original(prototypes=prototypes).eval()
    model.save_pretrained(tmp_path)
    loaded = LeNet5Original.from_pretrained(tmp_path)
    assert loaded.num_classes == (num_classes or 10)
    assert torch.equal(loaded(images), model(images))
    assert torch.equal(copy.deepcopy(model)(images), model(images))


def test_constructor_rejects_prototypes_of_wrong_length() -> None:
    with pytest.raises(ValueError, match=r"prototypes have shape \(10, 80\); expected \(num_classes, 84\)"):
        LeNet5Original(prototypes=torch.zeros(10, 80))


def test_constructor_rejects_unknown_initialisation() -> None:
    with pytest.raises(ValueError, match="init is 'keras'; expected 'paper' or 'lecun_uniform'"):
        LeNet5Original(init="keras")  # type: ignore[arg-type]


def test_original_preprocessing_centres_the_digit_in_a_field_of_32x32() -> None:
    images = torch.full((2, 1, 28, 28), 255, dtype=torch.uint8)
    field = Preprocess.original()(images)
    assert field.shape == (2, 1, 32, 32)
    torch.testing.assert_close(field[:, :, 2:30, 2:30], torch.full((2, 1, 28, 28), 1.175))
    assert int(torch.isclose(field, torch.tensor(-0.1)).sum()) == 2 * (32**2 - 28**2)


@pytest.mark.parametrize("assign", [False, True])
def test_network_built_without_memory_takes_tensors(assign: bool) -> None:
    source, images = LeNet5Original().eval(), torch.rand(2, 1, 32, 32)
    with torch.device("meta"):
        model = LeNet5Original().eval()
    if not assign:
        model.to_empty(device="cpu")
    model.load_state_dict(source.state_dict(), assign=assign)
    assert torch.equal(model(images), source(images))
    with torch.no_grad():
        assert torch.equal(model(images), source(images))
