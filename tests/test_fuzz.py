"""Damaged folders either load exactly or raise the documented error.

The environment variable LENET5_FUZZ sets the number of damaged folders: LENET5_FUZZ=100000 pytest tests/test_fuzz.py
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

import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

from lenet5 import ImageDataset, LeNet5, Trainer, TrainerConfig
from lenet5.training.checkpoints import encode, read_checkpoint

COUNT = int(os.environ.get("LENET5_FUZZ", "10000"))
CONFIG = TrainerConfig(max_epochs=1, batch_size=4, device="cpu", ema_decay=0.9)
Mutation = Callable[[random.Random, Path, Path], None]


# Mutations of a folder, where `donor` is a different folder of the same kind


def choose_file(rng: random.Random, folder: Path) -> Path:
    return rng.choice(sorted(folder.iterdir()))


def flip_bits(rng: random.Random, folder: Path, _donor: Path) -> None:
    path = choose_file(rng, folder)
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def truncate(rng: random.Random, folder: Path, _donor: Path) -> None:
    path = choose_file(rng, folder)
    os.truncate(path, rng.choice([0, 1, 7, 8, 9, rng.randrange(path.stat().st_size)]))


def overwrite(rng: random.Random, folder: Path, _donor: Path) -> None:
    path = choose_file(rng, folder)
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data))
    block = data[start : start + rng.choice([1, 16, 4096])]
    data[start : start + len(block)] = bytes(len(block)) if rng.random() < 0.5 else rng.randbytes(len(block))
    path.write_bytes(data)


def insert(rng: random.Random, folder: Path, _donor: Path) -> None:
    path = choose_file(rng, folder)
    data = path.read_bytes()
    offset = rng.choice([0, len(data), rng.randrange(len(data))])
    path.write_bytes(data[:offset] + rng.randbytes(rng.choice([1, 8, 1000])) + data[offset:])


def swap_files(rng: random.Random, folder: Path, _donor: Path) -> None:
    first, second = rng.sample(sorted(folder.iterdir()), 2)
    first_data, second_data = first.read_bytes(), second.read_bytes()
    first.write_bytes(second_data)
    second.write_bytes(first_data)


def copy_from_donor(rng: random.Random, folder: Path, donor: Path) -> None:
    path = choose_file(rng, folder)
    shutil.copy(donor / path.name, path)


def remove(rng: random.Random, folder: Path, _donor: Path) -> None:
    choose_file(rng, folder).unlink()


def replace_tensors(rng: random.Random, folder: Path, _donor: Path) -> None:
    path = rng.choice(sorted(folder.glob("*.safetensors")))
    foreign: list[dict[str, Tensor]] = [{}, {"x": torch.zeros(3)}, {name: torch.zeros(1) for name in "abc"}]
    path.write_bytes(rng.choice([save(rng.choice(foreign)), b"\x80\x04K\x01.", b"{}", b"\xff" * 64]))


def edit_json(rng: random.Random, folder: Path, _donor: Path) -> None:
    """Change or delete one entry of a JSON file, which stays readable."""
    path = rng.choice(sorted(folder.glob("*.json")))
    content = json.loads(path.read_text(encoding="utf-8"))
    name = rng.choice(list(content))
    if rng.random() < 0.3:
        del content[name]
    else:
        content[name] = rng.choice([None, 0, "x", [], {}, True, -1.5])
    path.write_text(json.dumps(content), encoding="utf-8")


def reformat_json(rng: random.Random, folder: Path, _donor: Path) -> None:
    """Write the same JSON in a different layout, which is no damage."""
    path = rng.choice(sorted(folder.glob("*.json")))
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(dict(reversed(content.items())), indent=rng.choice([None, 1, 7])), encoding="utf-8")


MUTATIONS: list[Mutation] = [
    flip_bits, flip_bits, flip_bits, truncate, overwrite, insert, swap_files, copy_from_donor, remove, replace_tensors,
    edit_json, reformat_json,
]  # fmt: skip


# Folders


def make_images() -> ImageDataset:
    pixels = torch.randint(0, 256, (8, 1, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return ImageDataset(pixels, torch.arange(8) % 2, classes="ab", transform=lambda batch: batch.float() / 255)


def make_model(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 2))


def serialise(model: nn.Module) -> bytes:
    return save({name: tensor.clone() for name, tensor in model.state_dict().items()})


def write_weights(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    LeNet5(2 + seed).save_pretrained(folder, meta={"note": "x"})


def load_weights(folder: Path) -> bytes:
    return serialise(LeNet5.from_pretrained(folder))


def write_checkpoint(folder: Path, seed: int) -> None:
    trainer = Trainer(make_model(seed), replace(CONFIG, seed=seed))
    trainer.fit(make_images(), make_images())
    trainer.save(folder)


def load_checkpoint(folder: Path) -> bytes:
    """Resume from a checkpoint, and check that an error leaves the model unchanged."""
    model = make_model(7)
    before = serialise(model)
    try:
        checkpoint = read_checkpoint(folder)
        Trainer(model, replace(CONFIG, seed=1)).fit(make_images(), make_images(), resume=folder)
    except BaseException:
        assert serialise(model) == before
        raise
    return encode(checkpoint.state) + serialise(model)


@pytest.mark.parametrize(
    ("write", "load"),
    [(write_weights, load_weights), (write_checkpoint, load_checkpoint)],
    ids=["weights", "checkpoint"],
)
def test_damaged_folder_loads_exactly_or_is_rejected(
    write: Callable[[Path, int], None], load: Callable[[Path], bytes], tmp_path: Path
) -> None:
    def time_out(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError("loading did not end within 60 seconds")

    original, donor, folder = (tmp_path / name for name in ("original", "donor", "folder"))
    write(original, 1)
    write(donor, 2)
    expected = load(original)
    rng = random.Random(0)
    rejections = Counter[bool]()
    signal.signal(signal.SIGALRM, time_out)
    for _ in range(COUNT // 2):
        shutil.copytree(original, folder)
        mutate = rng.choice(MUTATIONS)
        mutate(rng, folder, donor)
        signal.alarm(60)
        try:
            content, message = load(folder), ""
        except (ValueError, FileNotFoundError) as error:
            content, message = b"", str(error)
        finally:
            signal.alarm(0)
        rejections[bool(message)] += 1
        assert content == expected or str(folder) in message, (mutate.__name__, message)
        shutil.rmtree(folder)
    loaded, rejected = rejections[False], rejections[True]
    print(f"{loaded} loaded exactly, {rejected} rejected")
    assert rejected > loaded > 0
