"""
Misclassified digits
====================

An `Evaluation` keeps every prediction. `plot_mistakes` shows the wrong ones, the most confident first.
"""

# %%
# `mnist_v2` was trained on MNIST. scikit-learn's digits come from other writers and another scanner, so it makes
# mistakes.

import lenet5

pretrained = lenet5.load("mnist_v2")
digits = lenet5.load_data("digits", val_size=0).train
digits.transform = pretrained.preprocess
evaluation = lenet5.evaluate(pretrained.model, digits)
evaluation.plot_mistakes(digits.images, num_images=40)

# %%
# Which digits are taken for which? Count the wrong pairs.

wrong = evaluation.predictions != evaluation.targets
pairs = list(zip(evaluation.targets[wrong].tolist(), evaluation.predictions[wrong].tolist(), strict=True))
for pair in sorted(set(pairs), key=pairs.count, reverse=True)[:5]:
    print("{} read as {}: {} times".format(*pair, pairs.count(pair)))
