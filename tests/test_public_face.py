import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import lenet5

STUB = Path(lenet5.__file__).with_suffix(".pyi")
NAMES = sorted(vars(lenet5)["__all__"])


def test_every_name_of_the_stub_can_be_had_and_no_other_is_listed() -> None:
    imported = [alias.asname for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.ImportFrom)
                for alias in node.names]  # fmt: skip
    assert sorted(str(name) for name in imported) == NAMES
    assert set(NAMES) <= set(dir(lenet5))
    with pytest.raises(AttributeError):
        lenet5.LeNet6  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_and_method_is_documented(name: str) -> None:
    thing = getattr(lenet5, name)
    assert inspect.getdoc(thing), name
    if inspect.isclass(thing):
        for member, value in vars(thing).items():
            if callable(value) and not member.startswith("_"):
                assert inspect.getdoc(value), f"{name}.{member}"


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("LeNet5", "(num_classes, *, in_channels, image_size, activation, pooling)"),
        ("lenet5", "(*, weights, progress, **kwargs)"),
        ("load_data", "(name, root, *, download, val_size)"),
        ("ImageDataset", "(images, targets, *, classes, transform)"),
        ("TensorLoader", "(dataset, *, batch_size, shuffle, augment, device, seed)"),
        ("Trainer", "(model, config, *, callbacks, loss_fn, optimizer, lr_scheduler)"),
        ("Trainer.fit", "(self, train, val, *, resume)"),
        ("Trainer.evaluate", "(self, data)"),
        ("Trainer.predict", "(self, images)"),
        ("Trainer.save", "(self, path)"),
    ],
)
def test_signatures_are_those_of_the_contract(name: str, signature: str) -> None:
    thing = lenet5
    for part in name.split("."):
        thing = getattr(thing, part)
    parameters = inspect.signature(thing).parameters.values()  # type: ignore[arg-type]
    bare = inspect.Signature([p.replace(annotation=p.empty, default=p.empty) for p in parameters])
    assert str(bare) == signature


def test_an_import_draws_no_random_numbers() -> None:
    program = (
        "import random, numpy, torch\n"
        "states = torch.get_rng_state(), random.getstate(), numpy.random.get_state(legacy=False)\n"
        "import lenet5\n"
        "for name in lenet5.__all__:\n"
        "    getattr(lenet5, name)\n"
        "assert torch.equal(torch.get_rng_state(), states[0])\n"
        "assert random.getstate() == states[1]\n"
        "assert str(numpy.random.get_state(legacy=False)) == str(states[2])\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_inference_needs_torch_and_safetensors_alone() -> None:
    program = (
        "import sys\n"
        "for name in ('torchvision', 'pandas', 'sklearn', 'matplotlib', 'tqdm', 'PIL', 'click', 'scipy'):\n"
        "    sys.modules[name] = None\n"
        "import torch, lenet5\n"
        "model = lenet5.lenet5(weights='DEFAULT')\n"
        "preprocess = lenet5.LeNet5_Weights.DEFAULT.transforms()\n"
        "assert model(preprocess(torch.zeros(2, 1, 40, 40, dtype=torch.uint8))).shape == (2, 10)\n"
        "trainer = lenet5.Trainer(model)\n"
        "assert len(trainer.predict(torch.zeros(2, 1, 28, 28))) == 2\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
