"""Models in folders: `config.json` says what to build, `model.safetensors` holds its tensors.

The weights inside the package, `save_pretrained` and a run of the command line all use this one format.
"""

from __future__ import annotations

import importlib.resources
import os
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from .. import storage

CONFIG = "config.json"
TENSORS = "model.safetensors"


_ARCHITECTURES: dict[str, type[PretrainedModel]] = {}  # what a folder may name; it can name nothing else


class PretrainedModel(nn.Module):
    """A module that can be saved to a folder and built again from it."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
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
            The name of weights in this package ("mnist_v1", in any case), a folder, a `.safetensors` file with its
            `config.json` beside it, or a repository of the Hugging Face hub ("owner/name", with huggingface_hub
            installed). What lies on disk comes first; a name in a folder that is here is never looked for elsewhere.

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
    arguments = model.arguments() if isinstance(model, PretrainedModel) else None
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    sha256 = storage.write_tensors(directory / TENSORS, model.state_dict())
    config = {"architecture": type(model).__name__, "arguments": arguments, "sha256": sha256, **extra}
    storage.write_json(directory / CONFIG, config)


def load_model(source: str | os.PathLike[str]) -> PretrainedModel:
    """Load whichever architecture a folder holds; see `PretrainedModel.from_pretrained`."""
    folder, tensors_file = _locate(source)
    config = read_config(folder)
    name, arguments = config.get("architecture"), config.get("arguments")
    architecture = _ARCHITECTURES.get(str(name))
    if architecture is None or not isinstance(arguments, dict):
        known = ", ".join(sorted(_ARCHITECTURES))
        raise ValueError(f"{folder / CONFIG} describes the architecture {name!r}; expected one of: {known}")
    try:
        with torch.device("meta"):  # no random numbers are drawn for parameters that are replaced at once
            model = architecture.from_arguments(arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder / CONFIG} does not describe a {name}: {error}") from error
    load_tensors(model, folder / tensors_file, sha256=config.get("sha256"))
    return model.eval()


def load_tensors(model: nn.Module, path: Path, *, sha256: str | None) -> None:
    """Replace a model's tensors by those of a safetensors file, all of them or none."""
    tensors = storage.read_tensors(path, sha256=sha256)
    expected = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in model.state_dict().items()}
    found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
    differing = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    if differing:
        name = min(differing)
        raise ValueError(
            f"{path} does not fit a {type(model).__name__}: {len(differing)} tensors differ, such as {name!r}:"
            f" expected {expected.get(name)}, found {found.get(name)}"
        )
    model.load_state_dict(tensors, strict=True, assign=next(iter(model.parameters())).is_meta)


def read_config(source: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a weights folder's `config.json`; `source` as in `PretrainedModel.from_pretrained`."""
    return storage.read_json(_locate(source)[0] / CONFIG)


def _locate(source: str | os.PathLike[str]) -> tuple[Path, str]:
    """Return the folder that `source` names, and the name of the file of tensors in it."""
    path = Path(source)
    if path.is_dir():
        return path, TENSORS
    if path.is_file():
        return path.parent, path.name
    bundled = Path(str(importlib.resources.files("lenet5"))) / "weights"
    names = sorted(config.parent.name for config in bundled.glob(f"*/{CONFIG}"))
    if str(source).lower() in names:
        return bundled / str(source).lower(), TENSORS
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
