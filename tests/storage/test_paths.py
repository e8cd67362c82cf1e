import os
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from lenet5.storage import as_path, is_visible, shown


def test_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert as_path("~") == as_path(Path("~")) == tmp_path
    assert as_path("~/data") == tmp_path / "data"
    for unchanged in ("data", "data/~", "./~", "~no-such-user", str(tmp_path)):
        assert as_path(unchanged) == Path(unchanged)


def test_missing_home_folder_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(ValueError, match="~/data starts with ~, but there is no home folder"):
        as_path("~/data")


@given(text=st.text())
def test_shown_text_has_no_control_characters(text: str) -> None:
    assert shown(text).isprintable()
    shown(text).encode()
    if text.isprintable():
        assert shown(text) == text


def test_escapes_are_those_of_python() -> None:
    assert shown("a\n\x1b[2J\u202e\udcff ü") == r"a\n\x1b[2J\u202e\udcff ü"


def test_hidden_files_are_not_visible() -> None:
    assert [is_visible(Path("folder", name)) for name in ("file", ".lock")] == [True, False]
