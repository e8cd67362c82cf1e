"""
Which pixels decide?
====================

The gradient of a logit says how much each pixel would change it. Bright pixels matter most.
"""

# %%
# The digits, and below each the gradient of its predicted class.

import torch

import lenet5
from lenet5 import plots

pretrained = lenet5.load("mnist_v2")
digits = lenet5.load_data("digits").test.images[:10]
labels = pretrained.predict(digits).labels
gradient = lenet5.saliency(pretrained, digits)
plots.plot_images(
    torch.cat([digits, 255 * gradient / gradient.amax((1, 2, 3), keepdim=True)]),
    [*(f"read as {label}" for label in labels), *["gradient"] * 10],
)

# %%
# What speaks for another class? `target` explains its logit: here, how the digits resemble a 3.

gradient = lenet5.saliency(pretrained, digits, target=3)
plots.plot_images(255 * gradient / gradient.amax((1, 2, 3), keepdim=True), ["for a 3"] * 10)
