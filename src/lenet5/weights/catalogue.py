"""The bundled weights, and the builders of pretrained models."""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

from .. import notebook, storage
from ..arguments import as_number
from ..data.preprocess import Preprocess
from ..models import LeNet5, LeNet5Original
from ..models.folder import WeightsFolder

Model = TypeVar("Model", LeNet5, LeNet5Original)


class _Displayed:
    """The display of members in notebooks. It is a base class because Enum reserves names such as `_repr_html_`."""

    def _repr_html_(self) -> str:
        weights: Any = self
        return meta_html(str(weights), weights.meta)


class PretrainedWeights(_Displayed, Enum):
    """Bundled weights, which follow torchvision's `WeightsEnum`. The value of a member is the name of its folder.

    Lookup by name ignores case: `LeNet5_Weights("default")`, `LeNet5_Weights("LeNet5_Weights.DEFAULT")`.

    Examples
    --------
    >>> lenet5.LeNet5_Weights("default")
    <LeNet5_Weights.MNIST_PHOTO_V1: 'mnist_photo_v1'>
    >>> [weights.value for weights in lenet5.LeNet5_Weights if weights.value.startswith("mnist")]
    ['mnist_v1', 'mnist_v2', 'mnist_v3', 'mnist_photo_v1', 'mnist_robust_v1']
    """

    @classmethod
    def _missing_(cls, value: object) -> Self:
        member = cls.__members__.get(str(value).removeprefix(f"{cls.__name__}.").upper())
        if member is None:
            raise ValueError(f"{value!r} is not in {cls.__name__}; expected one of: {', '.join(cls.__members__)}")
        return member

    @classmethod
    def verify(cls, weights: object) -> Self | None:
        """Return the member that a builder's `weights` names, as in torchvision: a member, a name, or None for None."""
        return None if weights is None else cls(weights)

    @property
    def path(self) -> Path:
        """The safetensors file of the weights, inside the installed package; `config.json` is beside it."""
        return WeightsFolder.open(self.value).tensors

    @property
    def url(self) -> str:
        """The address of `path`, which starts with "file:", because the weights are installed with the package."""
        return self.path.as_uri()

    def get_state_dict(
        self,
        model_dir: object = None,
        map_location: str | torch.device | None = None,
        progress: bool = True,
        check_hash: bool = False,
        file_name: object = None,
        weights_only: bool = True,
    ) -> dict[str, Tensor]:
        """Return the tensors of the weights by name, as in torchvision, for `model.load_state_dict`.

        Parameters
        ----------
        model_dir, progress, check_hash, file_name, weights_only
            Ignored. They are torchvision's: nothing is downloaded, the hash is always checked, and safetensors hold
            nothing but tensors.
        map_location
            Device of the tensors; None for the CPU.

        Raises
        ------
        ValueError
            The file is damaged.
        TypeError
            `map_location` is not a device.
        """
        if not isinstance(map_location, str | torch.device | None):
            raise TypeError(f"map_location is {map_location!r}; expected a device, such as 'cpu', or None")
        folder = WeightsFolder.open(self.value)
        tensors = storage.read_tensors(folder.tensors, sha256=folder.config["sha256"])
        return {name: tensor.to("cpu" if map_location is None else map_location) for name, tensor in tensors.items()}

    @property
    def meta(self) -> dict[str, Any]:
        """Metadata of the weights.

        The keys include `num_params`, `categories`, `recipe` (the command that reproduces the weights), `metrics` (the
        published metrics, by dataset), `sha256` (of the safetensors file), `license` and `name`.
        """
        return folder_meta(WeightsFolder.open(self.value))

    def transforms(self) -> Preprocess:
        """Return the preprocessing that these weights expect."""
        return read_preprocess(WeightsFolder.open(self.value))


class LeNet5_Weights(PretrainedWeights):  # noqa: N801 (torchvision's convention)
    """Weights of `LeNet5`.

    Examples
    --------
    >>> weights = lenet5.LeNet5_Weights.FASHION_MNIST_V1
    >>> weights.meta["categories"][:3]
    ['T-shirt/top', 'Trouser', 'Pullover']
    >>> weights.meta["metrics"]["fashion_mnist"]["accuracy"]
    0.9272
    >>> model, preprocess = lenet5.lenet5(weights=weights), weights.transforms()
    >>> result = model.load_state_dict(weights.get_state_dict())
    """

    MNIST_V1 = "mnist_v1"
    """Trained on 55,000 images of MNIST with the recipe `mnist_v1`."""

    MNIST_V2 = "mnist_v2"
    """Trained on all 60,000 training images of MNIST with the recipe `record`."""

    MNIST_V3 = "mnist_v3"
    """Distilled from a larger network on 55,000 images of MNIST; the most accurate on its test set."""

    MNIST_PHOTO_V1 = "mnist_photo_v1"
    """Distilled on MNIST as other writers, pens, cameras and data sets would have made it, and on what is no digit; for
    photographs and digits from outside MNIST."""

    MNIST_ROBUST_V1 = "mnist_robust_v1"
    """Trained on MNIST with distortions and `Degrade`; for comparison with earlier results."""

    FASHION_MNIST_V1 = "fashion_mnist_v1"
    """Trained on Fashion-MNIST with the recipe `fashion`."""

    FASHION_MNIST_V2 = "fashion_mnist_v2"
    """Distilled from a larger network on Fashion-MNIST; the most accurate on its test set."""

    DEFAULT = MNIST_PHOTO_V1
    """An alias of `MNIST_PHOTO_V1`, which is also the default of `lenet5 predict` and `lenet5 export`."""


class LeNet5Original_Weights(PretrainedWeights):  # noqa: N801 (torchvision's convention)
    """Weights of `LeNet5Original`.

    Examples
    --------
    >>> weights = lenet5.LeNet5Original_Weights.DEFAULT
    >>> weights, weights.value
    (<LeNet5Original_Weights.MNIST_V1: 'original_mnist_v1'>, 'original_mnist_v1')
    >>> weights.transforms().padding
    2
    """

    MNIST_V1 = "original_mnist_v1"
    """Trained on MNIST as published, with the recipe `1998`. `lenet5.load` knows them as "original_mnist_v1"."""

    DEFAULT = MNIST_V1
    """An alias of `MNIST_V1`."""


def folder_meta(folder: WeightsFolder) -> dict[str, Any]:
    """Return the metadata of a weights folder, with its name, the hash of the tensors, and the licence if bundled."""
    licence = {"license": "mit"} if folder.is_bundled else {}  # that of this package
    return {**(folder.config.get("meta") or {}), **licence, "name": folder.name, "sha256": folder.config["sha256"]}


def meta_html(caption: str, meta: Mapping[str, Any]) -> str:
    """Render the main entries of the metadata for a notebook; what is missing or unreadable is left out."""
    datasets = meta.get("metrics")
    accuracies = {
        f"accuracy on {name}": f"{accuracy:.2%}"
        for name, metrics in (datasets.items() if isinstance(datasets, Mapping) else ())
        if isinstance(metrics, Mapping) and (accuracy := as_number(metrics.get("accuracy"))) is not None
    }
    entries = {name: meta[name] for name in ("num_params", "categories", "recipe", "sha256") if name in meta}
    return notebook.fields_html(caption, {**accuracies, **entries})


def read_preprocess(folder: WeightsFolder) -> Preprocess:
    """Return the preprocessing that a weights folder describes; raise ValueError if there is none."""
    arguments = folder.config.get("preprocess")
    if arguments is None:
        raise ValueError(f"{folder.path} does not describe its preprocessing; expected 'preprocess' in its config.json")
    try:
        return Preprocess(**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder.path} does not describe its preprocessing: {storage.shown(error)}") from error


def lenet5(*, weights: LeNet5_Weights | str | None = None, progress: bool = True, **kwargs: Any) -> LeNet5:
    """Build `LeNet5`, following torchvision's convention for model builders.

    Parameters
    ----------
    weights
        A member of LeNet5_Weights, or its name in any case, such as "DEFAULT". None for random weights.
    progress
        Ignored, because the weights are bundled and nothing is downloaded.
    kwargs
        Arguments of LeNet5: `num_classes`, `in_channels`, `image_size`, `activation`, `pooling`. With weights, they
        must equal the arguments of the saved model.

    Returns
    -------
    LeNet5
        In evaluation mode with weights, in training mode without.

    Raises
    ------
    ValueError
        The weights are unknown or damaged, or have different arguments.

    Examples
    --------
    >>> model = lenet5.lenet5(weights="DEFAULT")
    >>> preprocess = lenet5.LeNet5_Weights.DEFAULT.transforms()
    >>> digits = lenet5.load_data("digits").test
    >>> model(preprocess(digits.images[:4])).argmax(1)
    tensor([0, 1, 2, 3])
    """
    return _build(LeNet5, None if weights is None else LeNet5_Weights(weights), kwargs)


def lenet5_original(
    *, weights: LeNet5Original_Weights | str | None = None, progress: bool = True, **kwargs: Any
) -> LeNet5Original:
    """Build `LeNet5Original`, following torchvision's convention for model builders.

    Parameters
    ----------
    weights
        A member of LeNet5Original_Weights, or its name in any case, such as "DEFAULT". None for random weights.
    progress
        Ignored, as in `lenet5`.
    kwargs
        Arguments of LeNet5Original. With weights, `prototypes` must equal the saved ones, and `init` is not allowed.

    Returns
    -------
    LeNet5Original
        In evaluation mode with weights, in training mode without.

    Raises
    ------
    ValueError
        The weights are unknown or damaged, or have different arguments.

    Examples
    --------
    >>> model = lenet5.lenet5_original(weights="DEFAULT")
    >>> sum(parameter.numel() for parameter in model.parameters())
    60000
    """
    if weights is not None and "init" in kwargs:
        raise ValueError(f"weights and init={kwargs['init']!r} are both given; expected at most one of them")
    return _build(LeNet5Original, None if weights is None else LeNet5Original_Weights(weights), kwargs)


def _build(architecture: type[Model], weights: PretrainedWeights | None, kwargs: dict[str, Any]) -> Model:
    if "pretrained" in kwargs:
        raise TypeError(f"pretrained={kwargs['pretrained']!r} is not supported; expected weights='DEFAULT' or None")
    if weights is None:
        return architecture(**kwargs)
    folder = WeightsFolder.open(weights.value)
    saved = folder.config["arguments"]
    with torch.random.fork_rng(devices=[]):  # built only to compare its arguments
        requested = architecture(**kwargs).arguments() if kwargs else saved
    differing = {name: value for name, value in requested.items() if value != saved[name]}
    if differing:
        raise ValueError(
            f"{weights.name} has the arguments {saved}; found {differing}. To fine-tune them,"
            f" use {architecture.__name__}.from_pretrained({weights.value!r}, num_classes=..., in_channels=...)"
        )
    model = folder.load()
    assert isinstance(model, architecture)
    return model
