"""The optimizer of 1998: stochastic diagonal Levenberg-Marquardt."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..data.datasets import ImageDataset
from ..data.loader import derive_seed
from ..models.curvature import gauss_newton_diagonal
from .callbacks import Callback

if TYPE_CHECKING:
    from .history import Row
    from .trainer import Trainer


class SDLM(Optimizer):
    """Stochastic diagonal Levenberg-Marquardt: each parameter has a step of its own, lr / (mu + h).

    LeCun, Bottou, Bengio and Haffner 1998, appendix C, equation 18: h is the parameter's second derivative, estimated
    on some hundred patterns and kept until the next estimate, so that a step costs no more than one of plain gradient
    descent. The paper takes one pattern a step, mu = 0.02, and 500 patterns before each pass.

    Parameters
    ----------
    params
        Parameters, as for any optimizer of torch.
    lr
        The paper's eta.
    mu
        Keeps the step finite where the loss is flat.

    Raises
    ------
    ValueError
        lr is negative, or mu is not positive.
    """

    def __init__(self, params: Iterable[Any], lr: float = 5e-4, *, mu: float = 0.02) -> None:
        if not lr >= 0 or not mu > 0:
            raise ValueError(f"lr is {lr} and mu is {mu}; expected at least 0, and more than 0")
        super().__init__(params, {"lr": lr, "mu": mu})

    def estimate(
        self, model: nn.Module, loss_fn: Callable[[Tensor, Tensor], Tensor], images: Tensor, targets: Tensor
    ) -> None:
        """Estimate the second derivatives afresh; the arguments are those of `gauss_newton_diagonal`."""
        diagonal = gauss_newton_diagonal(model, loss_fn, images, targets)
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["scale"] = 1 / (group["mu"] + diagonal[parameter])

    def step_sizes(self) -> dict[Tensor, Tensor]:
        """Return lr / (mu + h) for each parameter."""
        return {p: group["lr"] * self.state[p]["scale"] for group in self.param_groups for p in group["params"]}

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take a step, with the loss from `closure` if there is one.

        Raises
        ------
        RuntimeError
            There is no estimate yet.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            if any("scale" not in self.state[parameter] for parameter in moved):
                raise RuntimeError("there is no estimate of the second derivatives; call estimate() before step()")
            scales = [self.state[parameter]["scale"] for parameter in moved]
            gradients = [parameter.grad for parameter in moved]
            torch._foreach_addcmul_(moved, gradients, scales, value=-group["lr"])
        return loss


class SDLMSchedule(Callback):
    """Before each pass, give a Trainer's SDLM its learning rate for that pass, and fresh second derivatives.

    LeCun et al. 1998, section III.B: they are estimated on 500 training patterns before each pass.

    Parameters
    ----------
    patterns
        Where these patterns are drawn from, anew for each pass; the order depends on the Trainer's seed.
    lrs
        The learning rate of each pass; the last one stays for those that follow.
    num_patterns
        How many are drawn; all, if there are fewer.
    loss_fn
        Whose second derivatives are meant; None for the loss that is trained with.

    Raises
    ------
    ValueError
        There is no learning rate or no pattern, or a rate is negative; or, when the training starts, its labels are
        smoothed and `loss_fn` is None, or it continues one with another schedule.
    TypeError
        When the training starts: its optimizer is another.
    """

    def __init__(
        self,
        patterns: ImageDataset,
        lrs: Sequence[float],
        *,
        num_patterns: int = 500,
        loss_fn: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        if not lrs or not len(patterns) or num_patterns < 1:
            raise ValueError(
                f"there are {len(lrs)} learning rates, {len(patterns)} patterns and num_patterns is {num_patterns};"
                " expected at least one of each"
            )
        if not all(0 <= lr < math.inf for lr in lrs):
            raise ValueError(f"lrs are {list(lrs)}; expected numbers of at least 0")
        self.patterns, self.lrs, self.num_patterns, self.loss_fn = patterns, tuple(lrs), num_patterns, loss_fn

    def on_fit_start(self, trainer: Trainer) -> None:
        """Prepare the first pass; one that is resumed in its middle has its estimate from the checkpoint."""
        assert trainer.state is not None
        if not isinstance(trainer.state.optimization.optimizer, SDLM):
            name = type(trainer.state.optimization.optimizer).__name__
            raise TypeError(f"the optimizer is {name}; expected SDLM")
        if trainer.config.label_smoothing and self.loss_fn is None:
            raise ValueError("labels are smoothed; expected a loss_fn whose second derivatives are meant")
        if trainer.state.step == 0 and not trainer.state.finished:
            self._prepare(trainer, trainer.state.epoch)

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Prepare the next pass."""
        if row["epoch"] < trainer.config.max_epochs:
            self._prepare(trainer, row["epoch"])

    def state_dict(self) -> dict[str, Any]:
        """Return what a training that continues must have, too."""
        return {"lrs": list(self.lrs), "num_patterns": self.num_patterns}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raise ValueError unless the schedule is the same."""
        if state != self.state_dict():
            raise ValueError(f"the checkpoint is of another schedule: {state} there, and {self.state_dict()} here")

    def _prepare(self, trainer: Trainer, epoch: int) -> None:
        assert trainer.state is not None
        optimizer = trainer.state.optimization.optimizer
        assert isinstance(optimizer, SDLM)
        for group in optimizer.param_groups:
            group["lr"] = self.lrs[min(epoch, len(self.lrs) - 1)]
        generator = torch.Generator().manual_seed(derive_seed(trainer.config.seed, epoch))
        index = torch.randperm(len(self.patterns), generator=generator)[: self.num_patterns]
        drawn = self.patterns.select(index)
        images = drawn.images if drawn.transform is None else drawn.transform(drawn.images)
        images, targets = images.to(trainer.device), drawn.targets.to(trainer.device)
        optimizer.estimate(trainer.model, self.loss_fn or trainer.loss_fn, images, targets)
