"""PyTorch's own formats: programs of torch.export, and TorchScript."""

import io
import json
import warnings

import torch

from ..storage import StrPath
from .archive import reproducible
from .exported import Exported, write_export
from .program import Program, Source, as_program, check_equal

METADATA = "metadata.json"
"""The extra file with the metadata."""


def export_program(source: Source, path: StrPath, *, preprocess: bool = False) -> Exported:
    """Write a network to a `.pt2` file, which `torch.export.load` reads without this package.

    The batch size is free. The extra file `metadata.json` says which weights and classes they are. Numbers are float32.
    The network stays as it is, and is exported in evaluation mode.

    Parameters
    ----------
    source, path, preprocess
        As in `export_onnx`.

    Returns
    -------
    Exported
        The file, its input and its output.

    Raises
    ------
    TypeError
        The source is no network of this package.
    ValueError
        The network is pruned or parametrized, or torch.export cannot follow it.

    Examples
    --------
    >>> exported = lenet5.export.export_program(lenet5.load("mnist_v2"), "lenet5.pt2")
    >>> torch.export.load("lenet5.pt2").module()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    program = as_program(source, preprocess=preprocess)
    shapes = ({0: torch.export.Dim("batch")},)
    try:
        exported = torch.export.export(program.module, (program.images,), dynamic_shapes=shapes, strict=False)
    except Exception as error:  # of many kinds, none of which is a matter of this package
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"torch.export cannot follow {program.metadata['architecture']}: {reason}") from error
    for node in exported.graph.nodes:
        node.meta.pop("stack_trace", None)  # which names the folders of this machine
    check_equal(exported.module()(program.images), program)
    buffer = io.BytesIO()
    torch.export.save(exported, buffer, extra_files=_extra_files(program))
    return Exported((write_export(path, reproducible(buffer.getvalue())),), program.description)


def export_torchscript(source: Source, path: StrPath, *, preprocess: bool = False) -> Exported:
    """Write a network to a TorchScript file, which `torch.jit.load` and libtorch read without this package.

    The network is traced. The extra file `metadata.json` says which weights and classes they are. Numbers are float32.
    The network stays as it is, and is exported in evaluation mode. PyTorch has deprecated TorchScript: prefer
    `export_program` where nothing needs it.

    Parameters
    ----------
    source, path, preprocess
        As in `export_onnx`.

    Returns
    -------
    Exported
        The file, its input and its output.

    Raises
    ------
    TypeError
        The source is no network of this package.
    ValueError
        The network is pruned or parametrized, or its trace computes something else.

    Examples
    --------
    >>> exported = lenet5.export.export_torchscript(lenet5.load("mnist_v2"), "lenet5.ts")
    >>> [path.name for path in exported.files]
    ['lenet5.ts']
    """
    program = as_program(source, preprocess=preprocess)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):  # the user has asked for TorchScript
            warnings.filterwarnings("ignore", r"`?torch\.jit\.\w+` is (deprecated|not supported)", category)
        for _ in range(2):  # PyTorch numbers classes that it has traced before, so that only the second is always equal
            traced = torch.jit.trace(program.module, program.images, check_trace=False)  # type: ignore[no-untyped-call]
        check_equal(traced(program.images), program)
        torch.jit.save(traced, buffer, _extra_files=_extra_files(program))
    return Exported((write_export(path, reproducible(buffer.getvalue())),), program.description)


def _extra_files(program: Program) -> dict[str, str]:
    return {METADATA: json.dumps(dict(program.metadata), indent=2, sort_keys=True, ensure_ascii=False)}
