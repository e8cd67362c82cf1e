"""huggingface_hub, with a server of its HTTP API on this machine."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import PIL.Image
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from tests.bridges.stand_in_hub import Hub

import lenet5
from lenet5 import LeNet5, Preprocess
from lenet5.cli import main
from lenet5.models import load_model
from lenet5.models.card import model_card

pytest.importorskip("huggingface_hub", reason="nox -s tests_bridges installs it")

META = {"categories": list("abc"), "metrics": {"mnist": {"accuracy": 0.5}}, "note": "kept"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """The server, which huggingface_hub takes for the hub, because it reads the environment when it is imported."""
    with Hub() as hub, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
            patch.delitem(sys.modules, name)
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("home")))
        environment = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        for name, value in {**environment, "HF_TOKEN": "hf_alice", "HF_HUB_DISABLE_TELEMETRY": "1"}.items():
            patch.setenv(name, value)
        for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
            patch.delenv(name, raising=False)
        yield hub
        hub.shutdown()
        for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
            patch.delitem(sys.modules, name)


@pytest.fixture
def hub(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The server without repositories; the current folder is empty too."""
    server.repositories.clear()
    server.requests.clear()
    server.down = False
    monkeypatch.chdir(tmp_path)
    return server


@pytest.fixture
def model() -> LeNet5:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LeNet5(3)


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    tensors, expected = one.state_dict(), other.state_dict()
    return all(torch.equal(tensors[name], expected[name]) for name in tensors.keys() | expected.keys())


def test_pushed_model_comes_back_with_the_same_bits(hub: Hub, model: LeNet5) -> None:
    address = model.push_to_hub("alice/net", preprocess=Preprocess(), meta=META)
    assert address.startswith(f"{hub.endpoint}/alice/net/commit/")
    assert hub.files("alice/net").keys() == {".gitattributes", "README.md", "config.json", "model.safetensors"}
    loaded = lenet5.load("alice/net")
    assert same(loaded.model, model)
    assert (loaded.preprocess, loaded.classes) == (Preprocess(), ("a", "b", "c"))
    assert META.items() <= loaded.meta.items()
    assert loaded.meta["name"] == "alice/net"
    assert same(LeNet5.from_pretrained("alice/net"), model)
    assert same(load_model("alice/net"), model)
    assert LeNet5.from_pretrained("alice/net", num_classes=5).num_classes == 5


def test_save_pretrained_writes_the_folder_and_pushes_the_same_files(hub: Hub, model: LeNet5, tmp_path: Path) -> None:
    address = model.save_pretrained(tmp_path / "net", meta=META, push_to_hub=True, repo_id="alice/named", private=True)
    assert str(address).startswith(f"{hub.endpoint}/alice/named/commit/")
    assert hub.repositories["alice/named"].private
    for name in ("config.json", "model.safetensors"):
        assert hub.files("alice/named")[name] == (tmp_path / "net" / name).read_bytes()
    model.save_pretrained(tmp_path / "net", push_to_hub=True)
    assert "alice/net" in hub.repositories
    hub.requests.clear()
    assert model.save_pretrained(tmp_path / "net", push_to_hub=False, repo_id="alice/named", token="hf_alice") is None
    assert not hub.requests


def test_pretrained_and_run_folders_are_pushed_with_preprocessing_and_metadata(hub: Hub, tmp_path: Path) -> None:
    pretrained = lenet5.load("mnist_v2")
    pretrained.push_to_hub("alice/mnist", card={"license": "mit"})
    loaded = lenet5.load("alice/mnist")
    assert same(loaded.model, pretrained.model)
    assert loaded.preprocess == pretrained.preprocess
    assert {**loaded.meta, "name": "mnist_v2"} == pretrained.meta
    assert b"license: mit" in hub.files("alice/mnist")["README.md"]
    pretrained.save_pretrained(tmp_path / "run", push_to_hub=True, repo_id="alice/again")
    assert hub.files("alice/again")["config.json"] == hub.files("alice/mnist")["config.json"]


def test_options_of_a_push_reach_the_server(hub: Hub, model: LeNet5) -> None:
    model.push_to_hub("net", commit_message="First", commit_description="and why", private=True)
    assert hub.repositories["alice/net"].messages[-1] == ("First", "and why")
    model.push_to_hub("alice/net", revision="v2", commit_message="Second", private=True)
    assert hub.files("alice/net", "v2").keys() == hub.files("alice/net", "main").keys()
    address = model.push_to_hub("alice/net", create_pr=True)
    assert address == f"{hub.endpoint}/alice/net/discussions/1"
    assert "config.json" in hub.files("alice/net", "refs/pr/1")
    with pytest.raises(OSError, match="bob/net on the Hugging Face Hub refuses the request: "):
        model.push_to_hub("bob/net")
    model.push_to_hub("bob/net", token="hf_bob")
    assert "bob/net" in hub.repositories


def test_private_weights_are_never_pushed_to_a_public_repository(hub: Hub, model: LeNet5) -> None:
    model.push_to_hub("alice/net")
    before = hub.files("alice/net")
    with pytest.raises(ValueError, match="alice/net exists and is public; expected a private or a new repository"):
        LeNet5(4).push_to_hub("alice/net", private=True)
    assert hub.files("alice/net") == before


def test_second_push_replaces_the_weights_and_the_card_unless_it_was_edited(hub: Hub, model: LeNet5) -> None:
    model.push_to_hub("alice/net")
    first = hub.files("alice/net")
    LeNet5(7).push_to_hub("alice/net")
    second = hub.files("alice/net")
    assert LeNet5.from_pretrained("alice/net").num_classes == 7
    assert first["README.md"] != second["README.md"]
    hub.put("alice/net", {**second, "README.md": second["README.md"] + b"By hand."})
    model.push_to_hub("alice/net")
    assert hub.files("alice/net")["README.md"] == second["README.md"] + b"By hand."
    assert LeNet5.from_pretrained("alice/net").num_classes == 3


def test_revision_is_a_branch_a_tag_or_a_commit(hub: Hub, model: LeNet5) -> None:
    model.push_to_hub("alice/net")
    commit = hub.repositories["alice/net"].refs["v1"] = hub.repositories["alice/net"].refs["main"]
    LeNet5(7).push_to_hub("alice/net")
    LeNet5(8).push_to_hub("alice/net", revision="next")
    found = [
        LeNet5.from_pretrained("alice/net", revision=name).num_classes for name in (None, "main", "v1", commit, "next")
    ]
    assert found == [7, 7, 3, 3, 8]
    with pytest.raises(FileNotFoundError, match="alice/net on the Hugging Face Hub has no revision 'v9'; expected a"):
        lenet5.load("alice/net", revision="v9")


@pytest.mark.usefixtures("hub")
def test_private_repository_needs_the_token_of_its_owner(model: LeNet5) -> None:
    model.push_to_hub("alice/net", private=True)
    assert same(LeNet5.from_pretrained("alice/net", token="hf_alice"), model)
    for token in ("hf_bob", False):
        with pytest.raises(FileNotFoundError, match="alice/net on the Hugging Face Hub does not exist, or is private"):
            LeNet5.from_pretrained("alice/net", token=token, cache_dir="other")


def test_download_is_cached_and_used_without_the_server(hub: Hub, model: LeNet5, tmp_path: Path) -> None:
    model.push_to_hub("alice/net")
    with pytest.raises(FileNotFoundError, match="alice/net on the Hugging Face Hub is not in the cache, and cannot be"):
        LeNet5.from_pretrained("alice/net", local_files_only=True, cache_dir=tmp_path / "mine")
    assert same(LeNet5.from_pretrained("alice/net", cache_dir=tmp_path / "mine"), model)
    assert any((tmp_path / "mine").rglob("model.safetensors"))
    assert not any((tmp_path / "mine").rglob("README.md"))
    hub.requests.clear()
    assert same(LeNet5.from_pretrained("alice/net", local_files_only=True, cache_dir=tmp_path / "mine"), model)
    assert not hub.requests


def test_server_that_fails_is_one_sentence_and_the_cache_still_works(hub: Hub, model: LeNet5) -> None:
    model.push_to_hub("alice/net")
    LeNet5.from_pretrained("alice/net")
    hub.down = True
    assert same(LeNet5.from_pretrained("alice/net"), model)
    with pytest.raises(FileNotFoundError, match="alice/other on the Hugging Face Hub is not in the cache") as failure:
        lenet5.load("alice/other")
    assert "\n" not in str(failure.value)
    with pytest.raises(OSError, match="alice/net on the Hugging Face Hub refuses the request: .*503") as refusal:
        model.push_to_hub("alice/net")
    assert "\n" not in str(refusal.value)


@pytest.mark.usefixtures("hub")
def test_server_that_cannot_be_reached_is_one_sentence(model: LeNet5, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    nowhere = huggingface_hub.HfApi("http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda **_options: nowhere)
    with pytest.raises(OSError, match="alice/net on the Hugging Face Hub cannot be reached: ") as error:
        model.push_to_hub("alice/net")
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("hub")
def test_damaged_download_is_refused_and_can_be_forced_anew(model: LeNet5, tmp_path: Path) -> None:
    model.push_to_hub("alice/net")
    LeNet5.from_pretrained("alice/net", cache_dir=tmp_path / "cache")
    (cached,) = (tmp_path / "cache").rglob("model.safetensors")
    path = cached.resolve()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(
        ValueError, match="model.safetensors is damaged .*; if the download is damaged, force_download=True repeats"
    ):
        LeNet5.from_pretrained("alice/net", cache_dir=tmp_path / "cache")
    loaded = LeNet5.from_pretrained("alice/net", cache_dir=tmp_path / "cache", force_download=True)
    assert same(loaded, model)


def test_weights_may_be_in_a_folder_of_the_repository(hub: Hub, model: LeNet5, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "net" / "best", preprocess=Preprocess())
    files = {f"best/{path.name}": path.read_bytes() for path in (tmp_path / "net" / "best").iterdir()}
    hub.put("alice/net", files)
    assert same(lenet5.load("alice/net", subfolder="best").model, model)
    assert same(lenet5.load(tmp_path / "net", subfolder="best").model, model)
    with pytest.raises(FileNotFoundError, match="alice/net on the Hugging Face Hub has no config.json, model.safet"):
        lenet5.load("alice/net")


def test_repository_of_a_different_library_is_refused(hub: Hub) -> None:
    hub.put("bob/bert", {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"x"})
    with pytest.raises(ValueError, match="config.json is damaged .* a different program wrote it: it has no"):
        lenet5.load("bob/bert")
    hub.put("bob/old", {"config.json": b"{}", "pytorch_model.bin": b"x"})
    with pytest.raises(FileNotFoundError, match="bob/old on the Hugging Face Hub has no model.safetensors"):
        lenet5.load("bob/old")


def test_command_line_takes_a_repository(hub: Hub, tmp_path: Path) -> None:
    lenet5.load("mnist_v2").push_to_hub("alice/net")
    stroke = np.zeros((28, 28), np.uint8)
    stroke[4:24, 13:15] = 255
    PIL.Image.fromarray(stroke).save(tmp_path / "one.png")
    result = CliRunner().invoke(main, ["predict", "--raw", "one.png", "--weights", "alice/net"])
    assert (result.exit_code, result.stdout.split()[:2]) == (0, ["one.png", "1"])
    hub.repositories.clear()
    result = CliRunner().invoke(main, ["predict", "--raw", "one.png", "--weights", "alice/none"])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: alice/none on the Hugging Face Hub does not exist, or is private")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["alice/has space", "alice/..", "a--b", "alice/net/more"])
def test_invalid_name_of_a_repository_is_a_value_error(hub: Hub, model: LeNet5, name: str) -> None:
    with pytest.raises(ValueError, match="."):
        model.push_to_hub(name)
    assert not hub.repositories


def test_model_that_cannot_be_saved_creates_no_repository(hub: Hub, model: LeNet5) -> None:
    model.output = torch.nn.Linear(84, 4)
    with pytest.raises(ValueError, match="LeNet5 cannot be saved"):
        model.push_to_hub("alice/net")
    assert not hub.requests


@pytest.mark.usefixtures("hub")
def test_card_is_valid_for_huggingface_hub(tmp_path: Path) -> None:
    import huggingface_hub

    lenet5.load("mnist_v2").save_pretrained(tmp_path / "mnist", card={"license": "mit", "language": "no"})
    card: Any = huggingface_hub.ModelCard.load(tmp_path / "mnist" / "README.md")
    assert (card.data.library_name, card.data.pipeline_tag) == ("lenet5", "image-classification")
    assert (card.data.license, card.data.language) == ("mit", "no")
    assert "lenet5" in card.data.tags
    assert card.data.datasets == ["ylecun/mnist"]
    (result,) = card.data.eval_results
    assert (result.task_type, result.dataset_type) == ("image-classification", "ylecun/mnist")
    assert (result.metric_type, result.metric_value) == ("accuracy", 0.9963)


@given(
    name=st.text(), value=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4)
)
def test_card_holds_any_text_and_entry_as_they_are(name: str, value: Any) -> None:
    yaml = pytest.importorskip("yaml", reason="huggingface_hub installs it")

    config = {"architecture": "LeNet5", "arguments": {}, "meta": {"metrics": {name: {"accuracy": 0.5}}}}
    metadata = yaml.safe_load(model_card(config, "alice/net", {"note": value}).split("---\n", 2)[1])
    assert metadata["note"] == value
    assert metadata["model-index"][0]["results"][0]["dataset"]["name"] == name
