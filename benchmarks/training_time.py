"""What Trainer.fit costs over the same loop written by hand.

    python benchmarks/trainer_cost.py [--rounds 41] [--steps 100] [--batch-size 64]

Both train the same network on the same batches of random images with AdamW, one cycle and cross-entropy, on the CPU,
and end with the same weights. A round times the one and then the other, each first in turn. On a busy machine a round's
ratio scatters widely, so the cost is measured a second time with a network of one layer, whose steps are so short that
what the Trainer adds to them shows in microseconds; that, over a step of LeNet-5, is the second figure.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from lenet5 import ImageDataset, LeNet5, Preprocess, TensorLoader, Trainer, TrainerConfig

MakeModel = Callable[[], nn.Module]


def by_hand(model: nn.Module, loader: TensorLoader, config: TrainerConfig) -> None:
    """Train as anyone would write it."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=config.max_epochs * len(loader))
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(config.max_epochs):
        for images, targets in loader.batches(epoch):
            optimizer.zero_grad()
            loss_fn(model(images), targets).backward()
            optimizer.step()
            schedule.step()


def by_trainer(model: nn.Module, loader: TensorLoader, config: TrainerConfig) -> None:
    """Train by the Trainer."""
    Trainer(model, config).fit(loader)


def compare(make_model: MakeModel, loader: TensorLoader, rounds: int) -> tuple[list[float], list[float]]:
    """Return the seconds a step of each round, by hand and by the Trainer."""
    config = TrainerConfig(max_epochs=1, batch_size=loader.batch_size, device="cpu")
    seconds: dict[Callable[..., None], list[float]] = {by_hand: [], by_trainer: []}
    for number in range(rounds + 1):
        models = []
        for train in (by_hand, by_trainer) if number % 2 else (by_trainer, by_hand):
            torch.manual_seed(0)
            models.append(make_model())
            begin = time.perf_counter()
            train(models[-1], loader, config)
            seconds[train].append((time.perf_counter() - begin) / len(loader))
        pairs = zip(*(model.parameters() for model in models), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs), "the weights differ"
    return seconds[by_hand][1:], seconds[by_trainer][1:]  # the first round warms up


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=64)
    arguments = parser.parse_args()
    pixels = torch.randint(0, 256, (arguments.steps * arguments.batch_size, 1, 28, 28), dtype=torch.uint8)
    data = ImageDataset(pixels, torch.arange(len(pixels)) % 10, classes="0123456789", transform=Preprocess())
    loader = TensorLoader(data, batch_size=arguments.batch_size, shuffle=True)

    hand, trainer = compare(LeNet5, loader, arguments.rounds)
    ratios = sorted(one / other for one, other in zip(trainer, hand, strict=True))
    low, middle, high = statistics.quantiles(ratios, n=4)
    step = statistics.median(hand)
    print(f"LeNet-5: {1e3 * step:.2f} ms a step by hand, {1e3 * statistics.median(trainer):.2f} ms by the Trainer")
    print(f"ratio, round by round: median {middle:.3f}, quartiles {low:.3f} and {high:.3f}")

    hand, trainer = compare(lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), loader, arguments.rounds)
    extra = statistics.median(one - other for one, other in zip(trainer, hand, strict=True))
    print(f"one layer: {1e6 * statistics.median(hand):.0f} µs a step by hand, the Trainer adds {1e6 * extra:.0f} µs,")
    print(f"which is {extra / step:.2%} of a step of LeNet-5")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")


if __name__ == "__main__":
    main()
