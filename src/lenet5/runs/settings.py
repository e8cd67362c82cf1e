"""The settings of a run, as `config.json` holds them.

Importing this module does not import torch, so that the command line can refuse a run at once.
"""

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

from .. import storage
from ..data.catalogue import NAMES, SOURCES, short_name
from ..recipes.catalogue import RECIPES
from ..recipes.settings import check_settings, format_setting
from ..training.config import Count, Rate, Rule, Seed, convert_setting

CONFIG = "config.json"
REPORT = "report.json"

_Text: TypeAlias = Annotated[str, Rule("a string", lambda value: value if isinstance(value, str) else None)]
_Recipe: TypeAlias = Annotated[
    str,
    Rule(f"one of: {', '.join(RECIPES)}", lambda value: value if isinstance(value, str) and value in RECIPES else None),
]
_Options: TypeAlias = Annotated[
    dict[str, Any], Rule("an object of settings", lambda value: value if isinstance(value, dict) else None)
]


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """The settings that determine the result of a run, given the versions of the software.

    Raises
    ------
    ValueError
        A setting is unknown, of a wrong type, or out of range.
    """

    data: _Text
    root: _Text | None
    recipe: _Recipe | None
    """Name of the recipe; None to choose "digits" below 10,000 training images, and "standard" from there."""

    seed: Seed
    max_epochs: Count | None = None
    batch_size: Count | None = None
    lr: Rate | None = None
    options: _Options = dataclasses.field(default_factory=dict)
    """Further settings, by the names of `recipes.settings`."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = convert_setting(field.name, getattr(self, field.name), field.type)
            object.__setattr__(self, field.name, value)  # the dataclass is frozen
        check_settings(self.options)

    @classmethod
    def read(cls, folder: Path, root: str | None, data: str | None = None) -> Self:
        """Read the settings of the run in a folder.

        `root` replaces the saved data folder, and `data` the path of the user's own data, unless they are None.
        """
        if not (folder / CONFIG).is_file():
            raise FileNotFoundError(f"there is no run in {folder}; expected a folder that lenet5 train wrote")
        saved = saved_settings(folder)
        if saved is None:
            raise ValueError(f"{folder} holds weights but no run to resume; expected a folder that lenet5 train wrote")
        try:
            settings = cls(**saved)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{folder / CONFIG} does not hold the settings of a run: {error}") from error
        if data is not None and (settings.data in NAMES or data in NAMES):
            raise ValueError(f"{folder} was trained on {settings.data}, not on {data}; omit --data")
        settings = dataclasses.replace(settings, data=data or settings.data, root=root or settings.root)
        if settings.data not in NAMES and not storage.as_path(settings.data).exists():
            raise ValueError(f"{folder} was trained on {settings.data}, which does not exist here; pass --data")
        if settings.root is not None and root is None and not storage.as_path(settings.root).exists():
            raise ValueError(f"{folder} was trained on data in {settings.root}, which does not exist here; pass --root")
        return settings

    @property
    def name(self) -> str:
        """Name of the data: that of the dataset, or of the folder or file of your own."""
        return short_name(self.data)

    def is_like(self, saved: dict[str, Any]) -> bool:
        """Return True if saved settings are these, or a recipe that was chosen by the size of the data is the rest."""
        own = dataclasses.asdict(self)
        return saved == (own if self.recipe else {**own, "recipe": saved.get("recipe")})

    def is_unfinished(self, folder: Path) -> bool:
        """Return True if a folder holds a run with these settings that has not written its report."""
        saved = saved_settings(folder)
        return saved is not None and not (folder / REPORT).exists() and self.is_like(saved)

    def overrides(self) -> dict[str, Any]:
        """Return the settings that override the recipe."""
        values = {name: getattr(self, name) for name in ("max_epochs", "batch_size", "lr", "seed")}
        return {name: value for name, value in values.items() if value is not None} | self.options

    def command(self) -> str:
        """Return the command that repeats the run, with DIR for the data folder."""
        named = {name: value for name, value in self.overrides().items() if name not in self.options}
        flags = [(f"--{name.removeprefix('max_').replace('_', '-')}", value) for name, value in named.items()]
        root = [("--root", "DIR")] if self.data in SOURCES else []
        further = [("--set", format_setting(name, value)) for name, value in self.options.items()]
        options = [("--data", self.data), *root, ("--recipe", self.recipe), *flags, *further]
        return " ".join(["lenet5 train", *(f"{flag} {shlex.quote(str(value))}" for flag, value in options)])


def saved_settings(folder: Path) -> dict[str, Any] | None:
    """Return the settings of the run in a folder; None if there is none.

    Raises
    ------
    ValueError
        `config.json` is damaged, or its settings are no object.
    """
    path = folder / CONFIG
    if not path.is_file():
        return None
    settings = storage.unsealed(storage.read_json(path), path).get("settings")
    if not isinstance(settings, dict | None):
        raise ValueError(f"{path} has {settings!r} for 'settings'; expected an object")
    return settings
