"""LeNet-5 as it was published in 1998."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.fx
from torch import Tensor, nn

from .layers import EuclideanRBF, Init, PartialConv2d, ScaledTanh, Subsampling, draw_uniform
from .lenet5 import check_images, stacked
from .online import gradients_of
from .pretrained import PretrainedModel

torch.fx.wrap("check_images")  # as in its own module: one node in a traced graph

C3_TABLE = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)
"""Which maps of S2 each map of C3 sees: table I of the paper."""

_BITMAPS = """
.#####.  ...##..  .#####.  #######  .#####.  .#####.  ..####.  #######  .#####.  .#####.
.......  ..###..  .......  .....##  .......  .......  .##....  .....##  ##...##  ##..###
..###..  .####..  .#####.  ....##.  .......  #######  ##.....  .....##  ##...##  ##...##
.##.##.  ...##..  ##...##  ...##..  .##..##  ##.....  ##.....  ....##.  ##...##  ##...##
##...##  ...##..  #....##  ..####.  .##..##  ##.....  ######.  ...##..  .#####.  ##..###
##...##  ...##..  ....##.  .....##  ###..##  .####..  ###..##  ...##..  ##...##  .######
##...##  ...##..  ..###..  .....##  ##...##  ..####.  ##...##  ..##...  ##...##  .....##
##...##  ...##..  .##....  .....##  ##...##  .....##  ##...##  ..##...  ##...##  .....##
.##.##.  ...##..  ##.....  ##...##  ##..###  ##...##  ###..##  ..##...  ##...##  ....##.
..###..  .######  #######  .#####.  .######  .#####.  .#####.  ..##...  .#####.  .####..
.......  .......  .......  .......  .....##  .......  .......  .......  .......  .......
.......  .......  .......  .......  .....##  .......  .......  .......  .......  .......
"""


def digit_prototypes() -> Tensor:
    """Return what F6 is to answer to each digit: (10, 84), bitmaps 7 wide and 12 high, with 1 for ink and -1 around.

    The set that most ports of the network have; it has not been compared with figure 3 of the paper.
    """
    rows = [line.split() for line in _BITMAPS.split("\n") if line]
    bitmaps = ["".join(row[digit] for row in rows) for digit in range(10)]
    return torch.tensor([[1.0 if pixel == "#" else -1.0 for pixel in bitmap] for bitmap in bitmaps])


class LeNet5Original(PretrainedModel):
    """LeNet-5 as published: trainable subsampling, a partly connected C3, scaled tanh, and Euclidean RBF outputs.

    LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86(11),
    1998, section II.B: 60,000 trainable parameters and 340,908 connections. The layers bear the names of the paper; C1
    to F6 include the squashing function. Images are 32x32, with a digit of 28x28 in the middle, -0.1 for the ground and
    1.175 for ink, as `Preprocess.of_1998()` makes them.

    Parameters
    ----------
    prototypes
        (num_classes, 84): what F6 is to answer to each class; `None` for the ten digits' bitmaps.
    init
        How the weights are drawn: "paper" from ±2.4/F, where F is the number of inputs to a unit; "lecun_uniform" from
        ±√(3/F), and the coefficients of subsampling are 1/4; with these the published training succeeds, and with the
        former it does not (docs/lenet5_1998.md).

    Raises
    ------
    ValueError
        The prototypes have another shape, or are not finite; or `init` is neither.

    Examples
    --------
    >>> model = LeNet5Original()
    >>> model(torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, *, prototypes: Tensor | None = None, init: Init = "paper") -> None:
        super().__init__()
        if prototypes is not None and prototypes.shape[1:] != (84,):
            raise ValueError(f"prototypes have shape {tuple(prototypes.shape)}; expected (num_classes, 84)")
        self.c1 = stacked(conv=draw_uniform(nn.Conv2d(1, 6, 5), init), activation=ScaledTanh())
        self.s2 = stacked(subsampling=Subsampling(6, init=init), activation=ScaledTanh())
        self.c3 = stacked(conv=PartialConv2d(C3_TABLE, 5, init=init), activation=ScaledTanh())
        self.s4 = stacked(subsampling=Subsampling(16, init=init), activation=ScaledTanh())
        self.c5 = stacked(conv=draw_uniform(nn.Conv2d(16, 120, 5), init), activation=ScaledTanh(), flatten=nn.Flatten())
        self.f6 = stacked(linear=draw_uniform(nn.Linear(120, 84), init), activation=ScaledTanh())
        self.output = EuclideanRBF(digit_prototypes() if prototypes is None else prototypes)

    @property
    def num_classes(self) -> int:
        """The number of prototypes, and so of logits."""
        return len(self.output.prototypes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images to logits.

        Parameters
        ----------
        images
            (N, 1, 32, 32), of the parameters' dtype, from -0.1 to 1.175.

        Returns
        -------
        Tensor
            (N, num_classes): minus the squared distances of F6 to the prototypes, so that the largest is the answer.

        Raises
        ------
        ValueError
            The images' shape or dtype is another.
        """
        check_images(images, (1, 32, 32), cast("nn.Conv2d", self.c1.conv).weight.dtype)
        x = self.c1(images)  # (N, 6, 28, 28)
        x = self.s2(x)  # (N, 6, 14, 14)
        x = self.c3(x)  # (N, 16, 10, 10)
        x = self.s4(x)  # (N, 16, 5, 5)
        x = self.c5(x)  # (N, 120), of maps of 1x1
        x = self.f6(x)  # (N, 84)
        return -cast("Tensor", self.output(x))  # (N, num_classes)

    def fused_gradients(self, loss_fn: Callable[..., Any]) -> Callable[[Tensor, Tensor], Tensor | None] | None:
        """Return a function that a Trainer may call for a loss and its gradients, if there is a fast one.

        A Trainer asks before each epoch, and takes what it gets for as long as the epoch lasts.

        Parameters
        ----------
        loss_fn
            What is trained with.

        Returns
        -------
        callable or None
            Maps images and targets to the mean loss, and sets the parameters' gradients, which must be None before; it
            returns None, with nothing done, for a batch that it is not made for.
        """
        return gradients_of(self, loss_fn) if type(self) is LeNet5Original else None

    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON can hold them."""
        prototypes = self.output.prototypes.cpu().float()
        usual = prototypes.shape == (10, 84) and torch.equal(prototypes, digit_prototypes())
        return {"prototypes": None if usual else prototypes.tolist()}

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> LeNet5Original:
        """Build the network from what `arguments` returned."""
        prototypes = arguments["prototypes"]
        return cls(prototypes=None if prototypes is None else torch.tensor(prototypes))
