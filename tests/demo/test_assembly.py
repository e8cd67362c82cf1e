"""The page is one file that loads nothing and sends nothing."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import lenet5
from lenet5.models.original.network import C3_TABLE

ASSETS = Path(lenet5.demo.__file__).parent / "assets"
HTML = lenet5.demo.page()


def about() -> dict[str, Any]:
    """What the page's script reads: the version and the networks."""
    (text,) = re.findall(r'<script type="application/json" id="about">(.*?)</script>', HTML, re.DOTALL)
    value: dict[str, Any] = json.loads(text)
    return value


def test_page_is_smaller_than_three_megabytes_and_each_model_than_300_kilobytes() -> None:
    assert len(HTML.encode()) < 3_000_000
    for network in about()["networks"].values():
        assert len(base64.b64decode(network["tensors"])) < 300_000


def test_page_holds_the_bundled_weights_unchanged() -> None:
    assert about()["version"] == lenet5.__version__
    weights = {network["name"]: network for network in about()["networks"].values()}
    assert set(weights) == {"original_mnist_v1", "mnist_photo_v1"}
    for name, network in weights.items():
        pretrained = lenet5.load(name)
        assert hashlib.sha256(base64.b64decode(network["tensors"])).hexdigest() == pretrained.meta["sha256"]
        assert network["config"]["meta"]["abstention"]["threshold"] == pretrained.threshold
        assert network["config"]["architecture"] == type(pretrained.model).__name__


def test_page_names_no_other_place() -> None:
    assert set(re.findall(r"https?://[\w./]+", HTML)) == {"http://www.w3.org/2000/svg"}  # a namespace, not loaded
    assert not re.search(r"<(script|img|iframe|video|source|embed|object)\b[^>]*\bsrc=", HTML)
    assert re.findall(r"<link [^>]*href=\"(\w+:)", HTML) == ["data:"]
    assert not re.search(r"@import|url\(|\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import\(", HTML)


def test_policy_forbids_connections_and_allows_exactly_the_scripts_and_the_style_of_the_page() -> None:
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', HTML)
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    assert directives["default-src"] == directives["connect-src"] == "'none'"
    for directive, blocks in {
        "script-src": re.findall(r"<script>(.*?)</script>", HTML, re.DOTALL),
        "style-src": re.findall(r"<style>(.*?)</style>", HTML, re.DOTALL),
    }.items():
        hashes = [base64.b64encode(hashlib.sha256(block.encode()).digest()).decode() for block in blocks]
        assert directives[directive].split() == [f"'sha256-{value}'" for value in hashes]
    assert not re.search(r"\bstyle=|\bon\w+=\"", HTML)  # the policy would block these


def test_every_asset_is_in_the_page() -> None:
    for path in ASSETS.iterdir():
        if path.suffix != ".html":
            assert path.read_text(encoding="utf-8") in HTML, path.name


def test_page_is_the_same_every_time() -> None:
    assert lenet5.demo.page() == HTML


def test_connection_table_of_the_page_is_that_of_the_network() -> None:
    (rows,) = re.findall(r"const C3_TABLE = (\[.*?\]);", HTML, re.DOTALL)
    assert json.loads(re.sub(r",\s*\]", "]", rows)) == [list(row) for row in C3_TABLE]


def test_page_needs_no_torch() -> None:
    program = "import sys, lenet5; lenet5.demo.page(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
