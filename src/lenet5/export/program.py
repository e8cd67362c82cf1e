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
from ..arguments import check_boolean
from ..data.preprocess import Preprocess
from ..models.classifier import ImageClassifier
from ..models.structure import check_weights_are_stored
from ..quantization.aware import QuantizationAware
from ..weights.bundle import Pretrained
from ..wrappers import unwrapped

Source: TypeAlias = Pretrained | nn.Module

INPUT = "images"
PIXELS = "pixels from 0 (black) to 255, as in training (MNIST: light on dark)"
_TOLERANCE = 1e-4  # of the largest result: sums are rounded in another order


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
        self.preprocess: nn.Module = _Normalize(preprocess)
        self.network: nn.Module = network
        self.softmax: nn.Softmax = nn.Softmax(1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) of uint8 to probabilities (N, num_classes)."""
        probabilities: Tensor = self.softmax(self.network(self.preprocess(images)))
        return probabilities


class _Normalize(nn.Module):
    scale: Tensor
    offset: Tensor

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.padding: int = preprocess.padding
        scale, offset = preprocess.scale_and_offset()
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32))
        self.register_buffer("offset", torch.as_tensor(offset, dtype=torch.float32))

    def forward(self, images: Tensor) -> Tensor:
        if self.padding:
            images = functional.pad(images, (self.padding,) * 4)
        return images.to(torch.float32) * self.scale - self.offset


@dataclass(frozen=True, kw_only=True)
class Interface:
    """What goes in and comes out of a file."""

    images: Tensor
    """(2, C, H, W): images to trace a module with, and to compare its file with it."""

    results: Tensor
    """(2, num_classes): what is computed from the images."""

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


@dataclass(frozen=True, kw_only=True)
class Program(Interface):
    """What an export writes: a module, and a description of it."""

    module: nn.Module
    """A copy of the network, in float32 on the CPU, in evaluation mode; or a `FromPixels` of it."""


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
    preprocess = check_boolean("preprocess", preprocess)
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
    if isinstance(network, QuantizationAware):
        raise ValueError(
            "a QuantizationAware network rounds its weights at every call; convert it to integers first:"
            " lenet5.quantization.convert(network)"
        )
    check_weights_are_stored(network, "exported")
    module: nn.Module = copy.deepcopy(network)
    shape, generator = network.image_shape, torch.Generator("cpu").manual_seed(0)
    images = torch.randn(2, *shape, generator=generator, device="cpu")
    if preprocess and isinstance(source, Pretrained):
        module = FromPixels(module, source.preprocess)
        side = source.preprocess.without_border().image_size
        size = 2, shape[0], side, side
        images = torch.randint(256, size, dtype=torch.uint8, generator=generator, device="cpu")
    module = module.to("cpu", torch.float32).eval().requires_grad_(requires_grad=False)
    with torch.no_grad():
        results = module(images)
    _check_results(results, source)
    output = "probabilities" if preprocess else "logits"
    metadata = _metadata(source, network, preprocess=preprocess)
    return Program(module=module, images=images, results=results, output=output, metadata=metadata)


def check_equal(results: Tensor, program: Interface, tolerance: float = _TOLERANCE) -> None:
    """Raise ValueError unless what a file computes from the images of a program equals the program's results."""
    scale = max(1.0, program.results.abs().max().item())
    error = (results - program.results).abs().max().item() / scale
    if not error < tolerance:
        raise ValueError(
            f"the layers compute other {program.output} than the network, by {error:.2g}: a hook or a replaced method"
            " takes part, which no file holds; remove it first"
        )


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
        "input": PIXELS if preprocess else "normalised as in training",
    }
    if isinstance(source, Pretrained):
        entries["classes"] = json.dumps(source.classes, ensure_ascii=False)
        entries["preprocessing"] = json.dumps(asdict(source.preprocess))
        if source.meta.get("sha256") == sha256 and isinstance(name := source.meta.get("name"), str):
            entries["weights"] = name
    return entries


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
