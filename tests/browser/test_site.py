"""The built pages in a browser: they fit a phone, ask nothing of other sites, and are accessible.

`nox -s pages` runs these tests on docs/_build/html, which `nox -s docs` builds.
"""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs the dependency group browser")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the dependency group browser")

HTML = Path(__file__).parents[2] / "docs" / "_build" / "html"
GENERATED = {"_modules", "_static", "_downloads", "_images", "_sources"}
FILES = sorted(file for file in HTML.rglob("*.html") if not GENERATED & set(file.relative_to(HTML).parts))
WITHOUT_TEXT = {"genindex.html", "search.html", "py-modindex.html"}
WIDTHS = 1280, 390  # pixels: a desk and a phone
CUT_OFF = """() => {
    const scrolls = element => element && (["auto", "scroll"].includes(getComputedStyle(element).overflowX)
        || scrolls(element.parentElement === document.body ? null : element.parentElement));
    return [...document.querySelectorAll("article *")]
        .filter(element => element.getBoundingClientRect().right > innerWidth + 1 && element.checkVisibility())
        .filter(element => !scrolls(element)).map(element => `${element.tagName} ${element.className}`).slice(0, 5);
}"""
NAMED_BY_FILE = """() => [...document.querySelectorAll("article img")]
    .filter(image => image.alt.endsWith(".png") || (!image.alt && !image.closest(".sphx-glr-thumbcontainer")))
    .map(image => image.src)"""

pytestmark = pytest.mark.skipif(not FILES, reason="docs/_build/html is empty; run nox -s docs first")


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Serve the built pages on the loopback interface."""
    handler = functools.partial(QuietHandler, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start the system's Chromium, or else playwright's own."""
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HTML)))
def test_page_fits_is_accessible_and_asks_nothing_of_other_sites(
    file: Path, width: int, site: str, browser: Any
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{site}/{file.relative_to(HTML).as_posix()}", wait_until="networkidle")
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    cut_off = page.evaluate(CUT_OFF)
    unnamed = page.evaluate(NAMED_BY_FILE)
    description = page.evaluate("document.querySelector('meta[name=description]')?.content")
    found = [each for each in axe.Axe().run(page).response["violations"] if each["impact"] in {"serious", "critical"}]
    page.close()
    assert not [url for url in requests if not url.startswith((site, "data:", "blob:"))]
    assert not errors
    assert overflow <= 0
    assert not cut_off, "wider than the window, and not in a box that scrolls"
    assert file.name in WITHOUT_TEXT or len(description) > 20
    assert not unnamed, "figures need a text that stands for them"
    assert not [(each["id"], [node["html"][:200] for node in each["nodes"][:3]]) for each in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("own images", "howto/own_data"),
        ("misclassified", "howto/evaluation"),
        ("seed", "howto/comparing"),
        ("load_digit", "reference/data"),
    ],
)
def test_search_puts_the_page_that_answers_first(words: str, expected: str, site: str, browser: Any) -> None:
    page = browser.new_page()
    page.goto(f"{site}/search.html?q={words}")
    page.wait_for_selector("#search-results li a")
    page.wait_for_function("document.querySelector('#search-results .search-summary').textContent.includes('found')")
    first = page.evaluate("document.querySelector('#search-results li > a').href")
    page.close()
    assert f"/{expected}.html" in first
