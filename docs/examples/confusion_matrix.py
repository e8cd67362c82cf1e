"""
Confusion matrix, precision and recall
======================================

Two views of one `Evaluation`: which classes are taken for which, and how precision, recall and F1 differ by class.
"""

# %%
# A short training leaves mistakes to look at.

import torch

import lenet5

splits = lenet5.load_data("digits")
torch.manual_seed(0)
trainer = lenet5.Trainer(lenet5.LeNet5(), lenet5.TrainerConfig(max_epochs=4, seed=0))
trainer.fit(splits.train, splits.val)
evaluation = trainer.evaluate(splits.test)
evaluation.plot()

# %%
# Precision is the fraction of the predictions of a class that are right. Recall is the fraction of the images of a
# class that are found.

evaluation.plot_per_class()

# %%
# The numbers behind the dots. `support` is the number of images.

evaluation.to_frame()
