import itertools
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lenet5 import (
    Callback,
    DataSplits,
    History,
    ImageDataset,
    LeNet5,
    Predictions,
    TensorLoader,
    Trainer,
    TrainerConfig,
)
from lenet5.training.history import Row


def small(seed: int = 0, *, dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)


def examples(count: int = 20, *, dtype: torch.dtype = torch.float32) -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(count, 1, 2, 3, generator=generator, dtype=dtype)
    return TensorDataset(images, (images.flatten(1) @ torch.arange(6).to(dtype) > 0).long() + (images[:, 0, 0, 0] > 1))


def weights(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def config(**settings: Any) -> TrainerConfig:
    return TrainerConfig(**{"device": "cpu", "batch_size": 8, "max_epochs": 2, **settings})


# What a training reaches


def test_it_learns_real_digits(digits: DataSplits) -> None:
    torch.manual_seed(0)
    trainer = Trainer(LeNet5(), config(max_epochs=12, batch_size=32))
    history = trainer.fit(digits.train, digits.val)
    assert trainer.evaluate(digits.test).accuracy >= 0.95
    assert history[-1]["train_loss"] < history[0]["train_loss"] / 10


def test_it_learns_mnist_in_one_epoch(mnist_root: Path) -> None:
    import lenet5

    train, val, test = lenet5.load_data("mnist", mnist_root, download=False)
    torch.manual_seed(0)
    trainer = Trainer(LeNet5(), config(max_epochs=1, batch_size=128))
    trainer.fit(train.select(slice(20_000)), val)
    assert trainer.evaluate(test).accuracy >= 0.95


# Determinism


def test_one_seed_gives_the_same_bits_and_another_seed_others() -> None:
    def train(seed: int) -> tuple[Tensor, list[Row]]:
        model = small()
        model.insert(2, nn.Dropout(0.5))  # type: ignore[operator]
        history = Trainer(model, config(seed=seed)).fit(examples(), examples())
        return weights(model), history.rows

    (first, rows), (again, same_rows), (other, _) = train(3), train(3), train(4)
    assert torch.equal(first, again)
    assert rows == same_rows
    assert not torch.equal(first, other)


def test_fit_leaves_the_global_generators_as_they_were() -> None:
    def state() -> tuple[Any, ...]:
        return random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002

    model = nn.Sequential(small(), nn.Dropout())
    before = state()
    Trainer(model, config()).fit(examples())
    assert state() == before


# The step


def by_hand(windows: list[list[int]], max_norm: float | None = None) -> Tensor:
    """One epoch of plain gradient descent, each step on the mean over the examples of a window."""
    model, data = small(dtype=torch.float64), examples(dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for window in windows:
        images, targets = data[window]
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(model(images), targets))
        if max_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
    return weights(model)


@pytest.mark.parametrize(("accumulate", "sizes"), [(1, [6, 6, 6, 2]), (2, [12, 8]), (3, [18, 2]), (4, [20]), (9, [20])])
def test_a_step_is_the_mean_over_its_window_also_where_the_last_one_is_shorter(
    accumulate: int, sizes: list[int]
) -> None:
    model = small(dtype=torch.float64)
    trainer = Trainer(
        model,
        config(max_epochs=1, accumulate_steps=accumulate),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.5),
    )
    trainer.fit(DataLoader(examples(dtype=torch.float64), batch_size=6))
    bounds = np.cumsum([0, *sizes])
    windows = [list(range(low, high)) for low, high in itertools.pairwise(bounds)]
    torch.testing.assert_close(weights(model), by_hand(windows), rtol=1e-12, atol=1e-12)


def test_gradients_are_clipped_to_the_norm() -> None:
    model = small(dtype=torch.float64)
    settings = config(max_epochs=1, max_grad_norm=0.01)
    trainer = Trainer(model, settings, optimizer=torch.optim.SGD(model.parameters(), lr=0.5))
    trainer.fit(DataLoader(examples(dtype=torch.float64), batch_size=20))
    expected = by_hand([list(range(20))], max_norm=0.01)
    torch.testing.assert_close(weights(model), expected, rtol=1e-12, atol=1e-12)


def test_the_default_schedule_is_one_cycle_over_all_steps() -> None:
    rates: list[float] = []

    class Rates(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            assert trainer.state is not None
            rates.append(trainer.state.lr)

    history = Trainer(small(), config(lr=0.01, max_epochs=4), callbacks=[Rates()]).fit(examples())
    assert len(rates) == 12
    assert max(rates) == pytest.approx(0.01, rel=0.05)
    assert rates[0] == pytest.approx(0.01 / 25)
    assert rates[-1] < 1e-6
    assert [row["lr"] for row in history] == rates[2::3]


def test_an_optimizer_and_a_schedule_of_ones_own_are_used() -> None:
    steps: list[int] = []

    def schedule(optimizer: torch.optim.Optimizer, num_updates: int) -> torch.optim.lr_scheduler.LRScheduler:
        steps.append(num_updates)
        return torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)

    trainer = Trainer(
        small(),
        config(accumulate_steps=2),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0),
        lr_scheduler=schedule,
    )
    history = trainer.fit(examples())
    assert steps == [4]  # 3 batches an epoch are 2 steps
    assert [row["lr"] for row in history] == pytest.approx([1.0, 0.1])


def test_a_loss_of_ones_own_is_used() -> None:
    def loss_fn(logits: Tensor, targets: Tensor) -> Tensor:
        return 7 + 0 * logits.sum() * targets.sum()

    trainer = Trainer(small(), config(), loss_fn=loss_fn)
    assert [row["train_loss"] for row in trainer.fit(examples())] == [7, 7]
    assert trainer.evaluate(examples()).loss == 7


def test_bfloat16_computes_the_forward_pass_in_bfloat16() -> None:
    seen: list[torch.dtype] = []
    model = small()
    model.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    trainer = Trainer(model, config(precision="bfloat16", max_epochs=1))
    trainer.fit(examples())
    assert set(seen) == {torch.bfloat16}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert trainer.predict(examples()).probabilities.dtype == torch.float32


def test_the_train_loss_is_the_mean_over_examples_not_over_batches() -> None:
    data = examples(10)
    model = small()
    trainer = Trainer(model, config(max_epochs=1), optimizer=torch.optim.SGD(model.parameters(), lr=1e-30))
    history = trainer.fit(DataLoader(data, batch_size=8))
    expected = nn.functional.cross_entropy(small()(data[:][0]), data[:][1]).item()
    assert history[0]["train_loss"] == pytest.approx(expected, rel=1e-6)


# The best epoch


class Scripted(nn.Module):
    """Answers validation with a script: an accuracy and a loss an epoch."""

    def __init__(self, script: list[tuple[float, float]]) -> None:
        super().__init__()
        self.script = script
        self.epoch = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            return torch.zeros(len(images), 2) + 0 * self.epoch
        accuracy, sharpness = self.script[round(self.epoch.item()) - 1]
        right = (torch.arange(len(images)) < accuracy * len(images)).float() * 2 - 1
        return torch.stack([right, -right], dim=1) * sharpness


class Count(torch.optim.Optimizer):
    """Adds 1 to each parameter."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 1.0})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.add_(1)


def scripted(script: list[tuple[float, float]], **settings: Any) -> tuple[History, float]:
    data = TensorDataset(torch.zeros(10, 1), torch.zeros(10, dtype=torch.int64))
    trainer = Trainer(Scripted(script), config(batch_size=10, max_epochs=len(script), **settings), optimizer=Count)
    history = trainer.fit(data, data)
    assert isinstance(trainer.model, Scripted)
    return history, trainer.model.epoch.item()


@pytest.mark.parametrize(
    ("script", "monitor", "best"),
    [
        ([(0.5, 1.0), (0.9, 1.0), (0.7, 1.0)], "val_accuracy", 2),
        ([(0.9, 0.5), (0.9, 1.0), (0.9, 2.0)], "val_accuracy", 2),  # of equal accuracies the lower loss
        ([(0.9, 1.0), (0.9, 1.0), (0.9, 1.0)], "val_accuracy", 1),  # of equals the earlier
        ([(0.8, 2.0), (0.9, 1.0), (0.9, 9.0)], "val_loss", 2),
        ([(0.8, 0.1), (0.8, 0.1), (0.6, 0.1)], "val_loss", 1),
    ],
)
def test_the_best_epoch_is_found_by_the_rule_and_its_weights_are_restored(
    script: list[tuple[float, float]], monitor: Literal["val_accuracy", "val_loss"], best: int
) -> None:
    history, epoch = scripted(script, monitor=monitor)
    assert history.best_epoch == best
    assert epoch == best


def test_the_last_weights_stay_if_asked() -> None:
    history, epoch = scripted([(0.9, 1.0), (0.5, 1.0)], restore_best=False)
    assert (history.best_epoch, epoch) == (1, 2)


def test_training_stops_when_patience_ends() -> None:
    script = [(0.5, 1.0), (0.6, 1.0), (0.6, 1.0), (0.55, 1.0), (0.9, 1.0)]
    history, epoch = scripted(script, patience=2)
    assert (len(history), history.best_epoch, epoch) == (4, 2, 2)
    assert not history.interrupted


def test_without_validation_there_is_no_best_epoch() -> None:
    history = Trainer(small(), config()).fit(examples())
    assert history.best_epoch is None
    assert [sorted(row) for row in history] == [["epoch", "lr", "train_loss"]] * 2


def test_patience_needs_validation() -> None:
    with pytest.raises(ValueError, match="patience is 1, but there is no validation data"):
        Trainer(small(), config(patience=1)).fit(examples())


# Data of every kind


def image_dataset(count: int = 20) -> ImageDataset:
    images = torch.randint(0, 256, (count, 1, 2, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return ImageDataset(images, torch.arange(count) % 3, classes="abc", transform=lambda batch: batch.float() / 255)


SOURCES: list[Callable[[], Any]] = [
    image_dataset,
    lambda: TensorLoader(image_dataset(), batch_size=7),
    lambda: [(torch.rand(5, 1, 2, 3), torch.tensor([0, 1, 2, 0, 1])) for _ in range(4)],
    lambda: DataLoader(examples(), batch_size=7, shuffle=True),
    lambda: DataLoader(image_dataset(), batch_size=7),
    examples,
]


@pytest.mark.parametrize("source", SOURCES)
def test_fit_evaluate_and_predict_take_data_of_every_kind(source: Callable[[], Any]) -> None:
    trainer = Trainer(small(), config(max_epochs=1))
    assert len(trainer.fit(source(), source())) == 1
    assert len(trainer.evaluate(source())) == 20
    assert len(trainer.predict(source())) == 20


def test_the_names_of_the_classes_come_from_the_data() -> None:
    assert list(Trainer(small(), config()).evaluate(image_dataset()).per_class) == ["a", "b", "c"]


def test_a_loader_is_told_the_epoch() -> None:
    told: list[int] = []

    class Told(list[Any]):
        def set_epoch(self, epoch: int) -> None:
            told.append(epoch)

    Trainer(small(), config(max_epochs=3)).fit(Told([examples()[:]]))
    assert told == [0, 1, 2]


def test_a_users_tensor_loader_is_not_changed() -> None:
    loader = TensorLoader(image_dataset(), batch_size=4, shuffle=True)
    before = dict(vars(loader))
    Trainer(small(), config()).fit(loader)
    assert vars(loader) == before


def test_the_order_of_a_dataset_differs_between_epochs() -> None:
    orders: list[list[float]] = [[], [], []]

    class Recorded(Dataset[Any]):
        def __len__(self) -> int:
            return 20

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            orders[trainer.state.epoch if trainer.state else 0].append(index)
            image, target = examples()[index]
            return image, target

    trainer = Trainer(small(), config(max_epochs=3))
    trainer.fit(Recorded())
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3


def test_targets_of_any_integer_type_are_taken() -> None:
    images, targets = examples()[:]
    outcomes = []
    for dtype in (torch.int64, torch.int32, torch.uint8):
        model = small()
        Trainer(model, config()).fit(TensorDataset(images, targets.to(dtype)))
        outcomes.append(weights(model))
    assert all(torch.equal(outcome, outcomes[0]) for outcome in outcomes)


# Evaluation and prediction


def test_evaluation_is_over_the_whole_set_and_does_not_depend_on_batches() -> None:
    trainer, data = Trainer(small().double(), config()), examples(23, dtype=torch.float64)
    reports = [trainer.evaluate(DataLoader(data, batch_size=size)) for size in (1, 5, 23)]
    expected = nn.functional.cross_entropy(trainer.model(data[:][0]), data[:][1]).item()
    for report in reports:
        assert report.accuracy == reports[0].accuracy
        assert report.loss == pytest.approx(expected, rel=1e-6)


def test_predictions_are_the_softmax_of_the_logits() -> None:
    trainer, images = Trainer(small(), config()), examples()[:][0]
    predictions = trainer.predict(images)
    expected = trainer.model(images).softmax(1)
    torch.testing.assert_close(predictions.probabilities, expected)
    assert torch.equal(predictions.labels, expected.argmax(1))
    assert isinstance(predictions, Predictions)
    assert torch.equal(trainer.predict(images.numpy()).labels, predictions.labels)
    without_targets: Any = DataLoader(images, batch_size=3)
    assert torch.equal(trainer.predict(without_targets).labels, predictions.labels)


def test_evaluation_keeps_the_mode_of_the_model_and_turns_dropout_off() -> None:
    model = nn.Sequential(nn.Dropout(0.9), small()).train()
    trainer = Trainer(model, config())
    first, second = trainer.predict(examples()), trainer.predict(examples())
    assert torch.equal(first.probabilities, second.probabilities)
    assert model.training


# Callbacks


class Journal(Callback):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_fit_start(self, trainer: Trainer) -> None:
        self.lines.append("start")

    def on_step_end(self, trainer: Trainer) -> None:
        assert trainer.state is not None
        self.lines.append(f"step {trainer.state.epoch}.{trainer.state.step}")

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        self.lines.append(f"epoch {row['epoch']}")

    def on_fit_end(self, trainer: Trainer, history: History) -> None:
        self.lines.append(f"end {len(history)}")


def test_callbacks_are_called_in_order() -> None:
    journal = Journal()
    Trainer(small(), config(batch_size=10), callbacks=[Callback(), journal]).fit(examples())
    assert journal.lines == ["start", "step 0.1", "step 0.2", "epoch 1", "step 1.1", "step 1.2", "epoch 2", "end 2"]


def test_a_callback_can_stop_the_training() -> None:
    class Stop(Journal):
        def on_step_end(self, trainer: Trainer) -> None:
            super().on_step_end(trainer)
            trainer.should_stop = len(self.lines) == 5

    stop = Stop()
    history = Trainer(small(), config(batch_size=10, max_epochs=9), callbacks=[stop]).fit(examples())
    assert stop.lines == ["start", "step 0.1", "step 0.2", "epoch 1", "step 1.1", "end 1"]
    assert len(history) == 1


def test_callbacks_hear_of_the_end_also_after_an_error() -> None:
    journal = Journal()
    with pytest.raises(ValueError, match="targets lie in"):
        Trainer(small(), config(), callbacks=[journal]).fit([(torch.rand(2, 6), torch.tensor([0, 9]))])
    assert journal.lines == ["start", "end 0"]


# History


def test_a_history_is_a_table_and_a_picture() -> None:
    history = Trainer(small(), config(max_epochs=3)).fit(examples(), examples())
    frame = history.to_frame()
    assert list(frame.columns) == ["epoch", "lr", "train_loss", "val_loss", "val_accuracy"]
    assert frame["epoch"].tolist() == [1, 2, 3]
    assert [axes.get_ylabel() for axes in history.plot().axes] == ["loss", "accuracy (%)"]
    assert repr(history) == f"<History: 3 epochs, best {history.best_epoch}>"


def test_an_empty_history_has_no_picture() -> None:
    with pytest.raises(ValueError, match="the history has no epoch yet"):
        History().plot()


# Bad input


def nothing() -> Iterator[Any]:
    yield from ()


class Wrong(list[Any]):
    """A loader whose length is wrong."""

    def __len__(self) -> int:
        return 3


BATCH = (torch.rand(2, 1, 2, 3), torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (image_dataset(0), ValueError, "the dataset is empty; expected at least one image"),
        (examples(0), ValueError, "the data is empty; expected at least one example"),
        ([], ValueError, "the data is empty"),
        (nothing(), TypeError, "data is generator; expected an ImageDataset.*with a length"),
        (3, TypeError, "data is int; expected an ImageDataset"),
        ([BATCH[0]], ValueError, "a batch is a Tensor; expected two tensors, images and targets"),
        ([(BATCH[0], [0, 1])], ValueError, "a batch is a tuple of Tensor, list; expected two tensors"),
        ([()], ValueError, "a batch is a tuple of nothing"),
        ([(BATCH[0], torch.tensor([0]))], ValueError, "a batch has 2 images and 1 targets; expected equal numbers"),
        ([(BATCH[0][:0], torch.tensor([]))], ValueError, "a batch has 0 images and 0 targets"),
        ([(BATCH[0], torch.tensor([0, 3]))], ValueError, r"targets lie in \[0, 3\]; expected 0 to 2"),
        ([(BATCH[0], torch.tensor([-1, 0]))], ValueError, r"targets lie in \[-1, 0\]; expected 0 to 2"),
        ([(BATCH[0] * math.nan, BATCH[1])], ValueError, "images hold 12 values that are NaN or infinite"),
        ([(BATCH[0], torch.tensor([0.0, 1.0]))], ValueError, "targets have dtype torch.float32; expected integers"),
        (Wrong([BATCH]), ValueError, "the loader gave 1 batches; expected 3"),
        (Wrong([BATCH] * 4), ValueError, "the loader gave more than 3 batches, which its length is"),
    ],
)
def test_data_that_cannot_be_trained_on_is_refused(data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Trainer(small(), config()).fit(data)


def test_nothing_is_trained_when_a_target_of_a_set_names_no_class() -> None:
    model = small()
    before = weights(model)
    data = ImageDataset(
        torch.zeros(20, 1, 2, 3, dtype=torch.uint8),
        [0] * 19 + [3],
        classes="abcd",
        transform=lambda batch: batch.float(),
    )
    with pytest.raises(ValueError, match=r"targets lie in \[0, 3\]; expected 0 to 2"):
        Trainer(model, config(batch_size=1)).fit(data)
    assert torch.equal(weights(model), before)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.full((2, 1, 28, 28), math.inf), "images hold 1568 values that are NaN or infinite; expected finite"),
        (torch.zeros(2, 3, 28, 28), r"images have shape \(2, 3, 28, 28\); expected \(N, 1, 28, 28\)"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), "images have dtype torch.uint8; expected torch.float32"),
        (torch.zeros(0, 1, 28, 28), "the data is empty"),
    ],
)
def test_images_that_cannot_be_labelled_are_refused(images: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Trainer(LeNet5(), config()).predict(images)


def test_evaluation_refuses_nan_and_a_model_that_gives_no_logits() -> None:
    with pytest.raises(ValueError, match="images hold 12 values that are NaN"):
        Trainer(small(), config()).evaluate([(BATCH[0] * math.nan, BATCH[1])])
    with pytest.raises(
        ValueError, match=r"the model returned shape \(2, 1, 2, 3\); expected \(2, num_classes\) logits"
    ):
        Trainer(nn.Identity(), config()).evaluate([BATCH])


def test_what_an_earlier_training_left_does_not_matter() -> None:
    clean, used = small(), small()
    used(examples()[:][0]).sum().backward()
    for model in (clean, used):
        Trainer(model, config(max_grad_norm=0.1)).fit(examples())
    assert torch.equal(weights(clean), weights(used))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": None}, TypeError, "model and config are NoneType and NoneType; expected a torch.nn.Module"),
        ({"config": {"lr": 1}}, TypeError, "model and config are Sequential and dict; expected .* a TrainerConfig"),
    ],
)
def test_what_makes_no_trainer_is_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Trainer(**{"model": small(), **arguments})


def test_an_optimizer_or_a_schedule_of_something_else_is_refused() -> None:
    model = small()
    own, foreign = (torch.optim.SGD(m.parameters(), lr=1.0) for m in (model, small()))
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(own)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"optimizer": foreign}, "optimizer has none of the model's parameters"),
        ({"lr_scheduler": torch.optim.lr_scheduler.StepLR(own, 1)}, "lr_scheduler is of another optimizer"),
        ({"optimizer": own, "lr_scheduler": plateau}, "lr_scheduler is ReduceLROnPlateau, which waits for a metric"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            Trainer(model, config(), **options).fit(examples())


def test_weights_that_become_nan_are_neither_validated_nor_saved(tmp_path: Path) -> None:
    class Poison(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            if trainer.state and (trainer.state.epoch, trainer.state.step) == (1, 3):
                next(trainer.model.parameters()).data.fill_(math.nan)

    trainer = Trainer(small(), config(checkpoint_dir=tmp_path), callbacks=[Poison()])
    with pytest.raises(FloatingPointError, match="a weight became NaN or infinite before epoch 2, step 4"):
        trainer.fit(examples(), examples())
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def test_a_frozen_part_stays_frozen_after_evaluation() -> None:
    frozen = nn.BatchNorm1d(6)
    model = nn.Sequential(nn.Flatten(), frozen, nn.Linear(6, 3)).train()
    frozen.eval()
    Trainer(model, config()).evaluate(examples())
    assert [module.training for module in model] == [True, False, True]


def test_what_is_no_image_cannot_be_labelled() -> None:
    for images in ("a.png", [1, 2]):
        with pytest.raises(TypeError, match="a batch of images is (str|int); expected a tensor"):
            Trainer(small(), config()).predict(images)


def test_a_loss_that_becomes_nan_stops_the_training_with_its_place() -> None:
    calls: list[int] = []

    def loss_fn(logits: Tensor, targets: Tensor) -> Tensor:
        calls.append(1)
        loss = nn.functional.cross_entropy(logits, targets)
        return loss * math.nan if len(calls) == 5 else loss

    with pytest.raises(FloatingPointError, match="NaN or infinite in epoch 2, step 2 of 3; a lower lr"):
        Trainer(small(), config(), loss_fn=loss_fn).fit(examples())


def test_where_a_look_at_the_loss_costs_time_it_is_looked_at_after_some_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def loss_fn(logits: Tensor, targets: Tensor) -> Tensor:
        calls.append(1)
        loss = nn.functional.cross_entropy(logits, targets)
        return loss * math.nan if len(calls) == 3 else loss

    monkeypatch.setattr("lenet5.training.state.loss_check_steps", lambda _device: 4)
    message = "NaN or infinite in epoch 1, step 4 of 10, or in one of the 4 steps before; a lower lr"
    with pytest.raises(FloatingPointError, match=message):
        Trainer(small(), config(batch_size=2), loss_fn=loss_fn).fit(examples())
