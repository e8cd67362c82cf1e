"""Models that are saved to weights folders, and rebuilt from them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, Unpack, cast

from torch import Tensor, nn

from .. import storage
from ..storage import StrPath
from ..wrappers import unwrapped
from .architectures import architecture_name, construct, register
from .card import CARD, is_generated, model_card, write_card
from .folder import CONFIG, TENSORS, Entries, Preprocessing, WeightsFolder, assign_tensors, check_entries, check_tensors
from .hub import Download, Upload, check_options, upload
from .structure import check_fit, check_structure

__all__ = [
    "CONFIG",
    "TENSORS",
    "PretrainedModel",
    "assign_tensors",
    "check_tensors",
    "load_model",
    "model_files",
    "save_model",
]


class PretrainedModel(nn.Module):
    """A module that can be saved to a folder and rebuilt from it.

    Examples
    --------
    >>> class Linear(lenet5.models.PretrainedModel):
    ...     def __init__(self, num_classes):
    ...         super().__init__()
    ...         self.layer = torch.nn.Linear(784, num_classes)
    ...     def arguments(self):
    ...         return {"num_classes": self.layer.out_features}
    >>> Linear(10).save_pretrained("linear")
    >>> Linear.from_pretrained("linear").layer
    Linear(in_features=784, out_features=10, bias=True)
    """

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not abstract:
            register(cls)

    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON-serialisable values."""
        raise NotImplementedError(f"{type(self).__name__} does not define arguments(), which saving needs")

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> Self:
        """Build the model from the result of `arguments`; a subclass need not take those that it sets by itself."""
        model: Self = construct(cls, arguments, arguments)
        return model

    def save_pretrained(
        self,
        directory: StrPath,
        *,
        preprocess: Preprocessing = None,
        meta: Mapping[str, Any] | None = None,
        card: Mapping[str, Any] | None = None,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **hub: Unpack[Upload],
    ) -> str | None:
        """Write `config.json`, `model.safetensors` and a model card, `README.md`, to a folder.

        Parameters
        ----------
        directory
            The folder; created if missing. Existing weights are replaced atomically. An existing `README.md` is
            replaced only if this package wrote it and nobody edited it. Other files stay.
        preprocess
            The preprocessing that the model expects, a `Preprocess` or its arguments by name. `lenet5.load` needs it.
        meta
            JSON-serialisable metadata of the weights: `categories`, `metrics`, or anything of your own. If a category
            is no digit, `predict` uses image files as they are; `raw`, True or False, replaces this rule.
        card
            Metadata of the model card, such as `{"license": "mit", "language": "en"}`. They replace or extend what
            follows from `meta`: the datasets and the accuracies.
        push_to_hub
            Also upload the files; see the method `push_to_hub`.
        repo_id
            Repository to upload to; None for the name of the folder, in the account of the token.
        hub
            Options of the upload, such as `private` and `token`: see `lenet5.models.Upload`.

        Returns
        -------
        str or None
            The address of the commit if `push_to_hub`, else None.

        Raises
        ------
        ValueError
            `directory` is a file, or the model is not what its constructor's arguments describe: a layer was replaced,
            added, pruned or parametrized. Or the preprocessing or the class names do not fit it.
        TypeError
            There is no such argument. Entries of your own belong into `meta`.

        Examples
        --------
        >>> digits = lenet5.load_data("digits")
        >>> meta = {"categories": digits.train.classes}
        >>> lenet5.LeNet5().save_pretrained("my_digits", preprocess=digits.preprocess, meta=meta)
        """
        check_options(hub, Upload, "save_pretrained")
        save_model(self, directory, preprocess=preprocess, meta=meta, card=card)
        if not push_to_hub:
            return None
        name = storage.as_path(directory).resolve().name if repo_id is None else repo_id
        return self.push_to_hub(name, preprocess=preprocess, meta=meta, card=card, **hub)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        preprocess: Preprocessing = None,
        meta: Mapping[str, Any] | None = None,
        card: Mapping[str, Any] | None = None,
        **hub: Unpack[Upload],
    ) -> str:
        """Upload the files of `save_pretrained` to a repository on the Hugging Face Hub, created if missing.

        This needs the extra "hub". A model card of this package that nobody edited is replaced; any other is kept.

        Parameters
        ----------
        repo_id
            "owner/name", or "name" for the account of the token.
        preprocess, meta, card
            As in `save_pretrained`.
        hub
            Options: see `lenet5.models.Upload`.

        Returns
        -------
        str
            The address of the commit, or of the pull request.

        Raises
        ------
        ImportError
            huggingface_hub is not installed.
        OSError
            The server cannot be reached, or refuses the request.
        ValueError
            The model cannot be saved, as in `save_pretrained`. The name of the repository is invalid. Or `private` is
            True, and the repository exists and is public.
        TypeError
            There is no such option.
        """
        check_options(hub, Upload, "push_to_hub")
        files = model_files(self, preprocess=preprocess, meta=meta)
        config = storage.parse_json(files[CONFIG], CONFIG)

        def write(repository: str, present: str | None) -> str | None:
            return model_card(config, repository, card) if present is None or is_generated(present) else None

        return upload(repo_id, files, write, hub)

    @classmethod
    def from_pretrained(
        cls, source: StrPath, *, num_classes: int | None = None, in_channels: int | None = None, **hub: Unpack[Download]
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
            - a repository "owner/name" on the Hugging Face Hub, unless a folder "owner" exists. This needs the extra
              "hub".
        num_classes
            Number of classes for fine-tuning. If it differs from that of the weights, the output layer is drawn anew,
            with torch's global generator. All other tensors keep their values.
        in_channels
            Channels of the images for fine-tuning. If it differs from that of the weights, each new channel of the
            first layer gets the sum over the old channels, divided by the number of new ones. A greyscale image in all
            channels therefore gives the same output as before.
        hub
            Options of a download, such as `revision` and `token`: see `lenet5.models.Download`.

        Raises
        ------
        FileNotFoundError
            The source does not exist.
        ValueError
            A file is damaged, or holds a different architecture or different tensors. Nothing is loaded in part. Or the
            architecture has no such argument.
        OSError
            The server refuses the request.
        TypeError
            There is no such option.

        Examples
        --------
        >>> model = lenet5.LeNet5.from_pretrained("mnist_v2", num_classes=26, in_channels=3)
        >>> model(torch.rand(2, 3, 28, 28)).shape
        torch.Size([2, 26])
        """
        check_options(hub, Download, "from_pretrained")
        changes = {"num_classes": num_classes, "in_channels": in_channels}
        given = {name: value for name, value in changes.items() if value is not None}
        return cast("Self", WeightsFolder.read(source, lambda folder: folder.load(cls, **given), hub))

    def adapt(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:  # noqa: ARG002 (subclasses use them)
        """Fit the tensors of a model with other arguments to this one, for `from_pretrained`; this class cannot."""
        raise ValueError(f"{type(self).__name__} cannot change its arguments after training")


def load_model(source: StrPath, **hub: Unpack[Download]) -> PretrainedModel:
    """Load a model of any architecture; see `PretrainedModel.from_pretrained`.

    Examples
    --------
    >>> lenet5.models.load_model("original_mnist_v1").output
    EuclideanRBF(84, 10)
    """
    check_options(hub, Download, "load_model")
    return cast("PretrainedModel", WeightsFolder.read(source, WeightsFolder.load, hub))


def save_model(
    model: nn.Module, directory: StrPath, *, card: Mapping[str, Any] | None = None, **entries: Unpack[Entries]
) -> None:
    """Save any module as in `save_pretrained`; only a PretrainedModel can be rebuilt from the folder alone.

    Inside `torch.compile`, DataParallel and DistributedDataParallel, the module itself is saved.

    Parameters
    ----------
    model
        The module.
    directory, card
        As in `PretrainedModel.save_pretrained`.
    entries
        `preprocess` and `meta`, as in `PretrainedModel.save_pretrained`, and `settings`, those of a run.

    Examples
    --------
    >>> lenet5.models.save_model(torch.nn.Linear(784, 10), "any_module")
    >>> lenet5.models.WeightsFolder.open("any_module").config["architecture"]
    'Linear'
    """
    files = model_files(model, **entries)
    directory = storage.as_path(directory)
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{storage.shown(directory)} is a file; expected a folder or a new path")
    text = model_card(storage.parse_json(files[CONFIG], CONFIG), ".", card)
    directory.mkdir(parents=True, exist_ok=True)
    storage.write_files({directory / name: data for name, data in files.items()})
    write_card(directory / CARD, text)


def model_files(
    model: nn.Module,
    *,
    preprocess: Preprocessing = None,
    meta: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, bytes]:
    """Return the content of the files of a weights folder by name, the record first, as `write_files` expects them."""
    model = unwrapped(model)
    dtypes = {parameter.dtype for parameter in model.parameters()}
    dtype = dtypes.pop() if len(dtypes) == 1 else None
    arguments = None
    if isinstance(model, PretrainedModel):
        arguments = model.arguments()
        check_structure(model, lambda: type(model).from_arguments(arguments), dtype)
    tensors = storage.tensors_bytes(model.state_dict())
    plain = dataclasses.asdict(preprocess) if dataclasses.is_dataclass(preprocess) else preprocess
    optional = {"preprocess": plain, "meta": storage.plain("meta", meta), "settings": settings}
    config = {
        "architecture": architecture_name(type(model)),
        "arguments": arguments,
        "dtype": None if dtype is None else str(dtype).removeprefix("torch."),
        "sha256": hashlib.sha256(tensors).hexdigest(),
        **{name: value for name, value in optional.items() if value is not None},
    }
    sealed = storage.sealed(config)
    check_entries(sealed, Path(CONFIG))
    check_fit(model, sealed.get("preprocess") or {}, (sealed.get("meta") or {}).get("categories"), CONFIG)
    return {CONFIG: storage.json_bytes(sealed), TENSORS: tensors}
