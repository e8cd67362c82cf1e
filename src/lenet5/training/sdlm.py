"""The optimizer of 1998: stochastic diagonal Levenberg-Marquardt."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..models.curvature import gauss_newton_diagonal


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
