"""Weights folders: `config.json` describes a model, and `model.safetensors` holds its tensors.

The bundled weights, `save_pretrained` and the runs of the command line all use this format.
"""

import enum
import hashlib
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from .. import storage
from ..storage import StrPath

CONFIG = "config.json"
TENSORS = "model.safetensors"

_ARCHITECTURES: dict[str, type["PretrainedModel"]] = {}  # the classes that a weights folder may name


class PretrainedModel(nn.Module):
    """A module that can be saved to a folder and rebuilt from it."""

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if abstract:
            return
        registered = _ARCHITECTURES.setdefault(cls.__name__, cls)
        if registered.__module__ != cls.__module__:
            raise ValueError(
                f"the architecture {cls.__name__} is already defined in {registered.__module__}; expected a new name"
            )
        _ARCHITECTURES[cls.__name__] = cls

    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON-serialisable values."""
        raise NotImplementedError(f"{type(self).__name__} does not define arguments(), which saving needs")

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> Self:
        """Build the model from the result of `arguments`."""
        return cls(**arguments)

    def save_pretrained(self, directory: StrPath, **extra: Any) -> None:
        """Write `config.json` and `model.safetensors` to a folder.

        Parameters
        ----------
        directory
            The folder; created if missing. Existing files of these names are replaced atomically. Other files stay.
        extra
            Additional entries of `config.json`, such as `preprocess=...` or `meta=...`. Values must be
            JSON-serialisable.

        Raises
        ------
        ValueError
            `directory` is a file, or an argument of the constructor cannot be saved.
        """
        save_model(self, directory, **extra)

    @classmethod
    def from_pretrained(cls, source: StrPath) -> Self:
        """Load a model in evaluation mode, on the CPU.

        Parameters
        ----------
        source
            One of:

            - the name of bundled weights in any case, such as "mnist_v2" (write "./mnist_v2" for a folder);
            - a folder;
            - a `.safetensors` file with its `config.json` beside it;
            - a repository "owner/name" on the Hugging Face hub, unless a folder "owner" exists. This needs
              huggingface_hub.

        Raises
        ------
        FileNotFoundError
            The source does not exist.
        ValueError
            A file is damaged, or holds a different architecture or different tensors. Nothing is loaded in part.
        """
        model = load_model(source)
        if not isinstance(model, cls):
            raise ValueError(f"{source} holds the architecture {type(model).__name__}; expected {cls.__name__}")
        return model


@dataclass(frozen=True)
class WeightsFolder:
    """A weights folder whose `config.json` has been read and verified.

    Attributes
    ----------
    tensors
        The path of the safetensors file.
    config
        The content of `config.json`.
    """

    tensors: Path
    config: dict[str, Any]

    @classmethod
    def open(cls, source: StrPath) -> Self:
        """Locate a folder and read its config; `source` and errors are as in `PretrainedModel.from_pretrained`."""
        tensors = _locate(source)
        path = tensors.with_name(CONFIG)
        config = storage.unsealed(storage.read_json(path), path)
        for name in ("arguments", "preprocess", "meta", "settings"):
            if not isinstance(config.get(name), dict | None):
                raise ValueError(f"{path} has {config[name]!r} for {name!r}; expected an object")
        return cls(tensors, config)

    @property
    def path(self) -> Path:
        """The folder."""
        return self.tensors.parent

    def load(self) -> PretrainedModel:
        """Build the model, verify and load its tensors, and return it in evaluation mode."""
        name, arguments = self.config.get("architecture"), self.config.get("arguments")
        if name is None and "settings" in self.config:
            raise ValueError(
                f"{self.path} holds an unfinished run; expected weights (lenet5 train --resume {self.path})"
            )
        architecture = _ARCHITECTURES.get(str(name))
        if architecture is None or not isinstance(arguments, dict):
            known = ", ".join(sorted(_ARCHITECTURES))
            raise ValueError(f"{self.path / CONFIG} names the architecture {name!r}; expected one of: {known}")
        try:
            with torch.random.fork_rng(devices=[]):  # the initial weights are overwritten
                model = architecture.from_arguments(arguments).to(_dtype(self.config))
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{self.path / CONFIG} does not describe a {name}: {error}") from error
        assign_tensors(model, storage.read_tensors(self.tensors, sha256=str(self.config.get("sha256"))), self.path)
        return model.eval()


def load_model(source: StrPath) -> PretrainedModel:
    """Load a model of any architecture; see `PretrainedModel.from_pretrained`."""
    return WeightsFolder.open(source).load()


def save_model(model: nn.Module, directory: StrPath, **extra: Any) -> None:
    """Save any module as in `save_pretrained`; only a PretrainedModel can be rebuilt from the folder alone."""
    model = getattr(model, "_orig_mod", model)  # unwrap torch.compile
    tensors = storage.tensors_bytes(model.state_dict())
    dtypes = {str(parameter.dtype).removeprefix("torch.") for parameter in model.parameters()}
    config = {
        "architecture": type(model).__name__,
        "arguments": model.arguments() if isinstance(model, PretrainedModel) else None,
        "dtype": dtypes.pop() if len(dtypes) == 1 else None,
        "sha256": hashlib.sha256(tensors).hexdigest(),
        **extra,
    }
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{directory} is a file; expected a folder or a new path")
    directory.mkdir(parents=True, exist_ok=True)
    storage.write_files({directory / TENSORS: tensors, directory / CONFIG: storage.json_bytes(storage.sealed(config))})


def assign_tensors(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Replace all tensors of a model, or none.

    Raises
    ------
    ValueError
        A name, shape or dtype differs. The message names `path` as the origin of the tensors.
    """
    expected, given = (
        {name: (tuple(t.shape), t.dtype) for name, t in s.items()} for s in (model.state_dict(), tensors)
    )
    differing = [name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name)]
    if differing:
        name = min(differing)
        raise ValueError(
            f"{path} does not fit a {type(model).__name__}: {len(differing)} tensors differ, such as {name!r}:"
            f" expected {expected.get(name)}, found {given.get(name)}"
        )
    model.load_state_dict(tensors, strict=True)


def _dtype(config: dict[str, Any]) -> torch.dtype:
    name = config.get("dtype") or "float32"
    dtype = getattr(torch, str(name), None)
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"dtype is {name!r}; expected a floating-point dtype of torch")
    return dtype


def _locate(source: StrPath) -> Path:
    """Return the path of the safetensors file that `source` names."""
    if isinstance(source, enum.Enum):
        source = str(source.value)
    path = Path(source)
    bundled = Path(str(importlib.resources.files("lenet5"))) / "weights"
    names = sorted(config.parent.name for config in bundled.glob(f"*/{CONFIG}"))
    if isinstance(source, str) and source.lower() in names:
        return bundled / source.lower() / TENSORS
    if path.is_dir():
        return path / TENSORS
    if path.is_file():
        return path
    if isinstance(source, str) and source.count("/") == 1 and not path.parent.is_dir():
        return _download(source) / TENSORS
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
