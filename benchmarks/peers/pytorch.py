"""What is measured: LeNet-5 by this package, and by PyTorch as it is usually written.

No library is imported before its peer is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]
Call = Callable[[], Any]

MEAN, STD = 0.1307, 0.3081  # MNIST's, for whatever is trained on: every candidate scales its images alike
SHAPES = ((6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84))  # of the weights; the biases have the first


@dataclass(frozen=True)
class Settings:
    """What all candidates have in common: the recipe, and what it is computed on."""

    lr: float
    """The highest learning rate of a one-cycle schedule."""

    warmup: float
    """The share of the steps in which the learning rate rises."""

    weight_decay: float
    """AdamW's."""

    label_smoothing: float = 0.0
    """The share of the target that goes to all classes alike."""

    device: str = "cpu"
    """As torch spells it. JAX and Keras choose their own where it is not the CPU."""

    threads: int = 1
    """Threads of the CPU."""


@dataclass
class Peer:
    """A library that trains LeNet-5 and labels images with it.

    Each method prepares all that is not to be timed (the network, the images as the library takes them, compilation)
    and returns what is timed; it has ended only when the device has. A model is whatever `start` returns.

    Parameters
    ----------
    settings
        The recipe and the device.
    """

    settings: Settings
    packages: tuple[str, ...] = field(default=(), init=False)  # whose versions are told
    device: str = field(default="cpu", init=False)  # where the library computes

    def start(self, seed: int) -> Any:
        """Return a network with the weights of a seed."""
        raise NotImplementedError

    def training(self, model: Any, images: Array, targets: Array, *, epochs: int, batch_size: int, seed: int) -> Call:
        """Return what trains a model in place, on uint8 images (N, 1, 28, 28) and int64 targets (N,)."""
        raise NotImplementedError

    def labelling(self, model: Any, images: Array, batch_size: int) -> Call:
        """Return what labels uint8 images (N, 1, 28, 28): a function that returns an array (N,)."""
        raise NotImplementedError

    def answering(self, model: Any, images: Array) -> Call:
        """Return what labels one image the shortest way."""
        return self.labelling(model, images, 1)


class PyTorch(Peer):
    """PyTorch with all images in one tensor on the device, as who has thought of speed writes it."""

    def __init__(self, settings: Settings) -> None:
        import torch

        super().__init__(settings)
        torch.set_num_threads(settings.threads)
        self.packages, self.device = ("torch",), settings.device

    def start(self, seed: int) -> torch.nn.Module:
        """Return the network as everybody writes it."""
        from torch import nn

        model = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(400, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, 10),
        )
        return _with_weights(model, seed).to(self.device)

    def training(self, model: Any, images: Array, targets: Array, *, epochs: int, batch_size: int, seed: int) -> Call:
        """Return a loop over batches that are indexed out of the tensor."""
        import torch

        pixels, classes = self._tensor(images), torch.as_tensor(targets, device=self.device)
        generator = torch.Generator(self.device).manual_seed(seed)

        def batches() -> Iterator[Any]:
            order = torch.randperm(len(pixels), generator=generator, device=self.device)
            for index in torch.split(order, batch_size):
                yield pixels[index], classes[index]

        return self._loop(model, batches, epochs, math.ceil(len(images) / batch_size), fused=True)

    def labelling(self, model: Any, images: Array, batch_size: int) -> Call:
        """Return a loop over slices of the tensor."""
        import torch

        batches = torch.split(self._tensor(images), batch_size)

        def label() -> Array:
            with torch.inference_mode():
                found: Array = torch.cat([model(batch).argmax(1) for batch in batches]).cpu().numpy()
            return found

        model.eval()
        return label

    def _tensor(self, images: Array) -> torch.Tensor:
        import torch

        return torch.as_tensor(normalised(images), device=self.device)

    def _loop(self, model: Any, batches: Callable[[], Any], epochs: int, steps: int, *, fused: bool = False) -> Call:
        """Return the training loop of every tutorial, with the recipe's optimizer."""
        import torch

        recipe = self.settings
        loss_fn = torch.nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        optimizer = torch.optim.AdamW(model.parameters(), recipe.lr, weight_decay=recipe.weight_decay, fused=fused)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.lr, total_steps=epochs * steps, pct_start=recipe.warmup
        )

        def train() -> None:
            model.train()
            for _ in range(epochs):
                for images, targets in batches():
                    optimizer.zero_grad()
                    loss = loss_fn(model(images.to(self.device)), targets.to(self.device))
                    loss.backward()
                    optimizer.step()
                    schedule.step()
            synchronise(self.device)

        return train


class DataLoaderRecipe(PyTorch):
    """PyTorch with torchvision's transforms and a DataLoader: the recipe that everybody copies."""

    def __init__(self, settings: Settings) -> None:
        import torchvision  # noqa: F401  (so that its absence is found now)

        super().__init__(settings)
        self.packages = ("torch", "torchvision")

    def training(self, model: Any, images: Array, targets: Array, *, epochs: int, batch_size: int, seed: int) -> Call:
        """Return a loop over a DataLoader."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        loader = self._loader(images, targets, batch_size, shuffle=True, generator=generator)
        return self._loop(model, lambda: loader, epochs, len(loader))

    def labelling(self, model: Any, images: Array, batch_size: int) -> Call:
        """Return a loop over a DataLoader."""
        import torch

        loader = self._loader(images, np.zeros(len(images), np.int64), batch_size)

        def label() -> Array:
            with torch.inference_mode():
                return np.concatenate([model(batch.to(self.device)).argmax(1).cpu().numpy() for batch, _ in loader])

        model.eval()
        return label

    def _loader(self, images: Array, targets: Array, batch_size: int, **options: Any) -> Any:
        import PIL.Image
        from torch.utils.data import DataLoader
        from torchvision.transforms import Compose, Normalize, ToTensor

        transform = Compose([ToTensor(), Normalize((MEAN,), (STD,))])

        class Pictures:  # gives them one by one as torchvision.datasets.MNIST does
            def __len__(self) -> int:
                return len(images)

            def __getitem__(self, index: int) -> tuple[Any, int]:
                return transform(PIL.Image.fromarray(images[index, 0])), int(targets[index])

        return DataLoader(Pictures(), batch_size, **options)  # type: ignore[arg-type]


class Lenet5(PyTorch):
    """The package itself, as it comes: Trainer.fit and Trainer.predict."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.packages = ("lenet5", "torch")

    def start(self, seed: int) -> torch.nn.Module:
        """Return a LeNet5."""
        from ..models import LeNet5

        return _with_weights(LeNet5(), seed).to(self.device)

    def training(self, model: Any, images: Array, targets: Array, *, epochs: int, batch_size: int, seed: int) -> Call:
        """Return Trainer.fit on a TensorLoader, which normalises each batch as it goes."""
        from ..data import ImageDataset, Preprocess, TensorLoader
        from ..training import Trainer, TrainerConfig

        recipe = self.settings
        config = TrainerConfig(
            max_epochs=epochs, lr=recipe.lr, warmup=recipe.warmup, weight_decay=recipe.weight_decay,
            label_smoothing=recipe.label_smoothing, device=recipe.device, seed=seed,
        )  # fmt: skip
        trainer = Trainer(model, config)
        data = ImageDataset(images, targets, classes="0123456789", transform=Preprocess(mean=MEAN, std=STD))
        loader = TensorLoader(data, batch_size=batch_size, shuffle=True, seed=seed, device=self.device)

        def train() -> None:
            trainer.fit(loader)
            synchronise(self.device)

        return train

    def labelling(self, model: Any, images: Array, batch_size: int) -> Call:  # noqa: ARG002  (predict has its own)
        """Return Trainer.predict."""
        from ..training import Trainer, TrainerConfig

        trainer, pixels = Trainer(model, TrainerConfig(device=self.settings.device)), self._tensor(images)
        return lambda: np.asarray(trainer.predict(pixels).labels)

    def answering(self, model: Any, images: Array) -> Call:
        """Return a call of the model."""
        return super().labelling(model, images, 1)


def initial_weights(seed: int) -> list[Array]:
    """Return weights and biases, layer by layer, float32, from torch's default distribution.

    It is uniform within ±1/sqrt(fan_in), for weights and biases alike. Every candidate begins a seed with these very
    numbers.
    """
    generator = np.random.default_rng(seed)
    found = []
    for shape in SHAPES:
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        found += [generator.uniform(-bound, bound, size).astype(np.float32) for size in (shape, shape[:1])]
    return found


def normalised(images: Array) -> Array:
    """Return float32 images as the network takes them."""
    scaled: Array = (images.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    return scaled


def synchronise(device: str) -> None:
    """Wait until torch's device has done what it was told."""
    import torch

    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize(device)


def _with_weights(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    import torch

    with torch.no_grad():
        for parameter, values in zip(model.parameters(), initial_weights(seed), strict=True):
            parameter.copy_(torch.from_numpy(values))
    return model
