"""Train in a process that test_resume.py can kill.

Usage: python resume_worker.py FOLDER

Resumes from the latest checkpoint in FOLDER/checkpoints, or starts afresh. Prints the global step at the start and
after each step, and saves the Trainer to FOLDER/saved at the end.
"""

import sys
from pathlib import Path

import torch
from torch import Generator, nn

from lenet5 import Augment, Callback, ImageDataset, TensorLoader, Trainer, TrainerConfig, TrainingState


class StepPrinter(Callback):
    def on_fit_start(self, state: TrainingState) -> None:
        print(state.global_step, flush=True)

    on_step_end = on_fit_start


def train(folder: Path) -> None:
    torch.manual_seed(5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3))
    pixels = torch.randint(0, 256, (30, 1, 6, 6), generator=Generator().manual_seed(0), dtype=torch.uint8)
    images = ImageDataset(pixels, torch.arange(30) % 3, classes="abc", transform=lambda batch: batch.float() / 255)
    config = TrainerConfig(
        max_epochs=3, batch_size=8, device="cpu", checkpoint_dir=folder / "checkpoints", checkpoint_steps=1
    )
    trainer = Trainer(model, config, callbacks=[StepPrinter()])
    loader = TensorLoader(images, batch_size=8, shuffle=True, augment=Augment(), seed=2)
    trainer.fit(loader, images.select(slice(12)), resume="auto")
    trainer.save(folder / "saved")


if __name__ == "__main__":
    train(Path(sys.argv[1]))
