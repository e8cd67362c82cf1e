"""The integer network: what it consists of, what it computes, and its files."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .. import notebook
from ..data.datasets import ImageDataset
from ..data.images import Images
from ..data.preprocess import Preprocess, as_batch
from ..inference import Predictions
from ..metrics.report import Evaluation
from ..storage import StrPath
from .files import read_folder, write_folder
from .layers import IntegerLayer, Integers
from .reference import run_layers

_BATCH_SIZE = 500


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class IntegerNetwork:
    """A network of integers: 8-bit pixels in, int32 logits out, and no floating point in between.

    A pixel p of channel c stands for the real number `input_scale * (p - zero_point[c])`, and the weights of C1 are
    relative to `input_scale`. In all other tensors, an integer q stands for `scale * q`.

    Examples
    --------
    >>> network = lenet5.quantization.quantize(lenet5.load("mnist_v2"), lenet5.load_data("digits").val)
    >>> [layer.name for layer in network.layers]
    ['c1', 's2', 'c3', 's4', 'c5', 'f6', 'output']
    >>> pixels = lenet5.load_digit("pencil.jpg")
    >>> network.predict(pixels).labels, network.run(pixels[None])["output"].dtype
    (tensor([7]), dtype('int32'))
    >>> network.save("integers")
    >>> lenet5.quantization.IntegerNetwork.load("integers").architecture
    'LeNet5'
    """

    architecture: str
    """"LeNet5" or "LeNet5Original"."""

    preprocess: Preprocess
    """The preprocessing, whose `resize` returns the pixels; its normalisation is a part of C1."""

    classes: tuple[str, ...]
    """The class names."""

    weight_bits: int
    """Bits of the weights, which are stored as int8."""

    activation_bits: int
    """Bits of the activations."""

    power_of_two: bool
    """Whether all scales are powers of two, and each `multiplier` is one too."""

    input_scale: float
    """Scale of the pixels."""

    zero_point: npt.NDArray[np.uint8]
    """(C,): the pixel value of each channel that stands for 0, which also fills the border of C1."""

    layers: tuple[IntegerLayer, ...]
    """The layers, with the names of the network's."""

    def __repr__(self) -> str:
        scales = "scales that are powers of two" if self.power_of_two else "fixed-point scales"
        bits = f"{self.weight_bits}-bit weights, {self.activation_bits}-bit activations"
        return f"<IntegerNetwork: {self.architecture}, {bits}, {scales}>"

    def _repr_html_(self) -> str:
        import pandas as pd

        rows = [(layer.kind, layer.shape, str(layer.dtype), layer.output_scale) for layer in self.layers]
        columns = ["kind", "shape of the weights", "outputs", "scale of the outputs"]
        frame = pd.DataFrame(rows, [layer.name for layer in self.layers], columns)
        return notebook.table_html(repr(self).strip("<>"), frame)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of the pixels."""
        return self.preprocess.channels, self.preprocess.image_size, self.preprocess.image_size

    def run(self, pixels: Tensor | npt.NDArray[np.uint8]) -> dict[str, Integers]:
        """Compute the outputs of every layer with the integer reference.

        Parameters
        ----------
        pixels
            (N, C, H, W) uint8, as `preprocess.resize` returns.

        Returns
        -------
        dict
            Outputs by the names of the layers: maps (N, C, H, W), or features (N, C). "output" holds the logits (N,
            num_classes), int32.

        Raises
        ------
        ValueError
            There are no pixels, or they have the wrong shape or dtype.
        """
        array = np.asarray(pixels)
        if array.dtype != np.uint8 or array.shape[1:] != self.image_shape:
            raise ValueError(
                f"pixels have shape {array.shape} and dtype {array.dtype}; expected (N, C, H, W) of"
                f" {self.image_shape} and uint8, as preprocess.resize returns"
            )
        if not len(array):
            raise ValueError("there are no images; expected at least one")
        return run_layers(self.layers, self.zero_point, array)

    def predict(self, images: Images) -> Predictions:
        """Predict the class of each image.

        Parameters
        ----------
        images
            Images of any kind and size that `Preprocess` takes, not normalised.

        Raises
        ------
        ValueError
            There are no images, they have the wrong shape, or a value is not finite.
        TypeError
            The images are of an unsupported type.
        """
        pixels = as_batch(self.preprocess.resize(images)).round().to("cpu", torch.uint8)
        logits = np.concatenate([self.run(batch)["output"] for batch in torch.split(pixels, _BATCH_SIZE)])
        real = torch.from_numpy(logits).double() * self.layers[-1].output_scale
        return Predictions(torch.from_numpy(logits.argmax(1)), real.softmax(1).float())

    def evaluate(self, dataset: ImageDataset) -> Evaluation:
        """Evaluate the network on a whole dataset; its transform is not used, because the pixels are not normalised.

        Raises
        ------
        TypeError
            The dataset is not an ImageDataset.
        """
        if not isinstance(dataset, ImageDataset):
            raise TypeError(f"the dataset is a {type(dataset).__name__}; expected an ImageDataset of uint8 images")
        predictions = self.predict(dataset.images)
        return Evaluation(dataset.targets, predictions.probabilities.double(), classes=dataset.classes)

    def save(self, directory: StrPath) -> None:
        """Write `config.json`, with all numbers but the arrays, and `model.safetensors`, with the arrays.

        Parameters
        ----------
        directory
            The folder; created if missing. Files of these names are replaced atomically.

        Raises
        ------
        ValueError
            `directory` is a file.
        """
        write_folder(self, directory)

    @classmethod
    def load(cls, directory: StrPath) -> Self:
        """Read a folder that `save` has written.

        Raises
        ------
        FileNotFoundError
            A file does not exist.
        ValueError
            A file is damaged or was edited, or is not that of an integer network.
        """
        return cls(**read_folder(directory))
