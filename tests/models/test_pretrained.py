import functools
import hashlib
import sys
import types
from pathlib import Path

import hypothesis.strategies as st
import pytest
import safetensors.torch
import torch
from hypothesis import given
from torch import nn

from lenet5 import LeNet5, storage
from lenet5.models import PretrainedModel, load_model, read_config, save_model


class Affine(PretrainedModel):
    """A second architecture, so that one can be taken for the other."""

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
    """Write what another program might have written."""
    config = storage.read_json(folder / "config.json")
    del config["digest"]
    storage.write_json(folder / "config.json", storage.sealed(config | changes))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.SiLU])
def test_what_is_saved_is_what_is_loaded(tmp_path: Path, activation: type[nn.Module]) -> None:
    model = LeNet5(7, in_channels=3, image_size=40, activation=activation, pooling="avg")
    model.save_pretrained(tmp_path, meta={"note": "kept"})
    loaded = LeNet5.from_pretrained(tmp_path)
    assert loaded.arguments() == model.arguments()
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    assert read_config(tmp_path)["meta"] == {"note": "kept"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_dtype_is_saved_too(tmp_path: Path, dtype: torch.dtype) -> None:
    LeNet5().to(dtype).save_pretrained(tmp_path)
    assert LeNet5.from_pretrained(tmp_path).output.weight.dtype == dtype


def test_a_compiled_model_is_saved_as_what_was_compiled(tmp_path: Path) -> None:
    save_model(torch.compile(LeNet5(), backend="eager"), tmp_path)  # type: ignore[arg-type]
    assert isinstance(LeNet5.from_pretrained(tmp_path), LeNet5)


def test_a_name_of_the_package_is_not_taken_by_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    LeNet5(3).save_pretrained("mnist_v1")
    assert LeNet5.from_pretrained("mnist_v1").num_classes == 10
    assert LeNet5.from_pretrained("./mnist_v1").num_classes == 3
    assert LeNet5.from_pretrained(Path("mnist_v1")).num_classes == 3


def test_what_cannot_be_saved_leaves_the_old_files(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(TypeError, match="not JSON serializable"):
        LeNet5().save_pretrained(folder, meta=object())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_file_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ValueError, match="is a file; expected a folder"):
        LeNet5().save_pretrained(tmp_path / "file")


def test_two_architectures_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="there is an architecture LeNet5 in lenet5.models.lenet5"):
        type("LeNet5", (PretrainedModel,), {})


def test_a_loaded_model_is_in_evaluation_mode_and_can_be_trained(folder: Path) -> None:
    model = LeNet5.from_pretrained(folder)
    assert not model.training
    before = model.output.bias.detach().clone()
    model(torch.rand(2, 1, 28, 28)).sum().backward()
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    assert not torch.equal(model.output.bias, before)


def test_loading_draws_no_random_numbers(folder: Path) -> None:
    state = torch.get_rng_state()
    LeNet5.from_pretrained(folder)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_file_with_its_configuration_beside_it_can_be_named(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    assert isinstance(LeNet5.from_pretrained(str(folder / "other.safetensors")), LeNet5)


def test_saving_again_replaces_the_files_and_leaves_no_others(folder: Path) -> None:
    LeNet5(3).save_pretrained(folder)
    assert LeNet5.from_pretrained(folder).num_classes == 3
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


@given(position=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_an_edited_byte_is_refused(position: int, flip: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("edited")
    LeNet5().save_pretrained(folder)
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[position % len(data)] ^= flip
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match=r"model.safetensors is damaged or was edited: expected sha256 \w+, found"):
        LeNet5.from_pretrained(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "os.system"}, "describes the architecture 'os.system'; expected one of: .*LeNet5"),
        ({"arguments": None}, "describes the architecture 'LeNet5'"),
        ({"arguments": 5}, "config.json has 5 for 'arguments'; expected an object"),
        ({"meta": [1]}, r"config.json has \[1\] for 'meta'; expected an object"),
        ({"dtype": "int8"}, "dtype 'int8' is not a floating-point type"),
        ({"architecture": None, "settings": {}}, "is a run without weights yet; lenet5 train --resume"),
        ({"arguments": {"num_classes": 0, "activation": "ReLU"}}, "does not describe a LeNet5: num_classes is 0"),
        ({"arguments": {"colour": 1, "activation": "ReLU"}}, "does not describe a LeNet5: .*colour"),
        ({"arguments": {"activation": "Module"}}, "'Module' is not an activation of torch.nn"),
    ],
)
def test_a_configuration_that_describes_no_model_is_refused(
    folder: Path, changes: dict[str, object], message: str
) -> None:
    edit(folder, **changes)
    with pytest.raises(ValueError, match=message):
        LeNet5.from_pretrained(folder)


def test_tensors_of_another_shape_name_or_dtype_are_refused_and_nothing_is_loaded(folder: Path) -> None:
    edit(folder, arguments={"num_classes": 5, "activation": "ReLU"})
    with pytest.raises(ValueError, match=r"does not fit a LeNet5: 2 tensors differ.*'output.bias': expected \(\(5,\)"):
        LeNet5.from_pretrained(folder)


def test_a_foreign_file_is_refused(folder: Path) -> None:
    data = b"PK\x03\x04 a zip archive, or a pickle"
    (folder / "model.safetensors").write_bytes(data)
    edit(folder, sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(ValueError, match="model.safetensors is not a safetensors file"):
        LeNet5.from_pretrained(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="model.safetensors does not exist"):
        LeNet5.from_pretrained(folder)


def test_another_architecture_is_refused_by_the_class_and_loaded_without_one(tmp_path: Path) -> None:
    Affine(3).save_pretrained(tmp_path)
    assert isinstance(load_model(tmp_path), Affine)
    with pytest.raises(ValueError, match="holds Affine; expected LeNet5"):
        LeNet5.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["mnist_v0", "no/such/folder", "../mnist_v1/x", "./nothing", "/nothing"])
def test_an_unknown_name_is_answered_with_the_names_there_are(name: str) -> None:
    with pytest.raises(FileNotFoundError, match="expected a folder, a file, or one of the names: .*mnist_v1"):
        LeNet5.from_pretrained(name)


def test_an_activation_without_a_name_in_torch_cannot_be_saved(tmp_path: Path) -> None:
    model = LeNet5(activation=functools.partial(nn.LeakyReLU, 0.3))
    with pytest.raises(ValueError, match="cannot be saved by name; expected an activation of torch.nn"):
        model.save_pretrained(tmp_path)
    assert not any(tmp_path.iterdir())


def test_the_hub_is_asked_for_two_files_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[str]]] = []

    def snapshot_download(repository: str, allow_patterns: list[str]) -> str:
        asked.append((repository, allow_patterns))
        return str(folder)

    hub = types.ModuleType("huggingface_hub")
    monkeypatch.setattr(hub, "snapshot_download", snapshot_download, raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert isinstance(LeNet5.from_pretrained("someone/lenet5"), LeNet5)
    assert asked == [("someone/lenet5", ["config.json", "model.safetensors"])]


def test_without_the_hub_library_its_name_is_in_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FileNotFoundError, match="install huggingface_hub"):
        LeNet5.from_pretrained("someone/lenet5")


def test_the_file_is_plain_safetensors_with_the_names_of_the_layers(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    assert sum(tensor.numel() for tensor in tensors.values()) == 61_706
    assert {name.split(".")[0] for name in tensors} == {"c1", "c3", "c5", "f6", "output"}
