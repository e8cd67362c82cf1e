"""hls4ml: conversion of the networks to C++ for high-level synthesis on FPGAs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lenet5 import CaffeLeNet, LeNet5
from lenet5.models.classifier import ImageClassifier

hls4ml = pytest.importorskip("hls4ml", reason="nox -s tests_bridges installs it")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # hls4ml warns of what it optimizes
LAYERS = [
    *("c1_conv", "c1_activation", "s2", "c3_conv", "c3_activation", "s4"),
    *("c5_flatten", "c5_linear", "c5_activation", "f6_linear", "f6_activation", "output"),
]


def convert(model: nn.Module, image_shape: tuple[int, int, int], folder: Path, io_type: str) -> tuple[Any, Any]:
    """Return the configuration of a network, and its model in hls4ml."""
    config = hls4ml.utils.config_from_pytorch_model(
        model,
        input_shape=image_shape,
        granularity="name",
        default_precision="ap_fixed<24,8>",
        channels_last_conversion="full",
        transpose_outputs=False,
    )
    converted = hls4ml.converters.convert_from_pytorch_model(
        model, hls_config=config, output_dir=str(folder), backend="Vivado", io_type=io_type
    )
    return config, converted


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize(
    "model",
    [LeNet5(), LeNet5(activation=nn.Tanh, pooling="avg"), LeNet5(in_channels=3, image_size=32)],
    ids=["max", "avg", "colour"],
)
def test_every_layer_of_lenet5_is_converted(model: LeNet5, io_type: str, tmp_path: Path) -> None:
    config, converted = convert(model, model.image_shape, tmp_path, io_type)
    assert [name for name in config["LayerName"] if name != "images"] == LAYERS
    weights = {
        layer.name: layer.weights["weight"].data for layer in converted.get_layers() if "weight" in layer.weights
    }
    assert np.allclose(weights["output"], model.output.weight.detach().numpy().T)
    assert set(weights) == {"c1_conv", "c3_conv", "c5_linear", "f6_linear", "output"}


def test_every_layer_of_the_lenet_of_caffe_is_converted(tmp_path: Path) -> None:
    model = CaffeLeNet()
    config, _ = convert(model, model.image_shape, tmp_path, "io_stream")
    assert {"conv1", "pool1", "conv2", "pool2", "ip1", "relu1", "ip2"} <= set(config["LayerName"])


@pytest.mark.skipif(shutil.which("g++") is None, reason="hls4ml compiles its emulation with g++")
def test_emulation_in_fixed_point_computes_the_logits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model: ImageClassifier = LeNet5(image_size=12).eval()  # the smallest: g++ takes minutes for images of 28x28
    images = torch.rand(4, 1, 12, 12)
    _, converted = convert(model, model.image_shape, tmp_path, "io_parallel")
    converted.compile()
    logits = converted.predict(np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy()))
    assert np.allclose(logits, model(images).detach().numpy(), atol=0.01)
