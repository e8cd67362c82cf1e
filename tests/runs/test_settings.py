"""The settings in a run's `config.json`, whatever it holds."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet5 import storage
from lenet5.recipes.settings import SETTINGS
from lenet5.runs.settings import RunSettings

SAVED: dict[str, Any] = {"data": "digits", "root": None, "recipe": "digits", "seed": 0, "options": {}}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)
NAMES = [*SAVED, "max_epochs", "batch_size", "lr", "another"]


def write(folder: Path, settings: object) -> Path:
    """Write a config with a valid digest."""
    storage.write_json(folder / "config.json", storage.sealed({"settings": settings}))
    return folder


@given(name=st.sampled_from(NAMES), value=VALUES)
def test_settings_of_any_json_type_are_read_or_refused_by_file(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: object
) -> None:
    folder = write(tmp_path_factory.mktemp("run"), {**SAVED, name: value})
    try:
        settings = RunSettings.read(folder, None)
    except ValueError as error:
        assert str(folder) in str(error)  # noqa: PT017 (valid values are among the examples)
    else:
        assert settings.command().startswith("lenet5 train --data digits" if name != "data" else "lenet5 train")


@given(name=st.sampled_from([*SETTINGS]), value=VALUES)
def test_options_of_any_json_type_are_read_or_refused_by_file(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: object
) -> None:
    folder = write(tmp_path_factory.mktemp("run"), {**SAVED, "options": {name: value}})
    try:
        RunSettings.read(folder, None)
    except ValueError as error:
        assert str(folder / "config.json") in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**SAVED, "data": 5}, "data is 5; expected a string"),
        ({**SAVED, "root": 5}, "root is 5; expected None or a string"),
        ({**SAVED, "options": 5}, "options is 5; expected an object of settings"),
        ({**SAVED, "recipe": [5]}, "recipe is [5]; expected None or one of: standard, "),
        ({**SAVED, "seed": None}, "seed is None; expected an integer from 0"),
        ({**SAVED, "options": {"patience": []}}, "patience is []; expected None or an integer"),
        ({}, "missing 4 required positional arguments"),
        ([5], "has [5] for 'settings'; expected an object"),
    ],
)
def test_wrong_type_is_named_with_the_file(tmp_path: Path, settings: object, message: str) -> None:
    write(tmp_path, settings)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        RunSettings.read(tmp_path, None)
    assert str(tmp_path / "config.json") in str(caught.value)
