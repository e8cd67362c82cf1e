"""
Compare two settings over seeds
===============================

One run of each setting proves little: another seed may turn the order round. `plot_comparison` shows the mean of
several runs, in a band of one standard deviation.
"""

# %%
# Maximum or average pooling, five seeds each. Everything else is the same.

import torch
from scipy.stats import ttest_ind

import lenet5
from lenet5 import plots

splits = lenet5.load_data("digits")
histories, accuracies = {}, {}
for pooling in ("max", "avg"):
    trainers = []
    for seed in range(5):
        torch.manual_seed(seed)
        trainer = lenet5.Trainer(lenet5.LeNet5(pooling=pooling), lenet5.TrainerConfig(max_epochs=8, seed=seed))
        trainer.fit(splits.train, splits.val)
        trainers.append(trainer)
    histories[pooling] = [trainer.history.to_frame() for trainer in trainers]
    accuracies[pooling] = [trainer.evaluate(splits.val).accuracy for trainer in trainers]
plots.plot_comparison(histories)

# %%
# The interval of the difference of the means, from Welch's t-test. If it contains 0, the runs do not show which is
# better.

for pooling, values in accuracies.items():
    percent = 100 * torch.tensor(values)
    print(f"{pooling}: {percent.mean():.2f} ± {percent.std():.2f} % on the validation split")
interval = ttest_ind(accuracies["avg"], accuracies["max"], equal_var=False).confidence_interval()
print(f"avg - max: {100 * interval.low:+.2f} to {100 * interval.high:+.2f} points (95 %)")
