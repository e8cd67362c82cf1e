import json
import math
from pathlib import Path
from typing import Any

import pytest

from lenet5 import TrainerConfig


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("max_epochs", 0, "an integer of at least 1"),
        ("max_epochs", 1.5, "an integer of at least 1"),
        ("batch_size", -4, "an integer of at least 1"),
        ("batch_size", True, "an integer of at least 1"),
        ("accumulate_steps", 0, "an integer of at least 1"),
        ("keep_checkpoints", 0, "an integer of at least 1"),
        ("patience", 0, "None or an integer of at least 1"),
        ("checkpoint_steps", 0, "None or an integer of at least 1"),
        ("lr", 0.0, "a finite number above 0"),
        ("lr", math.nan, "a finite number above 0"),
        ("lr", math.inf, "a finite number above 0"),
        ("weight_decay", -0.1, "a finite number of at least 0"),
        ("max_grad_norm", 0.0, "None or a number above 0"),
        ("seed", -1, "an integer from 0 to"),
        ("seed", 2**32, "an integer from 0 to"),
        ("monitor", "accuracy", "one of val_accuracy, val_loss"),
        ("precision", "float8", "one of auto, float32, bfloat16"),
    ],
)
def test_a_setting_out_of_range_is_refused(name: str, value: object, expected: str) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"{name} is {value!r}; expected {expected}"):
        TrainerConfig(**settings)


def test_settings_survive_json() -> None:
    config = TrainerConfig(max_epochs=3, patience=2, checkpoint_dir=Path("run") / "checkpoints")
    again = TrainerConfig(**json.loads(json.dumps(config.to_dict())))
    assert again.to_dict() == config.to_dict()
    assert again.checkpoint_dir == str(Path("run") / "checkpoints")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        TrainerConfig().lr = 1.0  # type: ignore[misc]
