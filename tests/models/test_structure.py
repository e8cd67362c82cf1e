"""A model that is not what its arguments describe is refused when it is saved, and before the first step of a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from lenet5 import CaffeLeNet, LeNet5, LeNet5Original, Trainer, TrainerConfig
from lenet5.data import DataSplits
from lenet5.models import PretrainedModel, save_model
from lenet5.models.original.layers import PartialConv2d

Change = Callable[[Any], object]

CHANGES: dict[str, tuple[Change, str]] = {
    "activation": (
        lambda model: setattr(model.c1, "activation", nn.Tanh()),
        r"c1.activation is Tanh\(\), but its arguments build ReLU\(\).*LeNet5\(activation=...\)",
    ),
    "pooling": (lambda model: setattr(model, "s2", nn.AvgPool2d(2)), r"s2 is AvgPool2d.*build MaxPool2d"),
    "setting of a pooling": (lambda model: setattr(model.s2, "stride", 1), "s2.stride is 1, but its arguments build 2"),
    "padding": (lambda model: setattr(model.c1.conv, "padding_mode", "reflect"), "c1.conv.padding_mode is 'reflect'"),
    "output layer": (
        lambda model: setattr(model, "output", nn.Linear(84, 26)),
        r"output.out_features is 26, but its arguments build 10.*from_pretrained\(..., num_classes=...\)",
    ),
    "bias": (lambda model: setattr(model, "output", nn.Linear(84, 10, bias=False)), "output.bias is missing"),
    "dropout": (lambda model: model.f6.append(nn.Dropout(0.5)), r"f6.2 is Dropout.*build no layer"),
    "additional layer": (lambda model: model.add_module("extra", nn.ReLU()), r"extra is ReLU.*build no layer"),
    "missing layer": (lambda model: setattr(model, "s4", None), r"s4 is no layer, but.*MaxPool2d"),
    "order": (lambda model: setattr(model, "c1", nn.Sequential(*model.c1)), r"c1.conv is no layer"),
    "order of the same layers": (
        lambda model: model.c1._modules.update(conv=model.c1._modules.pop("conv")),
        "its layers are in the order .*c1, c1.activation, c1.conv",
    ),
    "own layer": (
        lambda model: setattr(model.c1, "activation", type("Mine", (nn.ReLU,), {})()),
        r"c1.activation is Mine\(\)",
    ),
    "buffer": (lambda model: model.register_buffer("scale", torch.ones(1)), "the tensor scale is torch.float32"),
    "dtype of a layer": (lambda model: model.output.double(), "parameters have several dtypes.*model.float"),
    "pruning": (
        lambda model: prune.l1_unstructured(model.c3.conv, "weight", amount=0.5),  # type: ignore[no-untyped-call]
        "c3.conv computes its weights at every call; call torch.nn.utils.prune.remove",
    ),
    "parametrization": (
        lambda model: parametrizations.spectral_norm(model.f6.linear),
        "f6.linear computes its weights at every call; call torch.nn.utils.parametrize.remove_parametrizations",
    ),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("saver", [LeNet5.save_pretrained, save_model])
def test_changed_model_is_refused(tmp_path: Path, saver: Any, change: Change, message: str) -> None:
    model = LeNet5()
    change(model)
    with pytest.raises(ValueError, match=f"LeNet5 cannot be saved: .*{message}"):
        saver(model, tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_quantized_model_is_refused(tmp_path: Path) -> None:
    model = torch.ao.quantization.quantize_dynamic(LeNet5(), {nn.Linear})  # type: ignore[no-untyped-call]
    with pytest.raises(ValueError, match=r"LeNet5 cannot be saved: .*but its arguments build Linear"):
        save_model(model, tmp_path)


def test_activation_with_other_parameters_is_refused(tmp_path: Path) -> None:
    model = LeNet5(activation=nn.LeakyReLU)
    model.save_pretrained(tmp_path)
    model.c5.activation = nn.LeakyReLU(0.3)
    with pytest.raises(ValueError, match=r"c5.activation.negative_slope is 0.3, but its arguments build 0.01"):
        model.save_pretrained(tmp_path)


def test_changes_that_compute_the_same_are_saved(tmp_path: Path) -> None:
    model = LeNet5()
    model.c1.activation = nn.ReLU(inplace=True)
    model.output = nn.Linear(84, 10)
    model.s2 = nn.MaxPool2d(2)
    vars(model)["notes"] = {"by": "somebody"}
    model.c3[0].register_forward_hook(lambda *_: None)
    for parameter in model.c1.parameters():
        parameter.requires_grad_(False)
    model.save_pretrained(tmp_path)
    assert torch.equal(LeNet5.from_pretrained(tmp_path).output.weight, model.output.weight)


def test_pruned_and_parametrized_models_are_saved_once_that_is_removed(tmp_path: Path) -> None:
    model = LeNet5()
    prune.l1_unstructured(model.output, "weight", amount=0.5)  # type: ignore[no-untyped-call]
    prune.remove(model.output, "weight")  # type: ignore[no-untyped-call]
    model.save_pretrained(tmp_path)
    assert float((LeNet5.from_pretrained(tmp_path).output.weight == 0).float().mean()) == pytest.approx(0.5)


def test_other_networks_are_checked_too(tmp_path: Path) -> None:
    original, caffe = LeNet5Original(), CaffeLeNet()
    original.save_pretrained(tmp_path / "original")
    caffe.save_pretrained(tmp_path / "caffe")
    original.c3.conv = PartialConv2d([range(6)] * 16, 5)
    caffe.relu1 = nn.Tanh()  # type: ignore[assignment]
    with pytest.raises(ValueError, match="LeNet5Original cannot be saved: c3.conv.table"):
        original.save_pretrained(tmp_path / "original")
    with pytest.raises(ValueError, match=r"CaffeLeNet cannot be saved: relu1 is Tanh"):
        caffe.save_pretrained(tmp_path / "caffe")


def test_subclass_with_another_constructor_is_saved_or_told_what_it_lacks(tmp_path: Path) -> None:
    class Letters(LeNet5):
        def __init__(self) -> None:
            super().__init__(26)

    class Sized(LeNet5):
        def __init__(self, count: int) -> None:
            super().__init__(count)

    Letters().save_pretrained(tmp_path)
    assert Letters.from_pretrained(tmp_path).num_classes == 26
    with pytest.raises(ValueError, match=r"Sized cannot be saved: it cannot be built from its arguments\(\)"):
        Sized(26).save_pretrained(tmp_path)


def test_save_draws_no_random_numbers(tmp_path: Path) -> None:
    model, state = LeNet5(), torch.get_rng_state()
    model.save_pretrained(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("wrap", [lambda model: torch.compile(model, backend="eager"), nn.DataParallel])
def test_wrapped_model_is_saved_as_itself(tmp_path: Path, wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = LeNet5(7)
    save_model(wrap(model), tmp_path)
    assert torch.equal(LeNet5.from_pretrained(tmp_path).output.weight, model.output.weight)


def test_model_compiled_in_place_is_saved(tmp_path: Path) -> None:
    model = LeNet5()
    model.compile(backend="eager")
    model.save_pretrained(tmp_path)
    assert isinstance(LeNet5.from_pretrained(tmp_path), LeNet5)


def test_changed_model_is_refused_before_the_first_step(tmp_path: Path, digits: DataSplits) -> None:
    model = LeNet5()
    model.c1.activation = nn.Tanh()
    before = model.output.weight.detach().clone()
    trainer = Trainer(model, TrainerConfig(max_epochs=1, device="cpu", checkpoint_dir=tmp_path))
    with pytest.raises(ValueError, match="LeNet5 cannot be saved: c1.activation is Tanh"):
        trainer.fit(digits.train)
    assert torch.equal(model.output.weight, before)


def test_changed_model_is_trained_without_checkpoints(digits: DataSplits) -> None:
    model = LeNet5()
    model.c1.activation = nn.Tanh()
    history = Trainer(model, TrainerConfig(max_epochs=1, device="cpu")).fit(digits.train.select(slice(64)))
    assert len(history.to_frame()) == 1


def test_foreign_module_may_be_anything(tmp_path: Path) -> None:
    save_model(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1).double()), tmp_path)
    assert (tmp_path / "model.safetensors").exists()


def test_lazily_shaped_settings_do_not_matter(tmp_path: Path) -> None:
    class Holder(PretrainedModel):
        def __init__(self, sizes: list[int]) -> None:
            super().__init__()
            self.sizes = tuple(sizes)
            self.layers = nn.Sequential(*(nn.Linear(size, 1) for size in sizes))

        def arguments(self) -> dict[str, Any]:
            return {"sizes": list(self.sizes)}

        def forward(self, x: Tensor) -> Tensor:
            return x

    Holder([2, 3]).save_pretrained(tmp_path)
    assert Holder.from_pretrained(tmp_path).sizes == (2, 3)


def test_initialisation_does_not_matter_to_what_is_saved(tmp_path: Path) -> None:
    model = LeNet5Original(init="lecun_uniform")
    model.save_pretrained(tmp_path)
    loaded = LeNet5Original.from_pretrained(tmp_path)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_method_replaced_on_an_instance_is_saved_with_a_warning(tmp_path: Path) -> None:
    model = LeNet5()
    model.get_submodule("f6.activation").forward = torch.tanh
    with pytest.warns(UserWarning, match=r"not what replaces f6\.activation\.forward; the loaded model computes"):
        model.save_pretrained(tmp_path)
    assert type(LeNet5.from_pretrained(tmp_path).f6.activation) is nn.ReLU
