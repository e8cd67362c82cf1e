"""The jobs of test_distributed.py. Each process writes its result to FOLDER/JOB-RANK.json.

Usage: torchrun --standalone --nproc-per-node 2 torchrun_worker.py JOB FOLDER
"""

import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.utils.data import DataLoader, Dataset, DistributedSampler, TensorDataset

from lenet5 import (
    Augment,
    Callback,
    CSVLogger,
    ImageDataset,
    LeNet5,
    ProgressBar,
    TensorLoader,
    Trainer,
    TrainerConfig,
    TrainingState,
    find_lr,
    load_data,
)
from lenet5.runtime.distributed import was_restarted

CONFIG = TrainerConfig(max_epochs=3, batch_size=8, device="cpu", lr=0.02)


class StepRecorder(Callback):
    """Record the loss of each step, summed over all ranks, and call `action` on one rank after one step."""

    def __init__(self, step: int = 0, rank: int = 1, action: Callable[[], None] | None = None) -> None:
        self.losses: list[float] = []
        self.previous = 0.0
        self.step, self.rank, self.action = step, rank, action

    def on_step_end(self, state: TrainingState) -> None:
        total = state.processes.all_sum(state.loss_sum)
        self.losses.append(total - (self.previous if state.step > 1 else 0))
        self.previous = total
        if self.action and state.processes.rank == self.rank and len(self.losses) == self.step:
            self.action()


def make_images(count: int = 33, dtype: torch.dtype = torch.float64) -> ImageDataset:
    pixels = torch.randint(0, 256, (count, 1, 6, 6), generator=Generator().manual_seed(0), dtype=torch.uint8)
    return ImageDataset(pixels, torch.arange(count) % 3, classes="abc", transform=lambda batch: batch.to(dtype) / 255)


def make_examples(count: int = 33) -> Dataset[Any]:
    images = make_images(count, torch.float32)
    return TensorDataset(images.images.float() / 255, images.targets)


def make_model(dropout: float = 0.0) -> nn.Module:
    """Make a float64 model with different weights on each rank. Training starts from the weights of rank 0."""
    torch.manual_seed(5 + int(os.environ.get("RANK", "0")))
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3)).double()


def weights(model: nn.Module) -> list[float]:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).tolist()


def train(data: Any, config: TrainerConfig = CONFIG) -> dict[str, Any]:
    recorder = StepRecorder()
    trainer = Trainer(make_model(), config, callbacks=[recorder])
    rows = trainer.fit(data, make_images(12)).rows
    return {"losses": recorder.losses, "rows": rows, "weights": weights(trainer.model)}


class RecordingDataset(Dataset[tuple[Tensor, Tensor]]):
    """A dataset that records the indices that this rank reads."""

    def __init__(self) -> None:
        self.indices: list[int] = []

    def __len__(self) -> int:
        return 33

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.indices.append(index)
        return make_images()[index]


def compare(_folder: Path) -> dict[str, Any]:
    """Train and evaluate in all ways whose result must not depend on the world size."""
    dataset = RecordingDataset()
    loader = TensorLoader(make_images(), batch_size=8, shuffle=True, augment=Augment(), seed=2)
    return {
        "images": train(make_images()),
        "augmented": train(loader, replace(CONFIG, seed=3)),
        "dataset": train(dataset),
        "indices": dataset.indices,
        "accumulated": train(make_images(), replace(CONFIG, accumulate_steps=2, max_grad_norm=0.05)),
        "averaged": train(make_images(), replace(CONFIG, ema_decay=0.5)),
        "batch statistics": train_batch_norm(),
        "lenet5": train_lenet5(),
        "evaluation": evaluate_all(),
    }


def train_batch_norm() -> dict[str, Any]:
    model = nn.Sequential(make_model(), nn.BatchNorm1d(3)).double()
    trainer = Trainer(model, replace(CONFIG, ema_decay=0.5, restore_best=False))
    rows = trainer.fit(make_images(32), make_images(12)).rows
    loss = Trainer(model, CONFIG).evaluate(make_images(12)).loss
    return {"buffers": [buffer.tolist() for buffer in model.buffers()], "rows": rows, "loss": loss}


def train_lenet5() -> dict[str, Any]:
    digits, recorder = load_data("digits"), StepRecorder()
    torch.manual_seed(0)
    config = replace(CONFIG, max_epochs=2, batch_size=50, lr=0.006)
    trainer = Trainer(LeNet5(), config, callbacks=[recorder])
    trainer.fit(digits.train, digits.val)
    return {"losses": recorder.losses, "rows": trainer.history.rows}


def evaluate_all() -> dict[str, Any]:
    digits = load_data("digits")
    torch.manual_seed(1)
    trainer = Trainer(LeNet5(), CONFIG)
    data: dict[str, Any] = {
        "images": digits.train,
        "loader": TensorLoader(digits.train, batch_size=7),
        "dataset": TensorDataset(digits.preprocess(digits.train.images), digits.train.targets),
        "single image": digits.train.select(slice(1)),
        "DataLoader": DataLoader(digits.test, batch_size=100),
    }
    return {name: trainer.evaluate(source).to_dict() for name, source in data.items()}


def interrupted(folder: Path) -> dict[str, Any]:
    """Press Ctrl-C in the last process only."""
    last_rank = int(os.environ.get("WORLD_SIZE", "1")) - 1
    recorder = StepRecorder(step=7, rank=last_rank, action=lambda: signal.raise_signal(signal.SIGINT))
    trainer = Trainer(make_model(), replace(CONFIG, checkpoint_dir=folder / "checkpoints"), callbacks=[recorder])
    history = trainer.fit(make_images())
    return {"interrupted": history.interrupted, "steps": len(recorder.losses)}


def resumed(folder: Path) -> dict[str, Any]:
    """Resume the run of `interrupted`, with callbacks that write."""
    warnings.simplefilter("error")
    config = replace(CONFIG, checkpoint_dir=folder / "checkpoints")
    trainer = Trainer(make_model(), config, callbacks=[ProgressBar(), CSVLogger(folder / "log.csv")])
    rows = trainer.fit(make_images(), resume="auto").rows
    trainer.save(folder / "saved")
    return {"rows": rows}


def unstopped(_folder: Path) -> dict[str, Any]:
    """Train like `interrupted` and `resumed`, without an interrupt."""
    return {"rows": Trainer(make_model(), CONFIG).fit(make_images()).rows}


def rejected(folder: Path) -> dict[str, Any]:
    """Collect the errors that every rank must raise, and count the steps with a DistributedSampler."""
    (folder / "checkpoints" / "step-00000001").mkdir(parents=True, exist_ok=True)
    errors = []
    attempts: list[Callable[[], Any]] = [
        lambda: Trainer(make_model(), replace(CONFIG, checkpoint_dir=folder / "checkpoints")).fit(make_examples()),
        lambda: Trainer(make_model(), CONFIG).fit(make_examples(), resume=folder / "nowhere"),
        lambda: Trainer(make_model(), CONFIG).fit(DataLoader(make_examples(), batch_size=8)),
        lambda: Trainer(make_model().float(), CONFIG).evaluate(sharded_loader()),
        lambda: find_lr(Trainer(make_model(), CONFIG), make_examples()),
    ]
    for attempt in attempts:
        try:
            attempt()
        except (ValueError, FileNotFoundError) as error:
            errors.append(str(error))
    num_steps = []
    for config in (CONFIG, replace(CONFIG, overfit_batches=3)):
        recorder = StepRecorder()
        trainer = Trainer(make_model().float(), replace(config, max_epochs=1), callbacks=[recorder])
        trainer.fit(sharded_loader())
        num_steps.append(len(recorder.losses))
    return {"errors": errors, "steps": num_steps}


def sharded_loader() -> DataLoader[Any]:
    examples = make_examples(32)
    return DataLoader(examples, batch_size=4, sampler=DistributedSampler(examples, seed=4))


def uninterrupted(folder: Path, action: Callable[[], None] | None = None) -> dict[str, Any]:
    """Train with dropout and everything that has a state."""
    config = replace(
        CONFIG, checkpoint_dir=folder / "checkpoints", checkpoint_steps=2, ema_decay=0.9, precision="bfloat16"
    )
    recorder = StepRecorder(step=8, action=action)
    trainer = Trainer(make_model(dropout=0.3).float(), config, callbacks=[recorder])
    images = make_images(dtype=torch.float32)
    loader = TensorLoader(images, batch_size=8, shuffle=True, augment=Augment(), seed=2)
    rows = trainer.fit(loader, images.select(slice(12))).rows
    return {"rows": rows, "weights": weights(trainer.model), "steps": len(recorder.losses)}


def killed(folder: Path) -> dict[str, Any]:
    """Train like `uninterrupted`, but kill one process at its first attempt."""

    def kill() -> None:
        if not was_restarted():
            os.kill(os.getpid(), signal.SIGKILL)

    return uninterrupted(folder, kill)


JOBS = (compare, interrupted, resumed, unstopped, rejected, uninterrupted, killed)

if __name__ == "__main__":
    _, name, directory = sys.argv
    torch.set_num_threads(1)
    jobs: dict[str, Callable[[Path], dict[str, Any]]] = {job.__name__: job for job in JOBS}
    result = jobs[name](Path(directory))
    Path(directory, f"{name}-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(result), encoding="utf-8")
