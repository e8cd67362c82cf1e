"""The page about the weights without this package runs in a process that cannot import `lenet5`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from lenet5 import LeNet5, LeNet5_Weights

PAGE = Path(__file__).parents[2] / "docs" / "bridges" / "without_this_package.md"


def test_the_code_of_the_page_computes_the_same_logits_without_the_package(tmp_path: Path) -> None:
    cells = re.findall(r"```{code-cell} python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (pytorch, example, numpy) = (cell for cell in cells if "import lenet5" not in cell)
    images = torch.randn(50, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    np.save(tmp_path / "images.npy", images.numpy())
    shutil.copyfile(LeNet5_Weights.MNIST_V2.path, tmp_path / "model.safetensors")
    program = f"""
import sys
sys.modules["lenet5"] = None
{pytorch}
{example}
assert lenet5_logits(images[None, None]).argmax(1).tolist() == [1]
import numpy
inputs = numpy.load("images.npy")
numpy.save("pytorch.npy", lenet5_logits(torch.from_numpy(inputs)).numpy())
{numpy}
assert lenet5_logits(images[None, None].numpy()).argmax(1).tolist() == [1]
np.save("numpy.npy", lenet5_logits(inputs))
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
    with torch.inference_mode():
        expected = LeNet5.from_pretrained("mnist_v2")(images).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "pytorch.npy"), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.load(tmp_path / "numpy.npy"), expected, rtol=1e-4, atol=1e-4)


def test_the_network_of_the_page_has_ten_lines() -> None:
    page = PAGE.read_text(encoding="utf-8")
    (pytorch,) = re.findall(r"## PyTorch\n\n```{code-cell} python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in pytorch.splitlines() if line.strip()]) <= 10
