"""Plans hold as long as nothing that decides changes, and are made anew when something does."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lenet5 import LeNet5
from lenet5.models.kernels import lenet5, plan

pytestmark = pytest.mark.skipif(
    lenet5.library() is None, reason="the kernel is not built, or the CPU lacks its vectors"
)


@pytest.fixture
def model() -> LeNet5:
    """Return a network that has a plan."""
    model = LeNet5().eval()
    assert lenet5.NETWORKS.get(model) is not None
    return model


def call(model: LeNet5) -> Tensor:
    with torch.no_grad():
        return model(torch.rand(1, 1, 28, 28))


HARMLESS: dict[str, Callable[[LeNet5], object]] = {
    "calls": lambda model: [call(model) for _ in range(3)],
    "another network": lambda _: call(LeNet5()),
    "a step": lambda model: torch.optim.SGD(model.parameters(), 0.1).step(),
    "a gradient": lambda model: model(torch.rand(2, 1, 28, 28)).sum().backward(),  # type: ignore[no-untyped-call]
    "new values": lambda model: model.load_state_dict(LeNet5().state_dict()),
    "no gradients": lambda model: model.requires_grad_(requires_grad=True),
    "a seed": lambda _: torch.manual_seed(1),
    "a layer of a class": lambda _: nn.Sequential(nn.Linear(3, 3), nn.ReLU())(torch.rand(2, 3)),
}


@pytest.mark.parametrize("use", HARMLESS.values(), ids=HARMLESS)
def test_plan_holds_while_nothing_changes(model: LeNet5, use: Callable[[LeNet5], object]) -> None:
    use(model)  # the first use may make torch import a module of its own
    before = lenet5.NETWORKS.get(model)
    use(model)
    assert lenet5.NETWORKS.get(model) is before


LAYERS = ["c1", "c1.conv", "c1.activation", "s2", "c5.flatten", "output"]


@pytest.mark.parametrize("path", LAYERS)
@pytest.mark.parametrize(
    "name", ["forward", "_call_impl", "_compiled_call_impl", "_parameters", "_modules", "_forward_hooks"]
)
def test_plan_ends_when_an_attribute_is_set_past_setattr(model: LeNet5, path: str, name: str) -> None:
    before = lenet5.NETWORKS.get(model)
    attributes: Any = vars(model.get_submodule(path))
    attributes[name] = {"a": 1}
    assert before is not None
    assert not before.holds(model)


@pytest.mark.parametrize("path", LAYERS)
def test_plan_ends_when_the_dictionary_of_a_layer_is_replaced(model: LeNet5, path: str) -> None:
    before, layer = lenet5.NETWORKS.get(model), model.get_submodule(path)
    assert before is not None
    layer.__dict__ = dict(vars(layer))
    vars(layer)["forward"] = torch.tanh
    assert not before.holds(model)
    assert lenet5.NETWORKS.get(model) is None


class DoubledLinear(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return 2 * super().forward(input)


HIDING: dict[str, Callable[[LeNet5], object]] = {
    "attribute": lambda model: vars(model).update(output=DoubledLinear(84, 10)),
    "buffer": lambda model: model._buffers.update(output=DoubledLinear(84, 10)),  # type: ignore[call-overload]
    "attribute of a layer": lambda model: vars(model.output).update(weight=torch.zeros(10, 84)),
}


@pytest.mark.parametrize("hide", HIDING.values(), ids=HIDING)
@pytest.mark.parametrize("warm", [False, True])
def test_what_hides_a_layer_or_a_parameter_decides(warm: bool, hide: Callable[[LeNet5], object]) -> None:
    model, images = LeNet5().eval(), torch.rand(1, 1, 28, 28)
    with torch.no_grad():
        if warm:
            model(images)
        hide(model)
        torch.testing.assert_close(model(images), nn.Module.__call__(model, images))
        assert lenet5.NETWORKS.get(model) is None


def test_plan_ends_when_the_bases_of_a_class_change() -> None:
    class Shifted(LeNet5):
        def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
            return super()._call_impl(*args, **kwargs) + 1  # type: ignore[no-untyped-call]

    class Network(LeNet5):
        pass

    model, images = Network().eval(), torch.rand(1, 1, 28, 28)
    with torch.no_grad():
        before = model(images)
        assert lenet5.NETWORKS.get(model) is not None
        Network.__bases__ = (Shifted,)
        torch.testing.assert_close(model(images), before + 1)


@pytest.mark.parametrize(("name", "value"), [("_version", plan._unknown), ("_guards", None)])
def test_where_torch_lacks_a_function_each_call_makes_a_plan(
    model: LeNet5, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    monkeypatch.setattr(plan, name, value)
    images = torch.rand(1, 1, 28, 28)
    first = lenet5.NETWORKS._make(model)
    assert first is not None
    assert not first.holds(model)
    with torch.no_grad():
        logits = lenet5.logits(model, images)
        assert logits is not None
        torch.testing.assert_close(logits, nn.Module.__call__(model, images), rtol=1e-5, atol=1e-6)
