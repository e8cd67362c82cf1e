"""The diagonal of the Gauss-Newton matrix, by the backward recursion of 1998."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .layers import EuclideanRBF, PartialConv2d, Subsampling

_LINEAR = nn.Linear, nn.Conv2d, PartialConv2d, Subsampling  # in their inputs, and in their weights
_CHOOSING = nn.Flatten, nn.Identity, nn.MaxPool2d  # what comes out is something that went in


def gauss_newton_diagonal(
    model: nn.Module, loss_fn: Callable[[Tensor, Tensor], Tensor], images: Tensor, targets: Tensor
) -> dict[nn.Parameter, Tensor]:
    """Return an estimate, never negative, of the second derivative of the mean loss by each parameter.

    LeCun et al. 1998, appendix C: the second derivatives by the units' inputs are carried backwards like gradients, but
    through squared weights and squared slopes, and what couples two units, or comes of the curvature of the squashing
    function, is left out. A shared weight has the sum over all connections that share it.

    Parameters
    ----------
    model
        A chain of layers: linear ones, convolutions, those of `LeNet5Original`, maximum pooling, and functions of one
        element each.
    loss_fn
        Maps logits (N, num_classes) and targets (N,) to the mean over the batch.
    images, targets
        The patterns to average over.

    Returns
    -------
    dict
        For each parameter, a tensor of its shape.

    Raises
    ------
    TypeError
        A layer is of another kind.
    """
    passed: list[tuple[nn.Module, Tensor]] = []
    leaves = [module for module in model.modules() if not any(True for _ in module.children())]
    hooks = [
        leaf.register_forward_pre_hook(lambda module, inputs: passed.append((module, inputs[0]))) for leaf in leaves
    ]
    try:
        with torch.no_grad():
            logits = model(images)
    finally:
        for hook in hooks:
            hook.remove()
    diagonal: dict[nn.Parameter, Tensor] = {}
    curvature = None
    for module, inputs in reversed(passed):
        if curvature is None:
            curvature = _of_outputs(module, inputs, logits, targets, loss_fn)
            if isinstance(module, EuclideanRBF):
                continue
        if isinstance(module, _LINEAR):
            diagonal |= _of_parameters(module, inputs, curvature)
        curvature = _carried(module, inputs, curvature)
    return diagonal


def _of_outputs(
    last: nn.Module, inputs: Tensor, logits: Tensor, targets: Tensor, loss_fn: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Return the second derivatives of the loss by each logit, or by what the RBF units get."""
    rbf = last if isinstance(last, EuclideanRBF) else None
    x = (inputs if rbf else logits).detach().requires_grad_()
    with torch.enable_grad():
        loss = loss_fn(-rbf(x) if rbf else x, targets)
        (slopes,) = torch.autograd.grad(loss, x, create_graph=True)
        if not slopes.requires_grad:  # the loss is linear in x
            return torch.zeros_like(x)
        columns = [torch.autograd.grad(slopes[:, k].sum(), x, retain_graph=True)[0][:, k] for k in range(x.shape[1])]
    return torch.stack(columns, 1)


def _of_parameters(module: nn.Module, inputs: Tensor, curvature: Tensor) -> dict[nn.Parameter, Tensor]:
    """Return what a linear layer's parameters get: as their gradient, but of the squared inputs."""
    parameters = list(module.parameters())
    with torch.enable_grad():
        found = torch.autograd.grad(module(inputs.square()), parameters, curvature)
    return dict(zip(parameters, found, strict=True))


def _carried(module: nn.Module, inputs: Tensor, curvature: Tensor) -> Tensor:
    """Return the second derivatives by a layer's inputs, given those by its outputs."""
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        if isinstance(module, _LINEAR):
            outputs = functional_call(
                module, {name: one.detach().square() for name, one in module.named_parameters()}, (inputs,)
            )
        else:
            outputs = module(inputs)
        if isinstance(module, (*_LINEAR, *_CHOOSING)):
            return torch.autograd.grad(outputs, inputs, curvature)[0]
        if outputs.shape != inputs.shape or any(True for _ in module.parameters()):
            raise TypeError(
                f"{type(module).__name__} is in the chain; expected linear layers, convolutions, subsampling, maximum"
                " pooling and functions of one element"
            )
        (slopes,) = torch.autograd.grad(outputs.sum(), inputs)
    return curvature * slopes.square()
