"""Nothing assumes Linux: neither its system calls, nor its file names, nor UTF-8 as the encoding of text."""

import ast
import os
import subprocess
import sys
from pathlib import Path

from torch.utils.data import DataLoader

import lenet5

ROOT = Path(__file__).parents[1]
WORKER = Path(__file__).with_name("foreign_system.py")
STUBS = sorted(Path(lenet5.__file__).parent.rglob("*.pyi"))


def test_package_works_under_the_rules_of_windows(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "LC_ALL": "C.UTF-8",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "cp1252",
        "PYTHONWARNDEFAULTENCODING": "1",
    }
    command = [sys.executable, str(WORKER), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode("cp1252")
    assert done.stdout.decode("cp1252").splitlines()[-1] == "done"


def test_datasets_reach_workers_that_are_spawned_as_on_windows(digits: lenet5.DataSplits) -> None:
    model = lenet5.LeNet5().eval()
    loader = DataLoader(digits.val, batch_size=50, num_workers=1, multiprocessing_context="spawn")
    expected = lenet5.evaluate(model, digits.val)
    assert lenet5.evaluate(model, loader).confusion_matrix.tolist() == expected.confusion_matrix.tolist()


def test_stubs_are_ascii_because_lazy_loader_reads_them_in_the_encoding_of_the_system() -> None:
    assert STUBS
    for stub in STUBS:
        assert stub.read_bytes().isascii(), stub


def opens_text_in_the_encoding_of_the_system(node: ast.AST) -> bool:
    """Return True for a call that opens a text file without stating its encoding."""
    if not isinstance(node, ast.Call) or any(keyword.arg in {"encoding", None} for keyword in node.keywords):
        return False
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name == "open":
        modes = [item.value for item in node.args[-1:] if isinstance(item, ast.Constant)]
        return any(mode in {"r", "w", "a", "x", "r+", "w+"} for mode in modes)
    return name == "read_text" or (name == "write_text" and len(node.args) == 1)


def test_every_text_file_states_its_encoding() -> None:
    folders = [ROOT / name for name in ("src", "tests", "benchmarks", "docs")]
    files = [*ROOT.glob("*.py"), *(file for folder in folders for file in folder.rglob("*.py"))]
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and opens_text_in_the_encoding_of_the_system(node)
    ]
    assert found == []
