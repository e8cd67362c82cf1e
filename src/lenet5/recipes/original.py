"""The published training procedure of the original network."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from ..data.datasets import ImageDataset
from ..data.loader import derive_seed
from ..data.transforms import transform_images
from ..models import SDLM, LeNet5Original, MLELoss
from ..runtime.acceleration import LossFunction
from ..training.callbacks import Callback
from ..training.history import Row
from ..training.state import TrainingState

PUBLISHED_LRS = (5e-4,) * 2 + (2e-4,) * 3 + (1e-4,) * 3 + (5e-5,) * 4 + (1e-5,)
"""The learning rate of each epoch; the last applies to all later epochs (LeCun et al. 1998, section III.B)."""


class SDLMSchedule(Callback):
    """A callback that sets the learning rate of SDLM and estimates its second derivatives before each epoch.

    LeCun et al. 1998, section III.B: the estimate uses 500 training patterns before each pass.

    Parameters
    ----------
    patterns
        The dataset from which new patterns are drawn for each epoch, with the seed of the Trainer.
    lrs
        The learning rate of each epoch; the last applies to all later epochs.
    num_patterns
        The number of patterns per estimate. A smaller dataset is used whole.
    loss_fn
        The loss to differentiate twice. None for the training loss.

    Raises
    ------
    ValueError
        There are no learning rates or no patterns, or a rate is negative or not finite. In `Trainer.fit`:
        `label_smoothing` is set and `loss_fn` is None, or the resumed run had a different schedule.
    TypeError
        In `Trainer.fit`: the optimizer is not SDLM.

    Examples
    --------
    >>> digits = lenet5.load_data("digits").train
    >>> digits.transform = lenet5.Preprocess.original()
    >>> trainer = lenet5.Trainer(
    ...     lenet5.LeNet5Original(init="lecun_uniform"),
    ...     lenet5.TrainerConfig(max_epochs=1, batch_size=1),
    ...     callbacks=[lenet5.SDLMSchedule(digits, lrs=[5e-4])],
    ...     loss_fn=lenet5.MLELoss(),
    ...     optimizer=lenet5.SDLM,
    ...     lr_scheduler=lambda optimizer, num_steps: torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1),
    ... )
    >>> trainer.fit(digits)
    <History: 1 epochs, best None>
    """

    patterns: ImageDataset
    lrs: tuple[float, ...]
    num_patterns: int
    loss_fn: LossFunction | None

    def __init__(
        self,
        patterns: ImageDataset,
        lrs: Sequence[float],
        *,
        num_patterns: int = 500,
        loss_fn: LossFunction | None = None,
    ) -> None:
        if not lrs or not len(patterns) or num_patterns < 1:
            raise ValueError(
                f"there are {len(lrs)} learning rates and {len(patterns)} patterns, and num_patterns is {num_patterns};"
                " expected at least one of each"
            )
        if not all(0 <= lr < math.inf for lr in lrs):
            raise ValueError(f"lrs are {list(lrs)}; expected finite numbers of at least 0")
        self.patterns, self.lrs, self.num_patterns, self.loss_fn = patterns, tuple(lrs), num_patterns, loss_fn

    def on_fit_start(self, state: TrainingState) -> None:
        """Prepare the first epoch. If a run resumes in the middle of an epoch, the checkpoint has the estimate."""
        if not isinstance(state.optimizer, SDLM):
            raise TypeError(f"the optimizer is {type(state.optimizer).__name__}; expected SDLM")
        if state.config.label_smoothing and self.loss_fn is None:
            raise ValueError("label_smoothing is set, but loss_fn is None; expected the loss to differentiate")
        if state.step == 0 and not state.finished:
            self._prepare(state, state.epoch)

    def on_epoch_end(self, state: TrainingState, row: Row) -> None:
        """Prepare the next epoch."""
        if (epoch := int(row["epoch"])) < state.config.max_epochs:
            self._prepare(state, epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the schedule, so that a run can resume only with the same one."""
        return {"lrs": list(self.lrs), "num_patterns": self.num_patterns}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raise ValueError unless the schedule is the same."""
        if state != self.state_dict():
            raise ValueError(f"the checkpoint has a different schedule: {state}, now {self.state_dict()}")

    def _prepare(self, state: TrainingState, epoch: int) -> None:
        assert isinstance(state.optimizer, SDLM)
        for group in state.optimizer.param_groups:
            group["lr"] = self.lrs[min(epoch, len(self.lrs) - 1)]
        generator = torch.Generator().manual_seed(derive_seed(state.config.seed, epoch))
        index = torch.randperm(len(self.patterns), generator=generator)[: self.num_patterns]
        drawn = self.patterns.select(index)
        images = transform_images(drawn.transform, drawn.images, seed=state.config.seed)
        images, targets = images.to(state.device), drawn.targets.to(state.device)
        state.optimizer.estimate(state.model, self.loss_fn or state.loss_fn, images, targets)


def original_network(num_classes: int) -> LeNet5Original:
    """Build `LeNet5Original` for the ten digits."""
    if num_classes != 10:
        raise ValueError(
            f"there are {num_classes} classes; expected 10, because the prototypes are those of the digits"
        )
    return LeNet5Original(init="lecun_uniform")


def published_schedule(patterns: ImageDataset) -> list[Callback]:
    """Return the published schedule, with the second derivatives of `MLELoss`: the distance to the target prototype."""
    return [SDLMSchedule(patterns, PUBLISHED_LRS, loss_fn=MLELoss())]


def slow_schedule(patterns: ImageDataset) -> list[Callback]:
    """Return the published schedule with a fifth of each learning rate, each for twice as many epochs."""
    return [SDLMSchedule(patterns, [lr / 5 for lr in PUBLISHED_LRS for _ in range(2)], loss_fn=MLELoss())]
