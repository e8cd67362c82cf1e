"""The processes that train one model together, as torchrun starts them; alone, everything here costs nothing."""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

_attempt = 1
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class Processes:
    """All processes of a training, seen from one of them.

    Messages go over gloo, whatever the gradients use: no GPU is waited for.

    Attributes
    ----------
    rank, size
        The number of this process, and how many there are.
    """

    def __init__(self) -> None:
        self.rank, self.size = (dist.get_rank(), dist.get_world_size()) if _initialized() else (0, 1)
        self._group = _gloo_group() if self.size > 1 else None

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return the model with its gradients averaged over the processes, all beginning with the first one's weights.

        Source: Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", 2020.
        """
        return model if self.size == 1 else DistributedDataParallel(model)

    def exchanging(self, module: nn.Module, wanted: bool) -> contextlib.AbstractContextManager[None]:
        """Return the context for a forward and backward pass, after which gradients are averaged or not yet."""
        if self.size == 1 or wanted:
            return contextlib.nullcontext()
        wrapped: Any = getattr(module, "_orig_mod", module)  # torch.compile wraps it once more
        context: contextlib.AbstractContextManager[None] = wrapped.no_sync()
        return context

    def share_buffers(self, model: nn.Module) -> None:
        """Give all processes the first one's buffers, such as batch statistics, of which each has its own."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def all_max(self, *numbers: int) -> list[int]:
        """Return the highest of each of these numbers over the processes."""
        if self.size == 1:
            return list(numbers)
        highest = torch.tensor(numbers)
        dist.all_reduce(highest, dist.ReduceOp.MAX, self._group)
        return [int(number) for number in highest]

    def all_sum(self, value: Tensor) -> float:
        """Return the sum of a number over the processes."""
        total = value.detach().cpu().clone()
        if self.size > 1:
            dist.all_reduce(total, dist.ReduceOp.SUM, self._group)
        return total.item()

    def all_gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensors of all processes, on the CPU; they may differ in their numbers of rows."""
        if self.size == 1:
            return [tensor]
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(lengths, torch.tensor([len(tensor)]), self._group)
        padded = tensor.new_zeros(max(map(int, lengths)), *tensor.shape[1:])
        padded[: len(tensor)] = tensor
        found = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(found, padded, self._group)
        return [rows[: int(length)] for rows, length in zip(found, lengths, strict=True)]

    def all_gather_bytes(self, data: bytes) -> list[bytes]:
        """Return the bytes of all processes."""
        return [bytes(rows.numpy()) for rows in self.all_gather(torch.frombuffer(bytearray(data), dtype=torch.uint8))]

    def from_first(self, make: Callable[[], bytes]) -> bytes:
        """Return what the first process makes; where it cannot, the others raise ValueError with the same sentence."""
        if self.size == 1:
            return make()
        if self.rank:
            failed, data = self._broadcast(b""), self._broadcast(b"")
            if failed:
                raise ValueError(data.decode())
            return data
        try:
            data = make()
        except Exception as error:
            self._broadcast(b"failed")
            self._broadcast(str(error).encode())
            raise
        self._broadcast(b"")
        return self._broadcast(data)

    def _broadcast(self, data: bytes) -> bytes:
        length = torch.tensor([len(data)])
        dist.broadcast(length, 0, self._group)
        if not length:
            return b""
        content = torch.empty(int(length), dtype=torch.uint8)
        if self.rank == 0:
            content = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        dist.broadcast(content, 0, self._group)
        return bytes(content.numpy())


def join_processes(device: torch.device) -> Processes:
    """Return the processes that this one belongs to; the first call under torchrun waits for the others."""
    if not _initialized() and dist.is_available() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        missing = [name for name in _VARIABLES if name not in os.environ]
        if missing:
            raise ValueError(
                f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {', '.join(missing)} is not set; expected a launch by"
                " torchrun, or no WORLD_SIZE for a process that trains alone"
            )
        global _attempt  # noqa: PLW0603 (as the process group itself, it is the process's)
        store, rank, size = next(rendezvous("env://"))
        _attempt = _agree_on_attempt(store, rank, size)
        store = dist.PrefixStore(f"attempt-{_attempt}", store)  # type: ignore[attr-defined]
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size)
        atexit.register(_leave)
    return Processes()


@functools.cache
def _gloo_group() -> Any:
    """Return the group of all processes for messages; made once, since to make it is to wait for all of them."""
    return dist.new_group(backend="gloo")


def local_rank() -> int | None:
    """Return the number of this process on its host; None alone."""
    number = os.environ.get("LOCAL_RANK")
    return None if number is None else int(number)


def was_restarted() -> bool:
    """Whether torch's elastic agent started this process, or one beside it, in place of one that failed."""
    return _attempt > 1 or int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def launch_id() -> str | None:
    """Return what tells torchrun's launches apart, and is the same over its restarts; None without torchrun."""
    run = os.environ.get("TORCHELASTIC_RUN_ID")
    if run != "none":
        return run
    error_file = Path(os.environ.get("TORCHELASTIC_ERROR_FILE", "none"))  # .../RUN_RANDOM/attempt_N/RANK/error.json
    return error_file.parents[2].name if len(error_file.parents) > 2 else run


def _agree_on_attempt(store: Any, rank: int, size: int) -> int:
    """Return how often these processes have been started, the same number in each.

    torchrun keeps one store over its restarts, and a process could read there the address of one that is dead. The
    hosts count restarts each by itself, so the first process counts, and answers those that ask now.
    """
    if rank:
        question = uuid.uuid4().hex
        store.set(f"question-{rank}", question)
        attempt = int(store.get(f"answer-{question}"))
        store.set(f"heard-{attempt}-{rank}", "")
        return attempt
    attempt = int(store.add("attempts", 1))
    waiting, end = set(range(1, size)), time.monotonic() + store.timeout.total_seconds()
    while waiting:
        if time.monotonic() > end:
            raise TimeoutError(f"the processes {sorted(waiting)} of {size} have not begun")
        waiting = {other for other in waiting if not store.check([f"heard-{attempt}-{other}"])}
        for other in waiting:
            if store.check([f"question-{other}"]):  # it may be an earlier one's; then its own will follow
                store.set(f"answer-{store.get(f'question-{other}').decode()}", str(attempt))
        time.sleep(0.01)
    return attempt


def _initialized() -> bool:
    return dist.is_available() and dist.is_initialized()


def _leave() -> None:
    gc.collect()  # what still refers to the groups would keep their threads
    _gloo_group.cache_clear()
    with contextlib.suppress(Exception):  # at the end of a process whose peers may be gone
        dist.destroy_process_group()
