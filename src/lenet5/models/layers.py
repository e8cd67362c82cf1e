"""The layers that only the network of 1998 has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

Init: TypeAlias = Literal["paper", "lecun_uniform"]


def bound(fan_in: int, init: Init) -> float:
    """Return the largest weight that is drawn for a unit with so many inputs.

    2.4 / fan_in is that of LeCun et al. 1998, appendix A. The square root of 3 / fan_in, which Keras calls
    `lecun_uniform`, gives the sum of inputs of variance 1 a variance of 1, as LeCun et al. ask for in "Efficient
    BackProp" (1998), section 4.6.
    """
    if init not in ("paper", "lecun_uniform"):
        raise ValueError(f"init is {init!r}; expected 'paper' or 'lecun_uniform'")
    return 2.4 / fan_in if init == "paper" else math.sqrt(3 / fan_in)


class ScaledTanh(nn.Module):
    """The squashing function A tanh(S a), with A = 1.7159 and S = 2/3, so that ±1 maps to ±1.

    LeCun, Bottou, Bengio and Haffner 1998, section II.B and appendix A: at ±1 the curvature is largest, and what a unit
    is told to answer is not in its saturation.
    """

    amplitude = 1.7159
    slope = 2 / 3

    def forward(self, x: Tensor) -> Tensor:
        """Map a tensor of any shape, element by element."""
        return self.amplitude * torch.tanh(self.slope * x)


class Subsampling(nn.Module):
    """Trainable subsampling: the sum of each 2x2 square, times one coefficient a map, plus one bias a map.

    LeCun et al. 1998, section II.B, of S2: the four inputs to a unit are added. The squashing function comes after.
    What is left of a map whose height or width is odd is not looked at.

    Parameters
    ----------
    num_maps
        Maps in, and out: 2 trainable parameters each.
    init
        How the coefficients begin: with "paper" they are drawn as `bound` says, for a unit has four inputs; with
        "lecun_uniform" they are 1/4, so that the layer begins as a mean.
    """

    def __init__(self, num_maps: int, *, init: Init = "paper") -> None:
        super().__init__()
        self.num_maps, self.init = num_maps, init
        self.weight = nn.Parameter(torch.empty(num_maps))
        self.bias = nn.Parameter(torch.empty(num_maps))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the coefficients, or set them; the biases are 0."""
        limit = bound(4, self.init)
        nn.init.uniform_(self.weight, -limit, limit)
        if self.init == "lecun_uniform":
            nn.init.constant_(self.weight, 1 / 4)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, num_maps, H, W) to (N, num_maps, H // 2, W // 2)."""
        sums = 4 * functional.avg_pool2d(x, 2)
        return sums * self.weight[:, None, None] + self.bias[:, None, None]

    def extra_repr(self) -> str:
        """Return what the layer's repr shows."""
        return str(self.num_maps)


class PartialConv2d(nn.Module):
    """A convolution in which each map of the result sees some of the maps before it only.

    LeCun et al. 1998, section II.B and table I, of C3: fewer connections, and maps that differ because their inputs do.

    Parameters
    ----------
    table
        For each map of the result, the numbers of those that it sees, in rising order.
    kernel_size
        Height and width of a kernel. There is one for each link: `weight` is (links, kernel_size, kernel_size), in the
        order of the table.
    init
        How the weights are drawn, as `bound` says.

    Raises
    ------
    ValueError
        The table is empty, or a row is, or does not rise.
    """

    index: Tensor

    def __init__(self, table: Sequence[Sequence[int]], kernel_size: int, *, init: Init = "paper") -> None:
        super().__init__()
        for row in table:
            if not row or min(row) < 0 or list(row) != sorted(set(row)):
                raise ValueError(f"the table holds {list(row)!r}; expected rising numbers of maps, from 0 on")
        if not table:
            raise ValueError("the table is empty; expected a row for each map of the result")
        self.table = tuple(tuple(row) for row in table)
        self.in_channels = 1 + max(map(max, table))
        self.out_channels = len(table)
        self.kernel_size, self.init = kernel_size, init
        links = [to * self.in_channels + one for to, row in enumerate(self.table) for one in row]
        self.register_buffer("index", torch.tensor(links), persistent=False)
        self.weight = nn.Parameter(torch.empty(len(links), kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(self.out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights; those to maps that see more have smaller bounds. The biases are 0."""
        of_links = [bound(len(row) * self.kernel_size**2, self.init) for row in self.table for _ in row]
        limits = torch.tensor(of_links, dtype=self.weight.dtype, device=self.weight.device)
        with torch.no_grad():
            self.weight.uniform_(-1, 1).mul_(limits[:, None, None])
        nn.init.zeros_(self.bias)

    def dense_weight(self) -> Tensor:
        """Return the kernels (out_channels, in_channels, kernel_size, kernel_size), with 0 where there is no link."""
        size = (self.kernel_size, self.kernel_size)
        dense = self.weight.new_zeros(self.out_channels * self.in_channels, *size)
        return dense.index_copy(0, self.index, self.weight).view(self.out_channels, self.in_channels, *size)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H - kernel_size + 1, W - kernel_size + 1)."""
        return functional.conv2d(x, self.dense_weight(), self.bias)

    def extra_repr(self) -> str:
        """Return what the layer's repr shows."""
        links = len(self.weight)
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, links={links}"


class EuclideanRBF(nn.Module):
    """Radial basis functions: the squared Euclidean distance to each of several prototypes.

    LeCun et al. 1998, section II.B and equation 7: y_i = sum over j of (x_j - w_ij)^2. The prototypes are fixed.

    Parameters
    ----------
    prototypes
        (num_classes, features). They are a buffer, and are saved with the weights.

    Raises
    ------
    ValueError
        The prototypes are no matrix, or are not finite.
    """

    prototypes: Tensor

    def __init__(self, prototypes: Tensor) -> None:
        super().__init__()
        if prototypes.ndim != 2 or not prototypes.is_floating_point() or not prototypes.isfinite().all():
            raise ValueError(
                f"prototypes have shape {tuple(prototypes.shape)} and dtype {prototypes.dtype}; expected finite"
                " (num_classes, features) of floating point"
            )
        self.register_buffer("prototypes", prototypes.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, features) to the distances (N, num_classes)."""
        return (x[:, None] - self.prototypes).square().sum(2)

    def extra_repr(self) -> str:
        """Return what the layer's repr shows."""
        num_classes, features = self.prototypes.shape
        return f"{features}, {num_classes}"


def draw_uniform(layer: nn.Conv2d | nn.Linear, init: Init) -> nn.Module:
    """Draw a layer's weights, as `bound` says, and set the biases to 0: the paper does not say how they begin."""
    limit = bound(math.prod(layer.weight.shape[1:]), init)
    nn.init.uniform_(layer.weight, -limit, limit)
    nn.init.zeros_(cast("Tensor", layer.bias))
    return layer
