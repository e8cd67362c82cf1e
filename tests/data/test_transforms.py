"""Transforms and augmentations of torchvision on an `ImageDataset`: one draw per image, from the seed of the batch."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn
from torchvision import transforms
from torchvision.transforms import v2

import lenet5
from lenet5 import Augment, Compose, ImageDataset, LeNet5, Preprocess, TensorLoader
from lenet5.data.loader import Batch
from lenet5.data.transforms import takes_one_image

FLOAT = v2.ToDtype(torch.float32, scale=True)
RANDOM: list[Any] = [
    v2.RandomRotation(45),
    v2.Compose([v2.RandomAffine(10, translate=(0.2, 0.2)), FLOAT]),
    v2.Compose([v2.Compose([FLOAT, v2.RandomHorizontalFlip()])]),
    v2.RandomApply([v2.RandomRotation((90, 90))]),
    v2.RandomChoice([v2.Identity(), v2.RandomRotation((90, 90))]),
    v2.GaussianNoise(),
    nn.Sequential(FLOAT, v2.RandomErasing(p=1)),
    transforms.RandomRotation(45),
    transforms.Compose([transforms.ToPILImage(), transforms.RandomAffine(30), transforms.ToTensor()]),
    transforms.ColorJitter(brightness=0.9),
]
FIXED: list[Any] = [
    v2.Compose([FLOAT, v2.Normalize([0.1307], [0.3081])]),
    v2.Resize(14),
    nn.Sequential(FLOAT, v2.CenterCrop(20)),
    transforms.Compose([FLOAT, Preprocess()]),
    Preprocess(),
]
one_image = np.random.default_rng(0).integers(0, 256, (1, 1, 28, 28), np.uint8)
COPIES = np.repeat(one_image, 16, axis=0)


def dataset(transform: Any = None) -> ImageDataset:
    return ImageDataset(COPIES, [0, 1] * 8, classes=["a", "b"], transform=transform)


def batches(loader: TensorLoader, **arguments: Any) -> list[Batch]:
    return list(loader.batches(0, **arguments))


def num_distinct(images: Tensor) -> int:
    return len(torch.unique(images.flatten(1).double(), dim=0))


@pytest.mark.parametrize("transform", RANDOM, ids=repr)
def test_random_transform_draws_for_each_image(transform: Any) -> None:
    assert takes_one_image(transform)
    state = torch.get_rng_state()
    loader = TensorLoader(dataset(transform), batch_size=16)
    (first,) = batches(loader)
    assert num_distinct(first.images) > 1
    assert torch.equal(batches(loader)[0].images, first.images)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(next(iter(loader.batches(1))).images, first.images)


@pytest.mark.parametrize("transform", RANDOM[:2], ids=repr)
def test_random_transform_depends_neither_on_the_world_size_nor_on_where_a_run_resumes(transform: Any) -> None:
    loader = TensorLoader(dataset(transform), batch_size=5, shuffle=True)
    whole = batches(loader)
    for rank in range(2):
        for own, batch in zip(batches(loader, rank=rank, world_size=2), whole, strict=True):
            rows = batch.images[rank::2] if rank < len(batch.images) else batch.images[:1]
            assert torch.equal(own.images, rows)
    for resumed, batch in zip(batches(loader, start=2), whole[2:], strict=True):
        assert torch.equal(resumed.images, batch.images)


@pytest.mark.parametrize("transform", FIXED, ids=repr)
def test_fixed_transform_is_applied_to_whole_batches(transform: Any) -> None:
    assert not takes_one_image(transform)
    (batch,) = batches(TensorLoader(dataset(transform), batch_size=16))
    assert type(batch.images) is Tensor
    torch.testing.assert_close(batch.images, torch.stack([transform(image) for image in torch.as_tensor(COPIES)]))


def test_example_of_a_dataset_is_transformed_alone() -> None:
    image, _ = dataset(transforms.Compose([transforms.ToPILImage(), transforms.ToTensor()]))[3]
    torch.testing.assert_close(image, torch.as_tensor(COPIES[3]) / 255)


@pytest.mark.parametrize("augment", [RANDOM[0], RANDOM[3], RANDOM[7], nn.Sequential(RANDOM[0])], ids=repr)
def test_torchvision_transform_is_an_augmentation(augment: Any) -> None:
    loader = TensorLoader(dataset(), batch_size=16, augment=augment, seed=3)
    (first,) = batches(loader)
    assert first.images.dtype == torch.uint8
    assert num_distinct(first.images) > 1
    assert torch.equal(batches(loader)[0].images, first.images)
    other = TensorLoader(dataset(), batch_size=16, augment=augment, seed=4)
    assert not torch.equal(batches(other)[0].images, first.images)


def test_function_of_the_images_alone_is_an_augmentation() -> None:
    def noisy(images: Tensor) -> Tensor:
        return images ^ torch.randint(2, images.shape, dtype=torch.uint8)

    loader = TensorLoader(dataset(), batch_size=16, augment=noisy)
    (first,) = batches(loader)
    assert num_distinct(first.images) == 16
    assert torch.equal(batches(loader)[0].images, first.images)


def test_composition_holds_augmentations_of_both_kinds() -> None:
    images = torch.as_tensor(COPIES)
    composed = Compose((Augment(), v2.RandomVerticalFlip(p=1)))
    expected = Augment()(images, Generator().manual_seed(0)).flip(2)
    assert torch.equal(composed(images, Generator().manual_seed(0)), expected)


@pytest.mark.parametrize("augment", [FLOAT, v2.Resize(14), lambda images, _generator: images / 255])
def test_augmentation_that_changes_shape_or_dtype_is_refused(augment: Any) -> None:
    loader = TensorLoader(dataset(), batch_size=16, augment=augment)
    with pytest.raises(ValueError, match=r"augment returned .* Resize and convert them in the dataset's transform"):
        batches(loader)


@pytest.mark.parametrize("augment", ["flip", lambda: None])
def test_augmentation_that_cannot_be_called_with_images_is_refused(augment: Any) -> None:
    with pytest.raises(TypeError, match="augment is .*; expected a callable"):
        TensorLoader(dataset(), batch_size=16, augment=augment)


def test_transform_that_returns_no_tensor_is_refused() -> None:
    with pytest.raises(TypeError, match="transform returned a Image; expected a tensor"):
        batches(TensorLoader(dataset(transforms.ToPILImage()), batch_size=16))


@pytest.mark.parametrize("result", [None, COPIES])
def test_result_that_is_no_tensor_is_refused(result: Any) -> None:
    with pytest.raises(TypeError, match="transform returned a .*; expected a tensor"):
        lenet5.evaluate(LeNet5(2), dataset(lambda _: result))
    with pytest.raises(TypeError, match="augment returned a .*; expected a tensor"):
        batches(TensorLoader(dataset(), batch_size=4, augment=lambda _: result))
    with pytest.raises(TypeError, match="augment returned a .*; expected a tensor"):
        batches(TensorLoader(dataset(), batch_size=4, augment=lambda _images, _generator: result))


def test_shuffle_is_true_or_false() -> None:
    with pytest.raises(ValueError, match="shuffle is 'no'; expected True or False"):
        TensorLoader(dataset(), batch_size=4, shuffle="no")  # type: ignore[arg-type]


def test_model_trains_and_resumes_with_transforms_of_torchvision() -> None:
    data = dataset(v2.Compose([v2.RandomRotation(20), FLOAT, v2.Normalize([0.5], [0.5])]))
    config = lenet5.TrainerConfig(max_epochs=2, batch_size=8, device="cpu")

    def train() -> Tensor:
        torch.manual_seed(0)
        model = LeNet5(2)
        lenet5.Trainer(model, config).fit(data)
        return model.output.weight.detach()

    assert torch.equal(train(), train())
