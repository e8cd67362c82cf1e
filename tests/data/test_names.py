"""Class names of reports on torchvision's and torch's datasets."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, random_split
from torchvision.datasets import ImageFolder
from torchvision.utils import save_image

import lenet5
from lenet5 import LeNet5
from lenet5.data.names import class_names


class Animals(Dataset[tuple[Tensor, int]]):
    """A dataset as torchvision's are."""

    classes: Any = ("cat", "dog", "eel")

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.full((1, 28, 28), index / 12), index % len(self.classes)


class Relabelled(Dataset[tuple[Tensor, int]]):
    """A wrapper that changes the targets."""

    def __init__(self) -> None:
        self.dataset = Animals()

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.dataset[index][0], index % 2


def named(classes: Any) -> Animals:
    data = Animals()
    data.classes = classes
    return data


@pytest.mark.parametrize(
    "data",
    [
        Animals(),
        Subset(Animals(), range(6)),
        Subset(Subset(Animals(), range(6)), [0, 1, 2]),
        random_split(Animals(), [6, 6])[0],
        ConcatDataset([Animals(), Subset(Animals(), [1])]),
        DataLoader(Animals(), batch_size=4),
        DataLoader(Subset(Animals(), range(6)), batch_size=4),
        SimpleNamespace(features={"image": None, "label": SimpleNamespace(names=["cat", "dog", "eel"])}),
    ],
    ids=lambda data: type(data).__name__,
)
def test_names_are_found(data: Any) -> None:
    assert class_names(data) == ("cat", "dog", "eel")


@pytest.mark.parametrize(
    "data",
    [
        Relabelled(),
        named(None),
        named([]),
        named("cat"),
        named([0, 1, 2]),
        named(["cat", "cat"]),
        ConcatDataset([Animals(), named(["cat", "dog"])]),
        [(torch.zeros(1, 1, 28, 28), torch.zeros(1))],
        SimpleNamespace(features={"image": None, "label": SimpleNamespace(dtype="int64")}),
    ],
    ids=lambda data: type(data).__name__,
)
def test_names_that_are_not_stated_are_not_guessed(data: Any) -> None:
    assert class_names(data) is None


def test_datasets_of_different_classes_are_not_read_as_one() -> None:
    parts = [
        lenet5.ImageDataset(torch.zeros(2, 1, 28, 28, dtype=torch.uint8), [0, 1], classes=classes)
        for classes in (["cat", "dog"], ["dog", "eel"])
    ]
    message = r"have the classes \(cat, dog\) and \(dog, eel\); expected the same in all"
    with pytest.raises(ValueError, match=message):
        lenet5.evaluate(LeNet5(2), ConcatDataset(parts))
    assert class_names(ConcatDataset(parts[:1] * 2)) == ("cat", "dog")


def test_target_transform_hides_the_names() -> None:
    data = Animals()
    data.target_transform = lambda target: target % 2  # type: ignore[attr-defined]
    assert class_names(data) is None


def test_report_has_the_names() -> None:
    model = LeNet5(3)
    assert lenet5.evaluate(model, Subset(Animals(), range(6))).classes == ("cat", "dog", "eel")
    assert lenet5.evaluate(model, DataLoader(Animals(), batch_size=4)).classes == ("cat", "dog", "eel")
    trainer = lenet5.Trainer(model, lenet5.TrainerConfig(max_epochs=1, batch_size=4, device="cpu"))
    trainer.fit(Animals(), Animals())
    assert trainer.evaluate(random_split(Animals(), [6, 6])[1]).classes == ("cat", "dog", "eel")


def test_names_that_do_not_fit_the_model_are_left_out() -> None:
    assert lenet5.evaluate(LeNet5(5), Animals()).classes == ("0", "1", "2", "3", "4")


def test_folder_of_torchvision_has_the_names_of_its_folders(tmp_path: Any) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        save_image(torch.zeros(1, 28, 28), tmp_path / name / "0.png")
    data = ImageFolder(str(tmp_path), transform=lenet5.Preprocess())
    assert lenet5.evaluate(LeNet5(2), Subset(data, [0, 1])).classes == ("cat", "dog")
