"""The command `benchmark`: this package beside plain PyTorch, on this machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from .group import device_option, echo, main

if TYPE_CHECKING:
    import torch

NUM_IMAGES = 4096
SECONDS = 0.2  # minimum duration of a measurement
SIZE = 2048  # side of the square matrices
EXPLANATION = f"""
All numbers are medians over the rounds. The ratio is the speed of lenet5 relative to PyTorch.
Matrix-product rate: FLOP/s of a {SIZE}x{SIZE} product. lenet5 can exceed 100 %: it skips gradients that are zero."""

Task: TypeAlias = tuple[str, int, int, Callable[[], Any], Callable[[], Any]]
"""Title, number of images, cost in forward passes, and one function each for lenet5 and for plain PyTorch."""
_HELP = """Compare the speed of LeNet5 with plain PyTorch on this machine.

Plain PyTorch is the same layers in an nn.Sequential, trained with AdamW and a one-cycle learning rate, with all
images in one tensor on the device. The comparison takes less than a minute.
"""


@main.command(help=_HELP)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Measurements of each speed.")
@device_option
def benchmark(rounds: int, device: str) -> None:
    """Run the command `benchmark`; see its help."""
    import torch
    from torch.utils.benchmark import Timer

    import lenet5
    from lenet5.runtime.device import resolve_device

    place, threads = resolve_device(device), torch.get_num_threads()
    matrix, (flops, tasks) = torch.ones(SIZE, SIZE, device=place), _tasks(place)
    calls = [partial(torch.mm, matrix, matrix), *(call for *_, ours, plain in tasks for call in (ours, plain))]
    timers = [Timer("call()", globals={"call": call}, num_threads=threads) for call in calls]
    seconds: dict[Timer, list[float]] = {timer: [] for timer in timers}
    for number in range(rounds):
        for timer in timers if number % 2 == 0 else reversed(timers):
            seconds[timer].append(timer.blocked_autorange(min_run_time=SECONDS).median)

    product, *times = seconds.values()
    echo(f"lenet5 {lenet5.__version__}, torch {torch.__version__}, {place}, threads: {threads}, rounds: {rounds}\n")
    echo(f"{'':22}{'lenet5':>9}{'PyTorch':>10}{'ratio':>17}  of the float32 matrix-product rate")
    for (title, count, passes, *_), ours, plain in zip(tasks, times[::2], times[1::2], strict=True):
        unit = "µs" if count == 1 else "images/s"
        speeds = [1e6 * median(values) if count == 1 else count / median(values) for values in (ours, plain)]
        ratio = median(p / o for o, p in zip(ours, plain, strict=True))
        fraction = median(flops * passes * count / o * m / (2 * SIZE**3) for o, m in zip(ours, product, strict=True))
        echo(f"{title:22}{speeds[0]:9,.0f}{speeds[1]:10,.0f} {unit:9}{ratio:7.2f}  {fraction:.0%}")
    echo(EXPLANATION)


def _tasks(place: torch.device) -> tuple[int, list[Task]]:
    """Return the FLOPs of a forward pass on one image, and the tasks to measure."""
    import torch
    from torch import nn
    from torch.utils.flop_counter import FlopCounterMode

    import lenet5

    pixels, targets = torch.randint(256, (NUM_IMAGES, 1, 28, 28), dtype=torch.uint8), torch.arange(NUM_IMAGES) % 10
    data = lenet5.ImageDataset(pixels, targets, classes="0123456789", transform=lenet5.Preprocess())
    images, targets = lenet5.Preprocess()(pixels).to(place), targets.to(place)
    convolutions = [nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU()]
    head = [nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)]
    plain = nn.Sequential(*convolutions, nn.MaxPool2d(2), nn.Flatten(), *head).to(place)
    ours = lenet5.LeNet5().to(place)
    with FlopCounterMode(display=False) as counter:
        plain(images[:1])

    def fit(size: int) -> None:
        loader = lenet5.TensorLoader(data, batch_size=size, shuffle=True, device=place)
        lenet5.Trainer(ours, lenet5.TrainerConfig(max_epochs=1, device=str(place), progress=False)).fit(loader)

    def train(size: int) -> None:
        config, order = lenet5.TrainerConfig(), torch.randperm(NUM_IMAGES, device=place)
        optimizer = torch.optim.AdamW(plain.parameters(), config.lr, weight_decay=config.weight_decay, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=-(-NUM_IMAGES // size))
        for index in torch.split(order, size):
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(plain(images[index]), targets[index]))
            optimizer.step()
            schedule.step()

    @torch.inference_mode()
    def predict(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([model(batch).argmax(1) for batch in torch.split(images, 256)]).cpu()

    image = images[:1]
    return counter.get_total_flops(), [
        ("training, batch 64", NUM_IMAGES, 3, partial(fit, 64), partial(train, 64)),
        ("training, batch 256", NUM_IMAGES, 3, partial(fit, 256), partial(train, 256)),
        ("prediction in batches", NUM_IMAGES, 1, lambda: lenet5.predict(ours, images), partial(predict, plain, images)),
        ("prediction, one image", 1, 1, partial(predict, ours, image), partial(predict, plain, image)),
    ]
