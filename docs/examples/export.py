"""
Export to ONNX and to C
=======================

One file for other runtimes, one for microcontrollers. Both give the answers of PyTorch.
"""

# %%
# The ONNX file takes pixels from 0 to 255 and returns probabilities. It needs the extra `onnx`.

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from onnx.reference import ReferenceEvaluator

import lenet5
from lenet5 import plots
from lenet5.export import export_c, export_onnx

pretrained = lenet5.load("mnist_v2")
folder = Path(tempfile.mkdtemp())
exported = export_onnx(pretrained, folder / "lenet5.onnx", preprocess=True)
print(*exported.description, sep="\n")

# %%
# Run it with ONNX's own reference, and compare.

images = lenet5.load_data("digits").test.images[:5]
session = ReferenceEvaluator(str(folder / "lenet5.onnx"))
outputs: Any = session.run(None, {"images": images.numpy()})
probabilities = outputs[0]
ours = pretrained.predict(images).probabilities.numpy()
print("largest difference", np.abs(probabilities - ours).max())
plots.plot_images(images, [f"{label}" for label in probabilities.argmax(1)])

# %%
# The C file needs no library: weights are constants, and nothing is allocated.

exported = export_c(pretrained, folder / "lenet5.c")
print(exported.description[0])
header = (folder / "lenet5.h").read_text(encoding="utf-8")
print(*(line for line in header.splitlines() if line.endswith(";")), sep="\n")
