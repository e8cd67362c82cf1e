"""
Draw the architecture
=====================

`layer_table` counts what a network consists of, and `plot_architecture` draws it.
"""

# %%
# LeNet-5 as it is built today.

from torch import nn

import lenet5
from lenet5 import plots

plots.plot_architecture(lenet5.layer_table(lenet5.LeNet5()), (1, 28, 28))

# %%
# The network of 1998, on 32x32 pixels: 60,000 parameters and 340,908 connections.

table = lenet5.layer_table(lenet5.LeNet5Original())
print(table["parameters"].sum(), table["connections"].sum())
plots.plot_architecture(table, (1, 32, 32))

# %%
# Any other network, with the shape of its images.

network = nn.Sequential()
network.add_module("conv", nn.Conv2d(3, 8, 3))
network.add_module("pool", nn.AdaptiveAvgPool2d(4))
network.add_module("flatten", nn.Flatten())
network.add_module("output", nn.Linear(128, 5))
plots.plot_architecture(lenet5.layer_table(network, (3, 16, 16)), (3, 16, 16))
