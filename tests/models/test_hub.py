"""The Hugging Face Hub without the hub: what is asked of huggingface_hub, and what is refused before."""

import sys
import types
from pathlib import Path
from typing import Any

import pytest

import lenet5
from lenet5 import LeNet5
from lenet5.models import load_model, save_model

EXTRA = 'install the extra "hub" (from a checkout: pip install ".[hub]")'


def stub(monkeypatch: pytest.MonkeyPatch, **functions: Any) -> None:
    """Take functions for huggingface_hub."""
    hub = types.ModuleType("huggingface_hub")
    vars(hub).update(functions)
    errors = types.ModuleType("huggingface_hub.utils")
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.setitem(sys.modules, "huggingface_hub.utils", errors)


def test_download_requests_the_two_files_with_the_given_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LeNet5().save_pretrained(tmp_path / "weights" / "best")
    requests: list[Any] = []

    def snapshot_download(repository: str, **options: Any) -> str:
        requests.append((repository, options))
        return str(tmp_path / "weights")

    stub(monkeypatch, snapshot_download=snapshot_download)
    assert isinstance(LeNet5.from_pretrained("someone/lenet5", subfolder="best", revision="v1", token=False), LeNet5)
    patterns = ["best/config.json", "best/model.safetensors"]
    options = {"allow_patterns": patterns, "revision": "v1", "token": False}
    assert requests == [("someone/lenet5", options)]


@pytest.mark.parametrize("read", [LeNet5.from_pretrained, lenet5.load, load_model])
def test_download_without_the_library_names_the_extra(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FileNotFoundError) as error:
        read("someone/lenet5")
    assert str(error.value).endswith(EXTRA)


def test_upload_without_the_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for push in (LeNet5().push_to_hub, lenet5.load("mnist_v2").push_to_hub):
        with pytest.raises(ImportError) as error:
            push("someone/lenet5")
        assert str(error.value) == f"push_to_hub needs {EXTRA.removeprefix('install ')}"
    with pytest.raises(ImportError, match="push_to_hub needs the extra"):
        LeNet5().save_pretrained(tmp_path, push_to_hub=True)
    assert isinstance(LeNet5.from_pretrained(tmp_path), LeNet5)


@pytest.mark.parametrize("repository", [None, 5, Path("owner/name")])
def test_name_of_a_repository_is_a_string(repository: Any) -> None:
    with pytest.raises(ValueError, match="repo_id is .*; expected the name of a repository, such as 'owner/name'"):
        LeNet5().push_to_hub(repository)


@pytest.mark.parametrize("name", ["safe_serialization", "max_shard_size", "metadata", "architecture", "digest"])
def test_unknown_keyword_argument_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    unknown: dict[str, Any] = {name: True}
    pretrained = lenet5.load("mnist_v2")
    for call in (LeNet5().save_pretrained, pretrained.save_pretrained, LeNet5().push_to_hub, pretrained.push_to_hub):
        with pytest.raises(
            TypeError, match=f"got an unexpected keyword argument '{name}'; its options for the Hugging"
        ):
            call(str(tmp_path / "weights"), **unknown)
    with pytest.raises(TypeError, match=f"got an unexpected keyword argument '{name}'"):
        save_model(LeNet5(), tmp_path / "weights", **unknown)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("read", [LeNet5.from_pretrained, lenet5.load, load_model])
def test_unknown_keyword_argument_of_a_download_is_refused(read: Any) -> None:
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'trust_remote_code'; its options for the"):
        read("mnist_v2", trust_remote_code=True)


def test_options_of_a_download_have_no_effect_on_other_sources(tmp_path: Path) -> None:
    options: dict[str, Any] = {"revision": "main", "token": None, "cache_dir": tmp_path, "local_files_only": True}
    assert isinstance(LeNet5.from_pretrained("mnist_v2", **options), LeNet5)
    LeNet5(3).save_pretrained(tmp_path / "weights")
    assert LeNet5.from_pretrained(tmp_path / "weights", **options).num_classes == 3
    assert LeNet5.from_pretrained(tmp_path, subfolder="weights").num_classes == 3
