import json
import re
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

import lenet5

Invoke = Callable[..., Result]


def test_evaluate_repeats_the_report_of_the_run(trained: tuple[Path, Result], run: Invoke) -> None:
    folder, _ = trained
    for weights in (folder, folder / "model.safetensors"):
        result = run("evaluate", "--weights", weights, "--data", "digits", "--device", "cpu", "--json")
        assert json.loads(result.stdout) == json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_mistakes_are_plotted_to_a_new_file(
    trained: tuple[Path, Result], run: Invoke, invoke: Invoke, tmp_path: Path
) -> None:
    arguments = ["evaluate", "--weights", trained[0], "--data", "digits", "--mistakes", tmp_path / "mistakes.png"]
    run(*arguments)
    assert (tmp_path / "mistakes.png").read_bytes()[:4] == b"\x89PNG"
    message = f"--mistakes would write {tmp_path / 'mistakes.png'}, which exists; expected the name of a new PNG file"
    assert message in invoke(*arguments).stderr


def test_figures_are_plotted_to_a_folder(
    trained: tuple[Path, Result], run: Invoke, invoke: Invoke, tmp_path: Path
) -> None:
    arguments = ["evaluate", "--weights", trained[0], "--data", "digits", "--figures", tmp_path / "figures"]
    run(*arguments)
    names = ["confusion_matrix.png", "coverage.png", "mistakes.png", "per_class.png", "reliability.png"]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == names
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in (tmp_path / "figures").iterdir())
    assert (
        "confusion_matrix.png, which exists; expected a folder without a file of this name" in invoke(*arguments).stderr
    )
    for wrong in (tmp_path / "a.png", tmp_path / "absent" / "folder", tmp_path / "figures" / "coverage.png"):
        assert "expected a folder, or the name of a new one" in invoke(*arguments[:-1], wrong).stderr
    assert not (tmp_path / "absent").exists()


def test_evaluate_prints_a_readable_report(trained: tuple[Path, Result], run: Invoke) -> None:
    result = run("evaluate", "--weights", trained[0], "--data", "digits", "--device", "cpu")
    assert re.match(r"accuracy \d\d\.\d\d% of 360 \(95 % confidence: ", result.stdout)


def test_evaluate_reproduces_the_published_accuracy(mnist_root: Path, run: Invoke) -> None:
    for name in ("mnist_v3", "default"):
        result = run("evaluate", "--weights", name, "--data", "mnist", "--root", mnist_root, "--json")
        published = lenet5.LeNet5_Weights(name).meta["metrics"]["mnist"]["accuracy"]
        assert json.loads(result.stdout)["accuracy"] == published
