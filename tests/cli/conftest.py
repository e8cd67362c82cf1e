from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lenet5.cli import main

Invoke = Callable[..., Result]


@pytest.fixture(scope="session")
def invoke() -> Invoke:
    """Run the command line with any arguments."""
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def run(invoke: Invoke) -> Invoke:
    """Run the command line, and assert success."""

    def succeed(*arguments: object) -> Result:
        result = invoke(*arguments)
        assert result.exit_code == 0, result.output
        return result

    return succeed


@pytest.fixture(scope="session")
def trained(run: Invoke, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A run of three epochs on the digits: its folder, and the output of the command."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    return folder, run("train", "--epochs", 3, "--seed", 1, "--device", "cpu", "--out", folder)
