import json
import math
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, assert_type, get_type_hints

import pytest

from lenet5 import TrainerConfig

COUNT = "an integer from 1 to 2**31 - 1"
FRACTION = "a number from 0 to below 1"
UNCHECKED = {"device", "checkpoint_dir"}  # torch and the file system know what is valid
REJECTED: list[tuple[str, object, str]] = [
    ("max_epochs", 0, COUNT),
    ("max_epochs", 1.5, COUNT),
    ("max_epochs", None, COUNT),
    ("batch_size", -4, COUNT),
    ("batch_size", 2**31, COUNT),
    ("max_epochs", 1e30, COUNT),
    ("weight_decay", 10**400, "a finite number of at least 0"),
    ("batch_size", True, COUNT),
    ("lr", 0.0, "a finite number above 0"),
    ("lr", math.nan, "a finite number above 0"),
    ("lr", math.inf, "a finite number above 0"),
    ("lr", "0.1", "a finite number above 0"),
    ("schedule", "linear", "one of one_cycle, cosine, step, constant"),
    ("warmup", 1, f"None or {FRACTION}"),
    ("warmup", -0.1, f"None or {FRACTION}"),
    ("weight_decay", -0.1, "a finite number of at least 0"),
    ("weight_decay", math.inf, "a finite number of at least 0"),
    ("label_smoothing", 1.0, FRACTION),
    ("label_smoothing", math.nan, FRACTION),
    ("accumulate_steps", 0, COUNT),
    ("max_grad_norm", 0.0, "None or a number above 0"),
    ("ema_decay", 0, "None or a number above 0 and below 1"),
    ("ema_decay", 1, "None or a number above 0 and below 1"),
    ("swa_epochs", 0, f"None or {COUNT}"),
    ("monitor", "accuracy", "one of val_accuracy, val_loss"),
    ("restore_best", 1, "True or False"),
    ("patience", 0, f"None or {COUNT}"),
    ("seed", -1, "an integer from 0 to 2**32 - 1"),
    ("seed", 2**32, "an integer from 0 to 2**32 - 1"),
    ("precision", "float8", "one of auto, float32, bfloat16, float16"),
    ("deterministic", None, "True or False"),
    ("compile", 3, "None or the name of a backend"),
    ("cuda_graph", "yes", "None or True or False"),
    ("progress", "auto", "None or True or False"),
    ("checkpoint_steps", 0, f"None or {COUNT}"),
    ("checkpoint_minutes", -1, "None or a number above 0"),
    ("keep_checkpoints", 0, COUNT),
    ("overfit_batches", 0, f"None or {COUNT}"),
    ("fast_dev_run", "no", "True or False"),
]


@pytest.mark.parametrize(("name", "value", "expected"), REJECTED)
def test_config_rejects_value_out_of_range(name: str, value: object, expected: str) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=re.escape(f"{name} is {value!r}; expected {expected}") + "$"):
        TrainerConfig(**settings)


@pytest.mark.parametrize("directory", ["", 5, b""])
def test_checkpoint_dir_that_is_no_path_is_rejected(directory: Any) -> None:
    with pytest.raises(ValueError, match=r"checkpoint_dir is .*; expected None or the path of a folder"):
        TrainerConfig(checkpoint_dir=directory)


def test_every_setting_with_a_rule_is_covered() -> None:
    assert {field.name for field in fields(TrainerConfig)} == {name for name, _, _ in REJECTED} | UNCHECKED


@pytest.mark.parametrize(
    "settings",
    [
        {"lr": 1, "weight_decay": 0, "label_smoothing": 0, "warmup": 0},
        {"max_grad_norm": math.inf, "checkpoint_minutes": math.inf},
        {"seed": 2**32 - 1, "cuda_graph": False, "compile": "eager", "checkpoint_dir": Path("run")},
    ],
)
def test_config_accepts_bounds(settings: dict[str, Any]) -> None:
    config = TrainerConfig(**settings)
    assert {name: getattr(config, name) for name in settings} == settings


def test_config_rejects_two_averages() -> None:
    with pytest.raises(ValueError, match="ema_decay and swa_epochs are both set; expected at most one of them"):
        TrainerConfig(ema_decay=0.9, swa_epochs=2)


def test_config_is_keyword_only() -> None:
    with pytest.raises(TypeError, match="positional argument"):
        TrainerConfig(10)  # type: ignore[call-arg]


def test_config_is_immutable() -> None:
    with pytest.raises(AttributeError):
        TrainerConfig().lr = 1.0  # type: ignore[misc]


def test_types_of_settings_are_visible_to_type_checkers() -> None:
    config = TrainerConfig()
    assert_type(config.max_epochs, int)
    assert_type(config.lr, float)
    assert_type(config.patience, int | None)
    assert_type(config.monitor, Literal["val_accuracy", "val_loss"])
    with pytest.raises(ValueError, match="batch_size is '8'"):
        TrainerConfig(batch_size="8")  # type: ignore[arg-type]


def test_config_survives_json() -> None:
    config = TrainerConfig(max_epochs=3, patience=2, checkpoint_dir=Path("run") / "checkpoints")
    restored = TrainerConfig(**json.loads(json.dumps(config.to_dict())))
    assert restored.to_dict() == config.to_dict()
    assert restored.checkpoint_dir == str(Path("run") / "checkpoints")


def test_types_of_settings_can_be_read_as_parsers_of_configurations_do() -> None:
    hints = get_type_hints(TrainerConfig)
    assert set(hints) == {field.name for field in fields(TrainerConfig)}
    assert hints["max_epochs"] is int
