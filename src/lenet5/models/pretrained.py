"""Models in folders: `config.json` says what to build, `model.safetensors` holds its tensors.

The weights inside the package, `save_pretrained` and a run of the command line all use this one format.
"""

from __future__ import annotations

import enum
import hashlib
import importlib.resources
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from .. import storage

CONFIG = "config.json"
TENSORS = "model.safetensors"


_ARCHITECTURES: dict[str, type[PretrainedModel]] = {}  # what a folder may name; it can name nothing else


class PretrainedModel(nn.Module):
    """A module that can be saved to a folder and built again from it."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        known = _ARCHITECTURES.setdefault(cls.__name__, cls)
        if known.__module__ != cls.__module__:
            raise ValueError(f"there is an architecture {cls.__name__} in {known.__module__}; expected another name")
        _ARCHITECTURES[cls.__name__] = cls

    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON can hold them."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it was constructed")

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> PretrainedModel:
        """Build the model from what `arguments` returned."""
        return cls(**arguments)

    def save_pretrained(self, directory: str | os.PathLike[str], **extra: Any) -> None:
        """Write `config.json` and `model.safetensors` to a folder, which is made where it is missing.

        Parameters
        ----------
        directory
            The folder. Files of these names are replaced, each at once; others stay.
        extra
            Further entries of `config.json`, such as `preprocess=...` or `meta=...`, as JSON can hold them.
        """
        save_model(self, directory, **extra)

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike[str]) -> Self:
        """Load a model in evaluation mode, on the CPU.

        Parameters
        ----------
        source
            The name of weights in this package ("mnist_v1", in any case; a folder of that name is "./mnist_v1"), a
            folder, a `.safetensors` file with its `config.json` beside it, or a repository of the Hugging Face hub
            ("owner/name", with huggingface_hub installed, unless there is a folder "owner" here).

        Raises
        ------
        FileNotFoundError
            There is no such name, folder or file.
        ValueError
            A file is damaged, or holds another architecture or other tensors; nothing is loaded in part.
        """
        model = load_model(source)
        if not isinstance(model, cls):
            raise ValueError(f"{source} holds {type(model).__name__}; expected {cls.__name__}")
        return model


def save_model(model: nn.Module, directory: str | os.PathLike[str], **extra: Any) -> None:
    """Save any module as `save_pretrained` does; only a PretrainedModel can be built again without its code."""
    model = getattr(model, "_orig_mod", model)  # torch.compile wraps it
    arguments = model.arguments() if isinstance(model, PretrainedModel) else None
    tensors = storage.tensors_bytes(model.state_dict())
    dtypes = {str(parameter.dtype).removeprefix("torch.") for parameter in model.parameters()}
    dtype = dtypes.pop() if len(dtypes) == 1 else None
    config = {
        "architecture": type(model).__name__,
        "arguments": arguments,
        "dtype": dtype,
        "sha256": hashlib.sha256(tensors).hexdigest(),
        **extra,
    }
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{directory} is a file; expected a folder, or a name that is free")
    directory.mkdir(parents=True, exist_ok=True)
    storage.write_files({directory / TENSORS: tensors, directory / CONFIG: storage.json_bytes(storage.sealed(config))})


def load_model(source: str | os.PathLike[str]) -> PretrainedModel:
    """Load whichever architecture a folder holds; see `PretrainedModel.from_pretrained`."""
    folder, tensors_file = _locate(source)
    config = read_config(folder)
    name, arguments = config.get("architecture"), config.get("arguments")
    if name is None and "settings" in config:
        raise ValueError(f"{folder} is a run without weights yet; lenet5 train --resume {folder} continues it")
    architecture = _ARCHITECTURES.get(str(name))
    if architecture is None or not isinstance(arguments, dict):
        known = ", ".join(sorted(_ARCHITECTURES))
        raise ValueError(f"{folder / CONFIG} describes the architecture {name!r}; expected one of: {known}")
    try:
        with torch.random.fork_rng(devices=[]):  # what is drawn for the parameters is replaced at once
            model = architecture.from_arguments(arguments).to(_dtype(config))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{folder / CONFIG} does not describe a {name}: {error}") from error
    assign_tensors(model, storage.read_tensors(folder / tensors_file, sha256=str(config.get("sha256"))), folder)
    return model.eval()


def assign_tensors(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Replace a model's tensors by those of a file, all of them or none.

    Raises
    ------
    ValueError
        A name, shape or dtype differs.
    """
    expected = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in model.state_dict().items()}
    found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
    differing = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    if differing:
        name = min(differing)
        raise ValueError(
            f"{path} does not fit a {type(model).__name__}: {len(differing)} tensors differ, such as {name!r}:"
            f" expected {expected.get(name)}, found {found.get(name)}"
        )
    model.load_state_dict(tensors, strict=True)


def read_config(source: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a weights folder's `config.json`; `source` as in `PretrainedModel.from_pretrained`."""
    path = _locate(source)[0] / CONFIG
    config = storage.unsealed(storage.read_json(path), path)
    for name in ("arguments", "preprocess", "meta", "settings"):
        if not isinstance(config.get(name), dict | None):
            raise ValueError(f"{path} has {config[name]!r} for {name!r}; expected an object")
    return config


def _dtype(config: dict[str, Any]) -> torch.dtype:
    name = config.get("dtype") or "float32"
    dtype = getattr(torch, str(name), None)
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"dtype {name!r} is not a floating-point type of torch")
    return dtype


def _locate(source: str | os.PathLike[str]) -> tuple[Path, str]:
    """Return the folder that `source` names, and the name of the file of tensors in it."""
    if isinstance(source, enum.Enum):
        source = str(source.value)
    path = Path(source)
    bundled = Path(str(importlib.resources.files("lenet5"))) / "weights"
    names = sorted(config.parent.name for config in bundled.glob(f"*/{CONFIG}"))
    if isinstance(source, str) and source.lower() in names:
        return bundled / source.lower(), TENSORS
    if path.is_dir():
        return path, TENSORS
    if path.is_file():
        return path.parent, path.name
    if isinstance(source, str) and source.count("/") == 1 and not path.parent.is_dir():
        return _download(source), TENSORS
    expected = f"a folder, a file, or one of the names: {', '.join(names)}"
    raise FileNotFoundError(f"no weights at {str(source)!r}; expected {expected}")


def _download(repository: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise FileNotFoundError(
            f"there is no folder {repository!r}; to load it from the Hugging Face hub, install huggingface_hub"
        ) from error
    return Path(snapshot_download(repository, allow_patterns=[CONFIG, TENSORS]))
