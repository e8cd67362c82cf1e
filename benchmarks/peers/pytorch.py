"""The peers that run on PyTorch: this package, and plain PyTorch in two styles."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from .peer import MEAN, STD, Array, Call, Peer, Setup, initial_weights, normalise


class PyTorch(Peer):
    """Plain PyTorch, tuned for speed: all images are in one tensor on the device."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        torch.set_num_threads(setup.threads)
        self.packages, self.device = ("torch",), setup.device

    def build(self, seed: int) -> nn.Module:
        """Build the layers in an nn.Sequential."""
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
        return _initialise(model, seed).to(self.device)

    def prepare_training(
        self, model: Any, images: Array, targets: Array, *, epochs: int, batch_size: int, seed: int
    ) -> Call:
        """Prepare a loop that indexes its batches out of the tensor."""
        pixels, classes = self._tensor(images), torch.as_tensor(targets, device=self.device)
        generator = torch.Generator(self.device).manual_seed(seed)

        def batches() -> Iterator[Any]:
            order = torch.randperm(len(pixels), generator=generator, device=self.device)
            for index in torch.split(order, batch_size):
                yield pixels[index], classes[index]

        return self._loop(model, batches, epochs, math.ceil(len(images) / batch_size), fused=True)

    def prepare_prediction(self, model: Any, images: Array, batch_size: int) -> Call:
        """Prepare a loop over slices of the tensor."""
        batches = torch.split(self._tensor(images), batch_size)

        def predict() -> Array:
            with torch.inference_mode():
                predictions: Array = torch.cat([model(batch).argmax(1) for batch in batches]).cpu().numpy()
            return predictions

        model.eval()
        return predict

    def _tensor(self, images: Array) -> torch.Tensor:
        return torch.as_tensor(normalise(images), device=self.device)

    def _loop(self, model: Any, batches: Callable[[], Any], epochs: int, steps: int, *, fused: bool = False) -> Call:
        """Return the usual training loop, with the optimizer and schedule of the recipe."""
        recipe = self.setup
        loss_fn = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
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
            _synchronise(self.device)

        return train


class DataLoaderRecipe(PyTorch):
    """Plain PyTorch as in the tutorials: torchvision's transforms and a DataLoader."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.packages = ("torch", "torchvision")

    def prepare_training(
        self, model: Any, images: Array, targets: Array, *, epochs: int, batch_size: int, seed: int
    ) -> Call:
        """Prepare a loop over a DataLoader."""
        generator = torch.Generator().manual_seed(seed)
        loader = self._loader(images, targets, batch_size, shuffle=True, generator=generator)
        return self._loop(model, lambda: loader, epochs, len(loader))

    def prepare_prediction(self, model: Any, images: Array, batch_size: int) -> Call:
        """Prepare a loop over a DataLoader."""
        loader = self._loader(images, np.zeros(len(images), np.int64), batch_size)

        def predict() -> Array:
            with torch.inference_mode():
                return np.concatenate([model(batch.to(self.device)).argmax(1).cpu().numpy() for batch, _ in loader])

        model.eval()
        return predict

    def _loader(self, images: Array, targets: Array, batch_size: int, **options: Any) -> Any:
        import PIL.Image
        from torchvision.transforms import Compose, Normalize, ToTensor

        transform = Compose([ToTensor(), Normalize((MEAN,), (STD,))])

        class Images(torch.utils.data.Dataset[tuple[Any, int]]):  # one PIL image at a time, like torchvision's MNIST
            def __len__(self) -> int:
                return len(images)

            def __getitem__(self, index: int) -> tuple[Any, int]:
                return transform(PIL.Image.fromarray(images[index, 0])), int(targets[index])

        return torch.utils.data.DataLoader(Images(), batch_size, **options)


class Lenet5(PyTorch):
    """The package lenet5 with its defaults: `Trainer.fit` and `predict`."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.packages = ("lenet5", "torch")

    def build(self, seed: int) -> nn.Module:
        """Build a LeNet5."""
        import lenet5

        return _initialise(lenet5.LeNet5(), seed).to(self.device)

    def prepare_training(
        self, model: Any, images: Array, targets: Array, *, epochs: int, batch_size: int, seed: int
    ) -> Call:
        """Prepare `Trainer.fit` on a TensorLoader, which normalises each batch while it trains."""
        import lenet5

        recipe = self.setup
        config = lenet5.TrainerConfig(
            max_epochs=epochs, lr=recipe.lr, warmup=recipe.warmup, weight_decay=recipe.weight_decay,
            label_smoothing=recipe.label_smoothing, device=recipe.device, seed=seed, progress=False,
        )  # fmt: skip
        trainer = lenet5.Trainer(model, config)
        transform = lenet5.Preprocess(mean=MEAN, std=STD)
        data = lenet5.ImageDataset(images, targets, classes="0123456789", transform=transform)
        loader = lenet5.TensorLoader(data, batch_size=batch_size, shuffle=True, seed=seed, device=self.device)

        def train() -> None:
            trainer.fit(loader)
            _synchronise(self.device)

        return train

    def prepare_prediction(self, model: Any, images: Array, batch_size: int) -> Call:  # noqa: ARG002 (predict has its own)
        """Prepare `lenet5.predict`."""
        import lenet5

        pixels = self._tensor(images)
        return lambda: np.asarray(lenet5.predict(model, pixels, device=self.setup.device).labels)

    def prepare_latency(self, model: Any, images: Array) -> Call:
        """Prepare a call of the frozen model."""
        import lenet5

        (image,) = torch.split(self._tensor(images), 1)
        classify = lenet5.compiled(model) if self.setup.device == "cpu" else model
        return lambda: classify(image).argmax(1).cpu().numpy()


def _synchronise(device: str) -> None:
    """Wait until an accelerator has finished."""
    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize(device)


def _initialise(model: nn.Module, seed: int) -> nn.Module:
    with torch.no_grad():
        for parameter, values in zip(model.parameters(), initial_weights(seed), strict=True):
            parameter.copy_(torch.from_numpy(values))
    return model
