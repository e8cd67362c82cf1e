import ast
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import lenet5
from lenet5 import DataSplits, LeNet5

STUB = Path(lenet5.__file__).with_suffix(".pyi")
NAMES = sorted(dir(lenet5))

# The public contract; ReLU stands for its class.
SIGNATURES = {
    "LeNet5": "(num_classes=10, *, in_channels=1, image_size=28, activation=ReLU, pooling='max')",
    "LeNet5.from_pretrained": "(source, *, num_classes=None, in_channels=None, **hub)",
    "LeNet5.save_pretrained": (
        "(self, directory, *, preprocess=None, meta=None, card=None, push_to_hub=False, repo_id=None, **hub)"
    ),
    "LeNet5Original": "(*, prototypes=None, init='paper')",
    "lenet5": "(*, weights=None, progress=True, **kwargs)",
    "lenet5_original": "(*, weights=None, progress=True, **kwargs)",
    "LeNet5_Weights.transforms": "(self)",
    "load": "(source, **hub)",
    "Pretrained": "(model, preprocess, meta)",
    "Pretrained.predict": "(self, images, *, raw=False, device=None)",
    "load_data": "(name='mnist', root=None, *, download=True, val_size=5000)",
    "ImageDataset": "(images, targets, *, classes, transform=None)",
    "TensorLoader": "(dataset, *, batch_size, shuffle=False, augment=None, device=None, seed=0)",
    "load_digit": "(image)",
    "Trainer": "(model, config=None, *, callbacks=(), loss_fn=None, optimizer=None, lr_scheduler=None)",
    "Trainer.fit": "(self, train, val=None, *, resume=None)",
    "Trainer.evaluate": "(self, data)",
    "Trainer.predict": "(self, images)",
    "Trainer.save": "(self, path)",
    "evaluate": "(model, data, *, device=None, precision='auto', loss_fn=None)",
    "predict": "(model, images, *, device=None, precision='auto')",
    "accuracy": "(targets, predictions)",
    "error_rate": "(targets, predictions)",
}


def run_isolated(program: str) -> None:
    """Run a program in a new interpreter, where a warning is an error."""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_package_lists_the_names_of_its_stub() -> None:
    nodes = [node for node in ast.parse(STUB.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    assert sorted(str(alias.asname) for node in nodes for alias in node.names) == NAMES


def test_import_of_all_names_keeps_the_name_of_the_package() -> None:
    names: dict[str, Any] = {}
    exec("import lenet5\nfrom lenet5 import *", names)
    assert names["lenet5"] is lenet5
    assert names.keys() >= set(NAMES)


def test_unknown_name_raises_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="LeNet6"):
        lenet5.LeNet6  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("name", NAMES)
def test_public_names_and_their_methods_are_documented(name: str) -> None:
    value = getattr(lenet5, name)
    assert inspect.getdoc(value), name
    if inspect.isclass(value):
        for member, attribute in vars(value).items():
            if callable(attribute) and not member.startswith("_"):
                assert inspect.getdoc(attribute), f"{name}.{member}"


@pytest.mark.parametrize(("name", "signature"), SIGNATURES.items())
def test_signatures_follow_the_public_contract(name: str, signature: str) -> None:
    value: Any = lenet5
    for part in name.split("."):
        value = getattr(value, part)
    parameters = inspect.signature(value).parameters.values()
    bare = str(inspect.Signature([parameter.replace(annotation=parameter.empty) for parameter in parameters]))
    assert bare.replace(str(torch.nn.ReLU), "ReLU") == signature


def test_objects_have_the_attributes_of_the_public_contract(digits: DataSplits) -> None:
    model = LeNet5()
    contract: list[tuple[object, str]] = [
        (digits, "train val test"),
        (digits.train, "images targets classes mean std transform"),
        (lenet5.LeNet5_Weights.DEFAULT, "transforms meta"),
        (lenet5.load("default"), "model preprocess meta classes threshold predict"),
        (lenet5.predict(model, torch.rand(2, 1, 28, 28)), "labels probabilities"),
        (
            lenet5.evaluate(model, digits.val),
            "accuracy loss confusion_matrix per_class predictions to_frame to_json plot",
        ),
        (lenet5.Trainer(model).history, "to_frame plot"),
        (
            lenet5.Trainer(model).state,
            "model config device loss_fn optimizer lr epoch step num_steps history best finished is_main should_stop",
        ),
    ]
    missing = [
        (type(value).__name__, name) for value, names in contract for name in names.split() if not hasattr(value, name)
    ]
    assert missing == []


@pytest.mark.parametrize("arguments", [(10,), (10, 64)])
def test_trainer_config_rejects_positional_arguments(arguments: tuple[int, ...]) -> None:
    with pytest.raises(TypeError, match="positional argument"):
        lenet5.TrainerConfig(*arguments)


def test_import_draws_no_random_numbers() -> None:
    run_isolated(
        "import random, numpy, torch\n"
        "states = torch.get_rng_state(), random.getstate(), numpy.random.get_state(legacy=False)\n"
        "import lenet5\n"
        "for name in lenet5.__all__:\n"
        "    getattr(lenet5, name)\n"
        "assert torch.equal(torch.get_rng_state(), states[0])\n"
        "assert random.getstate() == states[1]\n"
        "assert str(numpy.random.get_state(legacy=False)) == str(states[2])\n"
    )


@pytest.mark.parametrize(
    "module", ["lenet5", "lenet5.data.catalogue", "lenet5.recipes.catalogue", "lenet5.training.config"]
)
def test_module_for_the_command_line_loads_no_torch(module: str) -> None:
    run_isolated(f"import sys, {module}; assert 'torch' not in sys.modules")


def test_names_of_recipes_and_datasets_are_listed_without_torch() -> None:
    run_isolated(
        "import sys\n"
        "from lenet5.recipes.catalogue import RECIPES\n"
        "assert {'standard', 'digits', '1998'} <= set(RECIPES)\n"
        "assert 'torch' not in sys.modules\n"
    )


def test_inference_needs_torch_numpy_and_safetensors_alone() -> None:
    run_isolated(
        "import sys\n"
        "for name in ('torchvision', 'pandas', 'sklearn', 'matplotlib', 'tqdm', 'PIL', 'click', 'scipy'):\n"
        "    sys.modules[name] = None\n"
        "import torch, lenet5\n"
        "images = torch.zeros(2, 1, 40, 40, dtype=torch.uint8)\n"
        "model = lenet5.lenet5(weights='DEFAULT')\n"
        "preprocess = lenet5.LeNet5_Weights.DEFAULT.transforms()\n"
        "assert model(preprocess(images)).shape == (2, 10)\n"
        "assert len(lenet5.predict(model, preprocess(images))) == 2\n"
        "assert len(lenet5.load('default').predict(images)) == 2\n"
        "assert len(lenet5.Trainer(model).predict(preprocess(images))) == 2\n"
    )
