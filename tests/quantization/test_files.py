"""The folder of an integer network."""

import json
import operator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from torch import Tensor

import lenet5
from lenet5 import LeNet5Original
from lenet5.quantization import IntegerNetwork, WeightedLayer, quantize

Build = Any


@pytest.mark.parametrize("network_type", [lenet5.LeNet5, LeNet5Original])
def test_a_network_is_read_as_it_was_saved(build: Build, images: Tensor, tmp_path: Path, network_type: type) -> None:
    network = quantize(build(network_type), images)
    network.save(tmp_path / "new" / "integers")
    loaded = IntegerNetwork.load(tmp_path / "new" / "integers")
    for name, value in vars(network).items():
        if name not in ("layers", "zero_point"):
            assert getattr(loaded, name) == value
    for layer, other in zip(network.layers, loaded.layers, strict=True):
        assert type(layer) is type(other)
        for name, value in vars(layer).items():
            same = np.array_equal if isinstance(value, np.ndarray) else operator.eq
            assert same(getattr(other, name), value), name
            assert type(getattr(other, name)) is type(value)
    pixels = network.preprocess.resize(images)
    assert np.array_equal(network.run(pixels)["output"], loaded.run(pixels)["output"])


def test_files_are_read_without_this_package(build: Build, images: Tensor, tmp_path: Path) -> None:
    network = quantize(build(), images)
    network.save(tmp_path)
    record = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["network"]
    arrays = load_file(tmp_path / "model.safetensors")
    c1 = network.layers[0]
    assert isinstance(c1, WeightedLayer)
    assert record["layers"][0]["output_scale"] == c1.output_scale
    assert arrays["c1.weight"].dtype == np.int8
    assert arrays["c1.bias"].dtype == np.int32
    assert np.array_equal(arrays["c1.weight"], c1.weight)
    assert np.array_equal(arrays["zero_point"], [33])


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_edited_files_are_refused(build: Build, images: Tensor, tmp_path: Path, name: str) -> None:
    quantize(build(), images).save(tmp_path)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data.replace(b"255", b"254") if name == "config.json" else data[:-1] + b"\x55")
    with pytest.raises(ValueError, match=f"{name} is damaged or was edited"):
        IntegerNetwork.load(tmp_path)


def test_weights_folders_and_integer_networks_are_told_apart(build: Build, images: Tensor, tmp_path: Path) -> None:
    source = build()
    source.model.save_pretrained(tmp_path / "weights")
    quantize(source, images).save(tmp_path / "integers")
    with pytest.raises(ValueError, match="names the architecture 'LeNet5'; expected 'IntegerNetwork'"):
        IntegerNetwork.load(tmp_path / "weights")
    with pytest.raises(ValueError, match="names the architecture 'IntegerNetwork'; expected one of"):
        lenet5.load(tmp_path / "integers")


def test_a_missing_folder_and_a_file_in_its_place_are_refused(build: Build, images: Tensor, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is a file; expected a folder"):
        quantize(build(), images).save(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        IntegerNetwork.load(tmp_path / "nothing")
