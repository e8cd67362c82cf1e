import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from lenet5.cli import benchmark, main


def test_benchmark_prints_four_speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "NUM_IMAGES", 300)
    monkeypatch.setattr(benchmark, "SECONDS", 0.0)
    monkeypatch.setattr(benchmark, "SIZE", 64)
    result = CliRunner().invoke(main, ["benchmark", "--device", "cpu", "--rounds", "2"])
    assert result.exit_code == 0, result.output
    row = re.compile(r"^(.{22}) *([\d,]+) +([\d,]+) (images/s|µs) +(\d+\.\d\d)  \d+%$", re.MULTILINE)
    rows = row.findall(result.stdout)
    assert [title.strip() for title, *_ in rows] == [
        "training, batch 64",
        "training, batch 256",
        "prediction in batches",
        "prediction, one image",
    ]
    assert [unit for *_, unit, _ in rows] == ["images/s"] * 3 + ["µs"]
    assert all(float(ratio) > 0 for *_, ratio in rows)
    assert "of the float32 matrix-product rate" in result.stdout


def test_benchmark_rejects_bad_options() -> None:
    result = CliRunner().invoke(main, ["benchmark", "--rounds", "0"])
    assert result.exit_code == 2
    result = CliRunner().invoke(main, ["benchmark", "--device", "gpu"])
    assert result.exit_code == 2
    assert "device 'gpu' is unknown to torch" in result.stderr


def test_benchmark_help_does_not_load_torch() -> None:
    program = "import sys; from lenet5.cli import main; main(['benchmark', '--help'], standalone_mode=False)"
    program += "; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True).returncode == 0
