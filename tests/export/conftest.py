from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import lenet5.export
from lenet5.export import Exported
from lenet5.export.program import Source

Export = Callable[..., Exported]
Load = Callable[[Path], Callable[[Tensor], Tensor]]


def _load_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    import onnx
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(onnx.load(path))

    def run(images: Tensor) -> Tensor:
        (result,) = evaluator.run(None, {"images": images.numpy()})
        return torch.from_numpy(result)

    return run


def _load_program(path: Path) -> Callable[[Tensor], Tensor]:
    module: Callable[[Tensor], Tensor] = torch.export.load(path).module()
    return module


def _load_torchscript(path: Path) -> Callable[[Tensor], Tensor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # of its deprecation
        module: Callable[[Tensor], Tensor] = torch.jit.load(path)  # type: ignore[no-untyped-call]
    return module


@pytest.fixture(params=["onnx", "program", "torchscript"])
def kind(request: pytest.FixtureRequest) -> str:
    """A format that is traced from the network."""
    return str(request.param)


@pytest.fixture
def export(kind: str) -> Export:
    """The function of the format."""
    function: Export = getattr(lenet5.export, f"export_{kind}")
    return function


@pytest.fixture
def exported(kind: str, export: Export, tmp_path: Path) -> Callable[..., Callable[[Tensor], Tensor]]:
    """Export a network, and load the file without this package."""
    load: Load = {"onnx": _load_onnx, "program": _load_program, "torchscript": _load_torchscript}[kind]

    def make(source: Source, *, preprocess: bool = False) -> Callable[[Tensor], Tensor]:
        (file,) = export(source, tmp_path / "model", preprocess=preprocess).files
        return load(file)

    return make
