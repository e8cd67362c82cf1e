"""
Answer only when sure
=====================

A classifier may leave the doubtful images to a person. The fewer it answers, the more of its answers are right:
accuracy against coverage.
"""

# %%
# Two sets of pretrained weights on digits that neither was trained on.

import lenet5
from lenet5 import plots

splits = lenet5.load_data("digits")
evaluations = {}
for name in ("mnist_v2", "mnist_photo_v1"):
    pretrained = lenet5.load(name)
    for split in splits:
        split.transform = pretrained.preprocess
    evaluations[name] = [lenet5.evaluate(pretrained.model, split) for split in (splits.train, splits.test)]

plots.plot_coverage(
    {name: lenet5.coverage_curve(test.targets, test.probabilities) for name, (_, test) in evaluations.items()}
)

# %%
# Choose the threshold on one split, and report what it does on another.

choice, report = evaluations["mnist_photo_v1"]
threshold = lenet5.abstention(choice.targets, choice.probabilities, accuracy=0.99).threshold
accepted = report.probabilities.max(1) >= threshold
accuracy = (report.predictions == report.targets)[accepted].mean()
print(f"from a confidence of {threshold:.3f}: {accepted.mean():.1%} answered, {accuracy:.1%} of these right")
