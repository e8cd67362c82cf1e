"""What Trainer.fit costs over the same loop written by hand: the ratio of their times, round by round.

    python benchmarks/trainer_cost.py [--rounds 9] [--batch-size 64]

Both train the same network on the same batches of random images with AdamW, one cycle and cross-entropy, on the CPU;
a round times one and then the other, each first in turn.
"""

import argparse
import statistics
import time

import torch
from torch import nn

from lenet5 import ImageDataset, LeNet5, Preprocess, TensorLoader, Trainer, TrainerConfig


def by_hand(loader: TensorLoader, config: TrainerConfig) -> nn.Module:
    """Train as anyone would write it."""
    model = LeNet5().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=config.max_epochs * len(loader))
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(config.max_epochs):
        for images, targets in loader.batches(epoch):
            optimizer.zero_grad()
            loss_fn(model(images), targets).backward()
            optimizer.step()
            schedule.step()
    return model


def by_trainer(loader: TensorLoader, config: TrainerConfig) -> nn.Module:
    """Train by the Trainer."""
    trainer = Trainer(LeNet5(), config)
    trainer.fit(loader)
    return trainer.model


def timed(train: object, loader: TensorLoader, config: TrainerConfig) -> tuple[float, nn.Module]:
    """Return the seconds that a training takes, and the model."""
    torch.manual_seed(0)
    begin = time.perf_counter()
    model = train(loader, config)  # type: ignore[operator]
    return time.perf_counter() - begin, model


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--images", type=int, default=20_000)
    arguments = parser.parse_args()
    pixels = torch.randint(0, 256, (arguments.images, 1, 28, 28), dtype=torch.uint8)
    data = ImageDataset(pixels, torch.arange(len(pixels)) % 10, classes="0123456789", transform=Preprocess())
    loader = TensorLoader(data, batch_size=arguments.batch_size, shuffle=True)
    config = TrainerConfig(max_epochs=1, batch_size=arguments.batch_size, device="cpu")
    ratios = []
    for round_number in range(-1, arguments.rounds):
        order = [by_hand, by_trainer] if round_number % 2 else [by_trainer, by_hand]
        results = {train: timed(train, loader, config) for train in order}
        (hand, model), (trainer, trained) = results[by_hand], results[by_trainer]
        same = all(torch.equal(a, b) for a, b in zip(model.parameters(), trained.parameters(), strict=True))
        if round_number >= 0:  # the first warms up
            ratios.append(trainer / hand)
            rate = arguments.images / hand
            print(f"by hand {hand:.3f} s ({rate:,.0f} images/s)  Trainer {trainer:.3f} s  ratio {ratios[-1]:.4f}"
                  f"  same weights: {same}")  # fmt: skip
    low, high = min(ratios), max(ratios)
    print(f"median ratio {statistics.median(ratios):.4f} ({low:.4f} to {high:.4f}), {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
