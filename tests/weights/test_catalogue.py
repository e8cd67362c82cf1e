import hashlib
import importlib.resources
import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import lenet5
from lenet5 import LeNet5, LeNet5_Weights, LeNet5Original, LeNet5Original_Weights, Preprocess
from lenet5.models import WeightsFolder, load_model
from lenet5.weights import PretrainedWeights
from lenet5.weights.catalogue import read_preprocess

ALL: list[PretrainedWeights] = [*LeNet5_Weights, *LeNet5Original_Weights]
NUM_PARAMS = {LeNet5_Weights: 61_706, LeNet5Original_Weights: 60_000}


@pytest.mark.parametrize("name", ["DEFAULT", "default", "MNIST_V1", "mnist_v1", "Mnist_V1", LeNet5_Weights.MNIST_V1])
def test_builder_accepts_members_and_names_in_any_case(name: LeNet5_Weights | str) -> None:
    model = lenet5.lenet5(weights=name)
    assert not model.training
    assert sum(parameter.numel() for parameter in model.parameters()) == 61_706


@pytest.mark.parametrize("weights", ALL)
def test_state_dict_of_the_weights_is_that_of_the_model(weights: PretrainedWeights) -> None:
    tensors, expected = weights.get_state_dict(progress=True, check_hash=True), load_model(weights.value).state_dict()
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in expected.items())


def test_state_dict_goes_to_the_device_that_map_location_names() -> None:
    for device in ("meta", torch.device("meta")):
        tensors = LeNet5_Weights.DEFAULT.get_state_dict(map_location=device)
        assert {tensor.device.type for tensor in tensors.values()} == {"meta"}
    assert LeNet5_Weights.DEFAULT.get_state_dict(None, "cpu")["output.bias"].device.type == "cpu"
    with pytest.raises(TypeError, match="map_location is .*; expected a device, such as 'cpu', or None"):
        LeNet5_Weights.DEFAULT.get_state_dict(map_location={"cuda:0": "cpu"})  # type: ignore[arg-type]


@pytest.mark.parametrize("weights", ALL)
def test_saved_again_the_weights_are_the_same_file(weights: PretrainedWeights, tmp_path: Path) -> None:
    lenet5.load(weights.value).save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == weights.path.read_bytes()


@pytest.mark.parametrize("weights", ALL)
def test_path_and_url_lead_to_the_safetensors_file(weights: PretrainedWeights) -> None:
    assert hashlib.sha256(weights.path.read_bytes()).hexdigest() == weights.meta["sha256"]
    with urllib.request.urlopen(weights.url) as response:
        assert response.read() == weights.path.read_bytes()


def test_damaged_file_gives_no_state_dict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(LeNet5_Weights.DEFAULT.path.parents[1], tmp_path / "weights")
    monkeypatch.setattr(importlib.resources, "files", lambda _package: tmp_path)
    LeNet5_Weights.DEFAULT.path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="mnist_photo_v1.model.safetensors is damaged or was edited"):
        LeNet5_Weights.DEFAULT.get_state_dict()


@pytest.mark.parametrize("name", ["DEFAULT", "LeNet5_Weights.DEFAULT", "mnist_photo_v1", LeNet5_Weights.DEFAULT])
def test_verify_returns_the_member_that_a_builder_names(name: object) -> None:
    assert LeNet5_Weights.verify(name) is LeNet5_Weights["MNIST_PHOTO_V1"] is LeNet5_Weights.DEFAULT
    assert LeNet5_Weights.verify(None) is None


def test_verify_refuses_the_weights_of_a_different_network() -> None:
    with pytest.raises(ValueError, match="is not in LeNet5_Weights; expected one of: MNIST_V1"):
        LeNet5_Weights.verify(LeNet5Original_Weights.DEFAULT)


@pytest.mark.parametrize("build", [lenet5.lenet5, lenet5.lenet5_original])
def test_old_argument_of_torchvision_is_refused_with_the_new_one(build: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match="pretrained=True is not supported; expected weights='DEFAULT' or None"):
        build(pretrained=True)


def test_default_weights_are_the_documented_ones() -> None:
    assert LeNet5_Weights("default").name == "MNIST_PHOTO_V1"
    assert LeNet5Original_Weights("default").name == "MNIST_V1"


def test_builder_and_from_pretrained_give_the_same_tensors() -> None:
    built, loaded = lenet5.lenet5(weights="MNIST_V1").state_dict(), LeNet5.from_pretrained("mnist_v1").state_dict()
    assert built.keys() == loaded.keys()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in built.items())


def test_builder_without_weights_is_the_constructor() -> None:
    model = lenet5.lenet5(num_classes=3, image_size=32)
    assert (model.num_classes, model.image_size, model.training) == (3, 32, True)


def test_original_network_has_a_builder_and_weights() -> None:
    model = lenet5.lenet5_original(weights="mnist_v1")
    assert isinstance(model, LeNet5Original)
    assert not model.training
    assert LeNet5Original_Weights.DEFAULT.transforms() == Preprocess.original()
    assert lenet5.lenet5_original(init="lecun_uniform").training


def test_original_builder_accepts_the_prototypes_of_the_weights_only() -> None:
    assert lenet5.lenet5_original(weights="DEFAULT", prototypes=None).num_classes == 10
    with pytest.raises(ValueError, match=r"MNIST_V1 has the arguments .*found \{'prototypes'"):
        lenet5.lenet5_original(weights="DEFAULT", prototypes=torch.ones(3, 84))


def test_original_builder_rejects_initialisation_with_weights() -> None:
    with pytest.raises(ValueError, match="weights and init='paper' are both given; expected at most one of them"):
        lenet5.lenet5_original(weights="DEFAULT", init="paper")


def test_weights_of_the_original_network_are_not_for_lenet5() -> None:
    with pytest.raises(ValueError, match="holds the architecture LeNet5Original; expected LeNet5"):
        LeNet5.from_pretrained("original_mnist_v1")


def test_builder_lists_the_known_weights() -> None:
    with pytest.raises(ValueError, match="'mnist_v9' is not in LeNet5_Weights; expected one of: MNIST_V1, .*DEFAULT"):
        lenet5.lenet5(weights="mnist_v9")


def test_arguments_must_equal_those_of_the_weights() -> None:
    state = torch.get_rng_state()
    assert lenet5.lenet5(weights="DEFAULT", num_classes=10).num_classes == 10
    with pytest.raises(ValueError, match=r"MNIST_PHOTO_V1 has the arguments .*found \{'num_classes': 5\}"):
        lenet5.lenet5(weights="DEFAULT", num_classes=5)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("weights", ALL)
def test_metadata_describes_the_weights(weights: PretrainedWeights) -> None:
    meta = weights.meta
    assert meta["num_params"] == NUM_PARAMS[type(weights)]
    assert len(meta["categories"]) == 10
    assert meta["recipe"].startswith(("lenet5 train ", "python benchmarks/distillation.py distil "))
    assert len(meta["sha256"]) == 64
    assert all(meta[name] for name in ("data", "licence", "limits"))
    assert meta["seeds"]["num"] >= 5
    assert 0 < meta["seeds"]["test_accuracy_sd"] < 0.005
    assert 0.5 < meta["abstention"]["coverage"] < 1
    for metrics in meta["metrics"].values():
        low, high = metrics["accuracy_interval"]
        assert low < metrics["accuracy"] < high
    assert isinstance(weights.transforms(), Preprocess)


@pytest.mark.parametrize("weights", ALL)
def test_bundled_configuration_contains_no_path(weights: PretrainedWeights) -> None:
    config = WeightsFolder.open(weights.value).config
    assert "/" not in str(config.get("settings", {}).get("root"))
    assert "--root DIR" in config["meta"]["recipe"]


@pytest.mark.parametrize(
    ("preprocess", "message"),
    [
        (None, "does not describe its preprocessing; expected 'preprocess' in its config.json"),
        ({"std": 0}, "does not describe its preprocessing: mean is 0.1307 and std is 0; expected"),
        ({"colour": True}, "does not describe its preprocessing: .*colour"),
    ],
)
def test_invalid_preprocessing_names_the_folder(
    tmp_path: Path, preprocess: dict[str, object] | None, message: str
) -> None:
    LeNet5().save_pretrained(tmp_path / "weights", preprocess=preprocess)
    with pytest.raises(ValueError, match=f"weights {message}"):
        read_preprocess(WeightsFolder.open(tmp_path / "weights"))


@pytest.mark.parametrize("weights", ALL)
def test_published_metrics_are_reproduced(mnist_root: Path, weights: PretrainedWeights) -> None:
    for data, published in weights.meta["metrics"].items():
        test = lenet5.load_data(data, mnist_root, download=False).test
        test.transform = weights.transforms()
        report = lenet5.evaluate(load_model(weights.value), test)
        assert report.accuracy == published["accuracy"]
        assert report.accuracy_interval == pytest.approx(published["accuracy_interval"], rel=1e-12)
        assert report.expected_calibration_error == pytest.approx(published["expected_calibration_error"], rel=1e-3)
        assert report.to_frame().reset_index(names="class").to_dict("records") == published["per_class"]
        confident = report.probabilities.astype(np.float32).max(1) >= weights.meta["abstention"]["threshold"]
        assert confident.mean() == weights.meta["abstention"]["coverage"]
