"""Misspelt names and bad values are refused in one sentence, before torch is imported, and leave nothing behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REFUSED = [
    ("train --epochs 0", "max_epochs is 0; expected an integer from 1 to 2**31 - 1"),
    (
        "train --batch-size 99999999999999999999",
        "batch_size is 99999999999999999999; expected an integer from 1 to 2**31",
    ),
    ("train --set keep_checkpoints=1e30", "keep_checkpoints is 1e+30; expected an integer from 1 to 2**31 - 1"),
    (f"train --set augment.smoothness={'9' * 400}", "expected a number of at least 1"),
    ("train --seeds 2 --seed 4294967295", "seed is 4294967296; expected an integer from 0 to 2**32 - 1"),
    ("train --weight-decay 0.05", "No such option '--weight-decay'. Pass --set weight_decay=VALUE."),
    ("train --lr -1", "lr is -1.0; expected a finite number above 0"),
    ("train --lr nan", "lr is nan; expected"),
    ("train --batch-size 0", "batch_size is 0; expected"),
    ("train --seed -1", "seed is -1; expected an integer from 0"),
    ("train --epochs two", "'two' is not a valid integer"),
    ("train --epoch 3", "Did you mean '--epochs'?"),
    ("train --recipe recrod", "no 'recrod' (did you mean 'record'?); expected one of: standard, "),
    ("train --recipe Record", "no 'Record' (did you mean 'record'?)"),
    ("train --data mnsit", "no data at 'mnsit' (did you mean 'mnist'?)"),
    ("train --data runs/nothing.csv", "no data at 'runs/nothing.csv'; expected a path, or one of: digits, "),
    ("train --resume nope", "no run at 'nope'"),
    ("train --resume runs/digit-001", "no run at 'runs/digit-001' (did you mean 'runs/digits-001'?)"),
    ("train --resume runs/empty", "no run at 'runs/empty'"),
    ("train --resume runs/digits-001 --lr 1", "--resume takes its settings from the run; found --lr"),
    ("train --device cudda", "device 'cudda' is unknown to torch (did you mean 'cuda'?)"),
    ("train --device cuda:x", "device 'cuda:x' is unknown to torch"),
    ("train --device auto:1", "device 'auto:1' is unknown to torch"),
    ("train --set wieght_decay=1", "no setting 'wieght_decay' (did you mean 'weight_decay'?)"),
    ("train --set degrees=1", "no setting 'degrees' (did you mean 'augment.degrees'?)"),
    ("train --set activation=Tanh", "no setting 'activation' (did you mean 'model.activation'?)"),
    ("train --set q=1", "no setting 'q'; expected one of: max_epochs, "),
    ("train --set weight_decay=-1", "weight_decay is -1; expected a finite number of at least 0"),
    ("train --set patience", "'patience' is not a setting; expected NAME=VALUE"),
    ("train --set patience=0", "patience is 0; expected None or an integer from 1 to 2**31 - 1"),
    ("train --set augment.flip=1.5", "augment.flip is 1.5; expected a number from 0 to 1"),
    ("train --set augment.smoothness=0.5", "augment.smoothness is 0.5; expected a number of at least 1"),
    ("train --set model.pooling=mean", "model.pooling is 'mean'; expected one of max, avg"),
    ("train --set calibrate=maybe", "calibrate is 'maybe'; expected True or False"),
    ("train --set lr=0.1 --lr 0.2", "lr is given twice"),
    ("train --set seed=1 --set seed=2", "seed is given twice"),
    ("train --set ema_decay=0.9 --set swa_epochs=2", "ema_decay and swa_epochs are both set"),
    ("train --data mnist --root missing/data", "missing does not exist"),
    ("train --data mnist --root note.txt", "'note.txt' is a file"),
    ("train --data=", "the path of the data is empty; expected a path or a name"),
    ("train --resume=", "the path of the run is empty; expected a path"),
    ("train --out=", "the path is empty; expected the name of a file or a folder"),
    ("train --root=", "the path is empty"),
    ("evaluate --data digits --weights=", "the path of the weights is empty"),
    ("predict note.txt --show=", "the path is empty"),
    ("trian", "Did you mean 'train'?"),
    ("evaluate --weights mnist_v4 --data mnist", "no weights at 'mnist_v4' (did you mean 'mnist_v3'?)"),
    ("evaluate --weights runs/digit-001 --data mnist", "(did you mean 'runs/digits-001'?)"),
    ("evaluate --weights mnist_v2 --data fashon_mnist", "(did you mean 'fashion_mnist'?)"),
    ("predict nothing.png", "nothing.png does not exist"),
    ("predict nore.txt", "nore.txt does not exist (did you mean 'note.txt'?)"),
    ("predict *.jpg", "no file matches *.jpg"),
    ("predict runs", "there is no image file in the folder runs, whose subfolders are not read"),
    ("predict --weights robust_v1 note.txt", "(did you mean 'mnist_robust_v1'?)"),
    (
        "predict note.txt --show note.txt",
        "--show would write note.txt, which exists; expected the name of a new PNG file",
    ),
    ("predict note.txt --show seen.jpg", "seen.jpg, whose name does not end in .png; expected the name of a new PNG"),
    (
        "predict note.txt --show missing/seen.png",
        "seen.png, whose folder does not exist; expected the name of a new PNG",
    ),
    ("benchmark --rounds 0", "0 is not in the range x>=1"),
]
PROGRAM = """
import json, sys
from click.testing import CliRunner
from lenet5.cli import main
results = []
for line in json.loads(sys.argv[1]):
    result = CliRunner().invoke(main, line.split())
    results.append([result.exit_code, result.stdout, result.stderr, "torch" in sys.modules])
print(json.dumps(results))
"""
Outcome = tuple[int, str, str, bool]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Exit code, stdout and stderr of each refused command, and whether torch was loaded."""
    folder = tmp_path_factory.mktemp("refused")
    for name in ("digits-001", "empty"):
        (folder / "runs" / name).mkdir(parents=True)
    (folder / "runs" / "digits-001" / "config.json").touch()
    (folder / "note.txt").touch()
    before = sorted(folder.rglob("*"))
    lines = [line for line, _ in REFUSED]
    command = [sys.executable, "-c", PROGRAM, json.dumps(lines)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert sorted(folder.rglob("*")) == before
    return dict(zip(lines, json.loads(result.stdout), strict=True))


@pytest.mark.parametrize(("line", "message"), REFUSED)
def test_refusal_is_one_sentence_without_torch(outcomes: dict[str, Outcome], line: str, message: str) -> None:
    code, stdout, stderr, has_torch = outcomes[line]
    assert (code, stdout) == (2, "")
    assert message in stderr
    assert stderr.startswith("Error: ")
    assert len(stderr.splitlines()) == 1
    assert not has_torch


def test_module_without_arguments_prints_help(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lenet5"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Usage: " in result.stdout + result.stderr
