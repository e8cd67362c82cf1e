"""Weights folders whose `config.json` is malformed, with a correct digest: one sentence, and no memory."""

import copy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import lenet5
from lenet5 import LeNet5, LeNet5_Weights, storage
from lenet5.cli import main
from lenet5.models import save_model

VALUES: list[Any] = [
    None,
    True,
    0,
    5,
    -1,
    10**30,
    1e308,
    float("nan"),
    "",
    "text",
    "\x1b[31m",
    [],
    [1],
    ["a"],
    [[]],
    {},
]


def save(folder: Path, config: dict[str, Any]) -> None:
    storage.write_json(folder / "config.json", storage.sealed(config))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    pretrained = lenet5.load(LeNet5_Weights.DEFAULT.value)
    meta = {name: value for name, value in pretrained.meta.items() if name not in {"name", "sha256"}}
    preprocess = {name: getattr(pretrained.preprocess, name) for name in ("image_size", "channels", "mean", "std")}
    save_model(pretrained.model, folder, meta=meta, preprocess=preprocess, settings={"data": "digits"})
    return folder


@pytest.fixture(scope="module")
def config(folder: Path) -> dict[str, Any]:
    config = storage.read_json(folder / "config.json")
    del config["digest"]
    return config


def entries(value: dict[str, Any], depth: int = 2) -> Iterator[list[str]]:
    """Yield the path of every entry."""
    for key, entry in value.items():
        yield [key]
        if isinstance(entry, dict) and depth > 1:
            yield from ([key, *inner] for inner in entries(entry, depth - 1))


def changed(config: dict[str, Any], path: list[str], value: object) -> dict[str, Any]:
    """Return a copy with an entry replaced."""
    config = copy.deepcopy(config)
    parent = config
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return config


def test_any_entry_of_any_type_is_loaded_or_refused_in_one_sentence(folder: Path, config: dict[str, Any]) -> None:
    original = (folder / "config.json").read_bytes()
    refused, messages = set(), []
    for path in entries(config):
        for value in VALUES:
            save(folder, changed(config, path, value))
            for read in (lenet5.load, LeNet5.from_pretrained):
                try:
                    loaded = read(folder)
                except ValueError as error:
                    messages.append(str(error))
                    refused.add(path[0])
                else:
                    if isinstance(loaded, lenet5.Pretrained):
                        assert len(loaded.classes) == 10
                        assert isinstance(loaded.threshold, float | int | None)
    storage.write_file(folder / "config.json", original)
    assert [message for message in messages if str(folder) not in message or not message.isprintable()] == []
    assert refused == {"architecture", "arguments", "dtype", "sha256", "preprocess", "meta", "settings"}


@pytest.mark.parametrize("path", [["arguments"], ["preprocess", "mean"], ["meta", "categories"], ["settings"]])
def test_commands_refuse_malformed_weights_with_exit_code_2(
    folder: Path, config: dict[str, Any], path: list[str]
) -> None:
    original = (folder / "config.json").read_bytes()
    save(folder, changed(config, path, 5))
    for arguments in (
        ["evaluate", "--weights", str(folder), "--data", "digits"],
        ["predict", "--weights", str(folder), str(folder / "absent.png")],
        ["train", "--resume", str(folder)],
    ):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 2, (arguments, result.output)
        assert result.output.count("\n") == 1
    storage.write_file(folder / "config.json", original)


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_classes": 5_000_000},
        {"num_classes": 10**9},
        {"image_size": 10**6},
        {"in_channels": 10**9},
        {"num_classes": 10**30},
    ],
)
def test_network_that_does_not_fit_its_tensors_takes_no_memory(
    folder: Path, config: dict[str, Any], arguments: dict[str, int]
) -> None:
    original = (folder / "config.json").read_bytes()
    save(folder, config | {"arguments": config["arguments"] | arguments})
    resource: Any = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"does not fit a LeNet5|does not describe a LeNet5"):
        lenet5.load(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000_000 // (
        1 if sys.platform == "darwin" else 1024
    )
    storage.write_file(folder / "config.json", original)
