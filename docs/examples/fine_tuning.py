"""
Fine-tune for 26 classes
========================

The pretrained weights know strokes and corners. Here they learn capital letters, from 40 images of each.
"""

# %%
# The letters are rendered with the fonts that come with matplotlib, and distorted: a stand-in for handwriting that
# needs no download. Training and test images are from different fonts.

import string
import tempfile

import torch
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

import lenet5


def render(letter: str, font: str) -> Image.Image:
    """Draw a letter in the middle of 28x28 pixels, light on black."""
    image = Image.new("L", (28, 28))
    file = font_manager.findfont(font)
    ImageDraw.Draw(image).text((14, 14), letter, fill=255, font=ImageFont.truetype(file, 22), anchor="mm")
    return image


preprocess = lenet5.LeNet5_Weights.MNIST_V2.transforms()


def dataset(fonts: list[str], copies: int, seed: int) -> lenet5.ImageDataset:
    """Return distorted copies of each letter in each font."""
    pairs = [(letter, font) for _ in range(copies) for font in fonts for letter in string.ascii_uppercase]
    pixels = torch.stack([preprocess.resize(render(letter, font)) for letter, font in pairs])
    augment = lenet5.Augment(degrees=15, scale=0.2, shear=0.2, translate=2, elastic=0.6)
    distorted = augment(pixels, torch.Generator().manual_seed(seed))
    letters = [letter for letter, _ in pairs]
    return lenet5.ImageDataset(distorted, letters, classes=None, transform=preprocess)


train = dataset(["DejaVu Sans", "DejaVu Serif"], 20, seed=0)
val = dataset(["DejaVu Sans", "DejaVu Serif"], 5, seed=1)
test = dataset(["DejaVu Sans Mono", "STIXGeneral"], 10, seed=2)
train.plot()

# %%
# `num_classes=26` draws the output layer anew, and keeps all others.

torch.manual_seed(0)
model = lenet5.LeNet5.from_pretrained("mnist_v2", num_classes=26)
trainer = lenet5.Trainer(model, lenet5.TrainerConfig(max_epochs=10, batch_size=32, lr=2e-3, seed=0))
trainer.fit(train, val)
evaluation = trainer.evaluate(test)
print(f"{evaluation.accuracy:.1%} of {len(test)} letters")
evaluation.plot_mistakes(test.images, num_images=30)

# %%
# The same training from random weights, for comparison.

torch.manual_seed(0)
scratch = lenet5.Trainer(lenet5.LeNet5(26), trainer.config)
scratch.fit(train, val)
print(f"{scratch.evaluate(test).accuracy:.1%} from random weights")

# %%
# Saved with its class names, the network is ready for `lenet5 predict --weights letters`. Letters are no digits, so
# image files are used as they are: they must be light on dark, like the training images.

with tempfile.TemporaryDirectory() as folder:
    model.save_pretrained(folder, preprocess=preprocess, meta={"categories": list(train.classes)})
    letters = lenet5.load(folder)
predictions = letters.predict(test.images[:5])
print([letters.classes[label] for label in predictions.labels])
