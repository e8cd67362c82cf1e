"""Weights trained on one's own data prepare images as training did, and answer with the names of the classes."""

from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
import torch

import lenet5
from lenet5.photo import open_image
from lenet5.runs.run import Run
from lenet5.runs.settings import RunSettings


def draw(kind: str, number: int) -> PIL.Image.Image:
    """Draw a shape of random size, dark on light, in colour."""
    rng = np.random.default_rng(number)
    image = PIL.Image.new("RGB", (int(rng.integers(40, 90)), int(rng.integers(40, 90))), (250, 240, 200))
    left, top, side = (int(value) for value in rng.integers((4, 4, 15), (16, 16, 22)))
    pen = PIL.ImageDraw.Draw(image)
    if kind == "rings":
        pen.ellipse((left, top, left + side, top + side), outline=(60, 0, 0), width=3)
    else:
        pen.line((left, top, left + side, top + side), fill=(0, 0, 90), width=4)
    return image


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    for kind in ("rings", "bars"):
        (folder / kind).mkdir()
        for number in range(40):
            draw(kind, number).save(folder / kind / f"{number}.{'png' if number % 2 else 'jpg'}")
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = RunSettings(str(data), None, "standard", seed=0, max_epochs=12, batch_size=16, lr=0.01)
    run = Run(tmp_path_factory.mktemp("runs") / "own-001", settings, "cpu")
    run.fit()
    run.report()
    return run


def test_prediction_sees_exactly_what_training_saw(data: Path, run: Run) -> None:
    pretrained = lenet5.load(run.folder)
    dataset = lenet5.ImageDataset.from_folder(data, transform=pretrained.preprocess)
    files = [
        data / kind / f"{number}.{'png' if number % 2 else 'jpg'}" for kind in ("bars", "rings") for number in range(40)
    ]
    assert len(files) == 80
    trained = {dataset[index][0].numpy().tobytes() for index in range(len(dataset))}
    assert {pretrained.prepare(file).numpy().tobytes() for file in files} == trained
    assert {pretrained.prepare(open_image(file)).numpy().tobytes() for file in files} == trained
    assert run.loader.dataset.transform == pretrained.preprocess


def test_prediction_answers_with_the_names_of_the_folders(run: Run) -> None:
    pretrained = lenet5.load(run.folder)
    assert pretrained.classes == ("bars", "rings")
    assert pretrained.meta["raw"] is True
    kinds = ["rings", "bars"] * 10
    predictions = pretrained.predict([draw(kind, 100 + number) for number, kind in enumerate(kinds)])
    answers = [pretrained.classes[int(label)] for label in predictions.labels]
    assert np.mean([answer == kind for answer, kind in zip(answers, kinds, strict=True)]) > 0.9


@pytest.mark.parametrize("size", [(28, 28), (32, 32), (40, 25)])
def test_border_of_the_original_network_is_added_as_in_training(size: tuple[int, int], tmp_path: Path) -> None:
    for kind in ("bars", "rings"):
        (tmp_path / kind).mkdir()
        draw(kind, 0).resize(size).convert("L").save(tmp_path / kind / "0.png")
    dataset = lenet5.ImageDataset.from_folder(tmp_path, transform=lenet5.Preprocess.original())
    pretrained = lenet5.Pretrained(lenet5.LeNet5Original(), lenet5.Preprocess.original(), {"raw": True})
    assert torch.equal(pretrained.prepare(tmp_path / "bars" / "0.png")[0], dataset[0][0])


def test_bundled_weights_expect_photographs() -> None:
    pretrained = lenet5.load("mnist_v2")
    image = draw("bars", 3)
    assert torch.equal(pretrained.prepare(image), pretrained.preprocess([lenet5.load_digit(image)]))
    assert not torch.equal(pretrained.prepare(image), pretrained.prepare(image, raw=True))
