"""`Preprocess` and `ImageDataset` among torchvision's and torch's datasets."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import torchvision
import torchvision.transforms.v2
from torch.utils.data import DataLoader

import lenet5
from lenet5 import ImageDataset, Preprocess


def random_image(*shape: int) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_preprocess_is_a_transform_of_torchvision_datasets(mode: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        deep = PIL.Image.fromarray(np.asarray(random_image(20, 30)).astype(np.uint16) * 257)
        (deep if mode == "I;16" else random_image(20, 30, 3).convert(mode)).save(tmp_path / name / "0.png")
    dataset = torchvision.datasets.ImageFolder(str(tmp_path), transform=Preprocess(), loader=PIL.Image.open)
    images, targets = next(iter(DataLoader(dataset, batch_size=2)))
    assert images.shape == (2, 1, 28, 28)
    assert targets.tolist() == [0, 1]
    assert torch.equal(images[0], Preprocess()(PIL.Image.open(tmp_path / "a" / "0.png")))


@pytest.mark.parametrize("channels", [1, 3])
def test_preprocess_follows_to_tensor_in_a_torchvision_pipeline(channels: int) -> None:
    image = random_image(28, 28, 3).convert("L" if channels == 1 else "RGB")
    pipeline = torchvision.transforms.Compose([torchvision.transforms.ToTensor(), Preprocess(channels=channels)])
    torch.testing.assert_close(pipeline(image), Preprocess(channels=channels)(image))


def test_image_of_torchvisions_second_transforms_is_one_image() -> None:
    image = random_image(28, 28, 3)
    pipeline = torchvision.transforms.v2.Compose([torchvision.transforms.v2.ToImage(), Preprocess()])
    converted = pipeline(image)
    assert type(converted) is torch.Tensor
    torch.testing.assert_close(converted, Preprocess()(image))


def test_unsqueezed_image_is_a_batch_for_the_network() -> None:
    weights = lenet5.LeNet5_Weights.DEFAULT
    batch = weights.transforms()(random_image(40, 30)).unsqueeze(0)
    model = lenet5.lenet5(weights=weights)
    assert model(batch).shape == (1, 10)
    with pytest.raises(ValueError, match=r"expected \(N, 1, 28, 28\); images\[None\] is a batch of one image"):
        model(batch[0])


@pytest.mark.parametrize("channels", [1, 3])
def test_preprocess_is_a_transform_of_an_image_dataset(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, channels, 9, 9), np.uint8)
    dataset = ImageDataset(pixels, [0, 1, 0, 1], classes=["a", "b"], transform=Preprocess(channels=1))
    images, targets = next(iter(DataLoader(dataset, batch_size=4)))
    assert images.shape == (4, 1, 28, 28)
    assert targets.tolist() == [0, 1, 0, 1]
    torch.testing.assert_close(images, Preprocess()(pixels))


def test_preprocess_is_a_transform_of_fake_data_and_of_a_trainer() -> None:
    data = torchvision.datasets.FakeData(8, (3, 40, 30), 10, transform=Preprocess())
    assert data[0][0].shape == (1, 28, 28)
    trainer = lenet5.Trainer(lenet5.LeNet5(), lenet5.TrainerConfig(max_epochs=1, batch_size=4, device="cpu"))
    assert len(trainer.fit(data)) == 1
