"""torch_pruning: structured pruning removes maps and units; the network then computes with what is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import torch

from lenet5 import CaffeLeNet, LeNet5
from lenet5.models.classifier import ImageClassifier

if TYPE_CHECKING:
    from tests.bridges.conftest import Example

pruning = pytest.importorskip("torch_pruning", reason="nox -s tests_bridges installs it")

pytestmark = pytest.mark.filterwarnings("ignore:Unwrapped parameters detected:UserWarning")


def check(model: ImageClassifier, images: torch.Tensor) -> None:
    """Assert that a call computes what the pruned layers compute, with and without gradients."""
    expected = model.forward(images)
    torch.testing.assert_close(model(images), expected)
    with torch.no_grad():
        torch.testing.assert_close(model(images), expected)
    model(images).sum().backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(("network", "ratio"), [(LeNet5, 0.5), (LeNet5, 0.2), (CaffeLeNet, 0.5)])
def test_magnitude_pruner_removes_maps_and_units(network: Callable[[], ImageClassifier], ratio: float) -> None:
    torch.manual_seed(0)
    model, images = network().eval(), torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        model(images)  # the kernel has met the network as it was
    before = sum(parameter.numel() for parameter in model.parameters())
    output = model.get_submodule(str(model.output_layer))
    importance = pruning.importance.MagnitudeImportance()
    pruning.pruner.MagnitudePruner(
        model, images[:1], importance=importance, pruning_ratio=ratio, ignored_layers=[output]
    ).step()
    assert sum(parameter.numel() for parameter in model.parameters()) < before
    check(model, images)


@pytest.mark.parametrize("layer", ["c1.conv", "c3.conv", "c5.linear", "f6.linear"])
def test_dependency_graph_finds_what_belongs_to_a_layer(modern: Example, layer: str) -> None:
    model, images, _ = modern
    graph = pruning.DependencyGraph().build_dependency(model, images[:1])
    module: Any = model.get_submodule(layer)
    prune = pruning.prune_linear_out_channels if "linear" in layer else pruning.prune_conv_out_channels
    count = module.weight.shape[0]
    graph.get_pruning_group(module, prune, idxs=[0, 2]).prune()
    assert module.weight.shape[0] == count - 2
    check(model, images)


def test_maps_of_c5_of_the_original_network_can_be_pruned(original: Example) -> None:
    model, images, _ = original
    graph = pruning.DependencyGraph().build_dependency(model, images[:1])
    graph.get_pruning_group(model.get_submodule("c5.conv"), pruning.prune_conv_out_channels, idxs=[0, 2]).prune()
    assert model.get_submodule("f6.linear").in_features == 118
    check(model, images)
