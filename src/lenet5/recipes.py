"""Named settings of a training, each with the augmentation that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass

from .data import Augment, Compose, Degrade
from .data.loader import Augmentation
from .training import TrainerConfig


@dataclass(frozen=True)
class Recipe:
    """What turns random weights into good ones."""

    config: TrainerConfig
    augment: Augmentation | None = None
    calibrate: bool = False
    """Whether the logits are divided by the temperature that fits the validation split best, once training is done."""


RECIPES = {
    "standard": Recipe(TrainerConfig()),
    "digits": Recipe(
        TrainerConfig(max_epochs=30, batch_size=32, restore_best=False),  # 143 images cannot tell which epoch is best
        Augment(degrees=8, scale=0.08, shear=0.1, translate=1),
    ),
    "fast": Recipe(
        TrainerConfig(max_epochs=2, batch_size=256, lr=0.03, warmup=0.3, weight_decay=0.05, label_smoothing=0.05)
    ),
    "record": Recipe(
        TrainerConfig(max_epochs=300, batch_size=128, lr=0.004, warmup=0.2, weight_decay=0.1, restore_best=False),
        Augment(degrees=10, scale=0.15, shear=0.15, translate=2, elastic=0.7, interpolation="bicubic"),
    ),
    "robust": Recipe(
        TrainerConfig(max_epochs=100, batch_size=128, lr=0.004, warmup=0.2, weight_decay=0.02, restore_best=False),
        Compose((Augment(degrees=20, scale=0.3, shear=0.3, translate=3, elastic=0.6), Degrade(0.12))),
    ),
    "fashion": Recipe(
        TrainerConfig(max_epochs=100, batch_size=128, lr=0.004, warmup=0.2, weight_decay=0.1, restore_best=False),
        Augment(degrees=3, scale=0.05, shear=0.03, translate=1, flip=0.5, interpolation="bicubic"),
        calibrate=True,
    ),
    "mnist_v1": Recipe(TrainerConfig(max_epochs=40, batch_size=64, lr=0.004, weight_decay=0.05), Augment()),
}
"""Chosen on validation data: "standard" for a few epochs on 60,000 images, "fast" for 99 % in a short time, "digits"
for a set of a thousand, "record" for the highest accuracy, "robust" for digits from elsewhere, "fashion" for
Fashion-MNIST, "mnist_v1" for the weights of that name. "robust" was not searched for: it is the first that was
tried."""
