"""Named settings of a training, each with the network, the augmentation and the optimizer that belong to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from .data import Augment, Compose, Degrade, ImageDataset, Preprocess
from .data.loader import Augmentation
from .models import LeNet5, LeNet5Original, MAPLoss, MLELoss, PretrainedModel
from .training import SDLM, Callback, SDLMSchedule, TrainerConfig
from .training.optimization import OptimizerFactory

LRS_OF_1998 = (5e-4,) * 2 + (2e-4,) * 3 + (1e-4,) * 3 + (5e-5,) * 4 + (1e-5,)
"""The learning rates of the passes, the last for all that follow: LeCun et al. 1998, section III.B."""


def modern(num_classes: int) -> PretrainedModel:
    """Build `LeNet5`."""
    return LeNet5(num_classes=num_classes)


def original(num_classes: int) -> PretrainedModel:
    """Build `LeNet5Original`, which has prototypes for ten classes."""
    if num_classes != 10:
        raise ValueError(f"there are {num_classes} classes; expected 10, for which there are prototypes")
    return LeNet5Original(init="lecun_uniform")


def passes_of_1998(patterns: ImageDataset) -> list[Callback]:
    """Return what prepares each pass: the published rates, and second derivatives of the distance alone."""
    return [SDLMSchedule(patterns, LRS_OF_1998, loss_fn=MLELoss())]


def slower_passes(patterns: ImageDataset) -> list[Callback]:
    """Return the same with a fifth of each learning rate, for twice as long."""
    lrs = [lr / 5 for lr in LRS_OF_1998 for _ in range(2)]
    return [SDLMSchedule(patterns, lrs, loss_fn=MLELoss())]


@dataclass(frozen=True)
class Recipe:
    """What turns random weights into good ones."""

    config: TrainerConfig
    augment: Augmentation | None = None
    calibrate: bool = False
    """Whether the logits are divided by the temperature that fits the validation split best, once training is done."""
    all_images: bool = False
    """Whether the validation split is trained on too: nothing is left to choose by, so the recipe must be settled."""
    model: Callable[[int], PretrainedModel] = modern
    """Builds the network for a number of classes."""
    preprocess: Preprocess | None = None
    """What prepares the images; None normalises by the mean and standard deviation of the training split."""
    loss_fn: nn.Module | None = None
    optimizer: OptimizerFactory | None = None
    callbacks: Callable[[ImageDataset], Sequence[Callback]] | None = None
    """Makes callbacks of the images to train on."""
    published: Mapping[str, tuple[int, int, float]] | None = None
    """Errors that were published of such a training: of which set, from which epoch to which, and how many percent.
    If there are any, those of the training and the test set are measured after each epoch, and drawn beside them."""

    def __post_init__(self) -> None:
        if self.calibrate and self.all_images:
            raise ValueError("a recipe calibrates, and takes all images; expected that some are left to calibrate with")


_OF_1998 = Recipe(
    TrainerConfig(max_epochs=20, batch_size=1, restore_best=False),
    all_images=True,
    model=original,
    preprocess=Preprocess.of_1998(),
    loss_fn=MAPLoss(),
    optimizer=SDLM,
    callbacks=passes_of_1998,
    published={"training": (19, 19, 0.35), "test": (10, 20, 0.95)},
)

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
        all_images=True,
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
    "1998": _OF_1998,
    "1998_distorted": replace(
        _OF_1998,
        config=replace(_OF_1998.config, max_epochs=40),
        augment=Augment(degrees=0, scale=0.12, shear=0.12, translate=1.5, interpolation="bicubic"),
        callbacks=slower_passes,
        published=None,
    ),
    "mnist_v1": Recipe(TrainerConfig(max_epochs=40, batch_size=64, lr=0.004, weight_decay=0.05), Augment()),
}
"""Chosen on validation data: "standard" for a few epochs on 60,000 images, "fast" for 99 % in a short time, "digits"
for a set of a thousand, "record" for the highest accuracy, "robust" for digits from elsewhere, "fashion" for
Fashion-MNIST, "mnist_v1" for the weights of that name. "robust" was not searched for: it is the first that was
tried. "1998" is what LeCun et al. published, as docs/lenet5_1998.md reads it, and "1998_distorted" the same with
distorted images and smaller steps."""
