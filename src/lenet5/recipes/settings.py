"""The settings of a recipe that a user can replace, by name, with the rules for their values.

A setting of the Trainer has its name in `TrainerConfig`. `augment.NAME` is an argument of `Augment`, and `model.NAME`
one of `LeNet5`. Importing this module does not import torch, so that the command line can check settings at once.
"""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin

from ..arguments import suggestion
from ..training.config import Fraction, NotNegative, TrainerConfig, convert_setting, number_rule

_Pixels: TypeAlias = Annotated[float, number_rule("a number of at least 1", lambda value: 1 <= value < math.inf)]
_Probability: TypeAlias = Annotated[float, number_rule("a number from 0 to 1", lambda value: 0 <= value <= 1)]
_Activation: TypeAlias = Literal[
    "ReLU", "Tanh", "Sigmoid", "ELU", "SELU", "GELU", "SiLU", "Mish", "LeakyReLU", "Softplus", "ScaledTanh", "Square"
]

_NOT_OF_A_RECIPE = ("device", "checkpoint_dir", "progress")
_CONFIG = {field.name: field.type for field in fields(TrainerConfig) if field.name not in _NOT_OF_A_RECIPE}
SETTINGS: Mapping[str, Any] = {
    **_CONFIG,
    "calibrate": bool,
    "all_images": bool,
    "augment.degrees": NotNegative,
    "augment.scale": Fraction,
    "augment.shear": NotNegative,
    "augment.translate": NotNegative,
    "augment.elastic": NotNegative,
    "augment.smoothness": _Pixels,
    "augment.flip": _Probability,
    "augment.interpolation": Literal["bilinear", "bicubic"],
    "model.activation": _Activation,
    "model.pooling": Literal["max", "avg"],
}
"""Type and rule of each setting, by name."""


def parse_setting(text: str) -> tuple[str, Any]:
    """Parse a setting NAME=VALUE, and check its name and its value.

    Raises
    ------
    ValueError
        The text has no "=", or the name is unknown, or the value is not one of the setting.
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    name = name.replace("-", "_")
    if not equals:
        raise ValueError(f"{text!r} is not a setting; expected NAME=VALUE, such as weight_decay=0.05")
    parsed = _parse_value(value)
    check_settings({name: parsed})
    return name, parsed


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise ValueError unless all names are known, and all values are those of their settings."""
    for name, value in settings.items():
        if name not in SETTINGS:
            full = [each for each in SETTINGS if each.partition(".")[2] == name]
            hint = f" (did you mean {full[0]!r}?)" if full else suggestion(name, SETTINGS)
            known = "" if hint else f"; expected one of: {', '.join(SETTINGS)}"
            raise ValueError(f"there is no setting {name!r}{hint}{known}")
        convert_setting(name, value, SETTINGS[name])
    TrainerConfig(**{name: value for name, value in settings.items() if name in _CONFIG})  # checks them together


def format_setting(name: str, value: Any) -> str:
    """Return the text NAME=VALUE from which `parse_setting` restores a setting."""
    return f"{name}={str(value).lower() if value is None or isinstance(value, bool) else value}"


def choices(name: str) -> tuple[str, ...]:
    """Return the values of a setting that has only a few."""
    hint = SETTINGS[name]
    if hint is bool:
        return ("true", "false")
    return get_args(hint) if get_origin(hint) is Literal else ()


def _parse_value(text: str) -> Any:
    """Convert text to None, a bool or a number if it is one."""
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
