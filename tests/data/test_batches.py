"""The forms of examples and batches that other libraries use."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from lenet5 import Trainer, TrainerConfig, evaluate, predict
from lenet5.data.batches import IMAGE_KEYS, TARGET_KEYS, check_batch

IMAGES, TARGETS = torch.rand(6, 1, 2, 3), torch.tensor([0, 1, 2, 0, 1, 2])


def make_model() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 3))


class Table:
    """A dataset as Hugging Face's: examples are dicts, and the class does not derive from torch's Dataset."""

    def __init__(self, images: Any = IMAGES, targets: Any = TARGETS) -> None:
        self.columns = {"image": images, "label": targets, "file": [f"{row}.png" for row in range(len(images))]}

    def __len__(self) -> int:
        return len(self.columns["image"])

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: column[index] for name, column in self.columns.items()}


@pytest.mark.parametrize(
    "data",
    [
        Table(),
        Table(IMAGES.numpy(), TARGETS.tolist()),
        [{"pixel_values": IMAGES, "labels": TARGETS}],
        [(IMAGES.numpy(), TARGETS.numpy())],
        [(IMAGES.numpy()[::-1][::-1], TARGETS.numpy().astype(">i4"))],
        [(IMAGES.numpy().astype(">f4"), TARGETS.numpy().astype(np.uint8))],
    ],
    ids=["Hugging Face", "Hugging Face, numpy", "dict", "arrays", "negative strides, big-endian", "big-endian images"],
)
def test_fit_evaluate_and_predict_take_examples_and_batches_of_other_libraries(data: Any) -> None:
    model = make_model()
    history = Trainer(model, TrainerConfig(max_epochs=1, device="cpu")).fit(data, data)
    report = evaluate(model, data)
    assert history[0]["val_accuracy"] == report.accuracy
    assert report.targets.tolist() == TARGETS.tolist()
    assert predict(model, data).labels.tolist() == model(IMAGES).argmax(1).tolist()


@pytest.mark.parametrize("image_key", IMAGE_KEYS)
@pytest.mark.parametrize("target_key", TARGET_KEYS)
def test_dict_batches_have_the_usual_keys(image_key: str, target_key: str) -> None:
    images, targets = check_batch({"id": [1, 2], image_key: IMAGES, target_key: TARGETS.byte()})
    assert images is IMAGES
    assert targets.tolist() == TARGETS.tolist()
    assert targets.dtype == torch.int64


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"x": IMAGES, "label": TARGETS}, "a dict with the keys 'x', 'label'; expected one of 'image', 'images'"),
        ({"image": IMAGES, "img": IMAGES, "label": TARGETS}, "the keys 'image', 'img', 'label'; expected one of"),
        ((IMAGES, ["cat"] * 6), "the targets of a batch are strings, such as 'cat'; expected the indices of classes"),
        ((IMAGES, np.array(["cat"] * 6)), "the targets of a batch are strings, such as 'cat'"),
        ((IMAGES, torch.tensor(1)), "a batch has 6 images and no row of targets; expected equal numbers"),
        ((IMAGES, TARGETS, TARGETS), "a batch is a tuple of Tensor, Tensor, Tensor; expected two tensors"),
    ],
)
def test_other_batches_are_refused_in_one_sentence(batch: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_batch(batch)


def test_images_without_a_transform_are_refused_with_what_to_do() -> None:
    pictures = [Image.new("L", (3, 2))] * 6
    for data in (Table(pictures), [(picture, 0) for picture in pictures]):
        dataset = data if isinstance(data, Table) else _Wrapped(data)
        with pytest.raises(TypeError, match=r"holds <class 'PIL.Image.Image'>; .* give the dataset a transform"):
            Trainer(make_model(), TrainerConfig(device="cpu")).fit(dataset)  # type: ignore[arg-type]


def test_images_of_different_sizes_are_refused_with_what_to_do() -> None:
    dataset = _Wrapped([(torch.rand(1, 2, size), 0) for size in (3, 4)])
    with pytest.raises(ValueError, match="the examples of a batch differ in shape.*a transform that resizes"):
        Trainer(make_model(), TrainerConfig(device="cpu")).fit(dataset)


@pytest.mark.parametrize("data", [pd.DataFrame({"a": [1]}), {"image": IMAGES, "label": TARGETS}])
def test_tables_and_dicts_of_columns_are_no_datasets(data: Any) -> None:
    for use in (evaluate, predict):
        with pytest.raises(TypeError, match=r"data is (DataFrame|dict); expected an ImageDataset\(images, targets"):
            use(make_model(), data)


@pytest.mark.parametrize("images", [IMAGES, IMAGES.numpy()])
def test_fit_of_images_and_targets_says_how_to_pass_them(images: Any) -> None:
    expected = r"holds images or targets alone; expected an ImageDataset\(images, targets, classes=...\)"
    trainer = Trainer(make_model(), TrainerConfig(device="cpu"))
    with pytest.raises(TypeError, match=expected):
        trainer.fit(images, TARGETS)
    with pytest.raises(TypeError, match=expected):
        trainer.evaluate(images)


class _Wrapped(torch.utils.data.Dataset[Any]):
    def __init__(self, examples: list[Any]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Any:
        return self.examples[index]
