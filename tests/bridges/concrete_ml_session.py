"""Concrete ML on an exported network; its version of torch is older than the oldest that this package supports.

`nox -s tests_concrete_ml` runs both halves, each with its own packages: `export FOLDER` and `check FOLDER`.
"""

import sys
from pathlib import Path

import numpy as np


def export(folder: Path) -> None:
    """Train a network with the activation x² on the digits; write it, test images and the logits."""
    import torch

    import lenet5
    from lenet5.export import export_onnx

    splits = lenet5.load_data("digits")
    torch.manual_seed(0)
    model = lenet5.LeNet5(activation=lenet5.Square, pooling="avg")
    config = lenet5.TrainerConfig(max_epochs=6, batch_size=32, lr=0.004, max_grad_norm=1, device="cpu")
    lenet5.Trainer(model, config).fit(splits.train, splits.val)
    export_onnx(model, folder / "lenet5.onnx", opset=14)
    preprocess = splits.test.transform
    assert preprocess is not None
    images = preprocess(splits.test.images)
    np.savez(folder / "images.npz", images=images.numpy(), logits=model(images).detach().numpy())


def check(folder: Path) -> None:
    """Compile the network for encrypted inference, and compare its predictions with those of the network."""
    import onnx
    from concrete.ml.torch.compile import compile_onnx_model

    data = np.load(folder / "images.npz")
    images, expected = data["images"], data["logits"].argmax(1)
    quantized = compile_onnx_model(onnx.load(folder / "lenet5.onnx"), images[:100], n_bits=6)
    agreement = (quantized.forward(images, fhe="disable").argmax(1) == expected).mean()
    assert agreement > 0.95, agreement
    simulated = quantized.forward(images[:3], fhe="simulate").argmax(1)
    assert (simulated == expected[:3]).all(), (simulated, expected[:3])
    print(f"{agreement:.1%} of {len(images)} predictions are those of the network")


if __name__ == "__main__":
    {"export": export, "check": check}[sys.argv[1]](Path(sys.argv[2]))
