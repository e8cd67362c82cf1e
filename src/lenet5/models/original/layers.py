"""The layers of the original network that torch does not have."""

import itertools
import math
from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

Init: TypeAlias = Literal["paper", "lecun_uniform"]
Runs: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def uniform_bound(fan_in: int, init: Init) -> float:
    """Return the bound of the uniform initialisation for `fan_in` inputs.

    "paper" is 2.4 / fan_in (LeCun et al. 1998, appendix A). "lecun_uniform" is √(3 / fan_in), as in Keras: inputs of
    variance 1 then give sums of variance 1 (LeCun et al., "Efficient BackProp", 1998, section 4.6).

    Raises
    ------
    ValueError
        `init` is unknown.
    """
    if init not in ("paper", "lecun_uniform"):
        raise ValueError(f"init is {init!r}; expected 'paper' or 'lecun_uniform'")
    return 2.4 / fan_in if init == "paper" else math.sqrt(3 / fan_in)


def init_uniform(layer: nn.Conv2d | nn.Linear, init: Init) -> nn.Module:
    """Draw the weights of a layer uniformly, and set its biases to 0, which the paper does not specify."""
    limit = uniform_bound(math.prod(layer.weight.shape[1:]), init)
    nn.init.uniform_(layer.weight, -limit, limit)
    nn.init.zeros_(cast("Tensor", layer.bias))
    return layer


class ScaledTanh(nn.Module):
    """The activation A tanh(S x), with A = 1.7159 and S = 2/3, so that ±1 maps to ±1.

    LeCun, Bottou, Bengio and Haffner 1998, section II.B and appendix A: the second derivative is largest in magnitude
    at ±1, and targets of ±1 lie outside the saturated region.

    Examples
    --------
    >>> lenet5.models.ScaledTanh()(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([-1.0000,  0.0000,  1.0000])
    """

    __constants__: ClassVar[list[str]] = ["amplitude", "slope"]  # for TorchScript
    amplitude: float = 1.7159
    slope: float = 2 / 3

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation elementwise to a tensor of any shape."""
        return self.amplitude * torch.tanh(self.slope * x)


class Subsampling(nn.Module):
    """Trainable subsampling: the sum of each 2x2 window, times one coefficient per map, plus one bias per map.

    LeCun et al. 1998, section II.B, layer S2. The paper adds the four inputs; it does not average them. The activation
    is a separate layer. If a side of the maps is odd, its last row or column is ignored.

    Parameters
    ----------
    num_maps
        Number of maps; each has 2 trainable parameters.
    init
        Initialisation of the coefficients. "paper" draws them with a fan-in of 4. "lecun_uniform" sets them to 1/4, so
        that the layer starts as average pooling.

    Examples
    --------
    >>> layer = lenet5.models.Subsampling(6)
    >>> layer(torch.rand(2, 6, 28, 28)).shape
    torch.Size([2, 6, 14, 14])
    """

    def __init__(self, num_maps: int, *, init: Init = "paper") -> None:
        super().__init__()
        self.num_maps: int = num_maps
        self.init: Init = init
        self.weight: nn.Parameter = nn.Parameter(torch.empty(num_maps))
        self.bias: nn.Parameter = nn.Parameter(torch.empty(num_maps))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the coefficients, and set the biases to 0."""
        limit = uniform_bound(4, self.init)
        nn.init.uniform_(self.weight, -limit, limit)
        if self.init == "lecun_uniform":
            nn.init.constant_(self.weight, 1 / 4)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, num_maps, H, W) to (N, num_maps, H // 2, W // 2)."""
        sums = 4 * functional.avg_pool2d(x, 2)
        return sums * self.weight[:, None, None] + self.bias[:, None, None]

    def extra_repr(self) -> str:
        """Return the arguments for the module's repr."""
        return str(self.num_maps)


class PartialConv2d(nn.Module):
    """A convolution that connects each output map to only some of the input maps.

    LeCun et al. 1998, section II.B and table I, layer C3. Fewer connections break the symmetry between the maps.

    Parameters
    ----------
    table
        For each output map, the indices of its input maps, in ascending order.
    kernel_size
        Height and width of the kernels. Each connection has one kernel: `weight` has shape (connections, kernel_size,
        kernel_size), in the order of the table.
    init
        Initialisation of the weights, as in `uniform_bound`.

    Raises
    ------
    ValueError
        The table or a row is empty, a row is not in ascending order or has a negative index, or `init` is unknown.

    Examples
    --------
    >>> layer = lenet5.models.PartialConv2d([(0, 1), (1, 2)], kernel_size=5)
    >>> layer(torch.rand(2, 3, 14, 14)).shape
    torch.Size([2, 2, 10, 10])
    >>> layer.weight.shape, layer.dense_weight().shape
    (torch.Size([4, 5, 5]), torch.Size([2, 3, 5, 5]))
    """

    def __init__(self, table: Sequence[Sequence[int]], kernel_size: int, *, init: Init = "paper") -> None:
        super().__init__()
        for row in table:
            if not row or min(row) < 0 or list(row) != sorted(set(row)):
                raise ValueError(f"the table has a row {list(row)!r}; expected ascending map indices, from 0 on")
        if not table:
            raise ValueError("the table is empty; expected one row for each output map")
        self.table: tuple[tuple[int, ...], ...] = tuple(tuple(row) for row in table)
        self.in_channels: int = 1 + max(map(max, table))
        self.out_channels: int = len(table)
        self.kernel_size: int = kernel_size
        self.init: Init = init
        self.runs: Runs = find_runs(self.table, self.in_channels)
        num_connections = sum(map(len, self.table))
        self.weight: nn.Parameter = nn.Parameter(torch.empty(num_connections, kernel_size, kernel_size))
        self.bias: nn.Parameter = nn.Parameter(torch.empty(self.out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights uniformly by the fan-in of their output map, and set the biases to 0."""
        bounds = [uniform_bound(len(row) * self.kernel_size**2, self.init) for row in self.table for _ in row]
        limits = torch.tensor(bounds, dtype=self.weight.dtype, device=self.weight.device)
        with torch.no_grad():
            self.weight.uniform_(-1, 1).mul_(limits[:, None, None])
        nn.init.zeros_(self.bias)

    def dense_weight(self) -> Tensor:
        """Return dense kernels (out_channels, in_channels, kernel_size, kernel_size), 0 where maps are unconnected."""
        num_outputs, num_inputs, size = self.out_channels, self.in_channels, self.kernel_size
        connected, unconnected, order = self.runs
        zeros = self.weight.new_zeros(sum(unconnected), size, size)
        runs = self.weight.split_with_sizes(connected) + zeros.split_with_sizes(unconnected)
        dense = torch.cat([runs[index] for index in order], 0)
        return dense.view(num_outputs, num_inputs, size, size)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H - kernel_size + 1, W - kernel_size + 1)."""
        return functional.conv2d(x, self.dense_weight(), self.bias)

    def extra_repr(self) -> str:
        """Return the arguments for the module's repr."""
        size, connections = self.kernel_size, len(self.weight)
        return f"{self.in_channels}, {self.out_channels}, kernel_size={size}, connections={connections}"


def find_runs(table: Sequence[Sequence[int]], num_inputs: int) -> Runs:
    """Divide the rows of a table of connections, one after another, into runs of connected and of unconnected maps.

    Returns
    -------
    connected, unconnected
        The lengths of the runs.
    order
        For each run, its index in `connected + unconnected`.
    """
    maps = [source in row for row in table for source in range(num_inputs)]
    runs = [(is_connected, len([*run])) for is_connected, run in itertools.groupby(maps)]
    sort = sorted(range(len(runs)), key=lambda index: not runs[index][0])
    connected, unconnected = (tuple(length for key, length in runs if key is kind) for kind in (True, False))
    return connected, unconnected, tuple(sort.index(index) for index in range(len(runs)))


class EuclideanRBF(nn.Module):
    """Radial basis functions (RBF): the squared Euclidean distance to each prototype.

    LeCun et al. 1998, section II.B, equation 7: y_i = sum over j of (x_j - w_ij)^2. The prototypes are fixed.

    Parameters
    ----------
    prototypes
        (num_classes, features), floating point. They are stored in a buffer, so they are saved with the weights.

    Raises
    ------
    ValueError
        The prototypes are not a matrix, or not finite.

    Examples
    --------
    >>> layer = lenet5.models.EuclideanRBF(torch.tensor([[1.0, 1.0], [-1.0, 1.0]]))
    >>> layer(torch.tensor([[1.0, 0.0]]))
    tensor([[1., 5.]])
    """

    prototypes: Tensor

    def __init__(self, prototypes: Tensor) -> None:
        super().__init__()
        has_values = not prototypes.is_meta
        if (
            prototypes.ndim != 2
            or not prototypes.is_floating_point()
            or (has_values and not prototypes.isfinite().all())
        ):
            raise ValueError(
                f"prototypes have shape {tuple(prototypes.shape)} and dtype {prototypes.dtype}; expected finite"
                " (num_classes, features) of floating point"
            )
        self.register_buffer("prototypes", prototypes.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, features) to squared distances (N, num_classes)."""
        return (x.unsqueeze(1) - self.prototypes).square().sum(2)

    def extra_repr(self) -> str:
        """Return the arguments for the module's repr."""
        return "{1}, {0}".format(*self.prototypes.shape)
