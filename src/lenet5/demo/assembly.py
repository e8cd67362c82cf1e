"""The page as one file: style, scripts and weights are put into its HTML."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from .. import __version__
from ..storage import read_file, read_json

_ASSETS = Path(__file__).parent / "assets"
_WEIGHTS = Path(__file__).parents[1] / "weights"
_NETWORKS = {"original": "original_mnist_v1", "today": "mnist_photo_v1"}
_USED = ("architecture", "preprocess")  # of config.json


def page() -> str:
    """Return the page to draw on, as HTML.

    The network of 1998 and today's read a digit while it is drawn. The page is one file with everything in it, the
    bundled weights `original_mnist_v1` and `mnist_photo_v1` included. It works from disk and without a network, and its
    Content-Security-Policy forbids every connection.

    Returns
    -------
    str
        About 700 kB. Write it with `encoding="utf-8"`.

    Examples
    --------
    >>> html = lenet5.demo.page()
    >>> html.startswith("<!doctype html>")
    True
    """
    html = _read("index.html")
    style = _read("style.css")
    scripts = {name: _read(name) for name in re.findall(r'<script src="(\w+\.js)">', html)}
    html = html.replace('<link rel="stylesheet" href="style.css">', f"<style>{style}</style>")
    for name, script in scripts.items():
        html = html.replace(f'<script src="{name}">', f"<script>{script}")
    html = html.replace('Policy" content="', f'Policy" content="{_policy(style, scripts.values())}', 1)
    return html.replace(' id="about">', f' id="about">{_about()}', 1)


def _read(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _policy(style: str, scripts: Any) -> str:
    """Return a Content-Security-Policy that allows this style and these scripts, and no connection."""
    allowed = {
        "default-src": "'none'",
        "script-src": " ".join(map(_hash, scripts)),
        "style-src": _hash(style),
        "img-src": "data:",
        "connect-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{directive} {sources}" for directive, sources in allowed.items())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _about() -> str:
    """Return the version and the networks as JSON, which a script element may hold."""
    networks = {key: _network(name) for key, name in _NETWORKS.items()}
    return json.dumps({"version": __version__, "networks": networks}).replace("<", r"\u003c")


def _network(name: str) -> dict[str, Any]:
    """Return a folder of weights: what of its config the page needs, and its tensors in base64."""
    config = read_json(_WEIGHTS / name / "config.json")
    tensors = read_file(_WEIGHTS / name / "model.safetensors", sha256=config["sha256"])
    used = {key: config[key] for key in _USED} | {"meta": {"abstention": config["meta"]["abstention"]}}
    return {"name": name, "config": used, "tensors": base64.b64encode(tensors).decode()}
