"""Which weights there are, what is known of them, and functions that build a model with them."""

from __future__ import annotations

import os
from enum import Enum
from typing import Any, TypeVar

import torch

from ..data import Preprocess
from ..models import LeNet5, LeNet5Original, load_model, read_config

Model = TypeVar("Model", LeNet5, LeNet5Original)


class PretrainedWeights(Enum):
    """Weights that are part of the package. A member's value is the name of its folder; names match in any case."""

    @classmethod
    def _missing_(cls, value: object) -> PretrainedWeights:
        member = cls.__members__.get(str(value).upper())
        if member is None:
            raise ValueError(f"{value!r} is not in {cls.__name__}; expected one of: {', '.join(cls.__members__)}")
        return member

    @property
    def meta(self) -> dict[str, Any]:
        """What is known of the weights.

        `num_params`, `categories`, `recipe` (the command that makes them again), `metrics` (by set: what the published
        numbers are), `sha256` (of the file of tensors), and more.
        """
        config = read_config(self.value)
        return {**config["meta"], "sha256": config["sha256"]}

    def transforms(self) -> Preprocess:
        """Return what makes of any picture the images that these weights were trained on."""
        return load_preprocess(self.value)


class LeNet5_Weights(PretrainedWeights):  # noqa: N801 (torchvision's convention)
    """Weights of `LeNet5`."""

    MNIST_V1 = "mnist_v1"
    MNIST_V2 = "mnist_v2"
    MNIST_ROBUST_V1 = "mnist_robust_v1"
    FASHION_MNIST_V1 = "fashion_mnist_v1"
    DEFAULT = MNIST_V2


class LeNet5Original_Weights(PretrainedWeights):  # noqa: N801 (the same)
    """Weights of `LeNet5Original`."""

    MNIST_V1 = "original_mnist_v1"
    DEFAULT = MNIST_V1


def load_preprocess(source: str | os.PathLike[str]) -> Preprocess:
    """Return what makes of any picture the images that weights were trained on.

    Parameters
    ----------
    source
        As for `LeNet5.from_pretrained`.

    Raises
    ------
    FileNotFoundError
        There are no such weights.
    ValueError
        The weights do not say.
    """
    preprocess = read_config(source).get("preprocess")
    if preprocess is None:
        raise ValueError(f"{source} does not say how pictures are prepared; expected 'preprocess' in its config.json")
    try:
        return Preprocess(**preprocess)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source} does not say how pictures are prepared: {error}") from error


def lenet5(
    *,
    weights: LeNet5_Weights | str | None = None,
    progress: bool = True,  # noqa: ARG001 (torchvision's convention)
    **kwargs: Any,
) -> LeNet5:
    """Build LeNet-5, by torchvision's convention for such functions.

    Parameters
    ----------
    weights
        A member of LeNet5_Weights or its name in any case, such as "DEFAULT"; None for random weights.
    progress
        Whether to show a download; these weights are in the package, so there is none.
    kwargs
        As for LeNet5: `num_classes`, `in_channels`, `image_size`, `activation`, `pooling`. Beside weights, they may
        only repeat what the weights are for.

    Returns
    -------
    LeNet5
        In evaluation mode with weights, in training mode without.

    Raises
    ------
    ValueError
        The weights are unknown or damaged, or are for other arguments.
    """
    return _build(LeNet5, None if weights is None else LeNet5_Weights(weights), kwargs)


def lenet5_original(
    *,
    weights: LeNet5Original_Weights | str | None = None,
    progress: bool = True,  # noqa: ARG001 (torchvision's convention)
    **kwargs: Any,
) -> LeNet5Original:
    """Build the network of 1998, by torchvision's convention for such functions.

    Parameters
    ----------
    weights
        A member of LeNet5Original_Weights or its name in any case, such as "DEFAULT"; None for random weights.
    progress
        As for `lenet5`.
    kwargs
        As for LeNet5Original: `prototypes`, which beside weights may only repeat theirs, and `init`, which is for
        random weights.

    Returns
    -------
    LeNet5Original
        In evaluation mode with weights, in training mode without.

    Raises
    ------
    ValueError
        The weights are unknown or damaged, or are for other arguments.
    """
    if weights is not None and "init" in kwargs:
        raise ValueError(f"init is {kwargs['init']!r} beside weights; expected one of the two")
    return _build(LeNet5Original, None if weights is None else LeNet5Original_Weights(weights), kwargs)


def _build(architecture: type[Model], weights: PretrainedWeights | None, kwargs: dict[str, Any]) -> Model:
    """Return a model with random weights, or with these, for which the arguments must be."""
    if weights is None:
        return architecture(**kwargs)
    saved = read_config(weights.value)["arguments"]
    with torch.random.fork_rng(devices=[]):  # for a model that is only asked what it is
        wanted = architecture(**kwargs).arguments() if kwargs else saved
    differing = {name: value for name, value in wanted.items() if value != saved[name]}
    if differing:
        raise ValueError(f"{weights.name} is for {saved}; found {differing}")
    model = load_model(weights.value)
    assert isinstance(model, architecture)
    return model
