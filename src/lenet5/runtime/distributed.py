"""Distributed training under torchrun; a single process communicates nothing."""

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
    """The process group, seen from one rank.

    Gradients and buffers use the backend of the device. Everything else goes over gloo, so that it never waits for a
    GPU.

    Attributes
    ----------
    rank, world_size
        The rank of this process, and the number of processes.
    """

    rank: int
    world_size: int

    def __init__(self) -> None:
        self.rank, self.world_size = (dist.get_rank(), dist.get_world_size()) if _initialized() else (0, 1)

    @property
    def _group(self) -> Any:
        return _gloo_group()

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which alone writes and prints."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """Wrap the model in DistributedDataParallel, which broadcasts the initial weights of rank 0.

        Source: Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", 2020.
        """
        return model if self.world_size == 1 else DistributedDataParallel(model)

    def synchronising(self, module: nn.Module, enabled: bool) -> contextlib.AbstractContextManager[None]:
        """Return a context manager for a forward and backward pass, with or without an all-reduce of the gradients."""
        if self.world_size == 1 or enabled:
            return contextlib.nullcontext()
        wrapped: Any = getattr(module, "_orig_mod", module)  # unwrap torch.compile alone
        context: contextlib.AbstractContextManager[None] = wrapped.no_sync()
        return context

    def broadcast_buffers(self, model: nn.Module) -> None:
        """Broadcast the buffers of rank 0, such as batch statistics, which each rank updates separately."""
        if self.world_size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def all_max(self, *numbers: int) -> list[int]:
        """All-reduce each number with the maximum."""
        if self.world_size == 1:
            return list(numbers)
        highest = torch.tensor(numbers)
        dist.all_reduce(highest, dist.ReduceOp.MAX, self._group)
        return [int(number) for number in highest]

    def all_sum(self, value: Tensor) -> float:
        """All-reduce a scalar with the sum."""
        total = value.detach().cpu().clone()
        if self.world_size > 1:
            dist.all_reduce(total, dist.ReduceOp.SUM, self._group)
        return total.item()

    def all_gather(self, tensor: Tensor) -> list[Tensor]:
        """All-gather CPU tensors whose first dimensions may differ."""
        if self.world_size == 1:
            return [tensor]
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.world_size)]
        dist.all_gather(lengths, torch.tensor([len(tensor)]), self._group)
        padded = tensor.new_zeros(max(map(int, lengths)), *tensor.shape[1:])
        padded[: len(tensor)] = tensor
        gathered = [torch.empty_like(padded) for _ in range(self.world_size)]
        dist.all_gather(gathered, padded, self._group)
        return [rows[: int(length)] for rows, length in zip(gathered, lengths, strict=True)]

    def all_gather_bytes(self, data: bytes) -> list[bytes]:
        """All-gather byte strings."""
        return [bytes(rows.numpy()) for rows in self.all_gather(torch.frombuffer(bytearray(data), dtype=torch.uint8))]

    def broadcast_from_main(self, make: Callable[[], bytes]) -> bytes:
        """Run `make` on rank 0 and broadcast the result.

        If `make` fails, rank 0 raises its exception, and every other rank a ValueError with the same message.
        """
        if self.world_size == 1:
            return make()
        if self.rank:
            data = self._broadcast(b"")
            if data.startswith(b"-"):
                raise ValueError(data[1:].decode())
            return data[1:]
        try:
            data = make()
        except Exception as error:
            self._broadcast(b"-" + str(error).encode())
            raise
        self._broadcast(b"+" + data)
        return data

    def _broadcast(self, data: bytes) -> bytes:
        """Broadcast a non-empty byte string from rank 0; the argument of the other ranks is ignored."""
        length = torch.tensor([len(data)])
        dist.broadcast(length, 0, self._group)
        content = torch.empty(int(length), dtype=torch.uint8)
        if self.rank == 0:
            content = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        dist.broadcast(content, 0, self._group)
        return bytes(content.numpy())


def join_processes(device: torch.device) -> Processes:
    """Join the process group that torchrun describes; the first call waits for the other ranks."""
    if not _initialized() and dist.is_available() and (_integer_variable("WORLD_SIZE") or 1) > 1:
        missing = [name for name in _VARIABLES if not os.environ.get(name)]
        if missing:
            raise ValueError(
                f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {', '.join(missing)} is not set; expected a launch by"
                " torchrun, or no WORLD_SIZE for a single process"
            )
        global _attempt  # noqa: PLW0603 (a property of the process, like the process group)
        store, rank, world_size = next(rendezvous("env://"))
        _attempt = _agree_on_attempt(store, rank, world_size)
        store = dist.PrefixStore(f"attempt-{_attempt}", store)  # type: ignore[attr-defined]
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=world_size)
        atexit.register(_leave)
    return Processes()


@functools.cache
def _gloo_group() -> Any:
    """Return the group for messages; created once, because creating it waits for all ranks."""
    return dist.new_group(backend="gloo")


def is_main_process() -> bool:
    """Return True on rank 0 or without torchrun; read torchrun's variables if no process group has been joined."""
    if _initialized() or (_integer_variable("WORLD_SIZE") or 1) == 1:
        return Processes().is_main
    return os.environ.get("RANK") == "0"


def local_rank() -> int | None:
    """Return the rank among the processes of this host; None outside torchrun."""
    return _integer_variable("LOCAL_RANK")


def was_restarted() -> bool:
    """Return True if torchrun restarted the processes after a failure."""
    return _attempt > 1 or (_integer_variable("TORCHELASTIC_RESTART_COUNT") or 0) > 0


def launch_id() -> str | None:
    """Return the identifier of torchrun's launch, which restarts do not change; None outside torchrun."""
    run = os.environ.get("TORCHELASTIC_RUN_ID")
    if run != "none":
        return run
    error_file = Path(os.environ.get("TORCHELASTIC_ERROR_FILE", "none"))  # .../RUN_RANDOM/attempt_N/RANK/error.json
    return error_file.parents[2].name if len(error_file.parents) > 2 else run


def _integer_variable(name: str) -> int | None:
    """Return an environment variable that torchrun sets; a variable without a value counts as unset."""
    text = os.environ.get(name)
    if not text:
        return None
    if not text.strip().isdecimal():
        raise ValueError(f"the environment variable {name} is {text!r}; expected an integer, as torchrun sets it")
    return int(text)


def _agree_on_attempt(store: Any, rank: int, world_size: int) -> int:
    """Return how many times these processes have been started; the number is the same on all ranks.

    torchrun keeps one store across restarts, where a process could read the address of a dead peer. Each host counts
    its own restarts. Rank 0 therefore counts for all, and answers the ranks that ask.
    """
    if rank:
        question = uuid.uuid4().hex
        store.set(f"question-{rank}", question)
        attempt = int(store.get(f"answer-{question}"))
        store.set(f"heard-{attempt}-{rank}", "")
        return attempt
    attempt = int(store.add("attempts", 1))
    waiting, end = set(range(1, world_size)), time.monotonic() + store.timeout.total_seconds()
    while waiting:
        if time.monotonic() > end:
            raise TimeoutError(f"ranks {sorted(waiting)} of {world_size} processes have not started")
        waiting = {peer for peer in waiting if not store.check([f"heard-{attempt}-{peer}"])}
        for peer in waiting:
            if store.check([f"question-{peer}"]):  # if left over from an earlier attempt, a new one follows
                store.set(f"answer-{store.get(f'question-{peer}').decode()}", str(attempt))
        time.sleep(0.01)
    return attempt


def _initialized() -> bool:
    return dist.is_available() and dist.is_initialized()


def _leave() -> None:
    gc.collect()  # remaining references to the groups would keep their threads alive
    _gloo_group.cache_clear()
    with contextlib.suppress(Exception):  # the peers may be gone already
        dist.destroy_process_group()
