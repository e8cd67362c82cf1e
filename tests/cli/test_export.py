import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Invoke = Callable[..., Result]


def test_export_says_what_it_wrote_and_writes_the_same_bytes_again(run: Invoke, tmp_path: Path) -> None:
    first, second = (tmp_path / "new folder" / name for name in ("first.onnx", "second.onnx"))
    result = run("export", "--format", "onnx", "--preprocess", "--out", first)
    assert result.stdout.splitlines() == [
        f"{first}  {first.stat().st_size:,} bytes",
        "  input images: uint8 (N, 1, 28, 28), pixels from 0 (black) to 255, as in training (MNIST: light on dark)",
        "  output probabilities: float32 (N, 10)",
    ]
    run("export", "--format", "onnx", "--preprocess", "--out", second)
    run("export", "--format", "onnx", "--preprocess", "--out", second)
    assert first.read_bytes() == second.read_bytes()


def test_export_writes_to_the_current_folder_by_default(
    run: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("export", "--weights", "original_mnist_v1", "--format", "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["lenet5.onnx"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "onxn"], "there is no 'onxn' (did you mean 'onnx'?); expected one of: onnx, pt2"),
        (["--format", "pt2", "--opset", "18"], "--opset does not apply to the format pt2, only to: onnx"),
        ([], "Missing option '--format'. Choose from: onnx, pt2, "),
        (["--format", "onnx", "--opset", "12"], "opset is 12; expected an integer from 13"),
        (["--format", "onnx", "--prefix", "net"], "--prefix does not apply to the format onnx, only to: c"),
        (["--format", "c", "--prefix", "my-net"], "the prefix is 'my-net'; expected 1 to 31 letters"),
        (["--format", "c", "--out", "folder"], "expected the name of a file that ends in .c"),
        (["--format", "c", "--power-of-two"], "--power-of-two does not apply to float32, only to int8"),
        (["--format", "npy", "--data", "digits"], "--data does not apply to float32, only to int8"),
        (["--format", "npy", "--out", "file"], "file is not a folder"),
        (["--format", "vectors", "--out", "vectors"], "expected the name of a file that ends in .npz"),
        (["--format", "onnx", "--out", "folder"], "folder is a folder; expected the name of a file in it"),
        (["--format", "onnx", "--out", "file/model.onnx"], "file is not a folder"),
    ],
)
def test_refusal_is_one_sentence(
    arguments: list[str], message: str, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    result = invoke("export", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


def test_export_writes_c_arrays_and_vectors(run: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = run("export", "--format", "c", "--prefix", "digits").stdout.splitlines()
    assert lines[2:] == [
        "  246,852 bytes of constants (flash), 8,800 bytes of buffers (RAM), without machine code",
        "  int digits_classify(const uint8_t pixels[1 * 28 * 28])",
        "  void digits_logits(const float image[1 * 28 * 28], float logits[10])",
    ]
    for name in ("npy", "mem", "hex"):
        run("export", "--format", name)
        assert len(list((tmp_path / f"lenet5-{name}").glob(f"*.{name}"))) == 10
    run("export", "--format", "vectors", "--data", "digits")
    names = {"lenet5.c", "lenet5.h", "lenet5-npy", "lenet5-mem", "lenet5-hex", "vectors.npz", "vectors.txt"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_export_of_int8_writes_integers(run: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = run("export", "--format", "c", "--dtype", "int8", "--power-of-two", "--data", "digits").stdout.splitlines()
    assert lines[-1] == "  void lenet5_logits(const uint8_t pixels[1 * 28 * 28], int32_t logits[10])"
    run("export", "--format", "mem", "--dtype", "int8")
    assert len((tmp_path / "lenet5-mem" / "c1.weight.mem").read_text(encoding="ascii").split()) == 150
    run("export", "--format", "vectors", "--dtype", "int8")
    assert "\nc1.accumulator int32 6x28x28\n" in (tmp_path / "vectors.txt").read_text(encoding="ascii")


def test_missing_package_is_one_sentence_that_names_the_extra(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    result = invoke("export", "--format", "onnx", "--out", tmp_path / "model.onnx")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == 'Error: export to ONNX needs the package onnx: pip install ".[onnx]"\n'
    assert not list(tmp_path.iterdir())


def test_int8_is_written_as_onnx_too(run: Invoke, tmp_path: Path) -> None:
    result = run("export", "--format", "onnx", "--dtype", "int8", "--preprocess", "--out", tmp_path / "model.onnx")
    assert "  input images: uint8 (N, 1, 28, 28), pixels from 0 (black) to 255" in result.stdout
    assert (tmp_path / "model.onnx").stat().st_size < 80_000
