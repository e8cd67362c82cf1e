"""How a Trainer trains."""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass
from typing import Any, Literal


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
    """Examples per batch, where the Trainer makes the batches; a loader of your own brings its size."""

    lr: float = 0.006
    """The highest learning rate of the one-cycle schedule (Smith and Topin, arXiv:1708.07120)."""

    weight_decay: float = 0.01
    """AdamW's decoupled decay (Loshchilov and Hutter, arXiv:1711.05101)."""

    accumulate_steps: int = 1
    """Batches whose gradients make one optimizer step. The last step of an epoch may have fewer; each step is the mean
    over its own examples."""

    max_grad_norm: float | None = None
    """The gradients' Euclidean norm is scaled down to this."""

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
    """"cpu", "cuda", "cuda:1", "mps" and so on; "auto" is the accelerator that torch finds, else the CPU."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the forward pass computes in; "auto" is float32, "bfloat16" is torch's autocast."""

    checkpoint_dir: str | os.PathLike[str] | None = None
    """Where checkpoints go, one after each epoch; None for none."""

    checkpoint_steps: int | None = None
    """Also a checkpoint after so many steps within an epoch."""

    keep_checkpoints: int = 2
    """How many of the newest checkpoints are kept."""

    def __post_init__(self) -> None:
        for name in ("max_epochs", "batch_size", "accumulate_steps", "keep_checkpoints"):
            self._expect(name, "an integer of at least 1", _is_count(getattr(self, name)))
        for name in ("patience", "checkpoint_steps"):
            value = getattr(self, name)
            self._expect(name, "None or an integer of at least 1", value is None or _is_count(value))
        norm = 1 if self.max_grad_norm is None else self.max_grad_norm
        self._expect("lr", "a finite number above 0", _is_number(self.lr) and 0 < self.lr < math.inf)
        decays = _is_number(self.weight_decay) and 0 <= self.weight_decay < math.inf
        self._expect("weight_decay", "a finite number of at least 0", decays)
        self._expect("max_grad_norm", "None or a number above 0", _is_number(norm) and norm > 0)
        self._expect("seed", "an integer from 0 to 2**32 - 1", isinstance(self.seed, int) and 0 <= self.seed < 2**32)
        for name, choices in (("monitor", _MONITORS), ("precision", _PRECISIONS)):
            self._expect(name, f"one of {', '.join(choices)}", getattr(self, name) in choices)

    def _expect(self, name: str, expected: str, held: bool) -> None:
        if not held:
            raise ValueError(f"{name} is {getattr(self, name)!r}; expected {expected}")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them."""
        directory = None if self.checkpoint_dir is None else os.fspath(self.checkpoint_dir)
        return {**asdict(self), "checkpoint_dir": directory}


_MONITORS = ("val_accuracy", "val_loss")
_PRECISIONS = ("auto", "float32", "bfloat16")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
