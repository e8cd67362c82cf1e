"""The report is one HTML page that needs nothing else, is the same each time, and shows names as they are."""

import base64
import dataclasses
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from lenet5 import Evaluation
from lenet5.runs import SavedRun, read_run, report_html, write_report

VOID = {"meta", "img"}
HOSTILE = (
    "<script>alert(1)</script>",
    "$x_1^2$",
    'a"b',
    "😀",
    "&amp;",
    "'",
    "\x00\x1b[31m",
    "\u202e",
    "\udcff",
    "x" * 300,
)


class Page(HTMLParser):
    """Collects the elements of a page, and checks that each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def single(runs: Path) -> str:
    return report_html(runs / "max" / "seed-9")


@pytest.fixture(scope="module")
def several(runs: Path) -> str:
    return report_html([runs / "max", runs / "avg"])


@pytest.fixture(params=["single", "several"])
def page(request: pytest.FixtureRequest) -> Page:
    return Page(request.getfixturevalue(request.param))


def test_training_writes_the_report_that_the_folder_gives(runs: Path, single: str, tmp_path: Path) -> None:
    folder = runs / "max" / "seed-9"
    assert (folder / "report.html").read_bytes() == single.encode()
    assert report_html(shutil.copytree(folder, tmp_path / "elsewhere")) == single
    assert len(single) < 2 << 20


def test_page_requests_nothing(page: Page) -> None:
    links = [value for _, attributes in page.elements for name in ("src", "href") if (value := attributes.get(name))]
    assert all(link.startswith(("data:image/", "#")) for link in links)
    assert {"script", "link", "iframe", "object"}.isdisjoint(tag for tag, _ in page.elements)
    for image in page.all("img"):
        kind, _, data = str(image["src"]).partition(";base64,")
        content = base64.b64decode(data, validate=True)
        assert kind in {"data:image/svg+xml", "data:image/png"}
        if kind.endswith("xml"):
            ET.fromstring(content)
            assert not re.search(rb"(href|src)=\"(?!#|data:)", content)


def test_page_is_usable_by_screen_readers_and_keyboard(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("title")) == len(page.all("h1")) == len(page.all("main")) == 1
    assert all(image.get("alt") for image in page.all("img"))
    assert {header.get("scope") for header in page.all("th")} == {"col", "row"}
    assert len(page.all("caption")) == len(page.all("table"))
    scrolled = [each for _, each in page.elements if "scroll" in str(each.get("class"))]
    assert all(each["tabindex"] == "0" and each["aria-label"] for each in [*scrolled, *page.all("pre")])
    identifiers = [each["id"] for _, each in page.elements if "id" in each]
    assert [f"#{name}" for name in identifiers] == [link["href"] for link in page.all("a")]


def test_report_of_one_run_has_its_result_and_its_parts(runs: Path, single: str) -> None:
    run = read_run(runs / "max" / "seed-9")
    text = Page(single).text.replace("\N{NO-BREAK SPACE}", " ")
    low, high = (f"{100 * bound:.2f} %" for bound in run.accuracy_interval)
    assert f"classifies {100 * run.accuracy:.2f} % of the 360 test images correctly" in text
    assert f"(95 % confidence interval: {low} to {high})" in text
    assert "lenet5 train --data digits --recipe digits --epochs 1 --batch-size 128 --seed 9" in text
    for part in ("Metrics by epoch", "Most frequent confusions", "Reliability diagram", "48,120", "augment.degrees"):
        assert part in text
    assert run.mistakes is not None
    assert text.count("true: ") == len(run.mistakes.indices)


def test_report_of_several_runs_has_groups_difference_and_tables(several: str) -> None:
    text = Page(several).text
    assert "4 runs on digits" in text
    assert "model.pooling=avg minus model.pooling=max" in text
    assert "Welch" in text
    assert r"\toprule" in text
    assert "| --- |" in text
    assert "seed-10" in text


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["max/seed-9", "avg/seed-9"], "McNemar"),
        (["max", "avg/seed-9"], "cannot be compared: the groups have 2 and 1 runs"),
    ],
)
def test_two_groups_are_compared_or_the_reason_is_given(runs: Path, names: list[str], expected: str) -> None:
    assert expected in Page(report_html([runs / name for name in names])).text


def test_group_of_seeds_alone_has_no_difference(runs: Path) -> None:
    text = Page(report_html(runs / "max")).text
    assert "digits: " in text
    assert "Difference" not in text


def test_run_of_an_older_version_is_reported_with_what_it_has(old_run: Path, runs: Path) -> None:
    assert "did not store its predictions" in Page(report_html(old_run)).text
    assert "Not all runs store their predictions" in Page(report_html([old_run, runs / "avg" / "seed-9"])).text


def with_classes(run: SavedRun, classes: tuple[str, ...]) -> SavedRun:
    """Return a run with other class names."""
    assert run.evaluation is not None
    evaluation = Evaluation(run.evaluation.targets, run.evaluation.probabilities, classes=classes, loss=run.loss)
    return dataclasses.replace(run, classes=classes, evaluation=evaluation)


def test_names_are_shown_and_never_interpreted(runs: Path) -> None:
    settings = {"data": "<img src=x onerror=alert(1)>\n.csv", "recipe": "digits", "seed": 0}
    hostile = [
        dataclasses.replace(
            with_classes(read_run(runs / name / "seed-9"), HOSTILE), name=f"<b>{name}", settings=settings
        )
        for name in ("max", "avg")
    ]
    for given in (hostile[:1], hostile):
        page = Page(report_html(given))
        page_of_plain = Page(report_html([read_run(run.folder) for run in given]))
        assert page.elements.count(("script", {})) == 0
        assert {tag for tag, _ in page.elements} == {tag for tag, _ in page_of_plain.elements}
        assert "<script>alert(1)</script>" in page.text
        assert "\\x1b[31m" in page.text
        for image in page.all("img"):
            if str(image["src"]).startswith("data:image/svg"):
                ET.fromstring(base64.b64decode(str(image["src"]).partition(",")[2]))


def test_perfect_run_has_no_mistakes(runs: Path) -> None:
    run = read_run(runs / "max" / "seed-9")
    assert run.evaluation is not None
    targets = run.evaluation.targets
    perfect = Evaluation(targets, np.eye(10)[targets])
    flawless = dataclasses.replace(run, confusion_matrix=perfect.confusion_matrix, evaluation=perfect)
    text = Page(report_html([flawless])).text
    assert "All 360 test images are classified correctly" in text
    assert "Most frequent confusions" not in text


def test_figures_that_many_classes_leave_no_room_for_are_said_to_be_left_out(runs: Path) -> None:
    many = tuple(map(str, range(51)))
    found = [
        dataclasses.replace(
            read_run(runs / name / "seed-9"), classes=many, confusion_matrix=np.eye(51, dtype=int), evaluation=None
        )
        for name in ("max", "avg")
    ]
    for given, times in ((found[:1], 1), (found, 2)):
        text = Page(report_html(given)).text
        assert text.count("there are 51 classes, more than 50") == times


def test_only_an_unedited_report_is_replaced(runs: Path, tmp_path: Path, single: str) -> None:
    file = tmp_path / "page.html"
    write_report(runs / "max", file)
    write_report(runs / "max" / "seed-9", file)
    assert file.read_text(encoding="utf-8") == single
    file.write_text(single.replace("<h1>", "<h1>My "), encoding="utf-8")
    with pytest.raises(FileExistsError, match="page.html exists, and is no unedited report"):
        write_report(runs / "max", file)


def test_no_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="there are no runs to report"):
        report_html([])
