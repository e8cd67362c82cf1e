"""PyTorch's own exporters to ONNX, both of them, on the networks of this package."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from lenet5 import CaffeLeNet, LeNet5, LeNet5Original
from lenet5.models.classifier import ImageClassifier

NETWORKS: list[Callable[[], ImageClassifier]] = [LeNet5, LeNet5Original, CaffeLeNet]

torchs_own_warnings = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
every_network = pytest.mark.parametrize("network", NETWORKS)


def check(model: onnx.ModelProto, network: ImageClassifier, images: Tensor) -> None:
    """Compare the logits of a file with those of the network."""
    onnx.checker.check_model(model, full_check=True)
    (logits,) = ReferenceEvaluator(model).run(None, {model.graph.input[0].name: images.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), network(images).detach(), rtol=1e-4, atol=1e-4)


@every_network
@torchs_own_warnings
def test_exporter_through_torch_export_computes_the_same_logits(network: Callable[[], ImageClassifier]) -> None:
    pytest.importorskip("onnxscript", reason="nox -s tests_bridges installs it")
    model = network().eval()
    images = torch.rand(2, *model.image_shape)
    program = torch.onnx.export(model, (images,), dynamo=True, verbose=False)
    assert program is not None
    check(program.model_proto, model, images)


@every_network
@torchs_own_warnings
def test_exporter_through_torchscript_computes_the_same_logits(
    network: Callable[[], ImageClassifier], tmp_path: Path
) -> None:
    model = network().eval()
    images, file = torch.rand(2, *model.image_shape), tmp_path / "model.onnx"
    axes = {"images": {0: "batch"}}
    torch.onnx.export(model, (images,), file, dynamo=False, dynamic_axes=axes, input_names=["images"])
    check(onnx.load(file), model, torch.rand(3, *model.image_shape))
