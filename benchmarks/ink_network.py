"""Train the network of `load_digit` that marks the ink of digits, on pages drawn by benchmarks/pages.py.

    python benchmarks/ink_network.py draw --root DIR --pages PAGES [--files 700] [--without dotted,wall]
    python benchmarks/ink_network.py train --pages PAGES --run RUN [--steps 18000]
    python benchmarks/ink_network.py measure --root DIR --run RUN [--results RESULTS.csv]

A file has 64 pages of one shape. Files and checkpoints that exist are kept, so an interrupted command goes on.
`measure` draws other pages, with digits of MNIST's validation split, and counts by paper what share of the ink is
found, and what share of what is found is ink. With --without, some papers are left out of the training, so that they
are new to the network.

The bundled network was trained with the default options, from the time when 450 of the 700 files were drawn.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

import lenet5
from lenet5.photo.ink import InkNetwork, standardise
from pages import PAPERS, SIDES, Skeletons, draw_page

PAGES = 64  # in a file
BATCH_SIZE = 16
SKELETONS = 4000
LEARNING_RATE = 0.004
REPORT_EVERY = 500  # steps; a checkpoint is written as well
FREEZE_AT = 1500  # step; all pages of a batch have one shape, whose statistics differ from those of others
EMA_DECAY = 0.999
POSITIVE_WEIGHT = 2.0
SMOOTHING = 10.0  # pixels that the Dice loss adds to both areas, so that pages without ink count


class Normalised(nn.Sequential):
    """Convolution with batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        convolution = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(out_channels, momentum=0.02))

    def fused(self) -> nn.Conv2d:
        """Return a convolution that does the same in use."""
        convolution, normalisation = self
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(normalisation, nn.BatchNorm2d)
        return fuse_conv_bn_eval(convolution.eval(), normalisation.eval())


def draw(arguments: argparse.Namespace) -> None:
    """Draw pages."""
    arguments.pages.mkdir(parents=True, exist_ok=True)
    train = lenet5.load_data("mnist", arguments.root, download=False).train
    skeletons = Skeletons(train, arguments.skeletons, np.random.default_rng(arguments.first))
    papers = [paper for paper in PAPERS if paper not in arguments.without]
    for number in range(arguments.first, arguments.files, arguments.every):
        file = arguments.pages / f"{number:04}.safetensors"
        if not file.exists():
            images, masks = draw_pages(skeletons, papers, PAGES, np.random.default_rng([7, number]))
            unfinished = file.with_suffix(".unfinished")
            save_file({"images": images, "masks": masks}, unfinished)
            unfinished.replace(file)


def draw_pages(
    skeletons: Skeletons, papers: list[str], count: int, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Draw pages of one shape: images (N, 1, H, W) uint8 and masks (N, 1, H, W) bool."""
    shape = [128 if random.random() < 0.75 else 96, int(random.choice(SIDES))]
    if random.random() < 0.4:
        shape.reverse()
    pages = [draw_page(skeletons, (shape[0], shape[1]), papers, random) for _ in range(count)]
    images = torch.from_numpy(np.stack([image for image, _ in pages])).round().to(torch.uint8)
    return images[:, None], torch.from_numpy(np.stack([mask for _, mask in pages]))[:, None]


def batches(pages: Path, step: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches for ever, of files in random order; files that are drawn meanwhile are used, too."""
    while True:
        random = np.random.default_rng([11, step])
        file = random.choice(sorted(pages.glob("*.safetensors")))
        content = load_file(file)
        for rows in torch.split(torch.from_numpy(random.permutation(PAGES)), BATCH_SIZE):
            step += 1
            yield standardise(content["images"][rows].float()), content["masks"][rows].float()


def loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Add cross-entropy and the Dice loss (Milletari, Navab and Ahmadi, arXiv:1606.04797)."""
    weight = torch.tensor(POSITIVE_WEIGHT)
    entropy = functional.binary_cross_entropy_with_logits(logits, masks, pos_weight=weight)
    probability = logits.sigmoid()
    common = (probability * masks).sum((1, 2, 3))
    areas = (probability + masks).sum((1, 2, 3))
    return entropy + (1 - (2 * common + SMOOTHING) / (areas + SMOOTHING)).mean()


def train(arguments: argparse.Namespace) -> None:
    """Train the network, and write it without batch normalisation."""
    arguments.run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    network, steps = InkNetwork(Normalised).to(memory_format=torch.channels_last), arguments.steps
    average = InkNetwork(Normalised)
    average.load_state_dict(network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.01)
    checkpoint, first = arguments.run / "checkpoint.safetensors", 0
    if checkpoint.exists():
        first = restore(checkpoint, network, average, optimizer)
    source, losses, started = batches(arguments.pages, first), 0.0, time.perf_counter()
    network.train()
    for step in range(first, steps):
        if step >= FREEZE_AT:
            freeze(network)
        rate = min(1, (step + 1) / 500, (steps - step) / (0.4 * steps))
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * rate
        images, masks = next(source)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(images.contiguous(memory_format=torch.channels_last))
        error = loss(logits.float(), masks)
        torch.autograd.backward(error)
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        follow(average, network, min(EMA_DECAY, step / (step + 10)))
        losses += error.item()
        if (step + 1) % REPORT_EVERY == 0:
            print(f"{step + 1} {losses / REPORT_EVERY:.4f} {time.perf_counter() - started:.0f} s", flush=True)
            losses = 0.0
            save_checkpoint(checkpoint, step + 1, network, average, optimizer)
            write(average, arguments.run, step + 1)
    write(average, arguments.run, steps)


def freeze(network: nn.Module) -> None:
    """Normalise by the statistics collected, as in use."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move an average of the weights; statistics are copied."""
    for parameter, value in zip(average.parameters(), network.parameters(), strict=True):
        parameter.lerp_(value, 1 - decay)
    for buffer, statistic in zip(average.buffers(), network.buffers(), strict=True):
        buffer.copy_(statistic)


def save_checkpoint(
    file: Path, step: int, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write all that training needs to go on."""
    content = {"step": torch.tensor(step)}
    content |= {f"network.{name}": value for name, value in network.state_dict().items()}
    content |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        content |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    unfinished = file.with_suffix(".unfinished")
    save_file({name: value.clone(memory_format=torch.contiguous_format) for name, value in content.items()}, unfinished)
    unfinished.replace(file)


def restore(file: Path, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Go on from a checkpoint; return its step."""
    content = load_file(file)
    for name, module in (("network", network), ("average", average)):
        module.load_state_dict({key: content[f"{name}.{key}"] for key in module.state_dict()})
    state = optimizer.state_dict()
    for key, value in content.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            state["state"].setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(state)
    return int(content["step"])


def fuse(trained: InkNetwork) -> InkNetwork:
    """Return the network for use, whose convolutions include the normalisation."""
    network, modules = InkNetwork(), dict(trained.named_modules())
    for name, module in network.named_modules():
        source = modules[name]
        if isinstance(source, Normalised):
            module.load_state_dict(source.fused().state_dict())
    network.output.load_state_dict(trained.output.state_dict())
    return network.eval()


def write(average: InkNetwork, folder: Path, steps: int) -> None:
    """Write the network for use, in half precision, with a description."""
    tensors = {
        name: value.half().clone(memory_format=torch.contiguous_format)
        for name, value in fuse(average).state_dict().items()
    }
    save_file(tensors, folder / "model.safetensors")
    config = {
        "network": "lenet5.photo.ink.InkNetwork",
        "parameters": sum(value.numel() for value in tensors.values()),
        "recipe": f"python benchmarks/ink_network.py train --pages PAGES --run RUN --steps {steps}",
        "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load(run: Path) -> InkNetwork:
    """Load a network that was written."""
    network = InkNetwork()
    network.load_state_dict({name: value.float() for name, value in load_file(run / "model.safetensors").items()})
    return network.eval()


def measure(arguments: argparse.Namespace) -> None:
    """Measure the network on other pages, by paper."""
    val = lenet5.load_data("mnist", arguments.root, download=False).val
    skeletons, network = Skeletons(val, 1000, np.random.default_rng(0)), load(arguments.run)
    rows = []
    for number, paper in enumerate(PAPERS):
        counts = np.zeros(3)
        for part in range(5):
            images, masks = draw_pages(skeletons, [paper], PAGES, np.random.default_rng([13, number, part]))
            with torch.inference_mode():
                found = network(standardise(images.float())) > 0
            counts += [int((found & masks).sum()), int(masks.sum()), int(found.sum())]
        rows.append(
            {"paper": paper, "pages": 5 * PAGES, "recall": counts[0] / counts[1], "precision": counts[0] / counts[2]}
        )
    table = pd.DataFrame(rows).round(4)
    print(table.to_string(index=False))
    if arguments.results:
        table.to_csv(arguments.results, index=False, lineterminator="\n")


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    for command in (draw, train, measure):
        options = commands.add_parser(command.__name__, help=command.__doc__)
        options.set_defaults(run_command=command)
        options.add_argument("--root", help="the folder of MNIST")
        options.add_argument("--pages", type=Path, help="folder of the pages")
        options.add_argument("--run", type=Path, help="folder of the network")
        options.add_argument("--files", type=int, default=700)
        options.add_argument("--first", type=int, default=0, help="number of the first file")
        options.add_argument(
            "--every", type=int, default=1, help="draw each second file only, say, in each of two processes"
        )
        options.add_argument("--skeletons", type=int, default=SKELETONS)
        options.add_argument("--without", type=lambda text: text.split(","), default=[], help="papers to leave out")
        options.add_argument("--steps", type=int, default=18_000)
        options.add_argument("--results", type=Path, help="CSV file")
    arguments = parser.parse_args()
    arguments.run_command(arguments)


if __name__ == "__main__":
    main()
