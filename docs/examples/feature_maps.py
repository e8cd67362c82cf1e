"""
Feature maps of a digit
=======================

What every layer computes from one image, laid out as Figure 2 of the paper.
"""

# %%
# The layers have the names of the paper. Maps are from the layer's lowest value, in black, to its highest, in white.

import lenet5
from lenet5 import plots

pretrained = lenet5.load("mnist_v2")
digit = lenet5.load_data("digits").test.images[8:9]
maps = lenet5.feature_maps(pretrained, digit)
answer = int(maps["output"].argmax())
plots.plot_feature_maps(maps, digit, classes=pretrained.classes, predicted=answer)

# %%
# The network of 1998 on the same digit. Its outputs are distances, so the darkest one is the answer.

original = lenet5.load("original_mnist_v1")
maps = lenet5.feature_maps(original, digit)
answer = int(maps["output"].argmin())
plots.plot_feature_maps(maps, original.prepare(digit), classes=original.classes, predicted=answer)

# %%
# The shapes, for one image:

for name, output in maps.items():
    print(name, tuple(output.shape))
