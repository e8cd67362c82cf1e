import json
from pathlib import Path

import numpy as np
import pytest
import torch

import lenet5
from lenet5 import LeNet5, LeNet5_Weights, LeNet5Original, LeNet5Original_Weights, Preprocess
from lenet5.models import load_model
from lenet5.weights import PretrainedWeights

ALL: list[PretrainedWeights] = [*LeNet5_Weights, *LeNet5Original_Weights]
NUM_PARAMS = {LeNet5_Weights: 61_706, LeNet5Original_Weights: 60_000}


@pytest.mark.parametrize("name", ["DEFAULT", "default", "MNIST_V1", "mnist_v1", "Mnist_V1", LeNet5_Weights.MNIST_V1])
def test_weights_go_by_member_and_by_name_in_any_case(name: LeNet5_Weights | str) -> None:
    model = lenet5.lenet5(weights=name)
    assert not model.training
    assert sum(parameter.numel() for parameter in model.parameters()) == 61_706


def test_the_builder_the_class_and_the_name_give_the_same_tensors() -> None:
    built, loaded = lenet5.lenet5(weights="MNIST_V1").state_dict(), LeNet5.from_pretrained("mnist_v1").state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in built.items())


def test_without_weights_the_builder_is_the_constructor() -> None:
    model = lenet5.lenet5(num_classes=3, image_size=32)
    assert (model.num_classes, model.image_size, model.training) == (3, 32, True)


def test_the_network_of_1998_has_a_builder_and_weights_of_its_own() -> None:
    model = lenet5.lenet5_original(weights="mnist_v1")
    assert isinstance(model, LeNet5Original)
    assert not model.training
    assert LeNet5Original_Weights.DEFAULT.transforms() == Preprocess.of_1998()
    assert lenet5.lenet5_original(weights="DEFAULT", prototypes=None).num_classes == 10
    with pytest.raises(ValueError, match=r"MNIST_V1 is for .*found \{'prototypes'"):
        lenet5.lenet5_original(weights="DEFAULT", prototypes=torch.ones(3, 84))
    with pytest.raises(ValueError, match="holds LeNet5Original; expected LeNet5"):
        LeNet5.from_pretrained("original_mnist_v1")
    with pytest.raises(ValueError, match="init is 'paper' beside weights"):
        lenet5.lenet5_original(weights="DEFAULT", init="paper")
    assert lenet5.lenet5_original(init="lecun_uniform").training


def test_unknown_weights_are_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="'mnist_v9' is not in LeNet5_Weights; expected one of: MNIST_V1, .*DEFAULT"):
        lenet5.lenet5(weights="mnist_v9")


def test_arguments_beside_weights_may_only_repeat_them() -> None:
    assert lenet5.lenet5(weights="DEFAULT", num_classes=10).num_classes == 10
    with pytest.raises(ValueError, match=r"MNIST_V\d is for .*found \{'num_classes': 5\}"):
        lenet5.lenet5(weights="DEFAULT", num_classes=5)


@pytest.mark.parametrize("weights", ALL)
def test_weights_say_what_is_known_of_them(weights: PretrainedWeights) -> None:
    meta = weights.meta
    assert meta["num_params"] == NUM_PARAMS[type(weights)]
    assert len(meta["categories"]) == 10
    assert meta["recipe"].startswith("lenet5 train ")
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
def test_the_shipped_folders_hold_no_path(weights: PretrainedWeights) -> None:
    folder = Path(lenet5.__file__).parent / "weights" / weights.value
    assert "/" not in str(json.loads((folder / "config.json").read_text())["settings"]["root"])


@pytest.mark.parametrize("weights", ALL)
def test_the_published_accuracy_is_reproduced_exactly(mnist_root: Path, weights: PretrainedWeights) -> None:
    for data, published in weights.meta["metrics"].items():
        test = lenet5.load_data(data, mnist_root, download=False).test
        test.transform = weights.transforms()
        report = lenet5.Trainer(load_model(weights.value), lenet5.TrainerConfig(device="cpu")).evaluate(test)
        assert report.accuracy == published["accuracy"]
        assert list(report.accuracy_interval) == published["accuracy_interval"]
        assert report.expected_calibration_error == pytest.approx(published["expected_calibration_error"], rel=1e-3)
        assert report.to_frame().reset_index(names="class").to_dict("records") == published["per_class"]
        answered = report.probabilities.astype(np.float32).max(1) >= weights.meta["abstention"]["threshold"]
        assert answered.mean() == weights.meta["abstention"]["coverage"]
