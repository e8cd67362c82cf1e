import copy
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.feature_extraction import create_feature_extractor

from lenet5 import CaffeLeNet

SHAPES = {"conv1": (20, 24, 24), "pool1": (20, 12, 12), "conv2": (50, 8, 8), "pool2": (50, 4, 4), "ip1": (500,)}
PARAMETERS = {"conv1": 520, "pool1": 0, "conv2": 25_050, "pool2": 0, "ip1": 400_500, "relu1": 0, "ip2": 5010}


def test_layers_have_431080_parameters_in_total() -> None:
    counts = {name: sum(p.numel() for p in child.parameters()) for name, child in CaffeLeNet().named_children()}
    assert counts == PARAMETERS
    assert sum(counts.values()) == 431_080


def test_one_image_takes_2293000_multiply_accumulates() -> None:
    with FlopCounterMode(display=False) as counter:
        CaffeLeNet()(torch.zeros(1, 1, 28, 28))
    assert counter.get_total_flops() == 2 * 2_293_000


@given(count=st.integers(1, 4), classes=st.integers(1, 30), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_layers_have_the_documented_output_shapes(count: int, classes: int, dtype: torch.dtype) -> None:
    model = CaffeLeNet(classes).to(dtype).eval()
    expected = {name: (count, *shape) for name, shape in SHAPES.items()} | {"ip2": (count, classes)}
    features = create_feature_extractor(model, list(expected))(torch.zeros(count, 1, 28, 28, dtype=dtype))
    assert {name: tuple(value.shape) for name, value in features.items()} == expected


def test_logits_equal_the_functional_form_with_a_single_relu() -> None:
    torch.manual_seed(0)
    model, images, f = CaffeLeNet(), torch.rand(3, 1, 28, 28), nn.functional
    state = model.state_dict()
    x = f.max_pool2d(f.conv2d(images, state["conv1.weight"], state["conv1.bias"]), 2)
    x = f.max_pool2d(f.conv2d(x, state["conv2.weight"], state["conv2.bias"]), 2)
    x = f.relu(f.linear(x.flatten(1), state["ip1.weight"], state["ip1.bias"]))
    torch.testing.assert_close(model(images), f.linear(x, state["ip2.weight"], state["ip2.bias"]))


def test_save_load_and_deepcopy_preserve_the_logits(tmp_path: Path) -> None:
    model, images = CaffeLeNet(7).eval(), torch.rand(3, 1, 28, 28)
    model.save_pretrained(tmp_path)
    assert torch.equal(CaffeLeNet.from_pretrained(tmp_path)(images), model(images))
    assert torch.equal(copy.deepcopy(model)(images), model(images))


@pytest.mark.parametrize("num_classes", [0, -1, 10.5])
def test_constructor_rejects_invalid_num_classes(num_classes: int) -> None:
    with pytest.raises(ValueError, match=f"num_classes is {num_classes}; expected an integer of at least 1"):
        CaffeLeNet(num_classes)
