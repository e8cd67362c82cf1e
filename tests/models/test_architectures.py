"""The class that a weights folder names: redefined classes, and classes that share a name with a bundled one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lenet5
from lenet5.models import PretrainedModel, architectures, load_model
from lenet5.storage import read_json


@pytest.fixture(autouse=True)
def _restore_architectures() -> Iterator[None]:
    before = dict(architectures.ARCHITECTURES)
    yield
    architectures.ARCHITECTURES.clear()
    architectures.ARCHITECTURES.update(before)


def define(name: str, base: type[PretrainedModel], module: str = "__main__", **members: Any) -> Any:
    """Define a class as a script or a notebook's cell does."""
    return type(name, (base,), {"__module__": module, **members})


def test_cell_that_defines_a_class_runs_twice(tmp_path: Path) -> None:
    first = define("LeNet5", lenet5.LeNet5)
    second = define("LeNet5", lenet5.LeNet5)
    model = first(7)
    model.save_pretrained(tmp_path)
    for architecture in (first, second):
        loaded = architecture.from_pretrained(tmp_path)
        assert type(loaded) is architecture
        assert torch.equal(loaded.output.weight, model.output.weight)
    assert type(load_model(tmp_path)) is second


def test_bundled_weights_build_the_bundled_class_whatever_is_defined() -> None:
    define("LeNet5", lenet5.LeNet5, forward=lambda _, images: images)
    define("LeNet5", PretrainedModel, module="elsewhere")
    assert type(lenet5.load("mnist_v2").model) is lenet5.LeNet5
    assert type(lenet5.LeNet5.from_pretrained("mnist_v2")) is lenet5.LeNet5
    assert type(lenet5.lenet5(weights="MNIST_V2")) is lenet5.LeNet5


def test_folder_of_the_bundled_class_is_not_taken_for_that_of_a_namesake(tmp_path: Path) -> None:
    own = define("LeNet5", lenet5.LeNet5)
    lenet5.LeNet5(3).save_pretrained(tmp_path / "bundled")
    own(3).save_pretrained(tmp_path / "own")
    assert read_json(tmp_path / "bundled" / "config.json")["architecture"] == "LeNet5"
    assert read_json(tmp_path / "own" / "config.json")["architecture"] == "__main__.LeNet5"
    assert type(load_model(tmp_path / "bundled")) is lenet5.LeNet5
    assert type(load_model(tmp_path / "own")) is own


def test_namesake_from_another_script_is_loaded_by_the_class_it_is_called_on(tmp_path: Path) -> None:
    define("LeNet5", lenet5.LeNet5, module="train")(4).save_pretrained(tmp_path)
    serving = define("LeNet5", lenet5.LeNet5, module="serve")
    assert type(serving.from_pretrained(tmp_path)) is serving


def test_class_defined_in_two_modules_replaces_the_earlier_one(tmp_path: Path) -> None:
    define("Net", lenet5.LeNet5, module="train")(4).save_pretrained(tmp_path)
    later = define("Net", lenet5.LeNet5, module="serve")
    assert type(load_model(tmp_path)) is later
    assert type(later.from_pretrained(tmp_path)) is later


def test_subclass_loads_the_weights_of_its_base() -> None:
    own = define("Net", lenet5.LeNet5, forward=lambda self, images: 2 * lenet5.LeNet5.forward(self, images))
    model, images = own.from_pretrained("mnist_v2"), torch.rand(2, 1, 28, 28)
    assert type(model) is own
    torch.testing.assert_close(model(images), 2 * lenet5.LeNet5.from_pretrained("mnist_v2")(images))


def test_base_loads_the_folder_of_a_subclass(tmp_path: Path) -> None:
    own = define("Net", lenet5.LeNet5)
    own(4).save_pretrained(tmp_path)
    assert type(lenet5.LeNet5.from_pretrained(tmp_path)) is own


def test_other_network_is_named_before_its_arguments() -> None:
    with pytest.raises(ValueError, match="holds the architecture LeNet5Original; expected LeNet5"):
        lenet5.LeNet5.from_pretrained("original_mnist_v1", in_channels=1)


def test_unrelated_class_is_refused(tmp_path: Path) -> None:
    lenet5.CaffeLeNet().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds the architecture CaffeLeNet; expected LeNet5"):
        lenet5.LeNet5.from_pretrained(tmp_path)


def test_unknown_class_lists_the_known_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    define("LeNet5", lenet5.LeNet5)().save_pretrained(tmp_path)
    monkeypatch.delitem(architectures.ARCHITECTURES, "__main__.LeNet5")
    with pytest.raises(ValueError, match="names the architecture '__main__.LeNet5'; expected one of: .*LeNet5"):
        load_model(tmp_path)


def test_class_without_a_network_of_this_package(tmp_path: Path) -> None:
    class Scale(PretrainedModel):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.ones(1))

        def arguments(self) -> dict[str, Any]:
            return {}

        def forward(self, x: Tensor) -> Tensor:
            return self.factor * x

    Scale().save_pretrained(tmp_path)
    assert isinstance(Scale.from_pretrained(tmp_path), Scale)
    with pytest.raises(ValueError, match="num_classes is 3, but a Scale has no such argument, only none"):
        Scale.from_pretrained(tmp_path, num_classes=3)


class Head(lenet5.LeNet5):
    """A network of one's own with a layer more, whose constructor takes nothing of LeNet5's."""

    def __init__(self, dropout: float = 0.5) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.dropout(super().forward(images))
        return logits


class Fixed(lenet5.LeNet5Original):
    def __init__(self) -> None:
        super().__init__()


def test_constructor_of_a_subclass_need_not_take_the_arguments_that_it_sets(tmp_path: Path) -> None:
    loaded, pretrained = Head.from_pretrained("mnist_v2"), lenet5.LeNet5.from_pretrained("mnist_v2")
    assert isinstance(loaded, Head)
    assert torch.equal(loaded.output.weight, pretrained.output.weight)
    loaded.save_pretrained(tmp_path / "head")
    assert isinstance(Head.from_pretrained(tmp_path / "head"), Head)
    assert isinstance(load_model(tmp_path / "head"), Head)
    assert isinstance(Fixed.from_pretrained("original_mnist_v1"), Fixed)


def test_argument_that_a_constructor_sets_differently_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="takes no 'num_classes', and sets 10; expected 3"):
        Head.from_pretrained("mnist_v2", num_classes=3)
    lenet5.LeNet5(activation=nn.Tanh).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="not describe a Head: its constructor takes no 'activation', and sets 'ReLU'"):
        Head.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="Head cannot be saved: dropout.p is 0.3, but its arguments build 0.5"):
        Head(0.3).save_pretrained(tmp_path)
