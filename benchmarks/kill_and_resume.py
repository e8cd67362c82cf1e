"""Kill training runs with SIGKILL at random moments, resume each to its end, and compare with an undisturbed run.

    python benchmarks/kill_and_resume.py [--runs 100]

A checkpoint is written after every step, so most kills interrupt the writing of one. Each run is killed at least once,
and again until it reaches its end. Its weights and its history must then be byte-identical to the undisturbed run.
Everything that has state is on: augmentation, dropout, batch normalisation, gradient accumulation, float16 with loss
scaling, an exponential moving average of the weights, a schedule with warm-up, and early stopping.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import tempfile
import time
import warnings
from pathlib import Path

import torch
from torch import nn

from lenet5 import Augment, ImageDataset, TensorLoader, Trainer, TrainerConfig


def train(folder: Path) -> None:
    """Train to the end, from the newest checkpoint if there is one."""
    pixels = torch.randint(0, 256, (300, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    data = ImageDataset(pixels, torch.arange(300) % 3, classes="abc", transform=lambda images: images.float() / 255)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.Dropout(0.3), nn.Linear(32, 3))
    config = TrainerConfig(
        max_epochs=3,
        schedule="cosine",
        warmup=0.1,
        label_smoothing=0.1,
        accumulate_steps=2,
        max_grad_norm=1.0,
        ema_decay=0.95,
        patience=2,
        precision="float16",
        device="cpu",
        checkpoint_dir=folder / "checkpoints",
        checkpoint_steps=1,
    )
    trainer = Trainer(model, config)
    trainer.fit(TensorLoader(data, batch_size=16, shuffle=True, augment=Augment()), data, resume="auto")
    trainer.save(folder / "final")


def start(folder: Path) -> int:
    """Train in a child process; return its process ID."""
    child = os.fork()
    if child == 0:
        warnings.simplefilter("error")  # a damaged checkpoint would be skipped with a warning
        try:
            train(folder)
        except BaseException as error:  # noqa: BLE001 (the child must never continue as the parent)
            print(f"{type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)
    return child


def outcome(folder: Path) -> tuple[str, str]:
    """Return the hash of the final weights, and the history."""
    state = dict(json.loads((folder / "final" / "state.json").read_text(encoding="utf-8"))["state"]["dict"])
    weights = (folder / "final" / "model.safetensors").read_bytes()
    return hashlib.sha256(weights).hexdigest(), json.dumps(state["rows"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # threads do not survive a fork
    moments = random.Random(arguments.seed)  # noqa: S311 (no secret)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        train(root / "warm-up")  # loads everything, so that a child starts immediately
        begin = time.perf_counter()
        train(root / "undisturbed")
        duration = time.perf_counter() - begin
        expected = outcome(root / "undisturbed")
        kills = during_write = equal = 0
        for number in range(arguments.runs):
            folder, killed = root / f"run-{number}", False
            while True:
                temporary_files = set(folder.rglob(".*"))
                child = start(folder)
                time.sleep(moments.uniform(0, 0.6 * duration))
                os.kill(child, signal.SIGKILL)
                code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                if code == 0 and killed:
                    break
                if code == 0:  # the run ended before the kill: repeat it
                    shutil.rmtree(folder)
                    continue
                assert code == -signal.SIGKILL, "training failed"
                killed = True
                kills += 1
                during_write += not temporary_files >= set(folder.rglob(".*"))
            equal += outcome(folder) == expected
            shutil.rmtree(folder)
    print(f"{kills} kills, {during_write} of them during a write, in {arguments.runs} runs of {duration:.2f} s")
    print(f"{equal} of {arguments.runs} runs ended byte-identical to the undisturbed run")
    print(f"torch {torch.__version__}")


if __name__ == "__main__":
    main()
