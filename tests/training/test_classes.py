"""Classes and targets that do not fit are refused before the first step."""

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from lenet5 import Callback, ImageDataset, LeNet5, Trainer, TrainingState

if TYPE_CHECKING:
    from tests.training.conftest import Tiny


class Steps(Callback):
    def __init__(self) -> None:
        self.count = 0

    def on_step_end(self, state: TrainingState) -> None:
        self.count += 1


def named(names: list[str], *, classes: list[str] | None = None) -> ImageDataset:
    images = torch.randint(0, 256, (len(names), 1, 28, 28), dtype=torch.uint8)
    return ImageDataset(images, names, classes=classes, transform=lambda batch: batch.float() / 255)


def test_validation_data_with_other_classes_is_refused_before_the_first_step(tiny: "Tiny") -> None:
    train, val = named(["ant", "bee", "cat", "dog"] * 8), named(["bee", "cat", "dog"] * 4)
    steps = Steps()
    trainer = Trainer(LeNet5(num_classes=4), tiny.config(), callbacks=[steps])
    with pytest.raises(ValueError, match=r"3 names \(bee, cat, dog\), .* 4 names .*pass classes=train\.classes"):
        trainer.fit(train, val)
    assert steps.count == 0
    trainer.fit(train, named(["bee", "cat", "dog"] * 4, classes=["ant", "bee", "cat", "dog"]))


@pytest.mark.parametrize("validated", [False, True])
def test_other_number_of_class_names_than_outputs_is_refused_before_the_first_step(
    tiny: "Tiny", *, validated: bool
) -> None:
    steps, data = Steps(), named(["ant", "bee", "cat"] * 8)
    trainer = Trainer(LeNet5(num_classes=5), tiny.config(), callbacks=[steps])
    with pytest.raises(ValueError, match="there are 3 class names, but the model has 5 outputs"):
        trainer.fit(list(torch.utils.data.DataLoader(data, 8)) if validated else data, data)
    with pytest.raises(ValueError, match="there are 3 class names"):
        trainer.evaluate(data)
    assert steps.count == 0


@pytest.mark.parametrize("kernel", [True, False])
def test_targets_beyond_the_outputs_are_found_before_the_first_step(tiny: "Tiny", *, kernel: bool) -> None:
    data = ImageDataset(
        torch.randint(0, 256, (40, 1, 28, 28), dtype=torch.uint8),
        [*range(10), *[0] * 29, 11],
        classes=range(12),
        transform=lambda batch: batch.float() / 255,
    )
    steps, model = Steps(), LeNet5()
    trainer = Trainer(model if kernel else nn.Sequential(model), tiny.config(batch_size=4), callbacks=[steps])
    with pytest.raises(ValueError, match=r"targets lie in \[0, 11\]; expected 0 to 9"):
        trainer.fit(data)
    assert steps.count == 0


def test_loss_of_ones_own_takes_any_number_of_outputs(tiny: "Tiny") -> None:
    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return ((outputs.mean(1) - targets) ** 2).mean()

    Trainer(LeNet5(num_classes=5), tiny.config(max_epochs=1), loss_fn=loss).fit(named(["ant", "bee", "cat"] * 8))
