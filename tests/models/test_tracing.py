"""Tracers, compilers and function transforms see the layers of `forward` and nothing else."""

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.fx import symbolic_trace
from torch.jit._trace import TracerWarning

from lenet5 import CaffeLeNet, LeNet5, LeNet5Original
from lenet5.models.classifier import ImageClassifier

NETWORKS: list[Callable[[], ImageClassifier]] = [LeNet5, LeNet5Original, CaffeLeNet]
LEAVES = [
    *("c1.conv", "c1.activation", "s2", "c3.conv", "c3.activation", "s4"),
    *("c5.flatten", "c5.linear", "c5.activation", "f6.linear", "f6.activation", "output"),
]

every_network = pytest.mark.parametrize("network", NETWORKS)
uses_torch_jit = pytest.mark.filterwarnings(
    *(f"ignore:.*torch.jit.* is (deprecated|not supported):{kind}" for kind in ("DeprecationWarning", "FutureWarning"))
)


def build(network: Callable[[], ImageClassifier], count: int = 3) -> tuple[ImageClassifier, Tensor]:
    """Build a network in evaluation mode, and a batch of images."""
    torch.manual_seed(0)
    model = network().eval()
    return model, torch.rand(count, *model.image_shape)


def test_fx_graph_of_lenet5_has_its_layers_only() -> None:
    graph = symbolic_trace(LeNet5()).graph
    assert [(node.op, node.target) for node in graph.nodes] == [
        ("placeholder", "images"),
        *(("call_module", name) for name in LEAVES),
        ("output", "output"),
    ]


def test_fx_graph_of_lenet5_in_a_sequential_has_its_layers_only() -> None:
    graph = symbolic_trace(nn.Sequential(nn.Dropout(0.1), LeNet5())).graph
    targets = [node.target for node in graph.nodes if node.op == "call_module"]
    assert targets == ["0", *(f"1.{name}" for name in LEAVES)]
    assert {node.op for node in graph.nodes} == {"placeholder", "call_module", "output"}


@every_network
@pytest.mark.parametrize("nested", [False, True])
def test_fx_trace_computes_the_same_logits(network: Callable[[], ImageClassifier], nested: bool) -> None:
    model, images = build(network)
    traced = symbolic_trace(nn.Sequential(model) if nested else model)
    torch.testing.assert_close(traced(images), model(images))


@uses_torch_jit
@every_network
def test_torchscript_computes_the_same_logits(network: Callable[[], ImageClassifier]) -> None:
    model, images = build(network)
    scripted = torch.jit.script(model)
    torch.testing.assert_close(scripted(images), model(images))


@uses_torch_jit
@every_network
def test_jit_trace_computes_the_same_logits_without_a_tracer_warning(network: Callable[[], ImageClassifier]) -> None:
    model, images = build(network)
    with warnings.catch_warnings():
        warnings.simplefilter("error", TracerWarning)
        traced = torch.jit.trace(model, images)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(traced(images[:2]), model(images[:2]))


@every_network
def test_export_supports_a_dynamic_batch_size(network: Callable[[], ImageClassifier]) -> None:
    model, images = build(network, 5)
    batch = torch.export.Dim("batch", min=1, max=1024)  # torch 2.6 cannot export LeNet5Original without a maximum
    program = torch.export.export(model, (images[:3],), dynamic_shapes=({0: batch},))
    torch.testing.assert_close(program.module()(images), model(images))
    torch.testing.assert_close(program.module()(images[:1]), model(images[:1]))


def test_export_keeps_other_prototypes() -> None:
    model, images = LeNet5Original(prototypes=torch.sign(torch.randn(4, 84))).eval(), torch.randn(2, 1, 32, 32)
    program = torch.export.export(model, (images,))
    torch.testing.assert_close(program.module()(images), model(images))


@every_network
def test_compile_captures_a_single_graph(network: Callable[[], ImageClassifier]) -> None:
    model, images = build(network)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images), model(images))


@every_network
def test_vmap_computes_the_same_logits(network: Callable[[], ImageClassifier]) -> None:
    model, images = build(network)
    mapped = torch.vmap(lambda image: model(image[None])[0])(images)
    torch.testing.assert_close(mapped, model(images), rtol=1e-4, atol=1e-4)


def test_jacobian_through_functional_call_is_exact() -> None:
    model, images = build(LeNet5)
    parameters = dict(model.named_parameters())
    jacobian = torch.func.jacrev(lambda p: torch.func.functional_call(model, p, (images,)).sum())(parameters)
    torch.testing.assert_close(jacobian["output.bias"], torch.full((10,), 3.0), rtol=1e-5, atol=1e-5)


@uses_torch_jit  # torch itself does
def test_forward_mode_derivative_is_exact() -> None:
    model, images = build(LeNet5)
    with forward_ad.dual_level():
        bias = forward_ad.make_dual(model.get_parameter("output.bias"), torch.ones(10))  # type: ignore[no-untyped-call]
        logits = torch.func.functional_call(model, {"output.bias": bias}, (images,))
        tangent = forward_ad.unpack_dual(logits).tangent  # type: ignore[no-untyped-call]
    torch.testing.assert_close(tangent, torch.ones(3, 10))


@every_network
def test_autocast_lowers_the_precision(network: Callable[[], ImageClassifier]) -> None:
    model, images = build(network)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(images)
    assert logits.isfinite().all()
    if network is not LeNet5Original:  # whose distances autocast computes in float32
        assert logits.dtype == torch.bfloat16


def test_compile_in_place_is_not_bypassed_by_the_kernel() -> None:
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _inputs: object) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    model = LeNet5().eval()
    model.compile(backend=backend)
    with torch.no_grad():
        model(torch.rand(2, 1, 28, 28))
    assert graphs
