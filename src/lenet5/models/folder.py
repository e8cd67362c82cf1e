"""Weights folders: `config.json` describes a model, and `model.safetensors` holds its tensors.

The bundled weights, `save_pretrained` and the runs of the command line all use this format.
"""

import enum
import importlib.resources
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypedDict, TypeVar, cast

import torch
from torch import Tensor, nn

from .. import storage
from ..arguments import suggestion
from ..storage import StrPath
from .architectures import ARCHITECTURES, find_architecture
from .hub import Download, download, is_repository

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Result = TypeVar("Result")

CONFIG = "config.json"
TENSORS = "model.safetensors"

# the entries of a config, parents first; each may be absent
_ENTRIES: dict[str, tuple[type | UnionType, str]] = {
    **dict.fromkeys(("architecture", "dtype", "sha256"), (str, "a string")),
    **dict.fromkeys(("arguments", "preprocess", "meta", "settings", "meta.abstention"), (dict, "an object")),
    "meta.raw": (bool, "true or false"),
    "meta.categories": (list, "a list of names"),
    "meta.abstention.threshold": (float | int, "a number"),
}


Preprocessing: TypeAlias = "DataclassInstance | Mapping[str, Any] | None"


class Entries(TypedDict, total=False):
    """The optional entries of `config.json`."""

    preprocess: Preprocessing
    """A `Preprocess`, or its arguments."""

    meta: Mapping[str, Any] | None
    """Metadata."""

    settings: Mapping[str, Any] | None
    """Settings of a run of the command line."""


@dataclass(frozen=True)
class WeightsFolder:
    """A weights folder whose `config.json` has been read and verified.

    Attributes
    ----------
    tensors
        The path of the safetensors file.
    config
        The content of `config.json`.
    name
        The name of the repository on the Hugging Face Hub; else that of the folder.

    Examples
    --------
    >>> folder = lenet5.models.WeightsFolder.open("mnist_v2")
    >>> folder.name, folder.tensors.name
    ('mnist_v2', 'model.safetensors')
    >>> folder.config["arguments"]["num_classes"]
    10
    >>> model = folder.load()
    """

    tensors: Path
    config: dict[str, Any]
    name: str

    @classmethod
    def open(cls, source: StrPath) -> Self:
        """Locate a folder and read its config; `source` and errors are as in `PretrainedModel.from_pretrained`."""
        return cls._read(_locate(source), source)

    @classmethod
    def _read(cls, tensors: Path, source: StrPath) -> Self:
        path = tensors.with_name(CONFIG)
        is_file = not isinstance(source, enum.Enum) and storage.as_path(source) == tensors
        if is_file and not path.is_file():
            raise FileNotFoundError(
                f"{storage.shown(tensors)} has no {CONFIG} beside it; expected a folder of weights, its {TENSORS}, or"
                f" one of the names: {', '.join(_bundled())}"
            )
        config = storage.unsealed(storage.read_json(path), path)
        check_entries(config, path)
        return cls(tensors, config, str(source) if is_repository(source) else tensors.parent.name)

    @classmethod
    def read(cls, source: StrPath, read: Callable[[Self], Result], hub: Download | None = None) -> Result:
        """Open a folder and read it; start again if a process replaces its files meanwhile."""
        tensors = _locate(source, hub)
        try:
            return storage.consistently(tensors.with_name(CONFIG), lambda: read(cls._read(tensors, source)))
        except ValueError as error:
            if is_repository(source):
                raise ValueError(f"{error}; if the download is damaged, force_download=True repeats it") from error
            raise

    @property
    def path(self) -> Path:
        """The folder."""
        return self.tensors.parent

    @property
    def is_bundled(self) -> bool:
        """Whether the package holds the folder."""
        return self.path in _bundled().values()

    def load(self, architecture: type[nn.Module] | None = None, **changes: Any) -> nn.Module:
        """Build the model, verify and load its tensors, and return it in evaluation mode.

        The tensors are compared with the arguments before memory is allocated for the model: damaged or foreign files
        take no more than the right ones.

        Parameters
        ----------
        architecture
            The class to build, if the folder names it or a class it inherits from; None for the class that was defined
            last under the folder's name.
        changes
            Arguments that replace those of the folder; see `PretrainedModel.from_pretrained`.
        """
        name, arguments = self.config.get("architecture"), self.config.get("arguments")
        if name is None and "settings" in self.config:
            raise ValueError(
                f"{self.path} holds an unfinished run; expected weights (lenet5 train --resume {self.path})"
            )
        found = find_architecture(name, architecture)
        if found is None or not isinstance(arguments, dict):
            known = ", ".join(sorted(ARCHITECTURES))
            raise ValueError(f"{self.path / CONFIG} names the architecture {name!r}; expected one of: {known}")
        if architecture is not None and not issubclass(found, architecture):
            raise ValueError(f"{self.path} holds the architecture {found.__name__}; expected {architecture.__name__}")
        sketch = self._build(found, arguments, "meta")
        limit = None if sketch is None else storage.tensors_limit(sketch.state_dict())
        data = storage.read_member(self.tensors, str(self.config.get("sha256")), limit=limit)
        tensors = storage.parse_tensors(data, self.tensors)
        if sketch is not None:
            check_tensors(sketch, tensors, self.path)
        model = self._build(found, arguments, "cpu")
        assert model is not None
        assign_tensors(model, tensors, self.path)
        changed = {key: value for key, value in changes.items() if value != getattr(model, key, None)}
        return self._adapted(found, tensors, changed).eval() if changed else model.eval()

    def _adapted(self, architecture: type[Any], tensors: dict[str, Tensor], changed: dict[str, Any]) -> nn.Module:
        """Build a model with other arguments, and fit the tensors to it."""
        arguments, name = self.config["arguments"], architecture.__name__
        for key in changed.keys() - arguments.keys():
            known = ", ".join(arguments) or "none"
            raise ValueError(
                f"{key} is {changed[key]}, but a {name} has no such argument, only {known}; build a new {name} instead"
            )
        with torch.random.fork_rng(devices=[]):  # `adapt` draws what is new
            model = architecture.from_arguments({**arguments, **changed}).to(_dtype(self.config))
        assign_tensors(model, model.adapt(tensors), self.path)
        return cast("nn.Module", model)

    def _build(self, architecture: type[Any], arguments: dict[str, Any], device: str) -> nn.Module | None:
        """Build the model; return None on the device "meta" if its constructor needs the values of tensors."""
        try:
            with torch.random.fork_rng(devices=[]), torch.device(device):  # the initial weights are overwritten
                return cast("nn.Module", architecture.from_arguments(arguments).to(_dtype(self.config)))
        except Exception as error:  # whatever a constructor raises, its arguments are at fault
            if device == "meta" and isinstance(error, RuntimeError):
                return None
            name, reason = architecture.__name__, storage.shown(str(error).partition("\n")[0])  # without torch's frames
            raise ValueError(f"{self.path / CONFIG} does not describe a {name}: {reason}") from error


def assign_tensors(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Replace all tensors of a model, or none; errors are as in `check_tensors`."""
    check_tensors(model, tensors, path)
    model.load_state_dict(tensors, strict=True)


def check_tensors(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Compare tensors with those of a model.

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


def check_entries(config: dict[str, Any], path: Path) -> None:
    """Raise ValueError unless the entries of a config have the types on which this package relies."""
    for keys, (kind, expected) in _ENTRIES.items():
        value: Any = config
        for key in keys.split("."):
            value = (value or {}).get(key)
        valid = isinstance(value, kind | None)
        if not valid or (isinstance(value, list) and not all(isinstance(item, str | int) for item in value)):
            raise ValueError(f"{storage.shown(path)} has {reprlib.repr(value)} for {keys!r}; expected {expected}")


def _dtype(config: dict[str, Any]) -> torch.dtype:
    name = config.get("dtype") or "float32"
    dtype = getattr(torch, str(name), None)
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"dtype is {name!r}; expected a floating-point dtype of torch")
    return dtype


def _locate(source: StrPath, hub: Download | None = None) -> Path:
    """Return the path of the safetensors file that `source` names; options are those of a repository on the hub."""
    hub = hub or {}
    if isinstance(source, enum.Enum):
        source = str(source.value)
    path = storage.as_path(source)
    bundled = _bundled()
    if isinstance(source, str) and source.lower() in bundled:
        return bundled[source.lower()] / TENSORS
    if path.is_dir():
        return path / (hub.get("subfolder") or "") / TENSORS
    if path.is_file():
        return path
    if isinstance(source, str) and is_repository(source):
        return download(source, (CONFIG, TENSORS), hub) / TENSORS
    expected = f"a folder, a file, or one of the names: {', '.join(bundled)}"
    raise FileNotFoundError(f"no weights at {str(source)!r}{suggestion(str(source), bundled)}; expected {expected}")


def _bundled() -> dict[str, Path]:
    """Return the folders of the bundled weights, by name."""
    weights = Path(str(importlib.resources.files("lenet5"))) / "weights"
    return {config.parent.name: config.parent for config in sorted(weights.glob(f"*/{CONFIG}"))}
