"""Images a second, in training and inference, of this package and of its peers, side by side in one run.

    python benchmarks/throughput.py [--rounds 15] [--results FILE.csv]

Every candidate trains the same network of 61,706 parameters with AdamW, or labels images with it, on the same random
images of 28x28, on the CPU. A round measures each candidate once, in turn; the medians and quartiles are over the
rounds, and the ratios to PyTorch in memory are taken round by round. What is not installed is named as absent.
"""

import argparse
import importlib.metadata
import importlib.util
import io
import os
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader

from lenet5 import ImageDataset, LeNet5, Preprocess, TensorLoader, Trainer, TrainerConfig
from lenet5.models import fused

COUNT = 8192
Candidate = Callable[[], None]


def usual() -> nn.Sequential:
    """Return the network as everybody writes it."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, targets: torch.Tensor) -> None:
    """Take a step as everybody writes it."""
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(images), targets).backward()
    optimizer.step()


def candidates(pixels: torch.Tensor, targets: torch.Tensor) -> dict[str, dict[str, tuple[int, Candidate]]]:
    """Return what is measured, training and inference apart: how many images a call takes, and the call."""
    data = ImageDataset(pixels, targets, classes="0123456789", transform=Preprocess())
    images = Preprocess()(pixels)
    found: dict[str, dict[str, tuple[int, Candidate]]] = {"training": {}, "inference": {}, "one image": {}}

    for size in (64, 256):
        trainer = Trainer(LeNet5(), TrainerConfig(max_epochs=1, batch_size=size, device="cpu", lr=1e-4))
        loader = TensorLoader(data, batch_size=size, shuffle=True)
        found["training"][f"lenet5, Trainer.fit, batch {size}"] = (COUNT, lambda t=trainer, d=loader: t.fit(d))
        model = usual()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

        def in_memory(model: nn.Module = model, optimizer: Any = optimizer, size: int = size) -> None:
            order = torch.randperm(COUNT)
            for index in order.split(size):
                train_step(model, optimizer, images[index], targets[index])

        found["training"][f"PyTorch in memory, batch {size}"] = (COUNT, in_memory)

    few = 1024
    recipe = usual()
    recipe_optimizer = torch.optim.AdamW(recipe.parameters(), lr=1e-4)
    singles = DataLoader(_Pictures(pixels[:few], targets[:few]), batch_size=64, shuffle=True)

    def recipe_epoch() -> None:
        for batch in singles:
            train_step(recipe, recipe_optimizer, *batch)

    found["training"]["PyTorch, torchvision transforms and DataLoader, batch 64"] = (few, recipe_epoch)

    trainer = Trainer(LeNet5(), TrainerConfig(device="cpu"))
    plain = usual().eval()
    batches, one = images.split(256), images[:1].split(1)
    found["inference"]["lenet5, Trainer.predict"] = (COUNT, lambda: trainer.predict(images))
    found["inference"]["PyTorch in memory, batch 256"] = (COUNT, lambda: _infer(plain, batches))
    single = LeNet5().eval()
    found["one image"]["lenet5"] = (1, lambda: _infer(single, one))
    found["one image"]["PyTorch"] = (1, lambda: _infer(plain, one))
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
        run = _onnx_runtime(plain)
        arrays, array = [batch.numpy() for batch in batches], images[:1].numpy()
        found["inference"]["ONNX Runtime, batch 256"] = (COUNT, lambda: [run(batch) for batch in arrays] and None)
        found["one image"]["ONNX Runtime"] = (1, lambda: run(array))
    if importlib.util.find_spec("jax") and importlib.util.find_spec("optax"):
        step, label = _jax()
        parts = [(i.numpy(), t.numpy()) for i, t in zip(images.split(256), targets.split(256), strict=True)]
        found["training"]["JAX, jitted, batch 256"] = (COUNT // 4, lambda: step(parts[: len(parts) // 4]))
        found["inference"]["JAX, jitted, batch 256"] = (COUNT, lambda: label(parts))
    return found


class _Pictures(torch.utils.data.Dataset[Any]):
    """Pictures one by one through torchvision's transforms, as datasets.MNIST gives them."""

    def __init__(self, pixels: torch.Tensor, targets: torch.Tensor) -> None:
        from torchvision.transforms import Compose, Normalize, ToTensor

        self.pixels, self.targets = pixels[:, 0].numpy(), targets
        self.transform = Compose([ToTensor(), Normalize((0.1307,), (0.3081,))])

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        import PIL.Image

        return self.transform(PIL.Image.fromarray(self.pixels[index])), int(self.targets[index])


def _infer(model: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    with torch.inference_mode():
        for batch in batches:
            model(batch)


def _onnx_runtime(model: nn.Module) -> Callable[[Any], Any]:
    """Return the network as a session of ONNX Runtime with the threads of torch."""
    import onnxruntime

    buffer = io.BytesIO()
    torch.onnx.export(
        model,
        (torch.zeros(1, 1, 28, 28),),
        buffer,
        input_names=["images"],
        dynamic_axes={"images": {0: "n"}},
        dynamo=False,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(buffer.getvalue(), options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})


def _jax() -> tuple[Callable[[Any], None], Callable[[Any], None]]:
    """Return the network in JAX: an epoch of AdamW, and an epoch of labelling."""
    import jax
    import jax.numpy as jnp
    import optax

    shapes = [(6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (400, 120), (120,), (120, 84), (84,), (84, 10), (10,)]
    rng = np.random.default_rng(0)
    parameters = [jnp.asarray(0.1 * rng.standard_normal(shape), jnp.float32) for shape in shapes]

    def pool(x: Any) -> Any:
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    def conv(x: Any, w: Any, b: Any, padding: str) -> Any:
        layout = ("NCHW", "OIHW", "NCHW")
        return jax.nn.relu(
            jax.lax.conv_general_dilated(x, w, (1, 1), padding, dimension_numbers=layout) + b[:, None, None]
        )

    def network(p: Any, x: Any) -> Any:
        x = pool(conv(x, p[0], p[1], "SAME"))
        x = pool(conv(x, p[2], p[3], "VALID")).reshape(len(x), -1)
        return jax.nn.relu(jax.nn.relu(x @ p[4] + p[5]) @ p[6] + p[7]) @ p[8] + p[9]

    optimizer = optax.adamw(1e-4)
    state = [parameters, optimizer.init(parameters)]

    @jax.jit
    def update(p: Any, s: Any, x: Any, y: Any) -> Any:
        def loss(p: Any) -> Any:
            return optax.softmax_cross_entropy_with_integer_labels(network(p, x), y).mean()

        changes, s = optimizer.update(jax.grad(loss)(p), s, p)
        return optax.apply_updates(p, changes), s

    forward = jax.jit(network)

    def train(parts: Any) -> None:
        for x, y in parts:
            state[:] = update(*state, x, y)
        jax.block_until_ready(state)

    def label(parts: Any) -> None:
        jax.block_until_ready([forward(parameters, x) for x, _ in parts])

    return train, label


def measure(calls: dict[str, tuple[int, Candidate]], rounds: int) -> dict[str, list[float]]:
    """Return images a second of each candidate in each round."""
    repeats = 1 if all(count > 1 for count, _ in calls.values()) else 300
    for _, call in calls.values():
        call()
    rates: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds):
        order = list(calls.items())
        for name, (count, call) in order if number % 2 else reversed(order):
            begin = time.perf_counter()
            for _ in range(repeats):
                call()
            rates[name].append(count * repeats / (time.perf_counter() - begin))
    return rates


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (COUNT, 1, 28, 28), dtype=torch.uint8)
    targets = torch.randint(0, 10, (COUNT,))
    state = "on" if fused.library() else "off"
    print(
        f"{torch.get_num_threads()} threads of {os.cpu_count()}, torch {torch.__version__}, fused convolutions {state}"
    )
    rows = []
    for kind, calls in candidates(pixels, targets).items():
        rates = measure(calls, arguments.rounds)
        base = next(name for name in rates if name.startswith("PyTorch") and "DataLoader" not in name)
        base = "PyTorch in memory, batch 256" if kind == "training" else base
        for name, found in rates.items():
            low, middle, high = statistics.quantiles(found, n=4)
            ratio = statistics.median(one / other for one, other in zip(found, rates[base], strict=True))
            rows.append([kind, name, round(middle), round(low), round(high), round(ratio, 2)])
    columns = ["kind", "candidate", "images/s", "lower quartile", "upper quartile", "times PyTorch"]
    table = pd.DataFrame(rows, columns=columns)
    print(table.to_string(index=False))
    versions = []
    for name in ("onnxruntime", "jax", "keras"):
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} absent")
    print(", ".join(versions))
    if arguments.results:
        table.to_csv(arguments.results, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
