"""Quantisation-aware training with the Trainer, its checkpoints, and the integer network that it gives."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lenet5
from lenet5 import Callback, LeNet5Original, Trainer, TrainerConfig
from lenet5.data import DataSplits, ImageDataset
from lenet5.models import load_model
from lenet5.quantization import QuantizationAware, WeightedLayer, convert, prepare
from lenet5.weights import Pretrained

Build = Callable[..., Pretrained]


@pytest.fixture(scope="module")
def few(digits: DataSplits) -> ImageDataset:
    dataset = digits.train.select(range(256))
    dataset.transform = lenet5.load("mnist_v2").preprocess
    return dataset


def settings(**changes: Any) -> TrainerConfig:
    return TrainerConfig(**{"max_epochs": 2, "batch_size": 64, "lr": 1e-3, "device": "cpu", **changes})


@pytest.mark.parametrize("power_of_two", [False, True])
def test_training_makes_four_bits_as_good_as_eight(digits: DataSplits, power_of_two: bool) -> None:
    pretrained = lenet5.load("mnist_v2")
    train, val, test = digits
    train.transform = val.transform = pretrained.preprocess
    model = prepare(pretrained, train, weight_bits=4, activation_bits=4, power_of_two=power_of_two)
    before = convert(model).evaluate(test).accuracy
    history = Trainer(model, settings(max_epochs=4)).fit(train, val)
    after = convert(model).evaluate(test).accuracy
    assert after > max(before, 0.95)
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def test_integer_network_has_the_accuracy_of_the_trained_one(few: ImageDataset, digits: DataSplits) -> None:
    pretrained = lenet5.load("mnist_v2")
    model = prepare(pretrained, few, weight_bits=4, activation_bits=4, power_of_two=True)
    Trainer(model, settings(max_epochs=1)).fit(few)
    test = digits.test
    test.transform = pretrained.preprocess
    expected = lenet5.evaluate(model, test)
    network = convert(model)
    assert np.array_equal(network.evaluate(test).predictions, expected.predictions)
    for layer in network.layers:
        if isinstance(layer, WeightedLayer):
            assert 4 <= np.abs(layer.weight).max() <= 7
            assert layer.high in (15, 2**31 - 1)


def test_weights_stay_in_floating_point_and_all_are_trained(build: Build, images: Tensor) -> None:
    for source in (build(), build(activation=nn.Tanh, pooling="avg"), build(LeNet5Original)):
        model = prepare(source, images).train()
        model(source.preprocess(images)).square().sum().backward()  # type: ignore[no-untyped-call]
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all()
            assert parameter.grad.any(), name


def test_a_run_resumes_exactly(few: ImageDataset, tmp_path: Path, stop_after: Callable[[int], Callback]) -> None:
    def start() -> QuantizationAware:
        return prepare(lenet5.load("mnist_v2"), few, weight_bits=4)

    whole = start()
    Trainer(whole, settings()).fit(few)
    config = settings(checkpoint_dir=tmp_path, checkpoint_steps=1)
    with pytest.raises(InterruptedError):
        Trainer(start(), config, callbacks=[stop_after(6)]).fit(few)
    resumed = start()
    Trainer(resumed, config).fit(few, resume=tmp_path)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@pytest.mark.parametrize("network_type", [lenet5.LeNet5, LeNet5Original])
def test_a_prepared_network_is_saved_and_loaded(
    build: Build, images: Tensor, tmp_path: Path, network_type: type
) -> None:
    source = build(network_type)
    model = prepare(source, images, weight_bits=4, activation_bits=6, power_of_two=True)
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path)
    assert isinstance(loaded, QuantizationAware)
    pixels = source.preprocess.resize(images)
    assert np.array_equal(convert(loaded).run(pixels)["output"], convert(model).run(pixels)["output"])
    assert convert(loaded).classes == source.classes


def test_a_prepared_network_is_loaded_where_nothing_was_imported(build: Build, images: Tensor, tmp_path: Path) -> None:
    source = build()
    prepare(source, images).save_pretrained(tmp_path, preprocess=source.preprocess)
    program = f"import lenet5; print(type(lenet5.load({str(tmp_path)!r}).model).__name__)"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "QuantizationAware"


def test_only_supported_networks_are_rebuilt(build: Build, images: Tensor) -> None:
    arguments = {**prepare(build(), images).arguments(), "architecture": "CaffeLeNet"}
    with pytest.raises(ValueError, match="its network is 'CaffeLeNet'; expected LeNet5 or LeNet5Original"):
        QuantizationAware.from_arguments(arguments)


def test_training_works_under_autocast(few: ImageDataset) -> None:
    model = prepare(lenet5.load("mnist_v2"), few)
    history = Trainer(model, settings(precision="bfloat16", max_epochs=1)).fit(few)
    assert np.isfinite(history[-1]["train_loss"])
    assert convert(model).evaluate(few).accuracy > 0.9


def test_weights_that_became_nan_are_not_converted(build: Build, images: Tensor) -> None:
    model = prepare(build(), images)
    nn.init.constant_(model.network.output.get_parameter("bias"), torch.nan)
    with pytest.raises(ValueError, match="network.output.bias holds NaN"):
        convert(model)
