"""Training and evaluation mode."""

import contextlib
from collections.abc import Iterator

from torch import nn


@contextlib.contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode during a block, and each of its modules into its own mode again."""
    modes = {module: module.training for module in model.modules()}  # parts of a model may be in different modes
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
