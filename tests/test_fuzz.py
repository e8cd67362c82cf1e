"""Damaged files: each loads exactly, or raises the documented error; LENET5_FUZZ says how many of them.

LENET5_FUZZ=100000 pytest tests/test_fuzz.py
"""

import json
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

from lenet5 import ImageDataset, LeNet5, Trainer, TrainerConfig
from lenet5.runtime.checkpoint import encode, read_checkpoint

COUNT = int(os.environ.get("LENET5_FUZZ", "10000"))
CONFIG = TrainerConfig(max_epochs=1, batch_size=4, device="cpu", ema_decay=0.9)
Mutation = Callable[[random.Random, Path, Path], None]


def a_file(rng: random.Random, folder: Path) -> Path:
    return rng.choice(sorted(folder.iterdir()))


def flip(rng: random.Random, folder: Path, _other: Path) -> None:
    path = a_file(rng, folder)
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def truncate(rng: random.Random, folder: Path, _other: Path) -> None:
    path = a_file(rng, folder)
    os.truncate(path, rng.choice([0, 1, 7, 8, 9, rng.randrange(path.stat().st_size)]))


def overwrite(rng: random.Random, folder: Path, _other: Path) -> None:
    path = a_file(rng, folder)
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data))
    block = data[start : start + rng.choice([1, 16, 4096])]
    data[start : start + len(block)] = bytes(len(block)) if rng.random() < 0.5 else rng.randbytes(len(block))
    path.write_bytes(data)


def insert(rng: random.Random, folder: Path, _other: Path) -> None:
    path = a_file(rng, folder)
    data = path.read_bytes()
    place = rng.choice([0, len(data), rng.randrange(len(data))])
    path.write_bytes(data[:place] + rng.randbytes(rng.choice([1, 8, 1000])) + data[place:])


def swap(rng: random.Random, folder: Path, _other: Path) -> None:
    one, two = rng.sample(sorted(folder.iterdir()), 2)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def take_from_another(rng: random.Random, folder: Path, other: Path) -> None:
    path = a_file(rng, folder)
    shutil.copy(other / path.name, path)


def remove(rng: random.Random, folder: Path, _other: Path) -> None:
    a_file(rng, folder).unlink()


def foreign(rng: random.Random, folder: Path, _other: Path) -> None:
    path = rng.choice(sorted(folder.glob("*.safetensors")))
    strangers: list[dict[str, Tensor]] = [{}, {"x": torch.zeros(3)}, {name: torch.zeros(1) for name in "abc"}]
    path.write_bytes(rng.choice([save(rng.choice(strangers)), b"\x80\x04K\x01.", b"{}", b"\xff" * 64]))


def edit(rng: random.Random, folder: Path, _other: Path) -> None:
    """Change one entry of a JSON file, and leave it readable."""
    path = rng.choice(sorted(folder.glob("*.json")))
    content = json.loads(path.read_text())
    name = rng.choice(list(content))
    if rng.random() < 0.3:
        del content[name]
    else:
        content[name] = rng.choice([None, 0, "x", [], {}, True, -1.5])
    path.write_text(json.dumps(content))


def respell(rng: random.Random, folder: Path, _other: Path) -> None:
    """Write the same JSON in another way; this is no damage."""
    path = rng.choice(sorted(folder.glob("*.json")))
    content = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(content.items())), indent=rng.choice([None, 1, 7])))


MUTATIONS: list[Mutation] = [
    flip, flip, flip, truncate, overwrite, insert, swap, take_from_another, remove, foreign, edit, respell
]  # fmt: skip


def images() -> ImageDataset:
    pixels = torch.randint(0, 256, (8, 1, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return ImageDataset(pixels, torch.arange(8) % 2, classes="ab", transform=lambda batch: batch.float() / 255)


def small(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 2))


def tensors_of(model: nn.Module) -> bytes:
    return save({name: tensor.clone() for name, tensor in model.state_dict().items()})


def weights_folder(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    LeNet5(2 + seed).save_pretrained(folder, meta={"note": "x"})


def checkpoint_folder(folder: Path, seed: int) -> None:
    trainer = Trainer(small(seed), replace(CONFIG, seed=seed))
    trainer.fit(images(), images())
    trainer.save(folder)


def load_weights(folder: Path) -> bytes:
    return tensors_of(LeNet5.from_pretrained(folder))


def load_checkpoint(folder: Path) -> bytes:
    """Resume from it; a model must be as it was after an error."""
    model = small(7)
    before = tensors_of(model)
    try:
        found = read_checkpoint(folder)
        Trainer(model, replace(CONFIG, seed=1)).fit(images(), images(), resume=folder)
    except BaseException:
        assert tensors_of(model) == before
        raise
    return encode(found.state) + tensors_of(model)


KINDS: list[tuple[Any, ...]] = [(weights_folder, load_weights), (checkpoint_folder, load_checkpoint)]


@pytest.mark.parametrize(("make", "load"), KINDS)
def test_a_damaged_folder_loads_exactly_or_is_refused(
    make: Callable[[Path, int], None], load: Callable[[Path], bytes], tmp_path: Path
) -> None:
    def hangs(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError("it hangs")

    original, other, folder = (tmp_path / name for name in ("original", "other", "folder"))
    make(original, 1)
    make(other, 2)
    expected = load(original)
    rng = random.Random(0)
    counts = Counter[bool]()
    signal.signal(signal.SIGALRM, hangs)
    for _ in range(COUNT // len(KINDS)):
        shutil.copytree(original, folder)
        mutate = rng.choice(MUTATIONS)
        mutate(rng, folder, other)
        signal.alarm(60)
        try:
            found, message = load(folder), ""
        except (ValueError, FileNotFoundError) as error:
            found, message = b"", str(error)
        finally:
            signal.alarm(0)
        counts[bool(message)] += 1
        assert found == expected or str(folder) in message, (mutate.__name__, message)
        shutil.rmtree(folder)
    loaded, refused = counts[False], counts[True]
    print(f"{loaded} loaded exactly, {refused} were refused")
    assert refused > loaded > 0
