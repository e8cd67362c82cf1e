"""The LeNet of Caffe's MNIST example."""

from typing import Any, ClassVar

from torch import Tensor, nn

from ..arguments import check_integer
from .classifier import ImageClassifier


class CaffeLeNet(ImageClassifier):
    """The "LeNet" of Caffe's MNIST example: 20 and 50 feature maps, 500 units, a single ReLU, 431,080 parameters.

    Jia et al., "Caffe: Convolutional Architecture for Fast Feature Embedding", arXiv:1408.5093. Studies of pruning and
    quantisation often call this network LeNet-5, although it has seven times the parameters. The layers have Caffe's
    names. Caffe's example scales pixels to [0, 1).

    Parameters
    ----------
    num_classes
        Number of classes.

    Raises
    ------
    ValueError
        `num_classes` is not a positive integer.

    Examples
    --------
    >>> model = lenet5.CaffeLeNet()
    >>> sum(parameter.numel() for parameter in model.parameters())
    431080
    >>> model(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    first_layer: ClassVar[str | None] = "conv1"
    output_layer: ClassVar[str | None] = "ip2"

    def __init__(self, num_classes: int = 10) -> None:
        num_classes = check_integer("num_classes", num_classes, least=1)
        super().__init__((1, 28, 28), num_classes)
        self.conv1: nn.Conv2d = nn.Conv2d(1, 20, 5)
        self.pool1: nn.MaxPool2d = nn.MaxPool2d(2)
        self.conv2: nn.Conv2d = nn.Conv2d(20, 50, 5)
        self.pool2: nn.MaxPool2d = nn.MaxPool2d(2)
        self.ip1: nn.Linear = nn.Linear(50 * 4 * 4, 500)
        self.relu1: nn.ReLU = nn.ReLU()
        self.ip2: nn.Linear = nn.Linear(500, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 1, 28, 28) to logits (N, num_classes)."""
        x = self.pool1(self.conv1(images))  # (N, 20, 12, 12)
        x = self.pool2(self.conv2(x))  # (N, 50, 4, 4)
        x = self.relu1(self.ip1(x.flatten(1)))  # (N, 500)
        logits: Tensor = self.ip2(x)  # (N, num_classes)
        return logits

    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON-serialisable values."""
        return {"num_classes": self.num_classes}
