"""The recipes, by name.

Importing this module does not import torch, so that the command line can list the names. The recipes use the lazy
public names of `lenet5`, as a user's script would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import lenet5

from ..training.config import TrainerConfig
from .settings import SETTINGS

if TYPE_CHECKING:
    from torch import nn

    from ..data.datasets import ImageDataset
    from ..data.preprocess import Preprocess
    from ..data.transforms import Augmentation
    from ..models import LeNet5, PretrainedModel
    from ..training.callbacks import Callback
    from ..training.optimization import OptimizerFactory


class PublishedError(NamedTuple):
    """An error rate from the literature."""

    first_epoch: int
    last_epoch: int
    percent: float


def modern_network(num_classes: int, *, activation: str = "ReLU", pooling: str = "max") -> LeNet5:
    """Build `LeNet5` with an activation by its name."""
    arguments = {"num_classes": num_classes, "activation": activation, "pooling": pooling}
    return lenet5.LeNet5.from_arguments(arguments)


@dataclass(frozen=True)
class Recipe:
    """A network with everything needed to train it."""

    config: TrainerConfig

    augment: Augmentation | None = None
    """Augmentation of the training images."""

    calibrate: bool = False
    """Apply temperature scaling to the logits after training, with the temperature fitted on the validation split."""

    all_images: bool = False
    """Train on the validation split too. No data is left for model selection, so the recipe must be final."""

    model: Callable[[int], PretrainedModel] = modern_network
    """Builds the network for a number of classes."""

    preprocess: Preprocess | None = None
    """Preprocessing; None to normalise by the mean and standard deviation of the training split."""

    loss_fn: nn.Module | None = None
    """The loss; None for cross-entropy."""

    optimizer: OptimizerFactory | None = None
    """Builds the optimizer; None for AdamW."""

    callbacks: Callable[[ImageDataset], Sequence[Callback]] | None = None
    """Builds callbacks from the training images."""

    published: Mapping[str, PublishedError] | None = None
    """Published error rates by split. If set, training and test error are measured after each epoch, and plotted with
    the published values."""

    def __post_init__(self) -> None:
        if self.calibrate and self.all_images:
            raise ValueError("calibrate and all_images are both set; expected a validation split to calibrate with")

    def override(self, settings: Mapping[str, Any]) -> Self:
        """Return the recipe with some settings replaced, by the names of `recipes.settings`.

        Raises
        ------
        ValueError
            A setting has no effect in this recipe, or the settings contradict each other.
        """
        ignored = _OPTIMIZATION & settings.keys() if self.optimizer is not None else set()
        if self.model is not modern_network:
            ignored |= {name for name in settings if name.startswith("model.")}
        if ignored:
            raise ValueError(f"the recipe has its own network and learning rates; omit {', '.join(sorted(ignored))}")
        parts: dict[str, dict[str, Any]] = {"": {}, "augment": {}, "model": {}}
        for name, value in settings.items():
            part, _, argument = name.rpartition(".")
            parts[part][argument] = value
        own = {name: parts[""].pop(name) for name in ("calibrate", "all_images") if name in parts[""]}
        return replace(
            self,
            config=replace(self.config, **parts[""]),
            augment=_adjusted(self.augment, parts["augment"]),
            model=partial(self.model, **parts["model"]) if parts["model"] else self.model,
            **own,
        )

    def settings(self) -> dict[str, Any]:
        """Return the settings that determine the result, by the names of `recipes.settings`."""
        ignored = _WITHOUT_EFFECT if self.optimizer is None else _WITHOUT_EFFECT | _OPTIMIZATION
        values = {**self.config.to_dict(), "calibrate": self.calibrate, "all_images": self.all_images}
        augment = self.augment or _adjusted(None, {"degrees": 0})
        parts = augment.augmentations if isinstance(augment, lenet5.Compose) else (augment,)
        for part in parts:
            if isinstance(part, lenet5.Augment):
                values |= {f"augment.{name}": value for name, value in asdict(part).items()}
        network = {"activation": "ReLU", "pooling": "max", **getattr(self.model, "keywords", {})}
        if getattr(self.model, "func", self.model) is modern_network:
            values |= {f"model.{name}": value for name, value in network.items()}
        return {name: values[name] for name in SETTINGS if name in values and name not in ignored}


def _adjusted(augment: Augmentation | None, arguments: Mapping[str, Any]) -> Augmentation | None:
    """Replace arguments of an Augment, or of the one in a Compose; without one, the other distortions are zero."""
    if not arguments:
        return augment
    if isinstance(augment, lenet5.Compose):
        return replace(
            augment,
            augmentations=tuple(
                replace(each, **arguments) if isinstance(each, lenet5.Augment) else each
                for each in augment.augmentations
            ),
        )
    if isinstance(augment, lenet5.Augment):
        return replace(augment, **arguments)
    return lenet5.Augment(**{"degrees": 0, "scale": 0, "shear": 0, "translate": 0, **arguments})


_WITHOUT_EFFECT = {"cuda_graph", "checkpoint_steps", "checkpoint_minutes", "keep_checkpoints"}  # on the result
_OPTIMIZATION = {"lr", "schedule", "warmup", "weight_decay"}  # settings that an optimizer of the recipe's own ignores


_LONG = TrainerConfig(batch_size=128, lr=0.004, warmup=0.2, weight_decay=0.1, restore_best=False)


def _original() -> Recipe:
    from . import original

    return Recipe(
        TrainerConfig(max_epochs=20, batch_size=1, restore_best=False),
        all_images=True,
        model=original.original_network,
        preprocess=lenet5.Preprocess.original(),
        loss_fn=lenet5.MAPLoss(),
        optimizer=lenet5.SDLM,
        callbacks=original.published_schedule,
        published={"training": PublishedError(19, 19, 0.35), "test": PublishedError(10, 20, 0.95)},
    )


def _original_distorted() -> Recipe:
    from . import original

    augment = lenet5.Augment(degrees=0, scale=0.12, shear=0.12, translate=1.5, interpolation="bicubic")
    config = TrainerConfig(max_epochs=40, batch_size=1, restore_best=False)
    return replace(_original(), config=config, augment=augment, callbacks=original.slow_schedule, published=None)


def _square() -> Recipe:
    config = TrainerConfig(lr=0.004, weight_decay=0.1, max_grad_norm=1)
    return Recipe(config, model=partial(modern_network, activation="Square", pooling="avg"))


def _robust() -> Recipe:
    augment = lenet5.Augment(degrees=20, scale=0.3, shear=0.3, translate=3, elastic=0.6)
    config = replace(_LONG, max_epochs=100, weight_decay=0.02)
    return Recipe(config, lenet5.Compose((augment, lenet5.Degrade(0.12))))


class _Recipes(Mapping[str, Recipe]):
    """A mapping that builds a recipe when it is looked up."""

    _builders: ClassVar[dict[str, Callable[[], Recipe]]] = {
        # for 60,000 images: the defaults of TrainerConfig
        "standard": lambda: Recipe(TrainerConfig()),
        # for about 1,000 images; keeps the last epoch, because 143 validation images cannot rank the epochs
        "digits": lambda: Recipe(
            TrainerConfig(max_epochs=30, batch_size=32, restore_best=False),
            lenet5.Augment(degrees=8, scale=0.08, shear=0.1, translate=1),
        ),
        # reaches 99 % on MNIST in the shortest time
        "fast": lambda: Recipe(
            TrainerConfig(max_epochs=2, batch_size=256, lr=0.03, warmup=0.3, weight_decay=0.05, label_smoothing=0.05)
        ),
        # reaches the highest accuracy on MNIST
        "record": lambda: Recipe(
            replace(_LONG, max_epochs=300),
            lenet5.Augment(degrees=10, scale=0.15, shear=0.15, translate=2, elastic=0.7, interpolation="bicubic"),
            all_images=True,
        ),
        # for corrupted images and digits from outside MNIST; the first settings tried, not tuned
        "robust": _robust,
        # for encrypted and verified inference: additions and products alone
        "square": _square,
        # for Fashion-MNIST
        "fashion": lambda: Recipe(
            replace(_LONG, max_epochs=100),
            lenet5.Augment(degrees=3, scale=0.05, shear=0.03, translate=1, flip=0.5, interpolation="bicubic"),
            calibrate=True,
        ),
        # the original network, trained as published: docs/explained/original_training.md
        "1998": _original,
        # the same, on distorted images and with lower learning rates
        "1998_distorted": _original_distorted,
        # the recipe of the weights mnist_v1
        "mnist_v1": lambda: Recipe(TrainerConfig(max_epochs=40, lr=0.004, weight_decay=0.05), lenet5.Augment()),
    }

    def __getitem__(self, name: str) -> Recipe:
        return self._builders[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._builders)

    def __len__(self) -> int:
        return len(self._builders)


RECIPES: Mapping[str, Recipe] = _Recipes()
"""The recipes, by name. No setting was chosen on test data."""
