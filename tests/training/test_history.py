from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lenet5 import History, Trainer

if TYPE_CHECKING:
    from tests.training.conftest import Tiny


def test_history_converts_to_a_table_and_a_figure(tiny: Tiny) -> None:
    history = Trainer(tiny.model(), tiny.config()).fit(tiny.examples(), tiny.examples())
    frame = history.to_frame()
    assert list(frame.columns) == ["epoch", "lr", "train_loss", "val_loss", "val_accuracy"]
    assert frame["epoch"].tolist() == [1, 2, 3]
    assert [axes.get_ylabel() for axes in history.plot().axes] == ["loss", "accuracy (%)"]
    assert repr(history) == f"<History: 3 epochs, best {history.best_epoch}>"


def test_plot_rejects_an_empty_history() -> None:
    with pytest.raises(ValueError, match="the history is empty; call Trainer.fit first"):
        History().plot()
