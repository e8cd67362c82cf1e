"""The checks of `ImageClassifier.__call__`, and what trainers ask of a network."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lenet5 import CaffeLeNet, LeNet5, LeNet5Original
from lenet5.models.classifier import ImageClassifier
from lenet5.runtime.acceleration import Accelerated

NETWORKS: list[Callable[[], ImageClassifier]] = [LeNet5, LeNet5Original, CaffeLeNet]


def test_networks_know_their_image_shape_and_number_of_classes() -> None:
    model = LeNet5(7, in_channels=3, image_size=40)
    assert (model.image_shape, model.num_classes) == ((3, 40, 40), 7)
    original = LeNet5Original(prototypes=torch.ones(4, 84))
    assert (original.image_shape, original.num_classes) == ((1, 32, 32), 4)
    assert (CaffeLeNet().image_shape, CaffeLeNet().num_classes) == ((1, 28, 28), 10)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("images", [[[1.0]], None, 3])
def test_call_rejects_images_that_are_not_a_tensor(network: Callable[[], ImageClassifier], images: object) -> None:
    with pytest.raises(
        TypeError, match=f"images are {type(images).__name__}; expected a tensor .Preprocess converts any image to one"
    ):
        network()(images)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(28, 28), r"shape \(28, 28\); expected \(N, 1, 28, 28\)"),
        (torch.zeros(1, 28, 28), r"shape \(1, 28, 28\); expected \(N, 1, 28, 28\)"),
        (torch.zeros(2, 3, 28, 28), r"shape \(2, 3, 28, 28\); expected \(N, 1, 28, 28\)"),
        (torch.zeros(2, 1, 32, 32), r"shape \(2, 1, 32, 32\); expected \(N, 1, 28, 28\)"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), r"dtype torch.uint8; expected torch.float32.*Preprocess"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.float64), r"dtype torch.float64; expected torch.float32"),
    ],
)
@pytest.mark.parametrize("network", [LeNet5, CaffeLeNet])
def test_call_rejects_images_of_wrong_shape_or_dtype(
    network: Callable[[], ImageClassifier], images: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        network()(images)


def test_original_network_requires_images_of_32x32() -> None:
    with pytest.raises(ValueError, match=r"images have shape \(2, 1, 28, 28\); expected \(N, 1, 32, 32\)"):
        LeNet5Original()(torch.zeros(2, 1, 28, 28))


def test_expected_dtype_follows_the_parameters() -> None:
    model = LeNet5().double()
    assert model(torch.zeros(2, 1, 28, 28, dtype=torch.float64)).dtype == torch.float64
    with pytest.raises(ValueError, match="dtype torch.float32; expected torch.float64, like the parameters"):
        model(torch.zeros(2, 1, 28, 28))


def test_autocast_accepts_a_different_floating_point_dtype() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert LeNet5()(torch.rand(2, 1, 28, 28).bfloat16()).dtype == torch.bfloat16
        with pytest.raises(ValueError, match="dtype torch.uint8"):
            LeNet5()(torch.zeros(2, 1, 28, 28, dtype=torch.uint8))


@pytest.mark.parametrize("network", NETWORKS)
def test_forward_checks_nothing(network: Callable[[], ImageClassifier]) -> None:
    model = network()
    side = model.image_shape[-1] + 1  # pooling drops the additional row and column
    images = torch.zeros(2, 1, side, side)
    assert model.forward(images).shape == (2, 10)
    with pytest.raises(ValueError, match=f"images have shape .2, 1, {side}, {side}.; expected"):
        model(images)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage:UserWarning")
def test_call_rejects_a_nested_tensor() -> None:
    images = torch.nested.nested_tensor([torch.zeros(1, 28, 28)] * 2)
    with pytest.raises(ValueError, match=r"images are a nested tensor; expected one tensor of shape \(N, 1, 28, 28\)"):
        LeNet5()(images)


@pytest.mark.parametrize("network", NETWORKS)
def test_call_takes_the_images_by_name(network: Callable[[], ImageClassifier]) -> None:
    model = network().eval()
    images = torch.rand(2, *model.image_shape)
    assert torch.equal(model(images=images), model(images))
    with pytest.raises(ValueError, match="images have shape"):
        model(images=images[0])


@pytest.mark.parametrize("network", NETWORKS)
def test_call_with_other_arguments_fails_as_any_function_does(network: Callable[[], ImageClassifier]) -> None:
    model = network()
    images = torch.rand(2, *model.image_shape)
    with pytest.raises(TypeError, match="forward.. .*argument"):
        model()
    with pytest.raises(TypeError, match="forward.. .*arguments"):
        model(images, images)
    with pytest.raises(TypeError, match="forward.. got an unexpected keyword argument 'pictures'"):
        model(pictures=images)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("is_global", [False, True])
def test_hook_may_change_the_number_and_kind_of_arguments(
    network: Callable[[], ImageClassifier], is_global: bool
) -> None:
    model = network().eval()
    images = torch.randint(0, 256, (2, 1, *model.image_shape), dtype=torch.uint8)
    expected = model.forward(images.flatten(0, 1) / 255)

    def join(module: nn.Module, arguments: tuple[Any, ...]) -> Any:
        return torch.cat(arguments) / 255 if module is model else None

    register = nn.modules.module.register_module_forward_pre_hook if is_global else model.register_forward_pre_hook
    handle = register(join)
    try:
        assert torch.equal(model(*images), expected)
        assert torch.equal(model(images.flatten(0, 1)), expected)
    finally:
        handle.remove()


@pytest.mark.parametrize("network", NETWORKS)
def test_hook_may_change_named_arguments(network: Callable[[], ImageClassifier]) -> None:
    model = network().eval()
    images = torch.rand(2, *model.image_shape)
    expected = model.forward(images)
    model.register_forward_pre_hook(lambda _, __, named: ((named["pixels"],), {}), with_kwargs=True)
    assert torch.equal(model(pixels=images, labels=None), expected)


@pytest.mark.parametrize("network", NETWORKS)
def test_forward_set_on_an_instance_receives_the_images_as_they_are(network: Callable[[], ImageClassifier]) -> None:
    model = network().eval()
    images, forward = torch.randint(0, 256, (2, *model.image_shape), dtype=torch.uint8), model.forward
    expected = forward(images / 255)
    model.forward = lambda images: forward(images / 255)
    assert torch.equal(model(images), expected)


def test_subclass_may_take_more_than_images() -> None:
    class WithLoss(LeNet5):
        def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
            logits = super().forward(images)
            return logits if labels is None else nn.functional.cross_entropy(logits, labels)

    model, images, labels = WithLoss(), torch.rand(2, 1, 28, 28), torch.tensor([3, 5])
    expected = nn.functional.cross_entropy(model(images), labels)
    assert torch.equal(model(images, labels), expected)
    assert torch.equal(model(images=images, labels=labels), expected)


@pytest.mark.parametrize("network", NETWORKS)
def test_networks_satisfy_the_accelerated_protocol(network: Callable[[], ImageClassifier]) -> None:
    accelerated: Accelerated = network()  # mypy checks the signatures
    assert isinstance(accelerated, Accelerated)
    assert accelerated.fused_gradients(nn.functional.cross_entropy) is None


def test_plain_module_does_not_satisfy_the_accelerated_protocol() -> None:
    assert not isinstance(nn.Linear(1, 1), Accelerated)


def test_cuda_graph_is_safe_with_layers_of_torch_only() -> None:
    class CustomReLU(nn.ReLU):
        pass

    assert LeNet5(activation=nn.Tanh, pooling="avg").cuda_graph_safe()
    assert CaffeLeNet().cuda_graph_safe()
    assert not LeNet5(activation=CustomReLU).cuda_graph_safe()
    assert not LeNet5Original().cuda_graph_safe()


@pytest.mark.parametrize("path", ["", "c3", "c3.conv"])
def test_cuda_graph_is_unsafe_with_a_forward_replaced_on_an_instance(path: str) -> None:
    model = LeNet5()
    module = model.get_submodule(path)
    module.forward = lambda images: images
    assert not model.cuda_graph_safe()


@pytest.mark.parametrize("path", ["", "c3", "c3.conv"])
@pytest.mark.parametrize("kind", ["forward", "forward_pre", "full_backward", "full_backward_pre"])
def test_cuda_graph_is_unsafe_with_hooks(path: str, kind: str) -> None:
    model = LeNet5()
    handle = getattr(model.get_submodule(path), f"register_{kind}_hook")(lambda *_: None)
    assert not model.cuda_graph_safe()
    handle.remove()
    assert model.cuda_graph_safe()


def test_cuda_graph_is_unsafe_with_a_subclass_of_tensor_as_a_parameter() -> None:
    model = LeNet5()
    parameters: dict[str, Any] = model.output._parameters
    parameters["weight"] = torch.zeros(10, 84).as_subclass(type("Labelled", (Tensor,), {}))
    assert not model.cuda_graph_safe()


def test_cuda_graph_is_unsafe_with_a_replaced_function_or_method(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LeNet5()
    for target, name in ((nn.functional, "relu"), (nn.Linear, "forward")):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, lambda *_, **__: None)
            assert not model.cuda_graph_safe()
        assert model.cuda_graph_safe()
    vars(model.c1)["_call_impl"] = model.c1._call_impl
    assert not model.cuda_graph_safe()


def test_cuda_graph_is_unsafe_with_a_parametrization() -> None:
    model = LeNet5()
    nn.utils.parametrizations.weight_norm(model.f6.get_submodule("linear"))
    assert not model.cuda_graph_safe()
