"""The command `lenet5 demo` serves the page, opens the browser, and ends with Ctrl-C."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

import lenet5
from lenet5.demo import Server

Invoke = Callable[..., Result]


def test_save_writes_the_page_to_a_file(run: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text("older", encoding="utf-8")
    assert run("demo", "--save", file).stdout == f"page written to {file}\n"
    assert file.read_text(encoding="utf-8") == lenet5.demo.page()


def test_page_is_served_until_ctrl_c_without_torch() -> None:
    program = "import sys, lenet5.cli; lenet5.cli.main(['demo', '--no-browser'], standalone_mode=False);"
    program += "assert 'torch' not in sys.modules"
    command = [sys.executable, "-W", "error", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            match = re.fullmatch(r"(http://127\.0\.0\.1:\d+/)  \(Ctrl-C ends\)\n", line)
            assert match, line
            with urllib.request.urlopen(match[1], timeout=30) as response:
                assert response.read().decode() == lenet5.demo.page()
            if os.name != "nt":  # where no process can send Ctrl-C to another
                process.send_signal(signal.SIGINT)
                rest, errors = process.communicate(timeout=60)
                assert (process.returncode, rest, errors) == (0, "", "")
        finally:
            process.kill()


@pytest.mark.parametrize(("options", "opens"), [([], True), (["--no-browser"], False)])
def test_browser_is_opened_unless_it_is_not_wanted(
    run: Invoke, monkeypatch: pytest.MonkeyPatch, options: list[str], opens: bool
) -> None:
    opened, called = [], threading.Event()

    def open_browser(address: str) -> bool:
        opened.append(address)
        called.set()
        return True

    def serve(_server: Server) -> None:
        if opens:
            assert called.wait(60)
        raise KeyboardInterrupt

    monkeypatch.setattr("webbrowser.open", open_browser)
    monkeypatch.setattr(Server, "serve_forever", serve)
    address = run("demo", *options).stdout.split()[0]
    assert opened == ([address] if opens else [])


def test_busy_port_is_one_sentence_and_exit_code_2(invoke: Invoke) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        result = invoke("demo", "--no-browser", "--port", busy.getsockname()[1])
    assert result.exit_code == 2
    assert re.fullmatch(
        r"Error: port \d+ cannot be opened: [^\n]+; choose a different port, or 0 [^\n]+\n", result.stderr
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "65536"], "65536 is not in the range 0<=x<=65535"),
        (["--port", "http"], "'http' is not a valid"),
        (["--save", ""], "the path is empty"),
        (["--save", "."], "is a directory"),
        (["--save", "missing/page.html"], "missing"),
    ],
)
def test_bad_options_are_refused(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("demo", "--no-browser", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
