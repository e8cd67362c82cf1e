"""
Accuracy on worse images
========================

`Degrade` imitates what happens to digits on paper and in cameras: thick and thin strokes, spots, lines, blur, shadows
and noise. How do two sets of pretrained weights stand it?
"""

# %%
# `fraction` is the part of the images to which each of the twelve corruptions is applied.

import pandas as pd
import torch

import lenet5
from lenet5 import plots

digits = lenet5.load_data("digits", val_size=0).train


def degraded(fraction: float) -> lenet5.ImageDataset:
    """Return the digits with corruptions, the same each time."""
    images = lenet5.Degrade(fraction)(digits.images, torch.Generator().manual_seed(0))
    return lenet5.ImageDataset(images, digits.targets, classes=digits.classes)


degraded(0.15).plot()

# %%
# `mnist_photo_v1` was trained with `Degrade`. It loses far less.

rows = []
for fraction in (0, 0.05, 0.1, 0.15, 0.2, 0.3):
    dataset = degraded(fraction)
    for name in ("mnist_v2", "mnist_photo_v1"):
        pretrained = lenet5.load(name)
        dataset.transform = pretrained.preprocess
        rows.append(
            {"fraction": fraction, "weights": name, "accuracy": lenet5.evaluate(pretrained.model, dataset).accuracy}
        )
table = pd.DataFrame(rows).pivot_table(index="fraction", columns="weights", values="accuracy")

figure = plots.Figure(figsize=(5, 3.4), layout="constrained")
axes = figure.subplots()
for name, marker, colour in zip(map(str, table), "o^", ("#0072b2", "#d55e00"), strict=True):
    axes.plot(table.index, 100 * table[name], marker=marker, color=colour, label=name)
axes.set(xlabel="fraction of the images with each corruption", ylabel="accuracy (%)")
axes.legend(fontsize=8)
axes.grid(alpha=0.3)
figure
