"""
Train on a folder of images
===========================

One folder for each class: that is all that `load_data` needs to know about images of your own.
"""

# %%
# Make such a folder, to have one: the digits 1, 4 and 7 as PNG files.

import tempfile
from pathlib import Path

import torch
from PIL import Image

import lenet5

names = {1: "one", 4: "four", 7: "seven"}
folder = Path(tempfile.mkdtemp())
digits = lenet5.load_data("digits", val_size=0).train
for number, (image, target) in enumerate(zip(digits.images, digits.targets.tolist(), strict=True)):
    if target in names:
        (folder / names[target]).mkdir(exist_ok=True)
        Image.fromarray(image[0].numpy()).save(folder / names[target] / f"{number}.png")
print(*sorted(path.name for path in folder.iterdir()))

# %%
# The folder is split into training, validation and test set, always in the same way. Look at some images and their
# labels before you train.

splits = lenet5.load_data(str(folder))
splits.train.plot()

# %%
# The network has as many outputs as there are classes.

torch.manual_seed(0)
model = lenet5.LeNet5(num_classes=len(splits.train.classes))
trainer = lenet5.Trainer(model, lenet5.TrainerConfig(max_epochs=8, batch_size=16, seed=0))
trainer.fit(splits.train, splits.val).plot()

# %%
evaluation = trainer.evaluate(splits.test)
evaluation.plot()

# sphinx_gallery_thumbnail_number = 2
