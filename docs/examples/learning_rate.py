"""
Find a learning rate
====================

`find_lr` raises the learning rate at each step, and records the loss. A good rate is where the loss falls fastest.
"""

# %%
# The search trains a copy: the model of the trainer stays as it is.

import torch

import lenet5

splits = lenet5.load_data("digits")
torch.manual_seed(0)
trainer = lenet5.Trainer(lenet5.LeNet5(), lenet5.TrainerConfig(max_epochs=10, batch_size=32, seed=0))
search = lenet5.find_lr(trainer, splits.train)
search.plot()

# %%
# Train with the suggestion.

torch.manual_seed(0)
config = lenet5.TrainerConfig(max_epochs=10, batch_size=32, lr=search.suggestion, seed=0)
trainer = lenet5.Trainer(lenet5.LeNet5(), config)
trainer.fit(splits.train, splits.val).plot()
