"""Derivatives by every interface of torch: batched, vectorized, forward-mode, of higher order and per example."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import functional
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, stack_module_state, vmap
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from lenet5 import CaffeLeNet, LeNet5, LeNet5Original
from lenet5.models.classifier import ImageClassifier

NETWORKS: list[Callable[[], ImageClassifier]] = [LeNet5, LeNet5Original, CaffeLeNet]

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.* is (deprecated|not supported):DeprecationWarning"),  # torch's own
    pytest.mark.filterwarnings("ignore:.*torch.jit.* is (deprecated|not supported):FutureWarning"),
]
every_network = pytest.mark.parametrize("network", NETWORKS)


def build(network: Callable[[], ImageClassifier]) -> tuple[ImageClassifier, Tensor, Tensor]:
    """Build a network in evaluation mode, with three images and their targets."""
    torch.manual_seed(0)
    model = network().eval()
    return model, torch.rand(3, *model.image_shape), torch.tensor([3, 5, 8])


def assert_close(computed: Any, expected: Any) -> None:
    """Compare derivatives, relative to the largest."""
    for one, other in zip(computed, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5 * max(1.0, float(other.detach().abs().max())))


def parameter_gradients(logits: Tensor, model: ImageClassifier, gradients: Tensor) -> tuple[Tensor, ...]:
    """Return the gradients of the parameters for gradients of the logits."""
    return torch.autograd.grad(logits, [*model.parameters()], gradients, retain_graph=True)


@every_network
def test_gradients_per_example_are_those_of_each_example(network: Callable[[], ImageClassifier]) -> None:
    model, images, targets = build(network)

    def loss(parameters: dict[str, Tensor], image: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(functional_call(model, parameters, (image[None],)), target[None])

    computed = vmap(grad(loss), (None, 0, 0))(dict(model.named_parameters()), images, targets)
    for index in range(3):
        one = cross_entropy(model(images[index : index + 1]), targets[index : index + 1])
        expected = torch.autograd.grad(one, [*model.parameters()])
        assert_close([gradients[index] for gradients in computed.values()], expected)


@every_network
def test_batched_gradients_are_those_of_each_row(network: Callable[[], ImageClassifier]) -> None:
    model, images, _ = build(network)
    logits, rows = model(images), torch.randn(4, 3, 10)
    computed = torch.autograd.grad(logits, [*model.parameters()], rows, is_grads_batched=True, retain_graph=True)
    expected = [
        torch.stack(tensors) for tensors in zip(*(parameter_gradients(logits, model, row) for row in rows), strict=True)
    ]
    assert_close(computed, expected)


@every_network
@pytest.mark.parametrize("vectorize", [False, True])
def test_jacobian_of_the_parameters_is_that_of_torch_func(
    network: Callable[[], ImageClassifier], vectorize: bool
) -> None:
    model, images, _ = build(network)
    names, parameters = zip(*model.named_parameters(), strict=True)

    def call(*values: Tensor) -> Tensor:
        logits: Tensor = functional_call(model, dict(zip(names, values, strict=True)), (images,))
        return logits.sum(0)

    computed = functional.jacobian(call, parameters, vectorize=vectorize)  # type: ignore[no-untyped-call]
    assert_close(computed, jacrev(call, argnums=tuple(range(len(names))))(*parameters))


@every_network
@pytest.mark.parametrize("vectorize", [False, True])
def test_jacobian_of_the_images_is_the_same_in_every_mode(
    network: Callable[[], ImageClassifier], vectorize: bool
) -> None:
    model, images, _ = build(network)
    computed = functional.jacobian(model, images, vectorize=vectorize)  # type: ignore[no-untyped-call]
    assert_close([computed, jacfwd(model)(images)], [jacrev(model)(images)] * 2)


@every_network
@pytest.mark.parametrize("vectorize", [False, True])
def test_hessian_of_the_output_layer_is_symmetric(network: Callable[[], ImageClassifier], vectorize: bool) -> None:
    model, images, targets = build(network)
    name, parameter = [*model.named_parameters()][-1]

    def loss(value: Tensor) -> Tensor:
        return cross_entropy(functional_call(model, {name: value}, (images,)), targets)

    computed = functional.hessian(loss, parameter, vectorize=vectorize)  # type: ignore[no-untyped-call]
    assert_close([computed], [hessian(loss)(parameter)])
    torch.testing.assert_close(computed, computed.T)


@every_network
def test_gradient_of_a_gradient_is_that_of_the_layers(network: Callable[[], ImageClassifier]) -> None:
    model, images, targets = build(network)
    results = []
    for call in (model, model.forward):
        gradients = torch.autograd.grad(cross_entropy(call(images), targets), [*model.parameters()], create_graph=True)
        penalty = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
        results.append(torch.autograd.grad(penalty, [*model.parameters()], allow_unused=True, materialize_grads=True))
    assert_close(*results)


@every_network
def test_ensemble_of_networks_computes_the_logits_of_each(network: Callable[[], ImageClassifier]) -> None:
    models, images = [network().eval() for _ in range(3)], build(network)[1]
    parameters, buffers = stack_module_state([*models])
    skeleton = network().to("meta")

    def call(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Any:
        return functional_call(skeleton, (parameters, buffers), (images,))

    logits = vmap(call)(parameters, buffers)
    assert_close(logits, [model(images) for model in models])


@every_network
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpoint_recomputes_the_same_gradients(network: Callable[[], ImageClassifier], use_reentrant: bool) -> None:
    model, images, targets = build(network)
    expected = torch.autograd.grad(cross_entropy(model(images), targets), [*model.parameters()])
    logits = checkpoint(model, images.requires_grad_(), use_reentrant=use_reentrant)
    cross_entropy(logits, targets).backward()  # type: ignore[no-untyped-call]
    assert_close([parameter.grad for parameter in model.parameters()], expected)


@every_network
def test_deterministic_algorithms_compute_the_same_gradients(network: Callable[[], ImageClassifier]) -> None:
    model, images, targets = build(network)
    expected = torch.autograd.grad(cross_entropy(model(images), targets), [*model.parameters()])
    torch.use_deterministic_algorithms(mode=True)
    try:
        computed = torch.autograd.grad(cross_entropy(model(images), targets), [*model.parameters()])
    finally:
        torch.use_deterministic_algorithms(mode=False)
    assert_close(computed, expected)
