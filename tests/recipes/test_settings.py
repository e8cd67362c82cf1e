from dataclasses import fields

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import lenet5
from lenet5 import Augment, Compose, LeNet5, TrainerConfig
from lenet5.recipes import RECIPES
from lenet5.recipes.settings import SETTINGS, check_settings, choices, format_setting, parse_setting


def test_settings_cover_the_config_and_the_augmentation() -> None:
    config = {field.name for field in fields(TrainerConfig)} - {"device", "checkpoint_dir", "progress"}
    assert config <= SETTINGS.keys()
    augment = {f"augment.{field.name}" for field in fields(Augment)}
    assert {name for name in SETTINGS if name.startswith("augment.")} == augment


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("weight_decay=0.05", ("weight_decay", 0.05)),
        ("weight-decay = 1e-4", ("weight_decay", 1e-4)),
        ("patience=3", ("patience", 3)),
        ("patience=none", ("patience", None)),
        ("deterministic=True", ("deterministic", True)),
        ("schedule=cosine", ("schedule", "cosine")),
        ("augment.degrees=5", ("augment.degrees", 5)),
        ("model.activation=Tanh", ("model.activation", "Tanh")),
        ("calibrate=false", ("calibrate", False)),
    ],
)
def test_parse_setting(text: str, setting: tuple[str, object]) -> None:
    assert parse_setting(text) == setting
    assert parse_setting(format_setting(*setting)) == setting


@given(st.floats(0, exclude_max=True, allow_nan=False, allow_infinity=False, max_value=1e300))
def test_formatted_numbers_are_parsed_exactly(value: float) -> None:
    assert parse_setting(format_setting("weight_decay", value)) == ("weight_decay", value)


@pytest.mark.parametrize(
    "value", ["augment.degrees=nan", "augment.flip=true", "augment.scale=1", "augment.elastic=inf"]
)
def test_rules_of_the_augmentation_are_those_of_augment(value: str) -> None:
    with pytest.raises(ValueError, match="expected a"):
        parse_setting(value)


@pytest.mark.parametrize("name", choices("model.activation"))
def test_every_activation_builds_a_network(name: str) -> None:
    recipe = RECIPES["standard"].override({"model.activation": name, "model.pooling": "avg"})
    model = recipe.model(3)
    assert isinstance(model, LeNet5)
    assert (model.arguments()["activation"], model.pooling) == (name, "avg")
    assert model(torch.zeros(1, 1, 28, 28)).shape == (1, 3)


def test_override_replaces_settings_of_the_trainer() -> None:
    recipe = RECIPES["digits"].override({"weight_decay": 0.5, "max_epochs": 2, "calibrate": True})
    assert (recipe.config.weight_decay, recipe.config.max_epochs, recipe.config.batch_size) == (0.5, 2, 32)
    assert recipe.calibrate


def test_override_replaces_arguments_of_the_augmentation_wherever_it_is() -> None:
    degrees = {"augment.degrees": 5}
    digits = RECIPES["digits"].override(degrees).augment
    assert digits == lenet5.Augment(degrees=5, scale=0.08, shear=0.1, translate=1)
    robust = RECIPES["robust"].override(degrees).augment
    assert isinstance(robust, Compose)
    assert isinstance(robust.augmentations[0], Augment)
    assert robust.augmentations[0].degrees == 5
    assert robust.augmentations[1] == RECIPES["robust"].augment.augmentations[1]  # type: ignore[union-attr]
    assert RECIPES["standard"].override(degrees).augment == Augment(degrees=5, scale=0, shear=0, translate=0)


@pytest.mark.parametrize("name", ["lr", "weight_decay", "schedule", "warmup", "model.pooling"])
def test_settings_without_effect_on_the_original_network_are_refused(name: str) -> None:
    values = {"lr": 0.1, "weight_decay": 0.1, "schedule": "cosine", "warmup": 0.1, "model.pooling": "avg"}
    with pytest.raises(ValueError, match=f"its own network and learning rates; omit {name}"):
        RECIPES["1998"].override({name: values[name]})


def test_contradictory_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="ema_decay and swa_epochs are both set"):
        check_settings({"ema_decay": 0.9, "swa_epochs": 2})
    with pytest.raises(ValueError, match="calibrate and all_images are both set"):
        RECIPES["fashion"].override({"all_images": True})
