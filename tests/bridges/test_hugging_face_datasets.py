"""Datasets of Hugging Face's library, built in memory and given to the Trainer as they come."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Subset

import lenet5
from lenet5 import ImageDataset, LeNet5, Preprocess, Trainer, TrainerConfig

datasets = pytest.importorskip("datasets", reason="nox -s tests_bridges installs it")

NAMES = [f"digit {number}" for number in range(10)]
CONFIG = TrainerConfig(max_epochs=2, batch_size=16, device="cpu", seed=0)


@pytest.fixture(scope="module")
def digits() -> ImageDataset:
    test = lenet5.load_data("digits").test.select(range(48))
    return ImageDataset(test.images, test.targets, classes=NAMES, transform=Preprocess())


def build(digits: ImageDataset, image: str = "image", label: str = "label", **columns: Any) -> Any:
    images = [Image.fromarray(pixels[0].numpy()) for pixels in digits.images]
    features = {image: datasets.Image(), label: datasets.ClassLabel(names=NAMES)}
    others = {name: datasets.ClassLabel(names=["a", "b"]) for name in columns}
    content = {image: images, label: digits.targets.tolist(), **columns}
    return datasets.Dataset.from_dict(content, features=datasets.Features({**features, **others}))


FORMS = {
    "as it comes": lambda dataset: dataset,
    "torch": lambda dataset: dataset.with_format("torch"),
    "numpy": lambda dataset: dataset.with_format("numpy"),
    "img": lambda dataset: dataset.rename_column("image", "img"),
    "images and labels": lambda dataset: dataset.rename_columns({"image": "images", "label": "labels"}),
    "other names": lambda dataset: dataset.rename_columns({"image": "scan", "label": "digit"}),
    "more columns": lambda dataset: dataset.add_column("writer", list(range(len(dataset)))),
    "subset": lambda dataset: Subset(dataset, range(len(dataset))),
}
STREAMS = {
    "stream": lambda dataset: dataset.to_iterable_dataset(),
    "stream, torch": lambda dataset: dataset.to_iterable_dataset().with_format("torch"),
}


@pytest.mark.parametrize("form", [*FORMS.values(), *STREAMS.values()], ids=[*FORMS, *STREAMS])
def test_evaluation_and_prediction_equal_those_of_an_image_dataset(digits: ImageDataset, form: Any) -> None:
    model, data = lenet5.lenet5(weights="DEFAULT"), form(build(digits))
    report, expected = lenet5.evaluate(model, data), lenet5.evaluate(model, digits)
    assert report.classes == tuple(NAMES)
    assert np.array_equal(report.probabilities, expected.probabilities)
    assert np.array_equal(report.targets, expected.targets)
    assert torch.equal(lenet5.predict(model, data).labels, lenet5.predict(model, digits).labels)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_training_equals_that_with_an_image_dataset(digits: ImageDataset, form: Any) -> None:
    models, data = [], build(digits)
    for train in (form(data), digits):
        torch.manual_seed(0)
        trainer = Trainer(LeNet5(), CONFIG)
        trainer.fit(train, form(data) if train is not digits else digits)
        models.append(trainer.model.state_dict())
        assert trainer.evaluate(train).classes == tuple(NAMES)
        assert len(trainer.predict(train)) == len(digits)
    assert all(torch.equal(tensor, models[1][name]) for name, tensor in models[0].items())


def test_transform_of_the_user_takes_the_place_of_the_normalisation(digits: ImageDataset) -> None:
    preprocess = Preprocess(mean=0.5, std=0.5)
    data = build(digits).with_transform(lambda batch: {**batch, "image": preprocess(batch["image"])})
    model = LeNet5()
    expected = lenet5.predict(model, preprocess(digits.images)).probabilities
    assert torch.equal(lenet5.predict(model, data).probabilities, expected)
    assert lenet5.evaluate(model, data).classes == tuple(NAMES)


def test_colour_and_other_modes_become_three_channels() -> None:
    image = Image.new("RGB", (28, 28), (255, 0, 0))
    for mode in ("RGB", "RGBA", "P"):
        data = datasets.Dataset.from_dict({"image": [image.convert(mode)] * 3}).cast_column("image", datasets.Image())
        model = LeNet5(in_channels=3)
        expected = lenet5.predict(model, Preprocess(channels=3)([image] * 3))
        assert torch.allclose(lenet5.predict(model, data).probabilities, expected.probabilities)


def test_dataset_dict_is_refused_with_the_names_of_its_splits(digits: ImageDataset) -> None:
    data = datasets.DatasetDict(train=build(digits), test=build(digits))
    streams = datasets.IterableDatasetDict({name: part.to_iterable_dataset() for name, part in data.items()})
    model = LeNet5()
    for splits in (data, streams):
        for call in (Trainer(model, CONFIG).fit, Trainer(model, CONFIG).evaluate, Trainer(model, CONFIG).predict):
            with pytest.raises(
                TypeError, match="DatasetDict, which holds the datasets 'train', 'test' .pass one of them"
            ):
                call(splits)


def test_training_on_a_stream_is_refused_because_it_has_no_length(digits: ImageDataset) -> None:
    with pytest.raises(TypeError, match="data is IterableDataset without a length"):
        Trainer(LeNet5(), CONFIG).fit(build(digits).to_iterable_dataset())


def test_several_columns_of_labels_are_named(digits: ImageDataset) -> None:
    data = build(digits, label="fine", coarse=[0] * len(digits))
    with pytest.raises(ValueError, match="a batch is a dict with the keys 'image', 'fine', 'coarse'; expected one of"):
        lenet5.evaluate(LeNet5(), data)
    assert len(lenet5.predict(LeNet5(), data)) == len(digits)
    assert lenet5.evaluate(LeNet5(), data.rename_column("fine", "label")).classes == tuple(NAMES)


def test_dataset_without_labels_can_be_predicted(digits: ImageDataset) -> None:
    data, model = build(digits).remove_columns("label"), LeNet5()
    assert torch.equal(lenet5.predict(model, data).labels, lenet5.predict(model, digits).labels)
    with pytest.raises(ValueError, match="a batch is a dict with the keys 'image'; expected one of 'label'"):
        lenet5.evaluate(model, data)


def test_names_in_place_of_indices_are_refused(digits: ImageDataset) -> None:
    data = build(digits).cast_column("label", datasets.Value("string"))
    with pytest.raises(ValueError, match="the targets of a batch are strings"):
        lenet5.evaluate(LeNet5(), data)


def test_images_of_different_sizes_are_refused_with_what_to_do() -> None:
    images = [Image.new("L", (size, size)) for size in (28, 30)]
    data = datasets.Dataset.from_dict({"image": images, "label": [0, 1]}).cast_column("image", datasets.Image())
    with pytest.raises(ValueError, match="the examples of a batch differ in shape"):
        lenet5.evaluate(LeNet5(), data)
