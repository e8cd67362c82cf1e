"""accelerate: its hooks replace `forward` on instances, and must run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

import lenet5

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bridges.conftest import Example

accelerate = pytest.importorskip("accelerate", reason="nox -s tests_bridges installs it")
hooks = pytest.importorskip("accelerate.hooks", reason="nox -s tests_bridges installs it")


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("layer", ["", "output"])
def test_hook_on_a_network_or_a_layer_changes_what_it_computes(example: Example, training: bool, layer: str) -> None:
    class Double(hooks.ModelHook):  # type: ignore[misc, name-defined]
        def post_forward(self, module: nn.Module, output: Tensor) -> Tensor:
            return 2 * output

    model, images, _ = example
    with torch.set_grad_enabled(training):
        expected = model(images)
        hooks.add_hook_to_module(model.get_submodule(layer), Double())
        torch.testing.assert_close(model(images), 2 * expected)
        hooks.remove_hook_from_module(model.get_submodule(layer))
        torch.testing.assert_close(model(images), expected)


def test_hook_that_converts_images_receives_them_before_any_check(example: Example) -> None:
    class Scale(hooks.ModelHook):  # type: ignore[misc, name-defined]
        def pre_forward(self, module: nn.Module, images: Tensor, **kwargs: Any) -> tuple[tuple[Tensor], dict[str, Any]]:
            return (images / 255,), kwargs

    model, images, _ = example
    pixels = torch.randint(0, 256, images.shape, dtype=torch.uint8)
    expected = model(pixels / 255)
    hooks.add_hook_to_module(model, Scale())
    torch.testing.assert_close(model(pixels), expected)


def test_network_offloaded_to_memory_computes_the_same(example: Example) -> None:
    model, images, _ = example
    with torch.no_grad():
        expected = model(images)
        offloaded = accelerate.cpu_offload(model, execution_device="cpu")
        torch.testing.assert_close(offloaded(images), expected)
    assert next(offloaded.parameters()).is_meta


def test_network_dispatched_by_layers_computes_the_same(example: Example) -> None:
    model, images, _ = example
    with torch.no_grad():
        expected = model(images)
        devices = {name: "cpu" for name, _ in model.named_children()}
        dispatched = accelerate.dispatch_model(model, devices, force_hooks=True)
        torch.testing.assert_close(dispatched(images), expected)


@pytest.mark.parametrize("include_buffers", [False, True])
def test_weights_are_loaded_into_a_network_without_memory(
    example: Example, include_buffers: bool, tmp_path: Path
) -> None:
    model, images, _ = example
    model.save_pretrained(tmp_path)
    with accelerate.init_empty_weights(include_buffers=include_buffers):
        empty = lenet5.LeNet5Original() if isinstance(model, lenet5.LeNet5Original) else lenet5.LeNet5()
    file = str(tmp_path / "model.safetensors")
    loaded = accelerate.load_checkpoint_and_dispatch(empty, file, device_map={"": "cpu"})
    assert torch.equal(loaded.eval()(images), model(images))


def test_accelerator_trains_a_network(example: Example) -> None:
    model, images, targets = example
    before = [parameter.detach().clone() for parameter in model.parameters()]
    accelerator = accelerate.Accelerator(cpu=True)
    prepared, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.01))
    accelerator.backward(nn.functional.cross_entropy(prepared(images), targets))
    optimizer.step()
    assert not any(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
