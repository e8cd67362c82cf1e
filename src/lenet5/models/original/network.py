"""LeNet-5 as published in 1998."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from ..architectures import construct
from ..classifier import ImageClassifier, stacked
from .layers import EuclideanRBF, Init, PartialConv2d, ScaledTanh, Subsampling, init_uniform

C3_TABLE = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)
"""The maps of S2 that each map of C3 is connected to: table I of the paper."""

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
    """Return the target activations of F6 for each digit: (10, 84), 7x12 bitmaps of 1 (ink) and -1 (background).

    These are the bitmaps of most ports of the network. They have not been compared with figure 3 of the paper.

    Examples
    --------
    >>> for row in lenet5.models.digit_prototypes()[7].view(12, 7)[:5]:
    ...     print("".join("#" if pixel > 0 else "." for pixel in row))
    #######
    .....##
    .....##
    ....##.
    ...##..
    """
    rows = [line.split() for line in _BITMAPS.split("\n") if line]
    bitmaps = ["".join(row[digit] for row in rows) for digit in range(10)]
    return torch.tensor([[1.0 if pixel == "#" else -1.0 for pixel in bitmap] for bitmap in bitmaps])


class LeNet5Original(ImageClassifier):
    """LeNet-5 as published: trainable subsampling, a partially connected C3, scaled tanh, and Euclidean RBF outputs.

    LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86(11),
    1998, section II.B: 60,000 trainable parameters and 340,908 connections. The layers have the names of the paper; C1
    to F6 include the activation. Images are 32x32, with a 28x28 image in the centre. The background is -0.1 and ink is
    1.175, as in the output of `Preprocess.original()`.

    Parameters
    ----------
    prototypes
        (num_classes, 84): the target activations of F6 for each class. None for the bitmaps of the ten digits.
    init
        Initialisation of the weights. "paper" is uniform in ±2.4/fan_in. "lecun_uniform" is uniform in ±√(3/fan_in),
        with subsampling coefficients of 1/4. The published training procedure converges only with "lecun_uniform"
        (docs/explained/original_training.md).

    Raises
    ------
    ValueError
        The prototypes have the wrong shape or are not finite, or `init` is unknown.

    Examples
    --------
    >>> model = lenet5.LeNet5Original()
    >>> preprocess = lenet5.Preprocess.original()
    >>> model(preprocess(torch.zeros(2, 1, 28, 28, dtype=torch.uint8))).shape
    torch.Size([2, 10])
    """

    def __init__(self, *, prototypes: Tensor | None = None, init: Init = "paper") -> None:
        if prototypes is not None and prototypes.shape[1:] != (84,):
            raise ValueError(f"prototypes have shape {tuple(prototypes.shape)}; expected (num_classes, 84)")
        prototypes = digit_prototypes() if prototypes is None else prototypes
        super().__init__((1, 32, 32), len(prototypes))
        self.c1: nn.Sequential = stacked(conv=init_uniform(nn.Conv2d(1, 6, 5), init), activation=ScaledTanh())
        self.s2: nn.Sequential = stacked(subsampling=Subsampling(6, init=init), activation=ScaledTanh())
        self.c3: nn.Sequential = stacked(conv=PartialConv2d(C3_TABLE, 5, init=init), activation=ScaledTanh())
        self.s4: nn.Sequential = stacked(subsampling=Subsampling(16, init=init), activation=ScaledTanh())
        self.c5: nn.Sequential = stacked(
            conv=init_uniform(nn.Conv2d(16, 120, 5), init), activation=ScaledTanh(), flatten=nn.Flatten()
        )
        self.f6: nn.Sequential = stacked(linear=init_uniform(nn.Linear(120, 84), init), activation=ScaledTanh())
        self.output: EuclideanRBF = EuclideanRBF(prototypes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 1, 32, 32) to logits (N, num_classes): the negated squared distances to the prototypes."""
        x = self.c1(images)  # (N, 6, 28, 28)
        x = self.s2(x)  # (N, 6, 14, 14)
        x = self.c3(x)  # (N, 16, 10, 10)
        x = self.s4(x)  # (N, 16, 5, 5)
        x = self.c5(x)  # (N, 120), from maps of 1x1
        x = self.f6(x)  # (N, 84)
        distances: Tensor = self.output(x)  # (N, num_classes)
        return -distances

    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON-serialisable values."""
        prototypes = self.output.prototypes.cpu().float()
        default = prototypes.shape == (10, 84) and torch.equal(prototypes, digit_prototypes())
        return {"prototypes": None if default else prototypes.tolist()}

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> Self:
        """Build the network from the result of `arguments`."""
        prototypes = arguments["prototypes"]
        values = {"prototypes": None if prototypes is None else torch.tensor(prototypes)}
        model: Self = construct(cls, values, arguments)
        return model
