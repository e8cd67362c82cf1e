"""Every method of Captum takes the networks as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from tests.bridges.conftest import Example

attr = pytest.importorskip("captum.attr", reason="nox -s tests_bridges installs it")
influence = pytest.importorskip("captum.influence", reason="nox -s tests_bridges installs it")
rules = pytest.importorskip("captum.attr._utils.lrp_rules", reason="nox -s tests_bridges installs it")

pytestmark = pytest.mark.filterwarnings(
    "ignore:Setting forward, backward hooks and attributes on non-linear:UserWarning",
    "ignore:Input Tensor 0 did not already require gradients:UserWarning",
    "ignore:Setting backward hooks on ReLU activations:UserWarning",
)


def differences(example: Example, baseline: torch.Tensor) -> torch.Tensor:
    """Return the differences of the target's logits that attributions must add up to."""
    model, images, targets = example
    with torch.no_grad():
        logits = model(images) - model(baseline)
    return logits.gather(1, targets[:, None])[:, 0]


def test_integrated_gradients_add_up_to_the_logit(example: Example) -> None:
    model, images, targets = example
    baseline = torch.zeros_like(images)
    attributions = attr.IntegratedGradients(model).attribute(images, baseline, target=targets, n_steps=200)
    expected = differences(example, baseline)
    torch.testing.assert_close(attributions.sum((1, 2, 3)).float(), expected, rtol=0.05, atol=0.05)


def test_deep_lift_adds_up_to_the_logit(modern: Example) -> None:
    model, images, targets = modern
    baseline = torch.zeros_like(images)
    attributions = attr.DeepLift(model).attribute(images, baseline, target=targets)
    torch.testing.assert_close(attributions.sum((1, 2, 3)), differences(modern, baseline), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("layer", ["c3", "c3.conv", "c3.activation"])
def test_grad_cam_of_c3_weights_its_maps_by_their_mean_gradients(example: Example, layer: str) -> None:
    model, images, targets = example
    module = model.get_submodule(layer)
    maps: list[torch.Tensor] = []
    handle = module.register_forward_hook(lambda _, __, output: maps.append(output))
    logits = model(images).gather(1, targets[:, None]).sum()
    handle.remove()
    gradients = torch.autograd.grad(logits, maps)[0]
    expected = (gradients.mean((2, 3), keepdim=True) * maps[0]).sum(1, keepdim=True)
    computed = attr.LayerGradCam(model, module).attribute(images, target=targets)
    torch.testing.assert_close(computed, expected)


@pytest.mark.parametrize("layer", ["c1", "s2", "c3", "s4", "c5", "f6", "output"])
@pytest.mark.parametrize(
    "method", ["LayerActivation", "LayerIntegratedGradients", "LayerGradientXActivation", "LayerConductance"]
)
def test_every_layer_has_attributions(example: Example, layer: str, method: str) -> None:
    model, images, targets = example
    module = model.get_submodule(layer)
    target = {} if method == "LayerActivation" else {"target": targets}
    attributions = getattr(attr, method)(model, module).attribute(images, **target)
    assert attributions.shape == attr.LayerActivation(model, module).attribute(images).shape
    assert attributions.isfinite().all()


@pytest.mark.parametrize("method", ["GuidedBackprop", "Deconvolution", "Saliency", "InputXGradient", "GradientShap"])
def test_every_pixel_has_attributions(example: Example, method: str) -> None:
    model, images, targets = example
    baselines = {"baselines": torch.zeros_like(images)} if method == "GradientShap" else {}
    attributions = getattr(attr, method)(model).attribute(images, target=targets, **baselines)
    assert attributions.shape == images.shape
    assert attributions.abs().sum() > 0


def test_relevance_is_propagated_through_every_layer_with_a_rule_for_flatten(modern: Example) -> None:
    model, images, targets = modern
    model.c5.flatten.rule = rules.EpsilonRule()  # type: ignore[union-attr]
    relevance = attr.LRP(model).attribute(images, target=targets)
    assert relevance.shape == images.shape
    assert relevance.abs().sum() > 0


def test_influence_of_an_example_on_itself_is_the_square_of_its_gradient(example: Example) -> None:
    model, images, targets = example
    data = torch.utils.data.TensorDataset(images, targets)
    computed = influence.TracInCP(
        model, data, ["checkpoint"], lambda *_: 1.0, loss_fn=torch.nn.CrossEntropyLoss(reduction="none"), batch_size=4
    ).influence((images, targets))
    for index in range(2):
        loss = functional.cross_entropy(model(images[index : index + 1]), targets[index : index + 1])
        gradients = torch.autograd.grad(loss, [*model.parameters()])
        square = sum(float(gradient.square().sum()) for gradient in gradients)
        assert float(computed[index, index]) == pytest.approx(square, rel=1e-3, abs=1e-8)
