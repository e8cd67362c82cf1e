"""The C runs on a Cortex-M4, in an emulator."""

from pathlib import Path

import numpy as np
import pytest
import torch

import cortex_m
import lenet5
from lenet5.export import export_c
from lenet5.export.vectors import export_vectors
from lenet5.quantization import quantize

MISSING = cortex_m.missing_programs()
pytestmark = pytest.mark.skipif(
    bool(MISSING),
    reason=f"{', '.join(MISSING)} not installed; Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm",
)


@pytest.mark.parametrize("optimisation", ["-Os", "-O2"])
@pytest.mark.parametrize("name", ["mnist_v2", "original_mnist_v1"])
def test_float32_gives_the_golden_logits(name: str, optimisation: str, tmp_path: Path) -> None:
    pretrained = lenet5.load(name)
    export_c(pretrained, tmp_path / "lenet5.c")
    export_vectors(pretrained, tmp_path / "vectors.npz")
    vectors = np.load(tmp_path / "vectors.npz")
    logits, instructions = cortex_m.run(cortex_m.build(tmp_path, vectors["image"], optimisation), np.float32)
    np.testing.assert_allclose(logits, vectors["output"], rtol=1e-4, atol=1e-4)
    assert logits.argmax(1).tolist() == torch.from_numpy(vectors["output"]).argmax(1).tolist()
    assert min(instructions) > 400_000  # it computes at least the products of its weights


@pytest.mark.parametrize("name", ["mnist_v2", "original_mnist_v1"])
def test_int8_gives_the_golden_logits_bit_for_bit(name: str, digits: lenet5.DataSplits, tmp_path: Path) -> None:
    network = quantize(lenet5.load(name), digits.train)
    export_c(network, tmp_path / "lenet5.c")
    export_vectors(network, tmp_path / "vectors.npz")
    vectors = np.load(tmp_path / "vectors.npz")
    logits, _ = cortex_m.run(cortex_m.build(tmp_path, vectors["pixels"], "-Os"), np.int32)
    np.testing.assert_array_equal(logits, vectors["output"], strict=True)
    sizes = cortex_m.sizes(tmp_path)
    assert sizes["buffers"] == 2200
    assert sizes["constants"] + sizes["code"] < 70_000
