"""`lenet5.load`: a model with its preprocessing and metadata."""

import os
from collections import Counter
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
import torch
from torch import Tensor, nn

import lenet5
from lenet5 import LeNet5, LeNet5_Weights, LeNet5Original, Preprocess, Pretrained, load_digit, storage
from lenet5.inference import Predictions
from lenet5.models import PretrainedModel
from lenet5.storage import reading

PREPROCESS = Preprocess(mean=0.25, std=0.5)


@pytest.fixture(scope="session")
def mnist() -> Pretrained:
    return lenet5.load("mnist_v2")


@pytest.fixture
def photograph() -> PIL.Image.Image:
    """A seven, drawn dark on light."""
    image = PIL.Image.new("L", (200, 160), 230)
    PIL.ImageDraw.Draw(image).line([(60, 40), (110, 42), (80, 130)], 30, 9, joint="curve")
    return image


@pytest.fixture
def paths(tmp_path: Path, photograph: PIL.Image.Image) -> list[Path]:
    """Two files: the photograph upright and upside down."""
    names = [tmp_path / "seven.png", tmp_path / "rotated.png"]
    photograph.save(names[0])
    photograph.rotate(180).save(names[1])
    return names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    LeNet5().save_pretrained(tmp_path / "weights", preprocess=vars(PREPROCESS))
    return tmp_path / "weights"


def assert_equal(predictions: Predictions, expected: Predictions) -> None:
    assert torch.equal(predictions.labels, expected.labels)
    torch.testing.assert_close(predictions.probabilities, expected.probabilities)


# Sources


def test_bundled_name_loads_model_preprocessing_and_metadata(mnist: Pretrained) -> None:
    assert isinstance(mnist.model, LeNet5)
    assert not mnist.model.training
    assert mnist.preprocess == LeNet5_Weights.MNIST_V2.transforms()
    assert mnist.meta == LeNet5_Weights.MNIST_V2.meta
    assert mnist.classes == tuple("0123456789")
    assert mnist.threshold == mnist.meta["abstention"]["threshold"]


@pytest.mark.parametrize("name", ["default", "DEFAULT"])
def test_default_is_the_default_of_lenet5(name: str) -> None:
    assert lenet5.load(name).meta == LeNet5_Weights.DEFAULT.meta


@pytest.mark.parametrize(("name", "meant"), [("mnist", "mnist_v3"), ("robust_v1", "mnist_robust_v1")])
def test_misspelt_name_is_corrected(name: str, meant: str) -> None:
    for load in (lenet5.load, LeNet5.from_pretrained):
        with pytest.raises(FileNotFoundError, match=rf"'{name}' \(did you mean '{meant}'\?\); expected a folder"):
            load(name)


def test_original_network_is_loaded_with_its_preprocessing() -> None:
    original = lenet5.load("original_mnist_v1")
    assert isinstance(original.model, LeNet5Original)
    assert original.preprocess == Preprocess.original()
    assert len(original.predict(torch.zeros(2, 1, 28, 28, dtype=torch.uint8))) == 2


def test_class_names_are_those_of_the_metadata() -> None:
    assert lenet5.load("fashion_mnist_v1").classes[9] == LeNet5_Weights.FASHION_MNIST_V1.meta["categories"][9] != "9"


@pytest.mark.parametrize("convert", [str, Path])
def test_folder_without_metadata_has_numbered_classes_and_no_threshold(
    folder: Path, convert: Callable[[Path], str | Path]
) -> None:
    pretrained = lenet5.load(convert(folder))
    assert pretrained.preprocess == PREPROCESS
    assert set(pretrained.meta) == {"name", "sha256"}
    assert pretrained.meta["name"] == folder.name
    assert pretrained.classes == tuple("0123456789")
    assert pretrained.threshold is None


def test_file_is_loaded_with_the_configuration_beside_it(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "best.safetensors")
    pretrained = lenet5.load(folder / "best.safetensors")
    torch.manual_seed(0)
    assert torch.equal(pretrained.model.get_parameter("output.bias"), LeNet5().output.bias)


def test_model_without_a_number_of_classes_has_no_class_names(tmp_path: Path) -> None:
    class Scale(PretrainedModel):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.ones(()))

        def arguments(self) -> dict[str, Any]:
            return {}

    Scale().save_pretrained(tmp_path, preprocess={}, meta=None)
    assert lenet5.load(tmp_path).classes == ()


def test_each_file_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: Counter[str] = Counter()
    open_file = reading.open_file

    def count(path: str | os.PathLike[str]) -> BufferedReader:
        reads[Path(path).name] += 1
        return open_file(path)

    monkeypatch.setattr(reading, "open_file", count)
    pretrained = lenet5.load(folder)
    assert pretrained.classes
    pretrained.predict(np.zeros((28, 28), np.uint8))
    assert reads == {"config.json": 1, "model.safetensors": 1}


@pytest.mark.parametrize("name", ["mnist_v0", "./nothing"])
def test_unknown_source_lists_the_bundled_names(name: str) -> None:
    with pytest.raises(FileNotFoundError, match="expected a folder, a file, or one of the names: .*mnist_v2"):
        lenet5.load(name)


# Damaged and incomplete folders


def _edit(folder: Path, **changes: object) -> None:
    """Change entries of `config.json`, with a correct digest; None removes an entry."""
    config = storage.read_json(folder / "config.json") | changes
    content = {name: entry for name, entry in config.items() if name != "digest" and entry is not None}
    storage.write_json(folder / "config.json", storage.sealed(content))


def _change_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed tensors": (lambda f: _change_byte(f / "model.safetensors"), "model.safetensors is damaged or was edited"),
    "truncated tensors": (lambda f: os.truncate(f / "model.safetensors", 1000), "model.safetensors is damaged"),
    "changed configuration": (lambda f: _change_byte(f / "config.json"), "config.json is (damaged|not readable)"),
    "truncated configuration": (lambda f: os.truncate(f / "config.json", 100), "config.json is not readable as JSON"),
    "empty configuration": (
        lambda f: (f / "config.json").write_text("{}", encoding="utf-8"),
        "config.json is damaged or was edited",
    ),
    "no hash": (lambda f: _edit(f, sha256=None), "model.safetensors is damaged or was edited"),
    "no architecture": (lambda f: _edit(f, architecture=None), "config.json names the architecture None"),
    "no arguments": (lambda f: _edit(f, arguments=None), "config.json names the architecture 'LeNet5'"),
    "no preprocessing": (lambda f: _edit(f, preprocess=None), "expected 'preprocess' in its config.json"),
    "invalid preprocessing": (lambda f: _edit(f, preprocess={"std": 0}), "weights does not describe its preprocessing"),
    "invalid metadata": (lambda f: _edit(f, meta=[1]), "config.json has .1. for 'meta'; expected an object"),
    "fewer classes": (
        lambda f: _edit(f, arguments={"num_classes": 5, "activation": "ReLU"}),
        "weights does not fit a LeNet5: 2 tensors differ",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_folder_is_rejected(folder: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(folder)
    with pytest.raises(ValueError, match=message):
        lenet5.load(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} does not exist"):
        lenet5.load(folder)


# Predictions


@pytest.mark.parametrize(
    "images",
    [
        torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8),
        torch.rand(3, 1, 28, 28),
        torch.randint(0, 256, (28, 28), dtype=torch.uint8),
        np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8),
        np.random.default_rng(0).random((40, 30)),
    ],
    ids=["uint8 tensor", "float tensor", "single tensor", "uint8 array", "larger array"],
)
def test_tensors_and_arrays_are_preprocessed(mnist: Pretrained, images: Any) -> None:
    assert_equal(mnist.predict(images), lenet5.predict(mnist.model, mnist.preprocess([images])))


def test_photograph_goes_through_load_digit(mnist: Pretrained, photograph: PIL.Image.Image, paths: list[Path]) -> None:
    expected = lenet5.predict(mnist.model, mnist.preprocess([load_digit(photograph)]))
    assert expected.labels.tolist() == [7]
    for image in (photograph, paths[0], str(paths[0])):
        assert_equal(mnist.predict(image), expected)


def test_sequence_can_mix_photographs_and_images(
    mnist: Pretrained, photograph: PIL.Image.Image, paths: list[Path]
) -> None:
    batch = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    images: list[Any] = [*paths, photograph, batch, batch[0, 0].numpy()]
    predictions = mnist.predict(images)
    assert len(predictions) == 6
    for position, image in ((0, paths[0]), (1, str(paths[1])), (2, photograph), (5, batch[0])):
        torch.testing.assert_close(predictions.probabilities[position], mnist.predict(image).probabilities[0])


def test_tuple_of_paths_is_a_sequence(mnist: Pretrained, paths: list[Path]) -> None:
    assert_equal(mnist.predict(tuple(paths)), mnist.predict(paths))


def test_raw_images_skip_load_digit(mnist: Pretrained, tmp_path: Path, photograph: PIL.Image.Image) -> None:
    path = tmp_path / "photograph.png"
    photograph.save(path)
    expected = lenet5.predict(mnist.model, mnist.preprocess([photograph]))
    for image in (photograph, path, str(path)):
        assert_equal(mnist.predict(image, raw=True), expected)
    assert not torch.equal(mnist.predict(photograph).probabilities, expected.probabilities)
    assert len(mnist.predict([path, photograph], raw=True)) == 2


def test_prepare_returns_the_batch_of_the_model(mnist: Pretrained, photograph: PIL.Image.Image) -> None:
    batch: Tensor = mnist.prepare([photograph, torch.zeros(28, 28, dtype=torch.uint8)])
    assert batch.shape == (2, 1, 28, 28)
    assert batch.dtype == torch.float32
    torch.testing.assert_close(batch[0], mnist.preprocess(load_digit(photograph)))


def test_device_can_be_named(mnist: Pretrained) -> None:
    predictions = mnist.predict(torch.zeros(2, 1, 28, 28), device="cpu")
    assert predictions.probabilities.device.type == "cpu"
    with pytest.raises(ValueError, match="device 'nowhere' is unknown to torch"):
        mnist.predict(torch.zeros(2, 1, 28, 28), device="nowhere")


def test_predict_rejects_an_empty_sequence(mnist: Pretrained) -> None:
    with pytest.raises(ValueError, match="no images were given; expected at least one"):
        mnist.predict([])


def test_predict_names_a_missing_photograph(mnist: Pretrained, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="missing.png does not exist"):
        mnist.predict(tmp_path / "missing.png")


def test_predict_rejects_a_photograph_without_a_digit(mnist: Pretrained) -> None:
    with pytest.raises(ValueError, match="the image"):
        mnist.predict(PIL.Image.new("L", (100, 100), 255))


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("images", [5, None, [None]])
def test_predict_rejects_other_types(mnist: Pretrained, images: Any, raw: bool) -> None:
    with pytest.raises(TypeError, match=f"{'NoneType' if images != 5 else 'int'}; expected"):
        mnist.predict(images, raw=raw)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_images_are_prepared_in_the_dtype_of_the_model(mnist: Pretrained, tmp_path: Path, dtype: torch.dtype) -> None:
    LeNet5.from_pretrained("mnist_v2").to(dtype).save_pretrained(tmp_path, preprocess={})
    images = torch.randint(256, (3, 1, 28, 28), dtype=torch.uint8)
    converted = lenet5.load(tmp_path)
    assert converted.prepare(images).dtype == dtype
    torch.testing.assert_close(
        converted.predict(images).probabilities, mnist.predict(images).probabilities, rtol=0.1, atol=0.1
    )


def test_unfinished_run_is_named(tmp_path: Path) -> None:
    storage.write_json(tmp_path / "config.json", storage.sealed({"settings": {}}))
    with pytest.raises(ValueError, match="holds an unfinished run; expected weights .lenet5 train --resume"):
        lenet5.load(tmp_path)
