"""
Train, and plot the learning curves
===================================

`Trainer.fit` returns a `History`, with one row per epoch. `History.plot` shows the losses and the validation accuracy.
"""

# %%
# scikit-learn's 1,797 digits come with scikit-learn. `load_data` enlarges them to MNIST's 28x28 pixels, and holds out
# a validation split and a test set.

import torch

import lenet5

splits = lenet5.load_data("digits")
splits.train.plot()

# %%
# `Augment` distorts the training images, differently in each epoch.

loader = lenet5.TensorLoader(splits.train, batch_size=32, shuffle=True, augment=lenet5.Augment(), seed=0)
torch.manual_seed(0)  # the initial weights
trainer = lenet5.Trainer(lenet5.LeNet5(), lenet5.TrainerConfig(max_epochs=15, seed=0))
history = trainer.fit(loader, splits.val)
history.plot()

# %%
# The same numbers as a table. The training loss is measured on distorted images, before each step.

history.to_frame().tail(3)

# sphinx_gallery_thumbnail_number = 2
