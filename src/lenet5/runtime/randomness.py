"""The state of every random generator that training can use: Python's, numpy's, torch's and the device's."""

import contextlib
import os
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the generators of the host and of one device during a block, and restore them afterwards."""
    before = random_state(device)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (transforms may draw from the global generator)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed all devices
    if device.type != "cpu":
        module = torch.get_device_module(device)
        with contextlib.nullcontext() if device.type == "mps" else module.device(device):
            module.manual_seed(seed)
    try:
        yield
    finally:
        restore_random_state(before, device)


@contextlib.contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """Allow only deterministic algorithms during a block, if enabled."""
    if not enabled:
        yield
        return
    cudnn, warn_only = torch.backends.cudnn, torch.is_deterministic_algorithms_warn_only_enabled()
    before = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required by cuBLAS, which reads it at its first use
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=warn_only)
        _, cudnn.deterministic, cudnn.benchmark = before


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the states of the generators of the host and, under the device's type, of one device."""
    state = {"python": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state()}  # noqa: NPY002
    if device.type != "cpu":
        state[device.type] = torch.get_device_module(device).get_rng_state(*_device_argument(device))
    return state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore the result of `random_state`; a device of a different type keeps its own state."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if device.type in state:
        torch.get_device_module(device).set_rng_state(state[device.type], *_device_argument(device))


def _device_argument(device: torch.device) -> tuple[torch.device, ...]:
    return () if device.type == "mps" else (device,)  # torch.mps has one device, and its functions take none
