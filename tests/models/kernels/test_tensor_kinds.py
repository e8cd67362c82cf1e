"""Tensors of every kind, as images and as parameters: the result, or the error, is that of the layers."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from lenet5 import LeNet5, LeNet5Original, MAPLoss
from lenet5.models.classifier import KERNELS
from lenet5.models.kernels import lenet5, original
from lenet5.models.kernels.library import FEW

pytestmark = pytest.mark.skipif(lenet5.library() is None, reason="the kernel is not built, or the CPU lacks AVX-512")

Kind = Callable[[Tensor], Tensor]


class Labelled(Tensor):
    """A subclass without a behaviour of its own."""


def resized(tensor: Tensor, size: int) -> Tensor:
    tensor = tensor.clone()
    tensor.untyped_storage().resize_(size)
    return tensor


def offset(tensor: Tensor) -> Tensor:
    return torch.cat([torch.full((7,), torch.nan), tensor.flatten()])[7:].view(tensor.shape)


def in_inference_mode(tensor: Tensor) -> Tensor:
    with torch.inference_mode():
        return tensor.clone()


def nested(tensor: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([tensor[0], tensor[0]])


def quantized(tensor: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(tensor, 0.1, 0, torch.quint8)


READ_BY_THE_KERNEL: dict[str, Kind] = {
    "plain": lambda tensor: tensor,
    "storage offset": offset,
    "transposed": lambda tensor: tensor.transpose(0, -1).contiguous().transpose(0, -1),
    "expanded": lambda tensor: tensor[..., :1].expand(tensor.shape),
    "channels last": lambda tensor: (
        tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
    ),
    "inference": in_inference_mode,
    "nan": lambda tensor: tensor.masked_fill(tensor > tensor.mean(), torch.nan),
    "infinite": lambda tensor: tensor.masked_fill(tensor > tensor.mean(), -torch.inf),
    "zero": torch.zeros_like,
    "tiny": lambda tensor: tensor * 1e-42,
}
OTHERS: dict[str, Kind] = {
    "negated lazily": torch._neg_view,
    "imaginary part of a conjugate": lambda tensor: torch.complex(tensor, tensor).conj().imag,
    "efficient zero": lambda tensor: torch._efficientzerotensor(tensor.shape),
    "subclass": lambda tensor: tensor.as_subclass(Labelled),
    "mkldnn": lambda tensor: tensor.to_mkldnn(),
    "sparse": lambda tensor: tensor.to_sparse(),
    "meta": lambda tensor: tensor.to("meta"),
    "nested": nested,
    "quantized": quantized,
    "functional": torch._to_functional_tensor,
    "float64": lambda tensor: tensor.double(),
    "float16": lambda tensor: tensor.half(),
    "freed": lambda tensor: resized(tensor, 0),
}
UNSAFE = {"efficient zero", "functional", "freed", "meta", "mkldnn", "sparse", "quantized"}
"""Kinds of parameters on which torch's own layers may crash, or read what is not theirs."""
KINDS = {**READ_BY_THE_KERNEL, **OTHERS}
NAMES = [name for name, _ in LeNet5().named_parameters()]


def build(seed: int = 0) -> LeNet5:
    torch.manual_seed(seed)
    return LeNet5().eval()


@contextlib.contextmanager
def without_kernels() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for forward in list(KERNELS):
            patch.delitem(KERNELS, forward)
        yield


def outcome(compute: Callable[[], Any]) -> Any:
    """Return the result, or the type of the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, for the rarer kinds
        try:
            return compute()
        except Exception as error:  # noqa: BLE001 (whatever the layers raise)
            return type(error)


def assert_same(result: Any, expected: Any) -> None:
    if isinstance(expected, list):
        assert isinstance(result, list), f"{result}; expected the gradients of the layers"
        for one, other in zip(result, expected, strict=True):
            scale = max(1.0, float(other.nan_to_num(posinf=0, neginf=0).abs().max()))
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * scale, equal_nan=True)
    elif isinstance(expected, Tensor) and not expected.is_meta and expected.layout is torch.strided:
        assert isinstance(result, Tensor), f"{result}; expected the logits of the layers"
        assert type(result) is type(expected)
        torch.testing.assert_close(torch.Tensor(result), torch.Tensor(expected), rtol=1e-5, atol=1e-5, equal_nan=True)
    else:
        assert result is expected or type(result) is type(expected)


@settings(max_examples=150)
@given(kind=st.sampled_from(sorted(KINDS)), count=st.integers(1, FEW + 2), seed=st.integers(0, 99), grad=st.booleans())
def test_images_of_any_kind(kind: str, count: int, seed: int, grad: bool) -> None:
    model = build(seed)
    images = KINDS[kind](torch.rand(count, 1, 28, 28) - 0.3)

    def compute() -> Any:
        with torch.set_grad_enabled(grad):
            return model(images)

    with without_kernels():
        expected = outcome(compute)
    assert_same(outcome(compute), expected)
    with torch.no_grad():
        assert kind in READ_BY_THE_KERNEL or lenet5.logits(model, images) is None


def replace(model: LeNet5, name: str, kind: Kind) -> None:
    """Replace a parameter by a tensor of a kind: its data, where torch allows that, or the parameter itself."""
    parameter = model.get_parameter(name)
    made = kind(parameter.detach())
    layer, _, attribute = name.rpartition(".")
    with contextlib.suppress(RuntimeError, TypeError):
        parameter.data = made
        if type(made) is Tensor:
            return
    parameters: dict[str, Any] = model.get_submodule(layer)._parameters
    parameters[attribute] = made


@settings(max_examples=150)
@given(
    kind=st.sampled_from(sorted(KINDS.keys() - {"nested"})),
    name=st.sampled_from(NAMES),
    count=st.integers(1, FEW + 2),
    warm=st.booleans(),
    inference=st.booleans(),
)
def test_parameters_of_any_kind(kind: str, name: str, count: int, warm: bool, inference: bool) -> None:
    model, images = build(), torch.rand(count, 1, 28, 28) - 0.3

    def compute() -> Any:
        with torch.inference_mode() if inference else torch.no_grad():
            return model(images)

    if warm:
        compute()
    replace(model, name, KINDS[kind])
    if kind in OTHERS:
        assert lenet5.NETWORKS.get(model) is None
    if kind in UNSAFE:
        return
    with without_kernels():
        expected = outcome(compute)
    assert_same(outcome(compute), expected)


@pytest.mark.parametrize("size", [0, 8, 96])
@pytest.mark.parametrize("name", NAMES)
def test_shrunk_parameters_are_not_read_past_their_end(name: str, size: int) -> None:
    model, images = build(), torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        model(images)
        storage = model.get_parameter(name).untyped_storage()
        full = storage.nbytes()
        if size >= full:
            return
        storage.resize_(0)
        storage.resize_(size)  # perhaps at the old address
        assert lenet5.NETWORKS.get(model) is None
        assert (lenet5._STAGES.get(model) is None) == name.startswith(("c1", "c3"))
        storage.resize_(full)
        assert lenet5.NETWORKS.get(model) is not None


@pytest.mark.parametrize("size", [0, 28 * 28 * 4, 2 * 28 * 28 * 4 - 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_shrunk_images_are_not_read_past_their_end(size: int, transposed: bool) -> None:
    model, images = build(), torch.rand(2, 1, 28, 28)
    images = images.mT if transposed else images
    images.untyped_storage().resize_(size)
    with torch.no_grad():
        assert lenet5.logits(model, images) is None


def test_zero_strides_need_little_memory(remove_kernels: Callable[[], None]) -> None:
    model, images = build(), torch.rand(1, 1, 28, 28).expand(5, 1, 28, 28)
    with torch.no_grad():
        result = lenet5.logits(model, images)
        remove_kernels()
        assert result is not None
        assert_same(result, model(images))


@pytest.mark.skipif(original.library() is None, reason="the kernel is not built")
@pytest.mark.parametrize("kind", OTHERS.values(), ids=OTHERS)
def test_kernel_of_the_original_network_leaves_other_kinds_to_the_layers(kind: Kind) -> None:
    model, targets = LeNet5Original(), torch.tensor([1, 2])
    kernel = model.fused_gradients(MAPLoss())
    assert kernel is not None
    assert kernel(kind(torch.rand(2, 1, 32, 32)), targets) is None
    parameter = model.get_parameter("c3.conv.weight")
    model.get_submodule("c3.conv")._parameters["weight"] = kind(parameter.detach())  # type: ignore[assignment]
    assert kernel(torch.rand(2, 1, 32, 32), targets) is None
    assert all(parameter.grad is None for parameter in model.parameters())
