"""Code on the pages runs when they are built, or says why not; and what does not run is parsed."""

import re
import shlex
from pathlib import Path

import click
import pytest

from lenet5.cli import main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
LISTINGS = {"", "text", "c", "verilog", "json", "csv", "html", "{toctree}", "{eval-rst}", "{include}", "{container}"}
KINDS = LISTINGS | {"{code-cell}", "{command-help}", "{not-run}", "{image}"}
PLACEHOLDER = re.compile(r"[A-Z_]+|\.\.\.|…")


def blocks(page: Path, kind: str = "") -> list[tuple[str, str]]:
    """Return the kind and the content of each block of a page."""
    fence = re.compile(r"^(```+)([^\n`]*)\n(.*?)^\1", re.DOTALL | re.MULTILINE)
    found = [(opening.strip(), content) for _, opening, content in fence.findall(page.read_text(encoding="utf-8"))]
    return [(opening, content) for opening, content in found if opening.startswith(kind)]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_code_runs_when_the_page_is_built_or_says_why_not(page: Path) -> None:
    kinds = {opening.split()[0] if opening else "" for opening, _ in blocks(page)}
    assert kinds <= KINDS, "expected {code-cell} python, {code-cell} shell, or {not-run} shell with a reason"
    for _, content in blocks(page, "{not-run}"):
        assert re.match(r":because: .+\n", content)
    if blocks(page, "{code-cell}"):
        assert "\nfile_format: mystnb\n" in page.read_text(encoding="utf-8").split("\n---\n")[0]


def commands(page: Path) -> list[str]:
    """Return the command lines of `lenet5` on a page that its build does not run."""
    shell = [content for kind in ("{not-run} shell", "sh", "shell") for _, content in blocks(page, kind)]
    lines = "\n".join(shell).replace("\\\n", " ").splitlines()
    found = [part for line in lines for part in re.findall(r"(?:^|[\s;&])lenet5 ([^&|;]+)", line)]
    text = re.sub(r"^(```+).*?^\1", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return found + re.findall(r"`(?:[A-Z_0-9]+=\S+ )*lenet5 ([a-z-][^`]*)`", text)


def parse(line: str) -> None:
    """Parse a command line as `lenet5` does; values in capitals stand for those of users."""
    command, *words = shlex.split(line, comments=True)
    if command.startswith("-"):
        main.make_parser(click.Context(main)).parse_args([command])
        return
    context = click.Context(main.commands[command])
    values, *_ = main.commands[command].make_parser(context).parse_args(words)
    checked = {each.name: each.type for each in main.commands[command].params if isinstance(each, click.Option)}
    for option, value in values.items():
        if isinstance(kind := checked.get(option), click.Choice):
            each = value if isinstance(value, list) else [value]
            assert all(PLACEHOLDER.fullmatch(one) or kind.convert(one, None, context) for one in each)


@pytest.mark.parametrize("page", TEXTS, ids=name)
def test_commands_that_are_not_run_are_those_of_the_command_line(page: Path) -> None:
    for line in commands(page):
        try:
            parse(line)
        except click.BadOptionUsage as error:
            if not line.endswith(error.option_name):  # a sentence may name an option without its value
                pytest.fail(f"lenet5 {line}: {error!r}")
        except (click.UsageError, KeyError, ValueError) as error:
            pytest.fail(f"lenet5 {line}: {error!r}")


def test_a_renamed_option_on_a_page_is_found() -> None:
    parse("train --recipe fast --set augment.degrees=5")
    for line in ("train --recipee fast", "train --recipe fasst", "trane", "export --format onyx"):
        with pytest.raises((click.UsageError, KeyError)):
            parse(line)


def test_commands_are_found_in_blocks_and_in_sentences(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Call `lenet5 info`.\n\n```{not-run} shell\n:because: it needs two hosts\n\n"
        "torchrun --nnodes 2 \\\n    -m lenet5 train --epochs 2\npip install . && lenet5 --version  # now\n```\n"
        "\n```{code-cell} shell\nlenet5 benchmark\n```\n",
        encoding="utf-8",
    )
    assert commands(page) == ["train --epochs 2", "--version  # now", "info"]


def test_no_figure_is_committed_that_the_build_can_draw() -> None:
    images = {image for image in DOCS.rglob("*.*") if image.suffix in {".png", ".svg", ".gif", ".webp"}}
    built = {image for image in images if {"_build", "_static", "gallery"} & set(image.relative_to(DOCS).parts)}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")  # which no build draws figures for
    assert {name(image) for image in images - built} <= set(re.findall(r'src="([^"]+)"', readme))
