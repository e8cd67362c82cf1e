from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lenet5 import Profiler, Trainer

if TYPE_CHECKING:
    from tests.instruments.conftest import Tiny


def test_profiler_writes_a_trace_and_a_table_of_operators(tiny: Tiny, tmp_path: Path) -> None:
    profiler = Profiler(tmp_path / "new", skip=2, steps=3)
    Trainer(tiny.model(), tiny.config, callbacks=[profiler]).fit(tiny.examples())
    events = json.loads((tmp_path / "new" / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    assert sum(event.get("name", "").startswith("ProfilerStep#") for event in events) == 3
    assert "aten::addmm" in (tmp_path / "new" / "operators.txt").read_text(encoding="utf-8")


def test_run_that_ends_too_early_leaves_no_files(tiny: Tiny, tmp_path: Path) -> None:
    Trainer(tiny.model(), tiny.config, callbacks=[Profiler(tmp_path, skip=100)]).fit(tiny.examples())
    assert not list(tmp_path.iterdir())


def test_profiler_rejects_numbers_below_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="skip is 0 and steps is 5; expected at least 1"):
        Profiler(tmp_path, skip=0, steps=5)
