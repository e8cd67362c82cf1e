"""The optimizer of the original network: stochastic diagonal Levenberg-Marquardt."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .curvature import LossFunction, gauss_newton_diagonal


class SDLM(Optimizer):
    """Stochastic diagonal Levenberg-Marquardt: each parameter has its own step size, lr / (mu + h).

    LeCun, Bottou, Bengio and Haffner 1998, appendix C, equation 18. h is the second derivative of the loss with respect
    to the parameter. It is estimated on a few hundred patterns and kept until the next estimate, so a step costs no
    more than in gradient descent. The paper uses a batch size of 1, mu = 0.02, and 500 patterns before each pass.

    Parameters
    ----------
    params
        Parameters or parameter groups, as in any torch optimizer.
    lr
        The global learning rate, eta in the paper.
    mu
        Damping. It bounds the step size where the loss is flat.

    Raises
    ------
    ValueError
        `lr` is negative, or `mu` is not positive.

    Examples
    --------
    >>> model, loss_fn = lenet5.LeNet5Original(), lenet5.MLELoss()
    >>> optimizer = lenet5.SDLM(model.parameters(), lr=5e-4)
    >>> images, targets = torch.rand(8, 1, 32, 32), torch.arange(8)
    >>> optimizer.estimate(model, loss_fn, images, targets)
    >>> loss_fn(model(images), targets).backward()
    >>> optimizer.step()
    """

    def __init__(self, params: Iterable[Any], lr: float = 5e-4, *, mu: float = 0.02) -> None:
        if not lr >= 0 or not mu > 0:
            raise ValueError(f"lr is {lr} and mu is {mu}; expected lr of at least 0 and mu above 0")
        super().__init__(params, {"lr": lr, "mu": mu})

    def estimate(self, model: nn.Module, loss_fn: LossFunction, images: Tensor, targets: Tensor) -> None:
        """Estimate the second derivatives; see `gauss_newton_diagonal` for the arguments."""
        diagonal = gauss_newton_diagonal(model, loss_fn, images, targets)
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["scale"] = 1 / (group["mu"] + diagonal[parameter])

    def step_sizes(self) -> dict[Tensor, Tensor]:
        """Return the step sizes lr / (mu + h) of each parameter, as a tensor of its shape."""
        return {p: group["lr"] * self.state[p]["scale"] for group in self.param_groups for p in group["params"]}

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update the parameters; return the loss from `closure`, if given.

        Raises
        ------
        RuntimeError
            `estimate` has not been called yet.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            updated = [parameter for parameter in group["params"] if parameter.grad is not None]
            if any("scale" not in self.state[parameter] for parameter in updated):
                raise RuntimeError("the second derivatives have not been estimated; call estimate() before step()")
            scales = [self.state[parameter]["scale"] for parameter in updated]
            gradients = [parameter.grad for parameter in updated]
            torch._foreach_addcmul_(updated, gradients, scales, value=-group["lr"])
        return loss
