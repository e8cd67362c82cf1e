"""
A callback of your own
======================

Callbacks are called at the start and the end of a training, after each step and after each epoch. This one records how
far each layer moves from its initial weights.
"""

# %%
# Entries of `row` become columns of the history.

import torch

import lenet5
from lenet5 import plots


class Distance(lenet5.Callback):
    """Record how far the weights of each layer are from their initial values."""

    def on_fit_start(self, state: lenet5.TrainingState) -> None:
        """Keep the initial weights."""
        self.initial = {name: weights.detach().clone() for name, weights in state.model.named_parameters()}

    def on_epoch_end(self, state: lenet5.TrainingState, row: dict[str, float]) -> None:
        """Add one entry for each layer."""
        for name, weights in state.model.named_parameters():
            if name.endswith("weight"):
                row[name] = float((weights.detach() - self.initial[name]).norm() / self.initial[name].norm())


splits = lenet5.load_data("digits")
torch.manual_seed(0)
trainer = lenet5.Trainer(lenet5.LeNet5(), lenet5.TrainerConfig(max_epochs=10, seed=0), callbacks=[Distance()])
history = trainer.fit(splits.train, splits.val).to_frame()

# %%
# All layers move fast in the first epochs, and rest as the learning rate falls. `plots.Figure` is a figure of
# matplotlib that notebooks display.

figure = plots.Figure(figsize=(5, 3.4), layout="constrained")
axes = figure.subplots()
layers = [name for name in map(str, history) if name.endswith("weight")]
for name, marker in zip(layers, "os^vD", strict=True):
    axes.plot(history["epoch"], history[name], marker=marker, label=name.removesuffix(".weight"))
axes.set(xlabel="epoch", ylabel="distance from the initial weights\n(relative to their norm)")
axes.legend(fontsize=8)
axes.grid(alpha=0.3)
figure
