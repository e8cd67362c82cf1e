"""Named settings of a training, each with the augmentation that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass

from .data import Augment
from .training import TrainerConfig


@dataclass(frozen=True)
class Recipe:
    """What turns random weights into good ones."""

    config: TrainerConfig
    augment: Augment | None = None


RECIPES = {
    "standard": Recipe(TrainerConfig()),
    "digits": Recipe(
        TrainerConfig(max_epochs=30, batch_size=32, restore_best=False),  # 143 images cannot tell which epoch is best
        Augment(degrees=8, scale=0.08, shear=0.1, translate=1),
    ),
    "fast": Recipe(
        TrainerConfig(max_epochs=2, batch_size=256, lr=0.03, warmup=0.3, weight_decay=0.05, label_smoothing=0.05)
    ),
    "mnist_v1": Recipe(TrainerConfig(max_epochs=40, batch_size=64, lr=0.004, weight_decay=0.05), Augment()),
}
"""Chosen on validation data: "standard" for a few epochs on 60,000 images, "fast" for 99 % in a short time, "digits"
for a set of a thousand, "mnist_v1" for the weights of that name."""
