"""Time a step with one image: the network of 1998 in one call of C, and layer by layer.

python benchmarks/online_step.py
"""

import statistics
import time

import torch

import lenet5
from lenet5.models import online

STEPS, ROUNDS = 1500, 7


def trainer() -> lenet5.Trainer:
    """Return what trains one pass as the recipe "1998" does."""
    model = lenet5.LeNet5Original(init="lecun_uniform")
    config = lenet5.TrainerConfig(max_epochs=1, batch_size=1, device="cpu")
    return lenet5.Trainer(model, config, loss_fn=lenet5.MAPLoss(), optimizer=lenet5.SDLM)


def fit(train: lenet5.ImageDataset) -> float:
    """Return the microseconds that a step of a training takes."""
    loop = trainer()
    loop.callbacks.append(lenet5.SDLMSchedule(train, [1e-5], num_patterns=1))
    begin = time.perf_counter()
    loop.fit(train)
    return (time.perf_counter() - begin) / len(train) * 1e6


def call() -> float:
    """Return the microseconds that one call of C takes."""
    model = lenet5.LeNet5Original(init="lecun_uniform")
    gradients = model.fused_gradients(lenet5.MAPLoss())
    assert gradients is not None
    image, target = torch.rand(1, 1, 32, 32), torch.tensor([3])
    begin = time.perf_counter()
    for _ in range(STEPS):
        gradients(image, target)
        model.zero_grad()
    return (time.perf_counter() - begin) / STEPS * 1e6


def main() -> None:
    """Measure in turns, and print medians."""
    torch.set_num_threads(1)
    train = lenet5.load_data("digits").train
    train = train.concat(train).select(slice(STEPS))
    train.transform = lenet5.Preprocess.of_1998()
    found = online.library
    times: dict[str, list[float]] = {"one call": [], "a step with it": [], "a step layer by layer": []}
    for _ in range(ROUNDS):
        times["one call"].append(call())
        times["a step with it"].append(fit(train))
        online.library = lambda: None  # type: ignore[assignment]
        times["a step layer by layer"].append(fit(train))
        online.library = found
    for name, values in times.items():
        print(f"{name}: {statistics.median(values):.0f} µs ({min(values):.0f} to {max(values):.0f})")


if __name__ == "__main__":
    main()
