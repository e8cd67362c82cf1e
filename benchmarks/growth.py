"""How the cost of a training grows with images and epochs, and whether its memory does.

    python benchmarks/growth.py

Each training runs in a process of its own, on random images of 28x28, with one checkpoint an epoch, after a short one
that lets torch load what it loads once. The seconds are those of `Trainer.fit`, the least of three; memory is the
highest that the process had resident, in MiB.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time

import torch

from lenet5 import ImageDataset, LeNet5, Preprocess, Trainer, TrainerConfig

CASES = [(5_000, 4), (10_000, 4), (20_000, 4), (40_000, 4), (10_000, 2), (10_000, 8), (10_000, 16), (10_000, 32)]


def train(images: int, epochs: int) -> None:
    """Train once, and print seconds and mebibytes as JSON."""
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (images, 1, 28, 28), dtype=torch.uint8)
    data = ImageDataset(pixels, torch.arange(images) % 10, classes="0123456789", transform=Preprocess())
    with tempfile.TemporaryDirectory() as folder:
        config = TrainerConfig(max_epochs=epochs, batch_size=256, device="cpu", checkpoint_dir=folder)
        Trainer(LeNet5(), TrainerConfig(max_epochs=1, device="cpu")).fit(
            data.select(slice(500)), data.select(slice(500))
        )
        begin = time.perf_counter()
        Trainer(LeNet5(), config).fit(data, data.select(slice(500)))
        seconds = time.perf_counter() - begin
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--case", type=int, nargs=2, help="Train once with so many images and epochs.")
    arguments = parser.parse_args()
    if arguments.case:
        train(*arguments.case)
        return
    print("images  epochs  seconds  ms per 1,000 images and epoch  MiB")
    for images, epochs in CASES:
        command = [sys.executable, __file__, "--case", str(images), str(epochs)]
        found = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(3)]
        seconds, memory = min(row[0] for row in found), max(row[1] for row in found)
        print(f"{images:6}  {epochs:6}  {seconds:7.2f}  {1e6 * seconds / images / epochs:29.1f}  {memory:4.0f}")


if __name__ == "__main__":
    main()
