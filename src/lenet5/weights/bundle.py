"""`load`: a model with its preprocessing and metadata from one weights folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack

import numpy as np
import torch
from torch import Tensor

from ..data.images import Images, open_image
from ..data.preprocess import Preprocess, as_batch
from ..inference import Predictions, predict
from ..models.classifier import ImageClassifier
from ..models.folder import WeightsFolder
from ..models.hub import Download, Upload, check_options
from ..models.pretrained import PretrainedModel
from ..models.structure import check_fit
from ..runtime.device import Device
from ..storage import StrPath
from .catalogue import LeNet5_Weights, folder_meta, meta_html, read_preprocess

if TYPE_CHECKING:
    import PIL.Image

_DIGIT = re.compile("[0-9]( - [a-z]+)?")  # "7", or "7 - seven" as in torchvision's MNIST

Input: TypeAlias = "Images | StrPath | PIL.Image.Image | Sequence[Input]"


@dataclass(frozen=True, repr=False)
class Pretrained:
    """A model with its preprocessing and metadata.

    Examples
    --------
    >>> weights = lenet5.load("mnist_v2")
    >>> weights
    <Pretrained: LeNet5, 61,706 parameters>
    >>> weights.classes[:3], round(weights.threshold, 3)
    (('0', '1', '2'), 0.919)
    """

    model: PretrainedModel
    """The model, in evaluation mode, on the CPU."""

    preprocess: Preprocess
    """The preprocessing that the model expects."""

    meta: dict[str, Any]
    """Metadata of the weights: `categories`, `metrics`, `recipe`, `name`, `sha256`, …; see `LeNet5_Weights.meta`."""

    def __repr__(self) -> str:
        num_params = sum(parameter.numel() for parameter in self.model.parameters())
        return f"<Pretrained: {type(self.model).__name__}, {num_params:,} parameters>"

    def _repr_html_(self) -> str:
        return meta_html(repr(self).strip("<>"), self.meta)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names; the class indices if the metadata has no names."""
        if categories := self.meta.get("categories"):
            return tuple(categories)
        count = self.model.num_classes if isinstance(self.model, ImageClassifier) else 0
        return tuple(map(str, range(count)))

    @property
    def threshold(self) -> float | None:
        """The confidence threshold for the accuracy in the model card, from the validation split; None if unknown."""
        threshold: float | None = (self.meta.get("abstention") or {}).get("threshold")
        return threshold

    @property
    def raw(self) -> bool:
        """Whether image files are used as they are, by `preprocess` alone, and do not go through `load_digit`.

        `meta["raw"]` if the metadata has it. Else true, unless every class is a digit: `load_digit` is for digits only.

        Examples
        --------
        >>> lenet5.load("mnist_v2").raw, lenet5.load("fashion_mnist_v1").raw
        (False, True)
        """
        raw = self.meta.get("raw")
        return bool(not all(_DIGIT.fullmatch(str(name)) for name in self.classes) if raw is None else raw)

    def prepare(self, images: Input, *, raw: bool = False) -> Tensor:
        """Convert images or photographs to a batch (N, C, H, W) of the dtype of the model; see `predict`.

        Examples
        --------
        >>> lenet5.load("mnist_v2").prepare(["pencil.jpg", "shadow.jpg"]).shape
        torch.Size([2, 1, 28, 28])
        """
        dtype = next((parameter.dtype for parameter in self.model.parameters()), torch.float32)
        return self._prepare(images, raw=raw or self.raw).to(dtype)

    def _prepare(self, images: Input, *, raw: bool) -> Tensor:
        if isinstance(images, Sequence) and not isinstance(images, str):
            if not images:
                raise ValueError("no images were given; expected at least one")
            return torch.cat([self._prepare(image, raw=raw) for image in images])
        if isinstance(images, Tensor | np.ndarray):
            return as_batch(self.preprocess(images))
        from ..photo.digit import load_digit

        if not raw:
            return as_batch(self.preprocess(load_digit(images)))
        image: Images = open_image(images) if isinstance(images, str | os.PathLike) else images
        if self.raw:  # as in training: resized as `from_folder` does, then transformed
            image = self.preprocess.without_border().resize(image)
        return as_batch(self.preprocess(image))

    def predict(self, images: Input, *, raw: bool = False, device: Device = None) -> Predictions:
        """Predict the class of each image or photograph.

        Parameters
        ----------
        images
            One of:

            - a photograph, scan or drawing of one digit, as a path or a PIL image, which is converted by `load_digit`
              unless the argument or the property `raw` is true;
            - images in MNIST format, as a tensor or an array, such as those of `load_digits`; see `Preprocess`;
            - a sequence of these.
        raw
            Skip `load_digit`, for paths and PIL images that are already in MNIST format. Weights whose property `raw`
            is true, such as those of `lenet5 train` with your own data, always skip it: `preprocess` converts images as
            in training.
        device
            Device to compute on; the model is moved to it. None for the model's own device.

        Raises
        ------
        ValueError
            An image cannot be read, has the wrong shape, or does not show exactly one digit.
        TypeError
            An image is of an unsupported type.

        Examples
        --------
        >>> weights = lenet5.load("mnist_photo_v1")
        >>> weights.predict(["pencil.jpg", "shadow.jpg"]).labels  # photographs
        tensor([7, 5])
        >>> weights.predict(lenet5.load_digits("postcode.jpg").images).labels  # several digits of a photograph
        tensor([2, 7, 4, 1, 9])
        >>> digits = lenet5.load_data("digits").test
        >>> weights.predict(digits.images[:4]).labels  # images in MNIST format
        tensor([0, 1, 2, 3])
        """
        return predict(self.model, self.prepare(images, raw=raw), device=device)

    def save_pretrained(
        self,
        directory: StrPath,
        *,
        card: Mapping[str, Any] | None = None,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **hub: Unpack[Upload],
    ) -> str | None:
        """Write the model, its preprocessing and its metadata to a folder; see `LeNet5.save_pretrained`.

        Examples
        --------
        >>> lenet5.load("mnist_v2").save_pretrained("copy_of_mnist_v2")
        >>> lenet5.load("copy_of_mnist_v2").predict("pencil.jpg").labels
        tensor([7])
        """
        return self.model.save_pretrained(
            directory, card=card, push_to_hub=push_to_hub, repo_id=repo_id, **self._entries(), **hub
        )

    def push_to_hub(self, repo_id: str, *, card: Mapping[str, Any] | None = None, **hub: Unpack[Upload]) -> str:
        """Upload the model, its preprocessing and its metadata to the Hugging Face Hub; see `LeNet5.push_to_hub`."""
        return self.model.push_to_hub(repo_id, card=card, **self._entries(), **hub)

    def _entries(self) -> dict[str, Any]:
        meta = {name: value for name, value in self.meta.items() if name not in ("name", "sha256")}  # of the files
        return {"preprocess": self.preprocess, "meta": meta}


def load(source: StrPath, **hub: Unpack[Download]) -> Pretrained:
    """Load a model with its preprocessing and metadata; each file is read and verified once.

    Parameters
    ----------
    source
        As in `LeNet5.from_pretrained`: a name of bundled weights, a folder, a file, or a repository on the Hugging Face
        Hub. "default" names `LeNet5_Weights.DEFAULT`.
    hub
        Options of a download, such as `revision` and `token`: see `lenet5.models.Download`.

    Raises
    ------
    FileNotFoundError
        The source does not exist.
    ValueError
        A file is damaged, or `config.json` does not describe the preprocessing.

    Examples
    --------
    >>> weights = lenet5.load("mnist_v2")
    >>> predictions = weights.predict("pencil.jpg")
    >>> predictions.labels, f"{predictions.confidence.item():.1%}"
    (tensor([7]), '99.9%')
    """
    if isinstance(source, str) and source.lower() == "default":
        source = LeNet5_Weights.DEFAULT.value
    check_options(hub, Download, "load")
    return WeightsFolder.read(source, _load, hub)


def _load(folder: WeightsFolder) -> Pretrained:
    model = folder.load()  # first, because an unfinished run describes no preprocessing either
    preprocess = read_preprocess(folder)
    assert isinstance(model, PretrainedModel)
    meta = folder_meta(folder)
    if isinstance(model, ImageClassifier):
        check_fit(model, asdict(preprocess), meta.get("categories"), str(folder.path))
    return Pretrained(model, preprocess, meta)
