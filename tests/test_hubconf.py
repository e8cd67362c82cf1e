"""PyTorch Hub, on a copy of the checkout, in a process where the package is not installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
REPOSITORY = "owner/lenet5:main"

PREAMBLE = """
import sys
from pathlib import Path
sys.path = [path for path in sys.path if not Path(path, "lenet5").is_dir()]
import torch
hub = Path.cwd()
checkout = hub / "owner_lenet5_main"
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which PyTorch Hub has already stored the repository."""
    folder = tmp_path_factory.mktemp("hub")
    copied = folder / "owner_lenet5_main"
    shutil.copytree(CHECKOUT / "src", copied / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(CHECKOUT / "hubconf.py", copied / "hubconf.py")
    return folder


def run(hub: Path, program: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", PREAMBLE + program], check=True, cwd=hub)


def test_torch_hub_loads_from_a_folder_what_is_not_installed(hub: Path) -> None:
    run(
        hub,
        """
paths = list(sys.path)
model = torch.hub.load(checkout, "lenet5", source="local", weights="mnist_v2")
assert Path(sys.modules["lenet5"].__file__).is_relative_to(checkout)
assert sys.path == paths
assert model(torch.zeros(1, 1, 28, 28)).shape == (1, 10)
assert torch.hub.load(checkout, "lenet5", source="local", num_classes=3).training
assert not torch.hub.load(checkout, "lenet5_original", source="local", weights="DEFAULT").training
pretrained = torch.hub.load(checkout, "load", "fashion_mnist_v1", source="local")
assert len(pretrained.predict(torch.zeros(2, 1, 28, 28, dtype=torch.uint8))) == 2
weights = torch.hub.load(checkout, "LeNet5_Weights", "MNIST_ROBUST_V1", source="local")
assert weights.transforms()(torch.zeros(28, 28)).shape == (1, 28, 28)
""",
    )


def test_torch_hub_lists_and_explains_the_entry_points(hub: Path) -> None:
    run(
        hub,
        f"""
torch.hub.set_dir(hub)
options = dict(trust_repo=True, skip_validation=True)
names = torch.hub.list("{REPOSITORY}", **options)
assert names == ["LeNet5Original_Weights", "LeNet5_Weights", "lenet5", "lenet5_original", "load"], names
for name in names:
    assert torch.hub.help("{REPOSITORY}", name, **options), name
model = torch.hub.load("{REPOSITORY}", "lenet5", weights="LeNet5_Weights.DEFAULT", **options)
assert not model.training
""",
    )


def test_refusals_name_the_new_argument_and_missing_packages(hub: Path) -> None:
    run(
        hub,
        """
def refusal(**arguments):
    try:
        torch.hub.load(checkout, "lenet5", source="local", **arguments)
    except (RuntimeError, TypeError) as error:
        return str(error)

assert refusal(pretrained=True) == "pretrained=True is not supported; expected weights='DEFAULT' or None"
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "safetensors" else find_spec(name, *rest)
assert "safetensors" in refusal()
""",
    )
