"""Distillation: the bank of distorted images, the labels of the teacher, and the students."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Generator, nn

import distillation
import lenet5
from distillation import (
    LESSONS,
    Bank,
    Lesson,
    Teacher,
    compute_logits,
    load_teacher,
    parse_kinds,
    render_kind,
    save,
    without_digits,
)
from lenet5 import DataSplits


@pytest.fixture
def bank(tmp_path: Path, digits: DataSplits) -> Path:
    for kind in ("gentle", "none"):
        save(render_kind("mnist", kind, digits.train, Generator().manual_seed(0)), tmp_path / f"{kind}-000.safetensors")
    return tmp_path


def test_bank_mixes_the_kinds_and_labels_them_with_classes(bank: Path) -> None:
    batches = Bank(bank, {"gentle": 3, "none": 1}, classes=["gentle", "none"], temperature=1, seed=0)
    images, labels = next(iter(batches))
    assert images.shape == (128, 1, 28, 28)
    assert labels.sum(1).allclose(torch.ones(128))
    assert labels.amax(1).tolist() == [1] * 96 + [np.float32(0.1)] * 32


def test_order_of_the_bank_depends_on_the_seed_alone(bank: Path) -> None:
    first, again, other = (
        next(iter(Bank(bank, {"gentle": 1}, classes=["gentle"], temperature=1, seed=seed)))[0] for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_files_are_labelled_once_with_the_answers_of_the_teacher(bank: Path) -> None:
    torch.manual_seed(0)
    save(Teacher().state_dict(), bank / "teacher")
    arguments = argparse.Namespace(bank=bank, teacher=bank / "teacher", classes=[])
    distillation.label(arguments)
    files = sorted(bank.glob("*.safetensors"))
    times = [file.stat().st_mtime_ns for file in files]
    distillation.label(arguments)
    assert [file.stat().st_mtime_ns for file in files] == times
    gentle, none = map(load_file, files)
    assert gentle["logits"].std() > 0
    assert none["logits"].eq(0).all()
    (_, sharp), (_, soft) = (
        next(iter(Bank(bank, {"gentle": 1}, classes=[], temperature=temperature, seed=0))) for temperature in (1, 2)
    )
    assert sharp.sum(1).allclose(torch.ones(128))
    assert (soft**2 / (soft**2).sum(1, keepdim=True)).allclose(sharp, atol=1e-5)


def test_kinds_of_which_the_classes_are_learned_need_no_teacher(bank: Path) -> None:
    torch.manual_seed(0)
    save(Teacher().state_dict(), bank / "teacher")
    distillation.label(argparse.Namespace(bank=bank, teacher=bank / "teacher", classes=["gentle"]))
    assert "logits" not in load_file(bank / "gentle-000.safetensors")
    assert "logits" in load_file(bank / "none-000.safetensors")


def test_drawings_that_the_teacher_takes_for_digits_are_left_out() -> None:
    logits = torch.zeros(3, 10)
    logits[:2, 0] = 9
    content = {"images": torch.arange(3), "logits": logits, "doubtful": torch.tensor([True, False, True])}
    kept = without_digits(content)
    assert kept["images"].tolist() == [1, 2]
    assert kept["logits"].eq(0).all()


@pytest.mark.parametrize("data", LESSONS)
def test_lesson_covers_the_training_images_anew_in_each_epoch(data: str, digits: DataSplits) -> None:
    lesson = Lesson(digits.train, LESSONS[data], seed=0)
    first, second = list(lesson), list(lesson)
    assert len(first) == len(lesson) == len(digits.train) // 128
    assert not torch.equal(first[0][0], second[0][0])


def test_teacher_is_trained_and_saved_for_labelling(
    tmp_path: Path, digits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = lenet5.ImageDataset(digits.train.images[:256], digits.train.targets[:256], classes=digits.train.classes)
    monkeypatch.setattr(lenet5, "load_data", lambda *_, **__: DataSplits(few, few, few))
    distillation.teach(
        argparse.Namespace(data="fashion_mnist", width=4, root=None, teacher=tmp_path / "teacher", epochs=1)
    )
    before = compute_logits(Teacher(4).eval(), few.images[:8])
    assert not torch.equal(compute_logits(load_teacher(tmp_path / "teacher"), few.images[:8]), before)


def test_learning_rate_of_the_teacher_has_no_jump_and_ends_at_zero() -> None:
    optimizer = torch.optim.AdamW(nn.Linear(1, 1).parameters(), lr=1)
    schedule = distillation.teacher_schedule(optimizer, 2400)
    rates = [schedule.lr_lambdas[0](update) for update in range(2401)]
    assert max(rates) <= 1
    assert rates[-1] == 0
    assert np.abs(np.diff(rates)).max() < 0.006


def test_student_is_saved_with_what_a_card_needs(
    bank: Path, digits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lenet5, "load_data", lambda *_, **__: digits)
    monkeypatch.setattr(Bank, "__len__", lambda _: 2)
    arguments = argparse.Namespace(
        data="mnist",
        root=None,
        bank=bank,
        runs=bank / "runs",
        shares={"gentle": 0.9, "none": 0.1},
        classes=["gentle", "none"],
        temperature=2,
        calibrate=True,
        epochs=1,
        seeds=2,
        results=bank / "table.csv",
    )
    before = [split.transform for split in digits]
    distillation.distil(arguments)
    distillation.tabulate(arguments)
    assert [split.transform for split in digits] == before
    weights = lenet5.load(bank / "runs" / "seed-1")
    assert weights.classes == digits.val.classes
    val = lenet5.evaluate(weights.model, distillation.preprocessed(digits.val, weights.preprocess))
    assert lenet5.temperature(val.targets, val.probabilities) == pytest.approx(1, abs=0.01)
    assert weights.meta["recipe"].endswith(
        "--shares gentle=0.9,none=0.1 --epochs 1 --temperature 2 --classes gentle,none --calibrate"
    )
    assert (bank / "table.csv").read_text(encoding="utf-8").count("\n") == 3


def test_unknown_kind_is_refused() -> None:
    assert parse_kinds("gentle=0.5,none=2") == {"gentle": 0.5, "none": 2}
    with pytest.raises(argparse.ArgumentTypeError, match="tidy"):
        parse_kinds("tidy=1")
