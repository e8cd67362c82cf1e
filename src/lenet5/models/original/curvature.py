"""The diagonal of the Gauss-Newton matrix, by the backward recursion of LeCun et al. 1998."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .layers import EuclideanRBF, PartialConv2d, Subsampling

LossFunction: TypeAlias = Callable[[Tensor, Tensor], Tensor]

_LINEAR = nn.Linear, nn.Conv2d, PartialConv2d, Subsampling  # linear in their inputs and in their weights
_SELECTING = nn.Flatten, nn.Identity, nn.MaxPool2d  # each output is one of the inputs


def gauss_newton_diagonal(
    model: nn.Module, loss_fn: LossFunction, images: Tensor, targets: Tensor
) -> dict[nn.Parameter, Tensor]:
    """Estimate the second derivative of the mean loss with respect to each parameter.

    LeCun et al. 1998, appendix C: second derivatives are backpropagated like gradients, but through squared weights and
    squared slopes. Off-diagonal terms and the curvature of the activations are dropped. A shared weight accumulates the
    sum over its connections. For cross-entropy, `MLELoss` and `MAPLoss`, the estimate is never negative.

    Parameters
    ----------
    model
        A chain of linear layers, convolutions, layers of `LeNet5Original`, max pooling, and elementwise functions.
    loss_fn
        Maps logits (N, num_classes) and targets (N,) to the mean loss over the batch.
    images, targets
        The patterns to average over: (N, C, H, W) and int64 (N,).

    Returns
    -------
    dict
        For each parameter, a tensor of the same shape.

    Raises
    ------
    TypeError
        The model contains any other kind of layer.

    Examples
    --------
    >>> model = lenet5.LeNet5Original()
    >>> images, targets = torch.rand(8, 1, 32, 32), torch.arange(8)
    >>> diagonal = lenet5.models.gauss_newton_diagonal(model, lenet5.MLELoss(), images, targets)
    >>> diagonal[model.f6.linear.weight].shape
    torch.Size([84, 120])
    """
    calls: list[tuple[nn.Module, Tensor]] = []  # each layer with its inputs
    leaves = [module for module in model.modules() if not any(True for _ in module.children())]
    hooks = [
        leaf.register_forward_pre_hook(lambda module, inputs: calls.append((module, inputs[0]))) for leaf in leaves
    ]
    try:
        with torch.no_grad():
            logits = model(images)
    finally:
        for hook in hooks:
            hook.remove()
    last, last_inputs = calls.pop()
    curvature = _output_curvature(last, last_inputs, logits, targets, loss_fn)
    if not isinstance(last, EuclideanRBF):  # for RBF units, the curvature is already with respect to their inputs
        calls.append((last, last_inputs))
    diagonal: dict[nn.Parameter, Tensor] = {}
    for module, inputs in reversed(calls):
        if isinstance(module, _LINEAR):
            diagonal |= _parameter_curvature(module, inputs, curvature)
        curvature = _input_curvature(module, inputs, curvature)
    return diagonal


def _output_curvature(
    last: nn.Module, inputs: Tensor, logits: Tensor, targets: Tensor, loss_fn: LossFunction
) -> Tensor:
    """Compute the second derivative of the loss for each logit, or for each input of the RBF units."""
    rbf = last if isinstance(last, EuclideanRBF) else None
    x = (inputs if rbf else logits).detach().requires_grad_()
    with torch.enable_grad():
        loss = loss_fn(-rbf(x) if rbf else x, targets)
        (slopes,) = torch.autograd.grad(loss, x, create_graph=True)
        if not slopes.requires_grad:  # the loss is linear in x
            return torch.zeros_like(x)
        columns = [torch.autograd.grad(slopes[:, k].sum(), x, retain_graph=True)[0][:, k] for k in range(x.shape[1])]
    return torch.stack(columns, 1)


def _parameter_curvature(module: nn.Module, inputs: Tensor, curvature: Tensor) -> dict[nn.Parameter, Tensor]:
    """Backpropagate curvature to the parameters of a linear layer: a gradient, but with squared inputs."""
    parameters = list(module.parameters())
    with torch.enable_grad():
        diagonal = torch.autograd.grad(module(inputs.square()), parameters, curvature)
    return dict(zip(parameters, diagonal, strict=True))


def _input_curvature(module: nn.Module, inputs: Tensor, curvature: Tensor) -> Tensor:
    """Backpropagate curvature from the outputs of a layer to its inputs."""
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        if isinstance(module, _LINEAR):
            squares = {name: parameter.detach().square() for name, parameter in module.named_parameters()}
            outputs = functional_call(module, squares, (inputs,))
        else:
            outputs = module(inputs)
        if isinstance(module, (*_LINEAR, *_SELECTING)):
            return torch.autograd.grad(outputs, inputs, curvature)[0]
        if outputs.shape != inputs.shape or any(True for _ in module.parameters()):
            raise TypeError(
                f"the model contains a {type(module).__name__}; expected a chain of linear layers, convolutions,"
                " subsampling, max pooling and elementwise functions"
            )
        (slopes,) = torch.autograd.grad(outputs.sum(), inputs)
    return curvature * slopes.square()
