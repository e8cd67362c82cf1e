"""
Integers instead of floating point
==================================

Post-training quantisation turns the weights into int8 and the activations into 8 bits, for hardware without floating
point.
"""

# %%
# 200 images, without labels, are enough to find the scales.

import lenet5
from lenet5 import plots, quantization

pretrained = lenet5.load("mnist_v2")
splits = lenet5.load_data("digits")
integers = quantization.quantize(pretrained, splits.train.images[:200])

# %%
# Accuracy before and after, on the same images.

splits.test.transform = pretrained.preprocess
before = lenet5.evaluate(pretrained.model, splits.test)
after = integers.evaluate(splits.test)
print(f"float32 {before.accuracy:.2%}, int8 {after.accuracy:.2%}")
print(f"same answer for {(before.predictions == after.predictions).mean():.2%} of the images")

# %%
# `run` computes every layer in integers alone. These are the maps of one digit.

maps = integers.run(splits.test.images[:1])
answer = int(maps["output"].argmax())
plots.plot_feature_maps(maps, splits.test.images[:1], classes=pretrained.classes, predicted=answer)
