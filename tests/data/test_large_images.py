import os
import tracemalloc
from pathlib import Path

import PIL.Image
import pytest

from lenet5.data.images import open_image


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_image_beyond_the_limit_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    PIL.Image.new("1", (13_000, 13_000)).save(tmp_path / "large.png")
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"large\.png has 13000x13000 pixels; expected at most 64 megapixels"):
        open_image(tmp_path / "large.png")
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def test_large_photograph_is_read_at_a_fraction_of_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lenet5.data.images._MOST_PIXELS", 10_000)
    for side, expected in ((100, 100), (200, 100), (300, 75), (800, 100)):
        PIL.Image.new("L", (side, side)).save(tmp_path / "photograph.jpg")
        assert open_image(tmp_path / "photograph.jpg").size == (expected, expected)
    PIL.Image.new("L", (900, 900)).save(tmp_path / "photograph.jpg")
    with pytest.raises(ValueError, match="has 900x900 pixels"):
        open_image(tmp_path / "photograph.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "digit.png")
    with pytest.raises(ValueError, match=r"digit\.png is a pipe or a device; expected a file"):
        open_image(tmp_path / "digit.png")


def test_name_of_an_unreadable_image_is_escaped(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\\n\\x1b\[2J\.png does not exist"):
        open_image(tmp_path / "a\n\x1b[2J.png")
