from __future__ import annotations

import itertools
import math
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from lenet5 import DataSplits, LeNet5, LRSearch, Trainer, find_lr

if TYPE_CHECKING:
    from tests.instruments.conftest import Tiny


def test_find_lr_suggests_a_useful_rate_and_leaves_the_trainer_unchanged(tiny: Tiny, digits: DataSplits) -> None:
    torch.manual_seed(0)
    trainer = Trainer(LeNet5(), replace(tiny.config, batch_size=32, max_epochs=2))
    state = trainer.state
    before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    search = find_lr(trainer, digits.train)
    assert all(torch.equal(*pair) for pair in zip(trainer.model.parameters(), before, strict=True))
    assert trainer.state is state
    assert (state.global_step, state.optimizer) == (0, None)
    assert search.lrs[0] == pytest.approx(1e-6)
    ratios = [after / before for before, after in itertools.pairwise(search.lrs)]
    assert ratios == pytest.approx([ratios[0]] * len(ratios))
    assert search.suggestion in search.lrs

    def final_loss(lr: float) -> float:
        torch.manual_seed(0)
        return Trainer(LeNet5(), replace(trainer.config, lr=lr)).fit(digits.train)[-1]["train_loss"]

    suggestion = search.suggestion
    assert final_loss(suggestion) < 0.5 * min(final_loss(suggestion / 100), final_loss(suggestion * 100))


def test_search_stops_when_the_loss_diverges(tiny: Tiny) -> None:
    trainer = Trainer(tiny.model(), tiny.config, optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0))
    search = find_lr(trainer, tiny.examples(200), highest=1e6, num_steps=200)
    assert len(search.lrs) < 200
    assert search.losses[-1] > 4 * min(search.losses)


def test_search_stops_when_the_loss_becomes_infinite(tiny: Tiny) -> None:
    class InfiniteLoss(nn.Module):
        """Cross-entropy that is infinite after 30 calls."""

        calls = 0

        def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
            InfiniteLoss.calls += 1
            return nn.functional.cross_entropy(logits, targets) + (math.inf if InfiniteLoss.calls > 30 else 0)

    search = find_lr(Trainer(tiny.model(), tiny.config, loss_fn=InfiniteLoss()), tiny.examples(200))
    assert len(search.lrs) == 30


def test_search_ignores_settings_that_need_a_full_run(tiny: Tiny) -> None:
    plain = find_lr(Trainer(tiny.model(), tiny.config), tiny.examples(200))
    config = replace(tiny.config, accumulate_steps=3, patience=1, ema_decay=0.9, fast_dev_run=True, max_epochs=1)
    assert find_lr(Trainer(tiny.model(), config), tiny.examples(200)) == plain


def test_ctrl_c_ends_the_search(tiny: Tiny) -> None:
    class PressCtrlC(nn.CrossEntropyLoss):
        def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
            signal.raise_signal(signal.SIGINT)
            return super().forward(logits, targets)

    with pytest.raises(KeyboardInterrupt):
        find_lr(Trainer(tiny.model(), tiny.config, loss_fn=PressCtrlC()), tiny.examples())


def test_search_plots_the_loss_and_the_suggestion() -> None:
    axes = LRSearch((0.01, 0.1, 1.0), (2.0, 1.0, 3.0), 0.1).plot().axes[0]
    assert (axes.get_xscale(), axes.get_xlabel(), axes.get_ylabel()) == ("log", "learning rate", "loss (smoothed)")
    legend: Any = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["steepest: 0.1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lowest": 0.0}, "lowest, highest and num_steps are 0.0, 1.0 and 100; expected 0 < lowest < highest"),
        ({"lowest": 2.0}, "lowest, highest and num_steps are 2.0, 1.0 and 100"),
        ({"num_steps": 3}, "and at least 10"),
        ({"lowest": 1e30, "highest": 1e38}, "only . rates gave a finite loss; expected 10 or more: try a lower"),
    ],
)
def test_find_lr_rejects_arguments_out_of_range(tiny: Tiny, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_lr(Trainer(tiny.model(), tiny.config), tiny.examples(), **options)


def test_find_lr_rejects_an_optimizer_of_the_model(tiny: Tiny) -> None:
    model = tiny.model()
    trainer = Trainer(model, tiny.config, optimizer=torch.optim.SGD(model.parameters(), lr=1.0))
    message = "the trainer has an optimizer of its model's parameters; expected a factory, or None"
    with pytest.raises(ValueError, match=message):
        find_lr(trainer, tiny.examples())
