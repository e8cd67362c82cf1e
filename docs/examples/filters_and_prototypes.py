"""
Filters, connections and prototypes
===================================

What the network of 1998 has learned, and what it was built with.
"""

# %%
# The six kernels of C1.

import torch

import lenet5
from lenet5 import inspection, plots

original = lenet5.load("original_mnist_v1")
plots.plot_filters({"c1": inspection.filters(original)["c1"]})

# %%
# The paper's table of connections: which of the six maps of S2 (rows) each map of C3 (columns) sees.

plots.plot_connection_table(inspection.connection_table(original))

# %%
# The bitmaps that F6 learns to show, one for each class.

plots.plot_prototypes(inspection.prototypes(original), original.classes)

# %%
# What F6 shows on average for each digit. The network succeeds where the two figures agree.

digits = lenet5.load_data("digits", val_size=0).train
shown = lenet5.feature_maps(original, digits.images)["f6"].reshape(-1, 12, 7)
means = torch.stack([shown[digits.targets == target].mean(0) for target in range(10)])
plots.plot_prototypes(means, original.classes)

# sphinx_gallery_thumbnail_number = 3
