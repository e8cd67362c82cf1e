import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import lenet5
from lenet5 import LeNet5
from lenet5.export import ArrayFormat, export_arrays
from lenet5.quantization import quantize


@pytest.mark.parametrize("array_format", ["npy", "mem", "hex"])
@pytest.mark.parametrize("name", ["mnist_v2", "original_mnist_v1"])
def test_folder_holds_every_tensor_bit_for_bit(array_format: ArrayFormat, name: str, tmp_path: Path) -> None:
    pretrained = lenet5.load(name)
    exported = export_arrays(pretrained, tmp_path / "arrays", format=array_format)
    index = json.loads((tmp_path / "arrays" / "index.json").read_text(encoding="utf-8"))
    tensors = pretrained.model.state_dict()
    assert [entry["name"] for entry in index["arrays"]] == list(tensors)
    assert {file.name for file in exported.files} == {entry["file"] for entry in index["arrays"]} | {"index.json"}
    for entry in index["arrays"]:
        file = tmp_path / "arrays" / entry["file"]
        expected = tensors[entry["name"]].numpy()
        if array_format == "npy":
            values = np.load(file)
        else:  # as $readmemh reads: words of hexadecimal digits
            words = file.read_text(encoding="ascii").split()
            assert all(re.fullmatch("[0-9a-f]{8}", word) for word in words)
            values = np.array([int(word, 16) for word in words], np.uint32).view(entry["dtype"]).reshape(entry["shape"])
        np.testing.assert_array_equal(values, expected, strict=True)


def test_index_describes_the_network(tmp_path: Path) -> None:
    pretrained = lenet5.load("original_mnist_v1")
    export_arrays(pretrained, tmp_path)
    index = json.loads((tmp_path / "index.json").read_text(encoding="utf-8"))
    assert (index["architecture"], index["weights"]) == ("LeNet5Original", "original_mnist_v1")
    assert lenet5.Preprocess(**index["preprocessing"]) == pretrained.preprocess
    assert index["classes"] == list("0123456789")


def test_existing_folder_keeps_its_other_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    export_arrays(LeNet5(), tmp_path, format="mem")
    first = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    export_arrays(LeNet5(26), tmp_path, format="mem")
    assert {file.name for file in tmp_path.iterdir()} == first.keys()
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_bad_arguments_get_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is not a folder; expected one, or a new path"):
        export_arrays(LeNet5(), tmp_path / "file")
    with pytest.raises(ValueError, match="the format is 'bin'; expected 'npy', 'mem' or 'hex'"):
        export_arrays(LeNet5(), tmp_path / "new", format="bin")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a network of this package"):
        export_arrays(torch.nn.Linear(1, 1), tmp_path / "new")
    model = LeNet5()
    torch.nn.init.constant_(model.output.bias, float("nan"))
    with pytest.raises(ValueError, match="finite"):
        export_arrays(model, tmp_path / "new")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("array_format", ["npy", "mem"])
@pytest.mark.parametrize("name", ["mnist_v2", "original_mnist_v1"])
def test_integers_are_in_two_s_complement_with_their_scales(
    array_format: ArrayFormat, name: str, digits: lenet5.DataSplits, tmp_path: Path
) -> None:
    network = quantize(lenet5.load(name), digits.train)
    export_arrays(network, tmp_path, format=array_format)
    index = json.loads((tmp_path / "index.json").read_text(encoding="utf-8"))
    assert (index["weight_bits"], index["input_scale"]) == (8, network.input_scale)
    assert index["classes"] == list("0123456789")
    arrays = {entry["name"]: entry for entry in index["arrays"]}
    for layer, described in zip(network.layers, index["layers"], strict=True):
        assert (described["name"], described["output_scale"]) == (layer.name, layer.output_scale)
        for field in ("weight", "bias", "multiplier", "shift", "lookup", "prototypes"):
            expected = getattr(layer, field, None)
            assert (f"{layer.name}.{field}" in arrays) == (expected is not None)
            if expected is None:
                continue
            entry = arrays[f"{layer.name}.{field}"]
            if array_format == "npy":
                values = np.load(tmp_path / entry["file"])
            else:
                words = (tmp_path / entry["file"]).read_text(encoding="ascii").split()
                digits_per_word = 2 * expected.itemsize
                assert all(re.fullmatch(f"[0-9a-f]{{{digits_per_word}}}", word) for word in words)
                unsigned = np.array([int(word, 16) for word in words], f"u{expected.itemsize}")
                values = unsigned.view(entry["dtype"]).reshape(entry["shape"])
            np.testing.assert_array_equal(values, expected, strict=True)
        if hasattr(layer, "weight_scale"):
            assert described["weight_scale"] == layer.weight_scale.tolist()
