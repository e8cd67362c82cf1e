"""How a Trainer trains."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeGuard


@dataclass(frozen=True)
class TrainerConfig:
    """Settings of a Trainer; the defaults are for LeNet-5 on MNIST.

    Raises
    ------
    ValueError
        A setting is out of its range.
    """

    max_epochs: int = 10
    """Passes over the training data."""

    batch_size: int = 64
    """Examples per batch, where the Trainer makes the batches; a loader of your own brings its size. Several processes
    share each batch."""

    lr: float = 0.006
    """The highest learning rate of the schedule."""

    schedule: Literal["one_cycle", "cosine", "step", "constant"] = "one_cycle"
    """Of the learning rate, from the first optimizer step to the last: "one_cycle" (Smith and Topin, arXiv:1708.07120;
    torch's, momentum and all), or a linear warm-up, and then a cosine to 0, a tenth after half of the steps and a
    hundredth after three quarters, or no change."""

    warmup: float | None = None
    """The share of the optimizer steps in which the learning rate rises; None is 0.3 for "one_cycle", else 0."""

    weight_decay: float = 0.01
    """AdamW's decoupled decay (Loshchilov and Hutter, arXiv:1711.05101)."""

    label_smoothing: float = 0.0
    """The share of the target that goes to all classes alike (Szegedy et al., arXiv:1512.00567). The loss of an
    evaluation is without it."""

    accumulate_steps: int = 1
    """Batches whose gradients make one optimizer step. The last step of an epoch may have fewer; each step is the mean
    over its own examples."""

    max_grad_norm: float | None = None
    """The gradients' Euclidean norm is scaled down to this."""

    ema_decay: float | None = None
    """Of an exponential moving average of the weights, such as 0.999; the average is validated and kept in place of the
    weights. Buffers, such as batch statistics, are the newest."""

    swa_epochs: int | None = None
    """How many of the last epochs have their weights averaged with equal shares, after each optimizer step (as
    Izmailov et al., arXiv:1803.05407, after each epoch); validated and kept as that of `ema_decay`, from then on."""

    monitor: Literal["val_accuracy", "val_loss"] = "val_accuracy"
    """What makes an epoch the best. Of equal accuracies the lower loss is the better; of equal epochs the earlier."""

    restore_best: bool = True
    """Whether a training with validation data ends with the weights of its best epoch, rather than the last."""

    patience: int | None = None
    """Training stops after this many epochs in a row without a new best; it needs validation data."""

    seed: int = 0
    """Of the order of the examples and of every random number drawn in `fit`. The weights that the model begins with
    are the model's own: call `torch.manual_seed` before it is made."""

    device: str = "auto"
    """"cpu", "cuda", "cuda:1", "mps" and so on; "auto" is the accelerator that torch finds, else the CPU. Of several
    processes, each takes the device of its local rank."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What the forward pass computes in; "auto" is float32, the others but "float32" are torch's autocast, "float16"
    with scaled losses."""

    deterministic: bool = False
    """Whether torch may use only algorithms that give the same bits each time; an operation without one is an error."""

    compile: str | None = None
    """The backend of `torch.compile` that training uses, such as "inductor"; None for none."""

    cuda_graph: bool | None = None
    """On a CUDA device, whether the forward and backward passes of a step are recorded as a CUDA graph and replayed,
    which small networks gain by; None: where the model says by `static_graph` that it does the same for each batch, as
    LeNet5 does, and the loss is the default. What Python does in them is then done once only, and a change that a
    callback makes to the model's structure is seen at the next epoch. It needs data of a TensorLoader in one process,
    and neither accumulation, float16 nor compilation."""

    checkpoint_dir: str | os.PathLike[str] | None = None
    """Where checkpoints go, one after each epoch; None for none."""

    checkpoint_steps: int | None = None
    """Also a checkpoint after so many steps within an epoch."""

    checkpoint_minutes: float | None = None
    """Also a checkpoint when so many minutes have passed since the last."""

    keep_checkpoints: int = 2
    """How many of the newest checkpoints are kept, besides that of the best epoch."""

    overfit_batches: int | None = None
    """Train on the first so many batches alone, the same in each epoch, to see whether the model can learn them."""

    fast_dev_run: bool = False
    """Train on two batches, validate on two, and end, without checkpoints: to see whether everything runs."""

    def __post_init__(self) -> None:
        for names, expected, holds in _RULES:
            for name in names.split():
                value = getattr(self, name)
                optional = type(self).__dataclass_fields__[name].default is None
                if not ((optional and value is None) or holds(value)):
                    raise ValueError(f"{name} is {value!r}; expected {'None or ' if optional else ''}{expected}")
        if self.ema_decay is not None and self.swa_epochs is not None:
            raise ValueError("ema_decay and swa_epochs are both set; expected one average of the weights at most")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them."""
        directory = None if self.checkpoint_dir is None else os.fspath(self.checkpoint_dir)
        return {**asdict(self), "checkpoint_dir": directory}

    @property
    def limit(self) -> int | None:
        """How many batches an epoch is, where it is cut short."""
        return 2 if self.fast_dev_run else self.overfit_batches


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _one_of(*choices: str) -> tuple[str, Callable[[Any], bool]]:
    return f"one of {', '.join(choices)}", lambda value: value in choices


_RULES: list[tuple[str, str, Callable[[Any], bool]]] = [
    ("max_epochs batch_size accumulate_steps keep_checkpoints", "an integer of at least 1", _is_count),
    ("patience checkpoint_steps swa_epochs overfit_batches", "an integer of at least 1", _is_count),
    ("lr", "a finite number above 0", lambda value: _is_number(value) and 0 < value < math.inf),
    ("weight_decay", "a finite number of at least 0", lambda value: _is_number(value) and 0 <= value < math.inf),
    ("warmup label_smoothing", "a number from 0 to below 1", lambda value: _is_number(value) and 0 <= value < 1),
    ("ema_decay", "a number above 0 and below 1", lambda value: _is_number(value) and 0 < value < 1),
    ("max_grad_norm checkpoint_minutes", "a number above 0", lambda value: _is_number(value) and value > 0),
    ("seed", "an integer from 0 to 2**32 - 1", lambda value: isinstance(value, int) and 0 <= value < 2**32),
    ("schedule", *_one_of("one_cycle", "cosine", "step", "constant")),
    ("monitor", *_one_of("val_accuracy", "val_loss")),
    ("precision", *_one_of("auto", "float32", "bfloat16", "float16")),
    ("restore_best deterministic fast_dev_run", "True or False", lambda value: isinstance(value, bool)),
    ("cuda_graph", "True or False", lambda value: isinstance(value, bool)),
    ("compile", "the name of a backend", lambda value: isinstance(value, str)),
]
