import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import pytest
import safetensors.torch
import torch
from hypothesis import given
from torch import Tensor, nn

from lenet5 import LeNet5, LeNet5_Weights, storage
from lenet5.models import PretrainedModel, WeightsFolder, load_model, save_model
from lenet5.models.pretrained import assign_tensors


class Affine(PretrainedModel):
    """An architecture beside LeNet5."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, 1)

    def arguments(self) -> dict[str, int]:
        return {"size": self.linear.in_features}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    LeNet5().save_pretrained(tmp_path / "weights")
    return tmp_path / "weights"


def edit(folder: Path, **changes: object) -> None:
    """Change entries of `config.json`, with a correct digest."""
    config = storage.read_json(folder / "config.json")
    del config["digest"]
    storage.write_json(folder / "config.json", storage.sealed(config | changes))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.SiLU])
def test_load_restores_arguments_tensors_and_metadata(tmp_path: Path, activation: type[nn.Module]) -> None:
    model = LeNet5(7, in_channels=3, image_size=40, activation=activation, pooling="avg")
    model.save_pretrained(tmp_path, meta={"note": "kept"})
    loaded = LeNet5.from_pretrained(tmp_path)
    assert loaded.arguments() == model.arguments()
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    assert WeightsFolder.open(tmp_path).config["meta"] == {"note": "kept"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_load_restores_the_dtype(tmp_path: Path, dtype: torch.dtype) -> None:
    LeNet5().to(dtype).save_pretrained(tmp_path)
    assert LeNet5.from_pretrained(tmp_path).output.weight.dtype == dtype


def test_compiled_model_is_saved_unwrapped(tmp_path: Path) -> None:
    save_model(torch.compile(LeNet5(), backend="eager"), tmp_path)  # type: ignore[arg-type]
    assert isinstance(LeNet5.from_pretrained(tmp_path), LeNet5)


def test_foreign_module_is_saved_but_cannot_be_rebuilt(tmp_path: Path) -> None:
    save_model(nn.Linear(2, 3), tmp_path)
    assert set(storage.read_tensors(tmp_path / "model.safetensors")) == {"weight", "bias"}
    with pytest.raises(ValueError, match="names the architecture 'Linear'; expected one of: .*LeNet5"):
        load_model(tmp_path)


def test_bundled_name_takes_precedence_over_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    LeNet5(3).save_pretrained("mnist_v1")
    assert LeNet5.from_pretrained("mnist_v1").num_classes == 10
    assert LeNet5.from_pretrained("./mnist_v1").num_classes == 3
    assert LeNet5.from_pretrained(Path("mnist_v1")).num_classes == 3


def test_load_accepts_a_member_of_the_weights() -> None:
    assert LeNet5.from_pretrained(LeNet5_Weights.MNIST_V1).num_classes == 10  # type: ignore[arg-type]


def test_failed_save_keeps_the_old_files(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(TypeError, match="not JSON serializable"):
        LeNet5().save_pretrained(folder, meta={"note": object()})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_save_does_not_replace_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    with pytest.raises(ValueError, match="is a file; expected a folder or a new path"):
        LeNet5().save_pretrained(tmp_path / "file")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "kept"


def test_save_replaces_both_files_and_leaves_no_others(folder: Path) -> None:
    (folder / "notes.txt").touch()
    LeNet5(3).save_pretrained(folder)
    assert LeNet5.from_pretrained(folder).num_classes == 3
    names = ["README.md", "config.json", "model.safetensors", "notes.txt"]
    assert sorted(path.name for path in folder.iterdir()) == names


def test_saved_tensors_are_plain_safetensors_named_by_layer(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    assert sum(tensor.numel() for tensor in tensors.values()) == 61_706
    assert {name.split(".")[0] for name in tensors} == {"c1", "c3", "c5", "f6", "output"}


def test_save_requires_arguments(tmp_path: Path) -> None:
    class Unnamed(PretrainedModel):
        pass

    with pytest.raises(NotImplementedError, match=r"Unnamed does not define arguments\(\), which saving needs"):
        Unnamed().save_pretrained(tmp_path)


def test_loaded_model_is_in_evaluation_mode_and_trainable(folder: Path) -> None:
    model = LeNet5.from_pretrained(folder)
    assert not model.training
    before = model.output.bias.detach().clone()
    torch.autograd.backward(model(torch.rand(2, 1, 28, 28)).sum())
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    assert not torch.equal(model.output.bias, before)


def test_load_draws_no_random_numbers(folder: Path) -> None:
    state = torch.get_rng_state()
    LeNet5.from_pretrained(folder)
    assert torch.equal(torch.get_rng_state(), state)


def test_load_accepts_a_file_with_its_configuration_beside_it(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "best.safetensors")
    assert isinstance(LeNet5.from_pretrained(str(folder / "best.safetensors")), LeNet5)


@given(position=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_load_rejects_a_changed_byte(position: int, flip: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("changed")
    LeNet5().save_pretrained(folder)
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[position % len(data)] ^= flip
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match=r"model.safetensors is damaged or was edited: expected sha256 \w+, found"):
        LeNet5.from_pretrained(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "os.system"}, "names the architecture 'os.system'; expected one of: .*LeNet5"),
        ({"arguments": None}, "names the architecture 'LeNet5'; expected one of"),
        ({"arguments": 5}, "config.json has 5 for 'arguments'; expected an object"),
        ({"meta": [1]}, r"config.json has \[1\] for 'meta'; expected an object"),
        ({"dtype": "int8"}, "dtype is 'int8'; expected a floating-point dtype of torch"),
        ({"architecture": None, "settings": {}}, "holds an unfinished run; expected weights .lenet5 train --resume"),
        ({"arguments": {"num_classes": 0, "activation": "ReLU"}}, "does not describe a LeNet5: num_classes is 0"),
        ({"arguments": {"colour": 1, "activation": "ReLU"}}, "does not describe a LeNet5: .*colour"),
        ({"arguments": {"activation": "Module"}}, "activation is 'Module'; expected the name of an activation"),
    ],
)
def test_load_rejects_an_invalid_configuration(folder: Path, changes: dict[str, object], message: str) -> None:
    edit(folder, **changes)
    with pytest.raises(ValueError, match=message):
        LeNet5.from_pretrained(folder)


def test_load_rejects_a_configuration_with_a_wrong_digest(folder: Path) -> None:
    config = storage.read_json(folder / "config.json")
    storage.write_json(folder / "config.json", config | {"dtype": "float64"})
    with pytest.raises(ValueError, match="config.json is damaged or was edited"):
        LeNet5.from_pretrained(folder)


def test_load_rejects_tensors_of_wrong_shape(folder: Path) -> None:
    edit(folder, arguments={"num_classes": 5, "activation": "ReLU"})
    with pytest.raises(ValueError, match=r"does not fit a LeNet5: 2 tensors differ.*'output.bias': expected \(\(5,\)"):
        LeNet5.from_pretrained(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors | {"output.bias": torch.zeros(9)},
        lambda tensors: tensors | {"output.bias": torch.zeros(10, dtype=torch.float64)},
        lambda tensors: tensors | {"more": torch.zeros(1)},
        lambda tensors: {name: tensor for name, tensor in tensors.items() if name != "output.bias"},
    ],
    ids=["shape", "dtype", "additional name", "missing name"],
)
def test_assignment_replaces_all_tensors_or_none(change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    model = LeNet5()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tensors = change({name: torch.zeros_like(tensor) for name, tensor in before.items()})
    with pytest.raises(ValueError, match="origin does not fit a LeNet5: 1 tensors differ"):
        assign_tensors(model, tensors, Path("origin"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_load_rejects_a_foreign_file(folder: Path) -> None:
    data = b"PK\x03\x04 a zip archive, or a pickle"
    (folder / "model.safetensors").write_bytes(data)
    edit(folder, sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(ValueError, match="model.safetensors is not a safetensors file"):
        LeNet5.from_pretrained(folder)


def test_load_names_a_missing_file(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="model.safetensors does not exist"):
        LeNet5.from_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="config.json does not exist"):
        LeNet5.from_pretrained(folder)


def test_file_that_is_no_part_of_a_weights_folder_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "weights.txt").touch()
    message = "weights.txt has no config.json beside it; expected a folder of weights, .* one of the names: .*mnist_v1"
    with pytest.raises(FileNotFoundError, match=message):
        LeNet5.from_pretrained(tmp_path / "weights.txt")


def test_only_load_model_accepts_any_architecture(tmp_path: Path) -> None:
    Affine(3).save_pretrained(tmp_path)
    assert isinstance(load_model(tmp_path), Affine)
    with pytest.raises(ValueError, match="holds the architecture Affine; expected LeNet5"):
        LeNet5.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["mnist_v0", "no/such/folder", "../mnist_v1/x", "./nothing", "/nothing"])
def test_unknown_source_lists_the_bundled_names(name: str) -> None:
    with pytest.raises(FileNotFoundError, match="expected a folder, a file, or one of the names: .*mnist_v1"):
        LeNet5.from_pretrained(name)


def test_save_rejects_an_activation_without_a_name_in_torch(tmp_path: Path) -> None:
    model = LeNet5(activation=functools.partial(nn.LeakyReLU, 0.3))
    with pytest.raises(ValueError, match="cannot be saved by name; expected an activation of torch.nn"):
        model.save_pretrained(tmp_path)
    assert not any(tmp_path.iterdir())
