"""The page in Chromium, driven by Playwright. Whatever the page requests or complains about fails the test."""

import functools
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lenet5.demo import Server, page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Request, Route

REASON = "nox -s demo installs playwright"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Chromium: the one that LENET5_BROWSER names, or one of the system, or Playwright's own."""
    library = pytest.importorskip("playwright.sync_api", reason=REASON)
    with library.sync_playwright() as playwright:
        installed = (os.environ.get("LENET5_BROWSER"), *map(shutil.which, NAMES), playwright.chromium.executable_path)
        program = next((path for path in installed if path and Path(path).exists()), None)
        if program is None:
            stop = pytest.fail if os.environ.get("LENET5_REQUIRE_BROWSER") else pytest.skip
            stop("no Chromium is installed: use the system's package, or run `playwright install chromium`")
        root = sys.platform == "linux" and os.geteuid() == 0  # who may not use Chromium's sandbox
        arguments = [*QUIET, *CAMERA, "--disable-gpu", *["--no-sandbox"] * root]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page as a file."""
    file = tmp_path_factory.mktemp("saved") / "page.html"
    file.write_text(page(), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def served() -> Iterator[str]:
    """The address of the page behind the server of `lenet5 demo`."""
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.address
        server.shutdown()


class Watch:
    """What the pages of a context requested besides themselves, and the errors that they reported."""

    def __init__(self, context: "BrowserContext", address: str) -> None:
        self.address = address
        self.complaints: list[str] = []
        context.on("request", self._record)
        context.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.route("**/*", self._block)

    def _record(self, request: "Request") -> None:
        if request.url != self.address and not request.url.startswith("data:"):
            self.complaints.append(f"requested {request.url}")

    def _block(self, route: "Route") -> None:
        if route.request.url == self.address:
            route.continue_()
        else:
            route.abort()


@pytest.fixture
def visit(browser: "Browser", saved: Path, served: str) -> Iterator[Callable[..., "Page"]]:
    """Open the page; options are those of a context of Playwright. `at` is "file" or "server"."""
    contexts: list[BrowserContext] = []
    watches: list[Watch] = []

    def open_page(at: str = "file", **options: Any) -> "Page":
        address = saved.as_uri() if at == "file" else served
        settings = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options}
        context = browser.new_context(**settings)
        contexts.append(context)
        watches.append(Watch(context, address))
        opened = context.new_page()
        opened.goto(address)
        return opened

    yield open_page
    for context in contexts:
        context.close()
    assert [complaint for watch in watches for complaint in watch.complaints] == []


@pytest.fixture
def draw() -> Callable[..., None]:
    """Draw strokes with the mouse: lists of points on a pad of 280x280."""

    def draw_strokes(opened: "Page", strokes: list[list[tuple[float, float]]]) -> None:
        box = opened.locator("#pad").bounding_box()
        assert box
        for points in strokes:
            places = [(box["x"] + x * box["width"] / 280, box["y"] + y * box["height"] / 280) for x, y in points]
            opened.mouse.move(*places[0])
            opened.mouse.down()
            for place in places[1:]:
                opened.mouse.move(*place)
            opened.mouse.up()

    return draw_strokes


@pytest.fixture
def example() -> Callable[["Page", int], Any]:
    """The strokes of one of the page's examples."""

    @functools.cache
    def strokes(opened: "Page", digit: int) -> Any:
        return opened.evaluate("(digit) => Examples.strokes(digit, Pad.SIDE)", digit)

    return strokes
