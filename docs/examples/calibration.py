"""
Are the probabilities right?
============================

A classifier is calibrated if 90 % of the answers with a probability of 90 % are right. The reliability diagram compares
probability and accuracy. Temperature scaling corrects most of the difference, with one number.
"""

# %%
# A network that is trained for long on few images is too confident: its bars are below the diagonal.

import torch

import lenet5
from lenet5 import plots

splits = lenet5.load_data("digits")
torch.manual_seed(0)
trainer = lenet5.Trainer(lenet5.LeNet5(), lenet5.TrainerConfig(max_epochs=20, seed=0))
trainer.fit(splits.train.select(slice(200)), splits.val)
evaluation = trainer.evaluate(splits.test)
evaluation.plot_reliability()

# %%
# Fit the temperature on the validation split, never on the test set. Above 1, it lowers the confidence.

val = trainer.evaluate(splits.val)
temperature = lenet5.temperature(val.targets, val.probabilities)
print(f"temperature {temperature:.2f}")

# %%
# Divide the logits by it. Every prediction stays the same.

logits = torch.from_numpy(evaluation.probabilities).log()
calibrated = (logits / temperature).softmax(1)
before, after = (
    lenet5.expected_calibration_error(evaluation.targets, values) for values in (evaluation.probabilities, calibrated)
)
print(f"expected calibration error: {before:.1%} before, {after:.1%} after")
plots.plot_reliability(evaluation.targets, calibrated)
