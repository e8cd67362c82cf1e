"""The network as it is exported: in float32 on the CPU, in evaluation mode, with its preprocessing on request."""

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import __version__, storage
from ..data.preprocess import Preprocess
from ..models.classifier import ImageClassifier
from ..models.pretrained import unwrapped
from ..models.structure import check_weights_are_stored
from ..weights.bundle import Pretrained

Source: TypeAlias = Pretrained | nn.Module

INPUT = "images"


class FromPixels(nn.Module):
    """A network between its preprocessing and the softmax: maps pixels to probabilities.

    Parameters
    ----------
    network
        Maps normalised images to logits.
    preprocess
        Its preprocessing. Images have its size without the border, which is added here.
    """

    def __init__(self, network: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        self.preprocess = _Normalize(preprocess)
        self.network = network
        self.softmax = nn.Softmax(1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) of uint8 to probabilities (N, num_classes)."""
        probabilities: Tensor = self.softmax(self.network(self.preprocess(images)))
        return probabilities


class _Normalize(nn.Module):
    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.normalize = preprocess.normalize
        self.padding = preprocess.padding

    def forward(self, images: Tensor) -> Tensor:
        if self.padding:
            images = functional.pad(images, (self.padding,) * 4)
        return self.normalize(images)


@dataclass(frozen=True)
class Program:
    """What an export writes: a module, and a description of it."""

    module: nn.Module
    """A copy of the network, in float32 on the CPU, in evaluation mode; or a `FromPixels` of it."""

    images: Tensor
    """(2, C, H, W): images to trace the module with, and to compare its file with it."""

    results: Tensor
    """(2, num_classes): what the module computes from the images."""

    output: str
    """Name of the result: "logits" or "probabilities"."""

    metadata: Mapping[str, str]
    """What a file says about itself."""

    @property
    def description(self) -> tuple[str, ...]:
        """One line each for input and output."""
        shape = ", ".join(map(str, self.images.shape[1:]))
        return (
            f"input {INPUT}: {_dtype(self.images)} (N, {shape}), {self.metadata['input']}",
            f"output {self.output}: float32 (N, {self.results.shape[1]})",
        )


def as_program(source: Source, *, preprocess: bool) -> Program:
    """Prepare a network for export; it stays as it is.

    Parameters
    ----------
    source
        A network with or without its preprocessing and metadata.
    preprocess
        Whether the program maps pixels to probabilities, instead of normalised images to logits.

    Raises
    ------
    TypeError
        The source is no `Pretrained` and no `ImageClassifier`.
    ValueError
        The network is pruned or parametrized, has no preprocessing, or returns no finite logits of its classes.
    """
    network = unwrapped(source.model if isinstance(source, Pretrained) else source)
    if not isinstance(network, ImageClassifier):
        raise TypeError(
            f"the source is a {type(source).__name__}; expected a network of this package or a lenet5.Pretrained,"
            " as lenet5.load returns"
        )
    if preprocess and not isinstance(source, Pretrained):
        raise ValueError(
            f"a {type(network).__name__} does not know its preprocessing; expected a lenet5.Pretrained, such as"
            " lenet5.Pretrained(model, preprocess, {})"
        )
    check_weights_are_stored(network, "exported")
    module: nn.Module = copy.deepcopy(network).to("cpu", torch.float32).eval().requires_grad_(requires_grad=False)
    images = torch.randn(2, *network.image_shape, generator=torch.Generator().manual_seed(0))
    if preprocess and isinstance(source, Pretrained):
        module = FromPixels(module, source.preprocess).eval()
        side = source.preprocess.without_border().image_size
        images = torch.randint(
            256, (2, network.image_shape[0], side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        )
    with torch.no_grad():
        results = module(images)
    _check_results(results, source)
    output = "probabilities" if preprocess else "logits"
    return Program(module, images, results, output, _metadata(source, network, preprocess=preprocess))


def _check_results(results: object, source: Source) -> None:
    if not isinstance(results, Tensor) or results.ndim != 2 or not results.isfinite().all():
        found = f"shape {tuple(results.shape)}" if isinstance(results, Tensor) else f"a {type(results).__name__}"
        raise ValueError(f"the network returned {found}; expected finite logits (N, num_classes)")
    if isinstance(source, Pretrained) and len(source.classes) != results.shape[1]:
        raise ValueError(
            f"the network returns {results.shape[1]} logits, but has the {len(source.classes)} classes"
            f" {', '.join(source.classes)}; expected one for each"
        )


def _metadata(source: Source, network: ImageClassifier, *, preprocess: bool) -> dict[str, str]:
    sha256 = hashlib.sha256(storage.tensors_bytes(network.state_dict())).hexdigest()
    entries = {
        "architecture": type(network).__name__,
        "sha256": sha256,
        "lenet5_version": __version__,
        "input": "pixels from 0 (black) to 255, digits light on dark" if preprocess else "normalised as in training",
    }
    if isinstance(source, Pretrained):
        entries["classes"] = json.dumps(source.classes, ensure_ascii=False)
        entries["preprocessing"] = json.dumps(asdict(source.preprocess))
        if source.meta.get("sha256") == sha256 and isinstance(name := source.meta.get("name"), str):
            entries["weights"] = name
    return entries


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
