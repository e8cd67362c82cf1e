import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import lenet5
from lenet5 import LeNet5, Preprocess
from lenet5.models import save_model
from lenet5.models.card import is_generated, model_card

CONFIG = {"architecture": "LeNet5", "arguments": {"num_classes": 3}}


def front_matter(card: str) -> dict[str, Any]:
    """Parse the metadata of a card: one JSON value per line, or a word."""
    _, text, _ = card.split("---\n", 2)
    lines = [line.partition(": ") for line in text.splitlines()]
    return {name: json.loads(value) if value[0] in '"[{' else value for name, _, value in lines}


def test_saved_folder_has_a_card_with_the_metadata_of_the_hub(tmp_path: Path) -> None:
    lenet5.load("fashion_mnist_v1").save_pretrained(tmp_path / "clothes")
    metadata = front_matter((tmp_path / "clothes" / "README.md").read_text(encoding="utf-8"))
    (model,) = metadata.pop("model-index")
    assert metadata == {
        "library_name": "lenet5",
        "pipeline_tag": "image-classification",
        "license": "mit",
        "tags": ["lenet5", "image-classification", "pytorch", "safetensors"],
        "datasets": ["zalando-datasets/fashion_mnist"],
        "metrics": ["accuracy"],
    }
    (result,) = model["results"]
    published = lenet5.LeNet5_Weights.FASHION_MNIST_V1.meta["metrics"]["fashion_mnist"]["accuracy"]
    assert (model["name"], result["metrics"][0]["value"]) == ("LeNet5", published)


def test_code_of_the_card_loads_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stroke = np.zeros((60, 60), np.uint8)
    stroke[10:50, 28:33] = 255
    LeNet5().save_pretrained(tmp_path / "plain")
    LeNet5().save_pretrained(tmp_path / "prepared", preprocess=Preprocess())
    save_model(torch.nn.Linear(2, 3), tmp_path / "foreign")
    for folder in ("plain", "prepared", "foreign"):
        monkeypatch.chdir(tmp_path / folder)
        PIL.Image.fromarray(stroke).save("image.png")
        code = Path("README.md").read_text(encoding="utf-8").split("```")[1].removeprefix("python")
        exec(code, {})


def test_card_does_not_depend_on_the_name_of_its_folder(tmp_path: Path) -> None:
    model = LeNet5()
    for name in ("one", "another"):
        model.save_pretrained(tmp_path / name)
    assert (tmp_path / "one" / "README.md").read_bytes() == (tmp_path / "another" / "README.md").read_bytes()


def test_card_of_ones_own_is_never_replaced(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    LeNet5().save_pretrained(tmp_path)
    generated = card.read_bytes()
    LeNet5(3).save_pretrained(tmp_path)
    assert card.read_bytes() != generated
    for own in (b"# Mine\n", card.read_bytes() + b"More.\n", b"\xff\xfe not text", b""):
        card.write_bytes(own)
        LeNet5().save_pretrained(tmp_path, meta={"categories": list("abcdefghij")})
        assert card.read_bytes() == own
    card.unlink()
    card.mkdir()
    LeNet5().save_pretrained(tmp_path)
    assert card.is_dir()


def test_entries_of_ones_own_replace_and_extend_the_metadata(tmp_path: Path) -> None:
    LeNet5().save_pretrained(tmp_path, card={"license": "cc-by-4.0", "tags": ["ocr"], "language": "no"})
    metadata = front_matter((tmp_path / "README.md").read_text(encoding="utf-8"))
    assert (metadata["license"], metadata["tags"], metadata["language"]) == ("cc-by-4.0", ["ocr"], "no")
    assert metadata["library_name"] == "lenet5"


@pytest.mark.parametrize(
    "metrics",
    [None, [], {"mnist": None}, {"mnist": {}}, {"mnist": {"accuracy": float("nan")}}, {"m": {"accuracy": "x"}}],
)
def test_metadata_without_a_measured_accuracy_gives_a_card_without_one(metrics: Any) -> None:
    card = model_card({**CONFIG, "meta": {"metrics": metrics}}, "net")
    assert front_matter(card).keys() == {"library_name", "pipeline_tag", "license", "tags"}


@given(name=st.text(), value=st.text())
def test_any_text_is_one_line_of_the_metadata_and_the_mark_finds_every_edit(name: str, value: str) -> None:
    meta = {"metrics": {name: {"accuracy": 0.5}}, "limits": value, "categories": [value], "recipe": name}
    card = model_card({**CONFIG, "meta": meta}, "owner/net", {"note": value})
    names = [line.partition(": ")[0] for line in card.split("---\n", 2)[1].splitlines()]
    assert names[:4] == ["library_name", "pipeline_tag", "license", "tags"]
    assert names[-3:] == ["metrics", "model-index", "note"]
    assert is_generated(card)
    assert not is_generated(card + " ")
    assert not is_generated(card.replace("LeNet5", "LeNet6"))


def test_metadata_of_the_wrong_type_is_refused_when_it_is_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="config.json has 5 for 'meta.categories'; expected a list of names"):
        LeNet5().save_pretrained(tmp_path, meta={"categories": 5})
    with pytest.raises(ValueError, match="card is 'mit'; expected a dict"):
        LeNet5().save_pretrained(tmp_path / "net", card="mit")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not JSON serializable"):
        LeNet5().save_pretrained(tmp_path / "net", card={"license": object()})
    assert not any(tmp_path.iterdir())


def test_numbers_and_arrays_in_the_metadata_become_plain(tmp_path: Path) -> None:
    meta = {"score": np.float32(0.5), "counts": np.arange(3), "weights": torch.ones(2), "sizes": (1, np.int64(2))}
    LeNet5().save_pretrained(tmp_path, preprocess=Preprocess(), meta=meta)
    expected = {"score": 0.5, "counts": [0, 1, 2], "weights": [1.0, 1.0], "sizes": [1, 2]}
    assert expected.items() <= lenet5.load(tmp_path).meta.items()


@pytest.mark.parametrize("value", [np.nan, float("inf"), np.array([0.5, np.nan])])
def test_numbers_that_json_lacks_are_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ValueError, match="meta holds what JSON lacks .*; expected finite numbers"):
        LeNet5().save_pretrained(tmp_path / "net", meta={"metrics": {"mnist": {"loss": value}}})
    assert not any(tmp_path.iterdir())


def test_licence_is_that_of_the_metadata_which_bundled_weights_state(tmp_path: Path) -> None:
    lenet5.load("mnist_v2").save_pretrained(tmp_path / "copy")
    lenet5.load(tmp_path / "copy").save_pretrained(tmp_path / "copy_of_copy")
    LeNet5().save_pretrained(tmp_path / "own")
    licences = {
        name: front_matter((tmp_path / name / "README.md").read_text(encoding="utf-8"))["license"]
        for name in ("copy", "copy_of_copy", "own")
    }
    assert licences == {"copy": "mit", "copy_of_copy": "mit", "own": "unknown"}
