"""The commands with one's own data."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
from click.testing import Result

Invoke = Callable[..., Result]


def draw(kind: str, number: int) -> PIL.Image.Image:
    """Draw a ring or a bar of random size, dark on light."""
    rng = np.random.default_rng(number)
    image = PIL.Image.new("L", (50, 60), 250)
    left, top, side = (int(value) for value in rng.integers((4, 4, 15), (16, 16, 22)))
    box = (left, top, left + side, top + side)
    pen = PIL.ImageDraw.Draw(image)
    pen.ellipse(box, outline=20, width=3) if kind == "ring" else pen.line(box, fill=20, width=4)
    return image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of training on `shapes[1].v2`, which holds one folder of images per class."""
    folder = tmp_path_factory.mktemp("own")
    for kind in ("ring", "bar"):
        (folder / "shapes[1].v2" / kind).mkdir(parents=True)
        for number in range(40):
            draw(kind, number).save(folder / "shapes[1].v2" / kind / f"{number}.png")
    return folder


@pytest.fixture
def trained(folder: Path, run: Invoke, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    run("train", "--data", folder / "shapes[1].v2", "--epochs", 10, "--batch-size", 16, "--lr", 0.01, "--device", "cpu")
    return max((folder / "runs").iterdir())


def test_training_on_a_folder_gives_weights_that_answer_with_its_classes(
    trained: Path, folder: Path, run: Invoke
) -> None:
    assert trained.name == "shapes[1]-001"
    meta = json.loads((trained / "config.json").read_text(encoding="utf-8"))["meta"]
    assert meta["categories"] == ["bar", "ring"]
    assert list(meta["metrics"]) == ["shapes[1]"]
    assert "--root" not in meta["recipe"]
    draw("ring", 99).save(folder / "new.png")
    assert "new.png  ring  " in run("predict", folder / "new.png", "--weights", trained).output
    report = run("evaluate", "--weights", trained, "--data", folder / "shapes[1].v2", "--json").output
    assert (
        json.loads(report)["accuracy"] == json.loads((trained / "report.json").read_text(encoding="utf-8"))["accuracy"]
    )
    run("train", "--data", "shapes[1].v2", "--epochs", 1, "--device", "cpu")
    assert {path.name for path in (folder / "runs").iterdir()} == {"shapes[1]-001", "shapes[1]-002"}


def test_data_that_cannot_be_read_is_one_sentence(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = invoke("train", "--data", tmp_path / "empty", "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "empty holds no folders; expected one folder of images per class" in result.output
    assert not (tmp_path / "run").exists()


def test_run_whose_data_has_moved_asks_for_its_path(
    trained: Path, folder: Path, run: Invoke, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = folder / "shapes[1].v2"
    settings = json.loads((trained / "config.json").read_text(encoding="utf-8"))["settings"]
    assert (settings["data"], settings["recipe"]) == (str(data), "digits")  # fewer than 10,000 images
    moved = data.rename(folder / "moved")
    monkeypatch.chdir(tmp_path)
    try:
        refused = invoke("train", "--resume", trained)
        assert refused.exit_code == 2
        assert f"was trained on {data}, which does not exist here; pass --data" in refused.stderr
        assert "the run had finished after 10 epochs" in run("train", "--resume", trained, "--data", moved).stdout
        different = invoke("train", "--resume", trained, "--data", "mnist")
        assert f"was trained on {moved}, not on mnist; omit --data" in different.stderr
    finally:
        moved.rename(data)
