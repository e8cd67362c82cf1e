"""`lenet5 report` writes one HTML file, and overwrites nothing of anybody's."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Invoke = Callable[..., Result]


def test_report_is_written_to_the_folder_of_the_run(trained: tuple[Path, Result], run: Invoke) -> None:
    page = trained[0] / "report.html"
    before = page.read_bytes()
    page.unlink()
    assert run("report", trained[0]).stdout == f"written to {page}\n"
    assert page.read_bytes() == before


def test_report_of_several_runs_is_written_to_a_new_file(
    trained: tuple[Path, Result], run: Invoke, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    opened: dict[str, None] = {}
    monkeypatch.setattr("webbrowser.open", lambda address: opened.setdefault(address) is None)
    run("report", trained[0], trained[0].parent / "run", "--out", "page.html", "--open")
    assert list(opened) == [(tmp_path / "page.html").as_uri()]
    taken = invoke("report", trained[0], "--out", "page.html")
    assert (taken.exit_code, "page.html, which exists; expected the name of a new HTML file" in taken.stderr) == (
        2,
        True,
    )
    (tmp_path / "report.html").write_text("mine", encoding="utf-8")
    mine = invoke("report", trained[0], os.path.relpath(trained[0]))
    assert (mine.exit_code, (tmp_path / "report.html").read_text(encoding="utf-8")) == (2, "mine")
    assert "report.html exists, and is no unedited report; expected the name of a new file" in mine.stderr


@pytest.mark.parametrize("content", [{}, {"config.json": b"{"}, {"config.json": b"{}", "report.json": b"{}"}])
def test_folder_without_a_finished_run_is_refused_in_a_sentence(
    invoke: Invoke, tmp_path: Path, content: dict[str, bytes]
) -> None:
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    result = invoke("report", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert str(tmp_path) in result.stderr


def test_browser_that_cannot_be_opened_is_no_error(
    trained: tuple[Path, Result], run: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    assert "no browser could be opened" in run("report", trained[0], "--open").stderr
