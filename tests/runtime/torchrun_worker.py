"""What the processes of test_distributed.py do; each writes what it found to FOLDER/RANK.json.

torchrun --standalone --nproc-per-node 2 tests/torchrun_worker.py JOB FOLDER
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
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, DistributedSampler, TensorDataset

import lenet5
from lenet5 import Augment, Callback, CSVLogger, ImageDataset, LeNet5, ProgressBar, TensorLoader, Trainer, TrainerConfig
from lenet5.runtime.distributed import was_restarted

CONFIG = TrainerConfig(max_epochs=3, batch_size=8, device="cpu", lr=0.02)
Job = Callable[[Path], dict[str, Any]]


class Steps(Callback):
    """Keeps each step's loss over all processes, and does something in one process at one step."""

    def __init__(self, at: int = 0, rank: int = 1, do: Callable[[], None] | None = None) -> None:
        self.losses: list[float] = []
        self.before = 0.0
        self.at, self.rank, self.do = at, rank, do

    def on_step_end(self, trainer: Trainer) -> None:
        state = trainer.state
        assert state is not None
        total = trainer.processes.all_sum(state.loss_sum)
        self.losses.append(total - (self.before if state.step > 1 else 0))
        self.before = total
        if self.do and trainer.processes.rank == self.rank and len(self.losses) == self.at:
            self.do()


def images(count: int = 33) -> ImageDataset:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 1, 6, 6), generator=generator, dtype=torch.uint8)
    return ImageDataset(pixels, torch.arange(count) % 3, classes="abc", transform=lambda batch: batch.float() / 255)


def pairs(count: int = 33) -> Dataset[Any]:
    data = images(count)
    return TensorDataset(data.images.float() / 255, data.targets)


def small(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(5 + int(os.environ.get("RANK", "0")))  # all begin with the first process's weights
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3)).double()


def doubled(data: ImageDataset) -> ImageDataset:
    return ImageDataset(data.images, data.targets, classes=data.classes, transform=lambda batch: batch.double() / 255)


def weights(model: nn.Module) -> list[float]:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).tolist()


def train(data: Any, config: TrainerConfig = CONFIG) -> dict[str, Any]:
    steps = Steps()
    trainer = Trainer(small(), config, callbacks=[steps])
    rows = trainer.fit(data, doubled(images(12))).rows
    return {"losses": steps.losses, "rows": rows, "weights": weights(trainer.model)}


class Doubles(Dataset[tuple[Tensor, Tensor]]):
    """A dataset of single examples."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    def __len__(self) -> int:
        return 33

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.taken.append(index)
        return images().images[index].double() / 255, images().targets[index]


def compare(_folder: Path) -> dict[str, Any]:
    """Train and evaluate in every way; one process and two must find the same."""
    found: dict[str, Any] = {}
    found["images"] = train(doubled(images()))
    found["augmented"] = train(
        TensorLoader(doubled(images()), batch_size=8, shuffle=True, augment=Augment(), seed=2), replace(CONFIG, seed=3)
    )
    dataset = Doubles()
    found["dataset"] = train(dataset)
    found["taken"] = dataset.taken
    found["accumulated"] = train(doubled(images()), replace(CONFIG, accumulate_steps=2, max_grad_norm=0.05))
    model = nn.Sequential(small(), nn.BatchNorm1d(3)).double()
    trainer = Trainer(model, replace(CONFIG, ema_decay=0.5, restore_best=False))
    rows = trainer.fit(doubled(images(32)), doubled(images(12))).rows
    loss = Trainer(model, CONFIG).evaluate(doubled(images(12))).loss
    found["batch statistics"] = {"buffers": [buffer.tolist() for buffer in model.buffers()], "rows": rows, "loss": loss}
    found["averaged"] = train(doubled(images()), replace(CONFIG, ema_decay=0.5))

    digits, steps = lenet5.load_data("digits"), Steps()
    torch.manual_seed(0)
    trainer = Trainer(LeNet5(), replace(CONFIG, max_epochs=2, batch_size=50, lr=0.006), callbacks=[steps])
    trainer.fit(digits.train, digits.val)
    found["lenet5"] = {"losses": steps.losses, "rows": trainer.history.rows}

    torch.manual_seed(1)
    trainer = Trainer(LeNet5(), CONFIG)
    sets: dict[str, Any] = {
        "images": digits.train,
        "loader": TensorLoader(digits.train, batch_size=7),
        "dataset": TensorDataset(digits.preprocess(digits.train.images), digits.train.targets),
        "few": digits.train.select(slice(1)),
        "foreign": DataLoader(digits.test, batch_size=100),
    }
    found["evaluation"] = {name: trainer.evaluate(data).to_dict() for name, data in sets.items()}
    return found


def interrupted(folder: Path) -> dict[str, Any]:
    """Let one process hear Ctrl-C; then resume in as many as there are."""
    config = replace(CONFIG, checkpoint_dir=folder / "checkpoints")
    steps = Steps(at=7, rank=int(os.environ.get("WORLD_SIZE", "1")) - 1, do=lambda: signal.raise_signal(signal.SIGINT))
    trainer = Trainer(small(), config, callbacks=[steps])
    history = trainer.fit(doubled(images()))
    return {"interrupted": history.interrupted, "steps": len(steps.losses)}


def resumed(folder: Path) -> dict[str, Any]:
    """Continue what `interrupted` left, with the callbacks that write."""
    warnings.simplefilter("error")
    config = replace(CONFIG, checkpoint_dir=folder / "checkpoints")
    trainer = Trainer(small(), config, callbacks=[ProgressBar(), CSVLogger(folder / "log.csv")])
    rows = trainer.fit(doubled(images()), resume="auto").rows
    trainer.save(folder / "saved")
    return {"rows": rows, "weights": weights(trainer.model)}


def refused(folder: Path) -> dict[str, Any]:
    """Collect the errors that every process must raise."""
    (folder / "checkpoints" / "step-00000001").mkdir(parents=True, exist_ok=True)
    errors = []
    attempts: list[Callable[[], Any]] = [
        lambda: Trainer(small(), replace(CONFIG, checkpoint_dir=folder / "checkpoints")).fit(pairs()),
        lambda: Trainer(small(), CONFIG).fit(pairs(), resume=folder / "nowhere"),
        lambda: Trainer(small(), CONFIG).fit(DataLoader(pairs(), batch_size=8)),
        lambda: Trainer(small().float(), CONFIG).evaluate(sampled()),
    ]
    for attempt in attempts:
        try:
            attempt()
        except (ValueError, FileNotFoundError) as error:
            errors.append(str(error))
    counts = []
    for config in (CONFIG, replace(CONFIG, overfit_batches=3)):
        steps = Steps()
        Trainer(small().float(), replace(config, max_epochs=1), callbacks=[steps]).fit(sampled())
        counts.append(len(steps.losses))
    return {"errors": errors, "steps": counts}


def sampled() -> DataLoader[Any]:
    return DataLoader(pairs(32), batch_size=4, sampler=DistributedSampler(pairs(32), seed=4))


def killed(folder: Path) -> dict[str, Any]:
    """Train with dropout and all that has a state; one process dies by SIGKILL the first time."""

    def die() -> None:
        if not was_restarted():
            os.kill(os.getpid(), signal.SIGKILL)

    return whole(folder, die)


def whole(folder: Path, do: Callable[[], None] | None = None) -> dict[str, Any]:
    """The same, and nobody dies."""
    config = replace(
        CONFIG, checkpoint_dir=folder / "checkpoints", checkpoint_steps=2, ema_decay=0.9, precision="bfloat16"
    )
    steps = Steps(at=8, do=do)
    trainer = Trainer(small(dropout=0.3).float(), config, callbacks=[steps])
    loader = TensorLoader(images(), batch_size=8, shuffle=True, augment=Augment(), seed=2)
    rows = trainer.fit(loader, images(12)).rows
    return {"rows": rows, "weights": weights(trainer.model), "steps": len(steps.losses)}


JOBS: dict[str, Job] = {job.__name__: job for job in (compare, interrupted, resumed, refused, killed, whole)}

if __name__ == "__main__":
    _, name, folder = sys.argv
    torch.set_num_threads(1)
    found = JOBS[name](Path(folder))
    Path(folder, f"{name}-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(found))
