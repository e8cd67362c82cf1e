"""Models that are saved to weights folders, and rebuilt from them."""

import hashlib
from typing import Any, Self, cast

from torch import Tensor, nn

from .. import storage
from ..storage import StrPath
from .architectures import architecture_name, register
from .folder import CONFIG, TENSORS, WeightsFolder, assign_tensors, check_tensors
from .structure import check_structure

__all__ = [
    "CONFIG",
    "TENSORS",
    "PretrainedModel",
    "WeightsFolder",
    "assign_tensors",
    "check_tensors",
    "load_model",
    "model_files",
    "save_model",
    "unwrapped",
]


class PretrainedModel(nn.Module):
    """A module that can be saved to a folder and rebuilt from it."""

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not abstract:
            register(cls)

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
            `directory` is a file, or the model is not what its constructor's arguments describe: a layer was replaced,
            added, pruned or parametrized.
        """
        save_model(self, directory, **extra)

    @classmethod
    def from_pretrained(
        cls, source: StrPath, *, num_classes: int | None = None, in_channels: int | None = None
    ) -> Self:
        """Load a model in evaluation mode, on the CPU.

        A class of your own can load the weights of a class that it inherits from.

        Parameters
        ----------
        source
            One of:

            - the name of bundled weights in any case, such as "mnist_v2" (write "./mnist_v2" for a folder);
            - a folder;
            - a `.safetensors` file with its `config.json` beside it;
            - a repository "owner/name" on the Hugging Face hub, unless a folder "owner" exists. This needs
              huggingface_hub.
        num_classes
            Number of classes for fine-tuning. If it differs from that of the weights, the output layer is drawn anew,
            with torch's global generator. All other tensors keep their values.
        in_channels
            Channels of the images for fine-tuning. If it differs from that of the weights, each new channel of the
            first layer gets the sum over the old channels, divided by the number of new ones. A greyscale image in all
            channels therefore gives the same output as before.

        Raises
        ------
        FileNotFoundError
            The source does not exist.
        ValueError
            A file is damaged, or holds a different architecture or different tensors. Nothing is loaded in part. Or the
            architecture has no such argument.
        """
        changes = {"num_classes": num_classes, "in_channels": in_channels}
        given = {name: value for name, value in changes.items() if value is not None}
        model = WeightsFolder.read(source, lambda folder: folder.load(cls, **given))
        if not isinstance(model, cls):
            raise ValueError(f"{source} holds the architecture {type(model).__name__}; expected {cls.__name__}")
        return model

    def adapt(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:  # noqa: ARG002 (subclasses use them)
        """Fit the tensors of a model with other arguments to this one, for `from_pretrained`; this class cannot."""
        raise ValueError(f"{type(self).__name__} cannot change its arguments after training")


def load_model(source: StrPath) -> PretrainedModel:
    """Load a model of any architecture; see `PretrainedModel.from_pretrained`."""
    return cast("PretrainedModel", WeightsFolder.read(source, WeightsFolder.load))


def save_model(model: nn.Module, directory: StrPath, **extra: Any) -> None:
    """Save any module as in `save_pretrained`; only a PretrainedModel can be rebuilt from the folder alone.

    Inside `torch.compile`, DataParallel and DistributedDataParallel, the module itself is saved.
    """
    files = model_files(model, **extra)
    directory = storage.as_path(directory)
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{storage.shown(directory)} is a file; expected a folder or a new path")
    directory.mkdir(parents=True, exist_ok=True)
    storage.write_files({directory / name: data for name, data in files.items()})


def model_files(model: nn.Module, **extra: Any) -> dict[str, bytes]:
    """Return the content of the files of a weights folder by name, the record first, as `write_files` expects them."""
    model = unwrapped(model)
    dtypes = {parameter.dtype for parameter in model.parameters()}
    dtype = dtypes.pop() if len(dtypes) == 1 else None
    arguments = None
    if isinstance(model, PretrainedModel):
        arguments = model.arguments()
        check_structure(model, lambda: type(model).from_arguments(arguments), dtype)
    tensors = storage.tensors_bytes(model.state_dict())
    config = {
        "architecture": architecture_name(type(model)),
        "arguments": arguments,
        "dtype": None if dtype is None else str(dtype).removeprefix("torch."),
        "sha256": hashlib.sha256(tensors).hexdigest(),
        **extra,
    }
    return {CONFIG: storage.json_bytes(storage.sealed(config)), TENSORS: tensors}


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside `torch.compile`, DataParallel and DistributedDataParallel."""
    wrapper = nn.DataParallel, nn.parallel.DistributedDataParallel
    inner: Any = model.module if isinstance(model, wrapper) else getattr(model, "_orig_mod", None)
    return unwrapped(inner) if isinstance(inner, nn.Module) else model
