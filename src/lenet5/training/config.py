"""The settings of a Trainer."""

import math
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin

from .. import notebook
from ..arguments import as_boolean, as_integer, as_number

if TYPE_CHECKING:
    import torch

    TorchDevice: TypeAlias = torch.device
else:
    TorchDevice = Any  # so that parsers of configurations can read the types, although this module imports no torch


class Rule(NamedTuple):
    """A constraint on the value of a setting."""

    expected: str
    convert: Callable[[Any], Any]
    """Returns the value as one of Python's own types, or None if it is out of range."""


def number_rule(expected: str, holds: Callable[[float], bool]) -> Rule:
    """Return the rule for numbers, as large as a float can be, that satisfy a condition."""

    def convert(value: object) -> float | None:
        number = as_number(value)
        too_large = isinstance(number, int) and abs(number) > sys.float_info.max
        return number if number is not None and not too_large and holds(number) else None

    return Rule(expected, convert)


def _integer(expected: str, holds: Callable[[int], bool]) -> Rule:
    def convert(value: object) -> int | None:
        number = as_integer(value)
        return number if number is not None and holds(number) else None

    return Rule(expected, convert)


def _text(value: object) -> str | None:
    return str(value) if isinstance(value, str) else None


Count: TypeAlias = Annotated[int, _integer("an integer from 1 to 2**31 - 1", lambda value: 1 <= value < 2**31)]
Seed: TypeAlias = Annotated[int, _integer("an integer from 0 to 2**32 - 1", lambda value: 0 <= value < 2**32)]
Positive: TypeAlias = Annotated[float, number_rule("a number above 0", lambda value: value > 0)]
Rate: TypeAlias = Annotated[float, number_rule("a finite number above 0", lambda value: 0 < value < math.inf)]
NotNegative: TypeAlias = Annotated[
    float, number_rule("a finite number of at least 0", lambda value: 0 <= value < math.inf)
]
Fraction: TypeAlias = Annotated[float, number_rule("a number from 0 to below 1", lambda value: 0 <= value < 1)]
Decay: TypeAlias = Annotated[float, number_rule("a number above 0 and below 1", lambda value: 0 < value < 1)]
Backend: TypeAlias = Annotated[str, Rule("the name of a backend", _text)]


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """Settings of a Trainer. The defaults are for LeNet-5 on MNIST.

    Numbers may be of any type, such as numpy's; they are stored as Python's own.

    Raises
    ------
    ValueError
        A setting is out of range.

    Examples
    --------
    >>> config = lenet5.TrainerConfig(max_epochs=20, lr=0.003, patience=5)
    >>> from dataclasses import replace
    >>> replace(config, batch_size=128).batch_size
    128
    >>> lenet5.TrainerConfig(**config.to_dict()) == config
    True
    """

    max_epochs: Count = 10
    """Number of passes over the training data."""

    batch_size: Count = 64
    """Examples per batch, over all processes. A loader of your own has its own batch size."""

    lr: Rate = 0.006
    """Peak learning rate."""

    schedule: Literal["one_cycle", "cosine", "step", "constant"] = "one_cycle"
    """Learning-rate schedule, by optimizer step:

    - "one_cycle": torch's OneCycleLR, with its momentum cycle (Smith and Topin, arXiv:1708.07120).
    - "cosine": linear warm-up, then cosine decay to 0.
    - "step": linear warm-up, then decay to a tenth after half of the remaining steps, and to a hundredth after three
      quarters.
    - "constant": linear warm-up, then a constant rate.
    """

    warmup: Fraction | None = None
    """Fraction of the optimizer steps spent on warm-up. None for 0.3 with "one_cycle", and 0 with other schedules."""

    weight_decay: NotNegative = 0.01
    """AdamW's decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101)."""

    label_smoothing: Fraction = 0.0
    """Label smoothing of the training loss (Szegedy et al., arXiv:1512.00567). Evaluation does not use it."""

    accumulate_steps: Count = 1
    """Batches per optimizer step. The last step of an epoch may have fewer. The gradient is the mean over the examples
    of the step."""

    max_grad_norm: Positive | None = None
    """Max norm for gradient clipping."""

    ema_decay: Decay | None = None
    """Decay of an exponential moving average of the weights, such as 0.999. Validation and the final model use the
    averaged weights. Buffers, such as batch statistics, are not averaged."""

    swa_epochs: Count | None = None
    """Number of final epochs with stochastic weight averaging. The weights are averaged after each optimizer step;
    Izmailov et al., arXiv:1803.05407, average after each epoch. From then on, validation uses the average. So does the
    final model, unless `restore_best` gives it the weights of an earlier epoch."""

    monitor: Literal["val_accuracy", "val_loss"] = "val_accuracy"
    """Metric that selects the best epoch. Equal accuracies are ranked by loss, and so are epochs without accuracy, as
    in regression; among equal epochs, the first wins."""

    restore_best: bool = True
    """Give the final model the weights of the best epoch instead of the last, if there is validation data."""

    patience: Count | None = None
    """Stop after this many epochs without improvement. Needs validation data."""

    seed: Seed = 0
    """Seed for shuffling and all randomness in `fit`. It does not affect the initial weights. To fix them, call
    `torch.manual_seed` before you construct the model."""

    device: str | TorchDevice | None = "auto"
    """A torch device or its name, such as "cpu", "cuda:1" or "mps"; "auto" or None for the accelerator that torch
    finds, else the CPU. With several processes, each uses the accelerator of its local rank. Stored as a name."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the forward pass. "auto" is float32. "bfloat16" and "float16" use torch's autocast; "float16" also
    scales the loss."""

    deterministic: bool = False
    """Allow only deterministic algorithms. An operator without one raises an error."""

    compile: Backend | None = None
    """Backend of `torch.compile` for training, such as "inductor". None to train without compilation."""

    cuda_graph: bool | None = None
    """Whether to capture the forward and backward pass as a CUDA graph, which speeds up small networks. None captures
    it if the model is `cuda_graph_safe` and the loss is cross-entropy. Takes effect only with an ImageDataset or a
    TensorLoader in a single process, without accumulation, float16 or `compile`. Changes to the structure of the model
    take effect at the next epoch."""

    progress: bool | None = None
    """Whether `fit` shows a `ProgressBar`. None shows it in a notebook and if stderr is a terminal. A `ProgressBar`
    among the callbacks is always shown, and takes its place."""

    checkpoint_dir: str | os.PathLike[str] | None = None
    """Folder for checkpoints, which are written after each epoch. None for no checkpoints."""

    checkpoint_steps: Count | None = None
    """Write an additional checkpoint every `checkpoint_steps` steps within an epoch."""

    checkpoint_minutes: Positive | None = None
    """Write an additional checkpoint when the last one is this many minutes old."""

    keep_checkpoints: Count = 2
    """Number of latest checkpoints to keep, in addition to the one of the best epoch."""

    overfit_batches: Count | None = None
    """Train on only this many batches, the same in each epoch, to test whether the model can overfit them."""

    fast_dev_run: bool = False
    """Train on two batches, validate on two, and stop, without checkpoints, to test whether everything runs."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = convert_setting(field.name, getattr(self, field.name), field.type)
            object.__setattr__(self, field.name, value)  # the dataclass is frozen
        object.__setattr__(self, "device", "auto" if self.device is None else str(self.device))
        directory = self.checkpoint_dir
        if directory is not None and not (isinstance(directory, str | os.PathLike) and os.fspath(directory)):
            raise ValueError(f"checkpoint_dir is {directory!r}; expected None or the path of a folder")
        if self.ema_decay is not None and self.swa_epochs is not None:
            raise ValueError("ema_decay and swa_epochs are both set; expected at most one of them")

    def _repr_html_(self) -> str:
        return notebook.fields_html(type(self).__name__, asdict(self))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON-serialisable values."""
        directory = None if self.checkpoint_dir is None else os.fspath(self.checkpoint_dir)
        return {**asdict(self), "checkpoint_dir": directory}


def convert_setting(name: str, value: Any, hint: Any) -> Any:
    """Return a value as its field's type has it; raise ValueError if it does not satisfy the rule of the type."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    optional = NoneType in options
    rule = _rule(options[0])
    if rule is None or (optional and value is None):
        return value
    converted = rule.convert(value)
    if converted is None:
        raise ValueError(f"{name} is {value!r}; expected {'None or ' if optional else ''}{rule.expected}")
    return converted


def _rule(option: Any) -> Rule | None:
    """Return the rule of a type: its annotation, the choices of a Literal, or a bool."""
    if get_origin(option) is Literal:
        choices = get_args(option)
        return Rule(f"one of {', '.join(choices)}", lambda value: _text(value) if value in choices else None)
    if option is bool:
        return Rule("True or False", as_boolean)
    rules = [extra for extra in get_args(option) if isinstance(extra, Rule)]
    return rules[0] if rules else None
