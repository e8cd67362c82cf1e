from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lenet5 import Callback, LeNet5, TensorLoader, Trainer, TrainingState
from lenet5.runtime.acceleration import Accelerated

if TYPE_CHECKING:
    from tests.training.conftest import Tiny


# The step


def reference_weights(tiny: Tiny, windows: list[list[int]], max_norm: float | None = None) -> Tensor:
    """Train for one epoch of plain gradient descent, each step on the mean over the examples of a window."""
    model, data = tiny.model(dtype=torch.float64), tiny.examples(dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for window in windows:
        images, targets = data[window]
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(model(images), targets))
        if max_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
    return tiny.weights(model)


@pytest.mark.parametrize(
    ("accumulate_steps", "sizes"), [(1, [6, 6, 6, 2]), (2, [12, 8]), (3, [18, 2]), (4, [20]), (9, [20])]
)
def test_gradient_is_the_mean_over_all_examples_of_an_optimizer_step(
    tiny: Tiny, accumulate_steps: int, sizes: list[int]
) -> None:
    model = tiny.model(dtype=torch.float64)
    config = tiny.config(max_epochs=1, accumulate_steps=accumulate_steps)
    trainer = Trainer(model, config, optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.5))
    trainer.fit(DataLoader(tiny.examples(dtype=torch.float64), batch_size=6))
    bounds = np.cumsum([0, *sizes])
    windows = [list(range(low, high)) for low, high in itertools.pairwise(bounds)]
    torch.testing.assert_close(tiny.weights(model), reference_weights(tiny, windows), rtol=1e-12, atol=1e-12)


def test_gradients_are_clipped_to_max_grad_norm(tiny: Tiny) -> None:
    model = tiny.model(dtype=torch.float64)
    config = tiny.config(max_epochs=1, max_grad_norm=0.01)
    trainer = Trainer(model, config, optimizer=torch.optim.SGD(model.parameters(), lr=0.5))
    trainer.fit(DataLoader(tiny.examples(dtype=torch.float64), batch_size=20))
    expected = reference_weights(tiny, [list(range(20))], max_norm=0.01)
    torch.testing.assert_close(tiny.weights(model), expected, rtol=1e-12, atol=1e-12)


def test_train_loss_is_the_mean_over_examples_not_over_batches(tiny: Tiny) -> None:
    data, model = tiny.examples(10), tiny.model()
    trainer = Trainer(model, tiny.config(max_epochs=1), optimizer=torch.optim.SGD(model.parameters(), lr=1e-30))
    history = trainer.fit(DataLoader(data, batch_size=8))
    expected = nn.functional.cross_entropy(tiny.model()(data[:][0]), data[:][1]).item()
    assert history[0]["train_loss"] == pytest.approx(expected, rel=1e-6)


def test_bfloat16_computes_the_forward_pass_in_bfloat16(tiny: Tiny) -> None:
    dtypes: list[torch.dtype] = []
    model = tiny.model()
    model.register_forward_hook(lambda _module, _inputs, output: dtypes.append(output.dtype))
    trainer = Trainer(model, tiny.config(precision="bfloat16", max_epochs=1))
    trainer.fit(tiny.examples())
    assert set(dtypes) == {torch.bfloat16}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert trainer.predict(tiny.examples()).probabilities.dtype == torch.float32


def test_fused_kernel_computes_the_float32_steps_of_a_model_that_has_one(tiny: Tiny) -> None:
    class Fused(nn.Sequential):
        """Model whose fused kernel handles full batches only."""

        def fused_gradients(self, loss_fn: Any) -> Any:
            def kernel(images: Tensor, targets: Tensor) -> Tensor | None:
                sizes.append(len(images))
                if len(images) < 8:
                    return None
                loss: Tensor = loss_fn(self(images), targets)
                torch.autograd.backward(loss)
                return loss.detach()

            return kernel

        def cuda_graph_safe(self) -> bool:
            return False

    def train(kind: type[nn.Sequential], **settings: Any) -> Tensor:
        model = kind(*tiny.model())
        Trainer(model, tiny.config(max_epochs=1, **settings)).fit(tiny.examples())
        return tiny.weights(model)

    sizes: list[int] = []
    assert isinstance(Fused(), Accelerated)
    assert isinstance(LeNet5(), Accelerated)
    assert not isinstance(nn.Sequential(), Accelerated)
    assert torch.equal(train(Fused), train(nn.Sequential))
    assert sizes == [8, 8, 4]
    for settings in ({"precision": "bfloat16"}, {"compile": "eager"}):
        train(Fused, **settings)
    assert len(sizes) == 3


# The epoch


def test_loader_is_told_the_epoch(tiny: Tiny) -> None:
    epochs: list[int] = []

    class Batches(list[Any]):
        def set_epoch(self, epoch: int) -> None:
            epochs.append(epoch)

    Trainer(tiny.model(), tiny.config()).fit(Batches([tiny.examples()[:]]))
    assert epochs == [0, 1, 2]


def test_dataset_is_shuffled_differently_in_each_epoch(tiny: Tiny) -> None:
    orders: list[list[int]] = [[], [], []]

    class Recorded(Dataset[Any]):
        def __len__(self) -> int:
            return 20

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            orders[trainer.state.epoch].append(index)
            image, target = tiny.examples()[index]
            return image, target

    trainer = Trainer(tiny.model(), tiny.config())
    trainer.fit(Recorded())
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3


def test_fit_does_not_change_the_tensor_loader(tiny: Tiny) -> None:
    loader = TensorLoader(tiny.images(), batch_size=4, shuffle=True)
    before = dict(vars(loader))
    Trainer(tiny.model(), tiny.config()).fit(loader)
    assert vars(loader) == before


# Settings for reproducibility, speed and debugging


def test_compiled_run_equals_plain_run(tiny: Tiny) -> None:
    plain, compiled = (Trainer(tiny.model(), tiny.config(compile=backend)) for backend in (None, "aot_eager"))
    plain.fit(tiny.examples(), tiny.examples(9))
    compiled.fit(tiny.examples(), tiny.examples(9))
    torch.testing.assert_close(tiny.weights(compiled.model), tiny.weights(plain.model))
    assert list(compiled.model.state_dict()) == list(plain.model.state_dict())


def test_deterministic_run_sets_and_restores_the_switches_of_torch(tiny: Tiny) -> None:
    def switches() -> tuple[bool, bool, bool]:
        cudnn = torch.backends.cudnn
        return torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark

    class Recorder(Callback):
        def on_step_end(self, state: TrainingState) -> None:
            during.add(switches())

    during: set[tuple[bool, bool, bool]] = set()
    before = switches()
    Trainer(tiny.model(), tiny.config(deterministic=True), callbacks=[Recorder()]).fit(tiny.examples())
    assert during == {(True, True, False)}
    assert switches() == before == (False, False, False)


def test_overfit_batches_repeats_the_same_batches_until_they_are_learned(tiny: Tiny) -> None:
    class Recorded(TensorDataset):
        def __getitem__(self, index: int) -> Any:
            indices.append(index)
            return super().__getitem__(index)  # type: ignore[no-untyped-call]

    indices: list[int] = []
    config = tiny.config(overfit_batches=2, batch_size=6, max_epochs=60, schedule="constant", lr=0.05)
    history = Trainer(tiny.model(), config).fit(Recorded(*tiny.examples(30)[:]))
    assert indices == indices[:12] * 60
    assert len(set(indices)) == 12
    assert history[-1]["train_loss"] < 0.05


def test_overfit_batches_cuts_a_loader_short_without_outside_randomness(tiny: Tiny) -> None:
    def train(model: nn.Module) -> list[float]:
        loader = DataLoader(tiny.examples(30), batch_size=6, shuffle=True)
        config = tiny.config(overfit_batches=1, max_epochs=2, lr=1e-9)
        return [row["train_loss"] for row in Trainer(model, config).fit(loader)]

    first, second = train(tiny.model())
    assert first == pytest.approx(second)
    model = tiny.model()
    torch.manual_seed(99)  # outside of the run, and without effect on it
    random_state = torch.get_rng_state()
    assert train(model) == [first, second]
    assert torch.equal(torch.get_rng_state(), random_state)


def test_fast_dev_run_takes_two_steps_validates_two_batches_and_writes_nothing(tiny: Tiny, tmp_path: Path) -> None:
    val_batches: list[int] = []
    model = tiny.model()
    model.register_forward_hook(
        lambda module, _inputs, output: None if module.training else val_batches.append(len(output))
    )
    config = tiny.config(fast_dev_run=True, checkpoint_dir=tmp_path / "none", max_epochs=50)
    trainer = Trainer(model, config)
    history = trainer.fit(tiny.examples(), tiny.examples(1200))
    assert (len(history), trainer.state.num_steps) == (1, 2)
    assert val_batches == [500, 500, 500]  # the first batch is validated before the first step too
    assert not list(tmp_path.iterdir())
    assert len(Trainer(tiny.model(), config).fit(tiny.examples(), resume="auto")) == 1
