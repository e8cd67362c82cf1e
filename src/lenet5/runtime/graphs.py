"""CUDA graphs: a step of a small network is fifty kernels, and to start them one by one takes longer than they do."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class RecordedGradients:
    """A function that computes a loss and its gradients, recorded on a CUDA device at its second call, then replayed.

    Parameters
    ----------
    compute
        Takes tensors, and returns the loss, a tensor of one number, once it has added the gradients to those of the
        parameters, which are None when it is called. It must do the same operations for all tensors of one shape, and
        leave no other trace than on tensors of the device.
    model
        Whose parameters these are. When it changes otherwise than in value, `refresh` has to be called.

    Raises
    ------
    RuntimeError
        When it is called: the function waits for the device, or does something else that no graph can hold.
    """

    def __init__(self, compute: Callable[..., Tensor], model: nn.Module) -> None:
        self.compute, self.model = compute, model
        self._seen: set[Any] = set()  # shapes for which the libraries have chosen their algorithms
        self._recordings: dict[Any, _Recording] = {}
        self._fingerprint: list[Any] = []

    def refresh(self) -> None:
        """Forget all recordings, if the model has other tensors or modes than when they were made."""
        parameters = [(parameter.data_ptr(), parameter.requires_grad) for parameter in self.model.parameters()]
        fingerprint = [*parameters, *((id(module), module.training) for module in self.model.modules())]
        if fingerprint != self._fingerprint:
            self._fingerprint = fingerprint
            self._recordings.clear()

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Compute the loss of tensors on the device, and leave its gradients in the parameters."""
        shape = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        if shape not in self._seen:
            self._seen.add(shape)
            return self.compute(*inputs)
        if shape not in self._recordings:
            self._recordings[shape] = self._record(inputs)
        recording = self._recordings[shape]
        for own, given in zip(recording.inputs, inputs, strict=True):
            own.copy_(given)
        recording.graph.replay()
        for parameter, gradient in recording.gradients:
            parameter.grad = gradient
        return recording.loss

    def _record(self, inputs: tuple[Tensor, ...]) -> _Recording:
        own = tuple(tensor.clone() for tensor in inputs)
        graph = torch.cuda.CUDAGraph()
        collecting = gc.isenabled()
        gc.disable()  # a graph that is freed while another is recorded breaks that one
        try:
            with torch.cuda.device(own[0].device), torch.cuda.graph(graph):
                loss = self.compute(*own)
        except RuntimeError as error:
            name = type(self.model).__name__
            raise RuntimeError(f"{name} cannot be recorded as a CUDA graph (cuda_graph=False does without)") from error
        finally:
            if collecting:
                gc.enable()
        gradients = [(parameter, parameter.grad) for parameter in self.model.parameters() if parameter.grad is not None]
        return _Recording(graph, own, loss, gradients)


class _Recording(NamedTuple):
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]  # where the graph reads
    loss: Tensor  # and where it writes
    gradients: list[tuple[nn.Parameter, Tensor]]
