from __future__ import annotations

from pathlib import Path
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


@pytest.mark.parametrize("restore_best", [True, False])
def test_history_names_the_epoch_whose_weights_are_kept(tiny: Tiny, tmp_path: Path, restore_best: bool) -> None:
    config = tiny.config(restore_best=restore_best, checkpoint_dir=tmp_path)
    trainer = Trainer(tiny.model(), config)
    assert trainer.history.kept_epoch is None
    history = trainer.fit(tiny.examples(), tiny.examples())
    expected = history.best_epoch if restore_best else 3
    assert history.kept_epoch == expected
    resumed = Trainer(tiny.model(), config).fit(tiny.examples(), tiny.examples(), resume="auto")
    loaded = Trainer.load(tmp_path, model=tiny.model())
    assert (resumed.kept_epoch, loaded.history.kept_epoch) == (expected, expected)


def test_without_validation_the_last_epoch_is_kept(tiny: Tiny) -> None:
    assert Trainer(tiny.model(), tiny.config()).fit(tiny.examples()).kept_epoch == 3
