"""Measure, in headless Chromium, the ways to run LeNet-5 in a web page, and the page to draw on.

Of each way, the latency of one image and the bytes to deliver; of the page, the time from the pen's lift to the answer.

python benchmarks/browser.py ONNXRUNTIME_WEB [--rounds 5] [--out benchmarks/results/browser.json]

ONNXRUNTIME_WEB is the folder `dist` of the npm package onnxruntime-web. Needs playwright, ziglang and onnx from PyPI.
The candidates are measured in turn, in rounds, each in a page of its own: other programs slow all of them.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import http.server
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import lenet5

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[1]
PAGE, WEIGHTS = ROOT / "src" / "lenet5" / "demo" / "assets", ROOT / "src" / "lenet5" / "weights" / "mnist_v2"
ORT = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
FILES = {
    "plain JavaScript": ("network.js", "config.json", "model.safetensors"),
    "C as WebAssembly": ("lenet5.wasm",),
    "ONNX Runtime Web": (*ORT, "lenet5.onnx"),
}
PREPARE = {
    "plain JavaScript": """
        const bytes = new Uint8Array(await (await fetch("model.safetensors")).arrayBuffer());
        const run = Network.build(await (await fetch("config.json")).json(), Network.parse(bytes));
        const answer = async () => run(pixels).logits;""",
    "C as WebAssembly": """
        const {instance: {exports: c}} = await WebAssembly.instantiateStreaming(fetch("lenet5.wasm"));
        const answer = async () => {
            new Uint8Array(c.memory.buffer).set(pixels, c.pixels());
            c.run();
            return new Float32Array(c.memory.buffer, c.logits(), 10);
        };""",
    "ONNX Runtime Web": """
        ort.env.wasm.numThreads = 1;
        const session = await ort.InferenceSession.create("lenet5.onnx");
        const answer = async () => {
            const image = Float32Array.from(pixels, (pixel) => (pixel / 255 - MEAN) / STD);
            return (await session.run({images: new ort.Tensor("float32", image, [1, 1, 28, 28])})).logits.data;
        };""",
}
MEASURE = """async (pixels) => {
    const begin = performance.now();
    %s
    const logits = Array.from(await answer());
    const start = performance.now() - begin;
    for (let i = 0; i < 100; i++) await answer();
    const times = [];
    for (let i = 0; i < 50; i++) {
        const before = performance.now();
        for (let j = 0; j < 20; j++) await answer(); // the clock has steps of 0.1 ms
        times.push((performance.now() - before) / 20);
    }
    return {start, logits, times};
}"""
GLUE = """
#include "lenet5.h"
static uint8_t input[784];
static float image[784], output[10];
__attribute__((export_name("pixels"))) uint8_t *pixels(void) { return input; }
__attribute__((export_name("logits"))) float *logits(void) { return output; }
__attribute__((export_name("run"))) void run(void)
{
    for (int i = 0; i < 784; i++) {
        image[i] = (input[i] / 255.0f - MEAN) / STD;
    }
    lenet5_logits(image, output);
}
"""


def build(folder: Path, ort: Path) -> None:
    """Write the files of all candidates to a folder."""
    for name in ORT:
        (folder / name).write_bytes((ort / name).read_bytes())
    for path in (PAGE / "network.js", WEIGHTS / "config.json", WEIGHTS / "model.safetensors"):
        (folder / path.name).write_bytes(path.read_bytes())
    model = lenet5.load("mnist_v2").model
    lenet5.export.export_onnx(model, folder / "lenet5.onnx")
    lenet5.export.export_c(model, folder / "lenet5.c")
    mean, std = normalisation()
    (folder / "glue.c").write_text(f"#define MEAN {mean}f\n#define STD {std}f\n{GLUE}", encoding="utf-8")
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", "-mexec-model=reactor", "-O3"]
    flags = ["-msimd128", "-ffast-math", "-s", "-o", "lenet5.wasm", "glue.c", "lenet5.c"]
    subprocess.run([*command, *flags], check=True, cwd=folder)
    (folder / "index.html").write_text("<!doctype html><link rel=icon href=data:,>", encoding="utf-8")


def normalisation() -> tuple[float, float]:
    """Return the mean and the standard deviation of the weights."""
    preprocess = json.loads((WEIGHTS / "config.json").read_text(encoding="utf-8"))["preprocess"]
    return preprocess["mean"], preprocess["std"]


LIFT = """() => {
    globalThis.lifts = [];
    let lifted = 0;
    addEventListener("pointerup", (event) => { lifted = event.timeStamp; }, true);
    new MutationObserver(() => lifts.push(performance.now() - lifted))
        .observe(document.getElementById("status"), {childList: true});
}"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder silently."""

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


def measure(browser: Browser, address: str, name: str, pixels: list[int]) -> dict[str, Any]:
    """Measure a candidate in a new page."""
    page = browser.new_page()
    page.goto(f"{address}/index.html")
    mean, std = normalisation()
    page.evaluate(f"() => {{ globalThis.MEAN = {mean}; globalThis.STD = {std}; }}")
    for script in FILES[name]:
        if script.endswith(".js"):
            page.add_script_tag(url=f"{address}/{script}")
    result: dict[str, Any] = page.evaluate(MEASURE % PREPARE[name], pixels)
    page.close()
    return result


def measure_lifts(browser: Browser, file: Path) -> list[float]:
    """Draw the digits by the mouse in a new page; return the milliseconds from each lift of the pen to the answer."""
    page = browser.new_page()
    page.goto(file.as_uri())
    page.evaluate(LIFT)
    box = page.locator("#pad").bounding_box()
    assert box
    for digit in range(10):
        for points in page.evaluate("(digit) => Examples.strokes(digit, Pad.SIDE)", digit):
            places = [(box["x"] + x * box["width"] / 280, box["y"] + y * box["height"] / 280) for x, y in points]
            page.mouse.move(*places[0])
            page.mouse.down()
            for place in places[1:]:
                page.mouse.move(*place)
            page.mouse.up()
        page.evaluate("document.getElementById('clear').click()")
        page.evaluate("lifts.pop(), null")  # what clearing has announced
    lifts: list[float] = page.evaluate("lifts")
    page.close()
    return lifts


def summary(folder: Path, name: str, runs: list[dict[str, Any]], expected: torch.Tensor) -> dict[str, Any]:
    """Summarise the rounds of a candidate."""
    times = [time for run in runs for time in run["times"]]
    data = [(folder / file).read_bytes() for file in FILES[name]]
    return {
        "one_image_ms": {
            "minimum": min(times),
            "median": statistics.median(times),
            "95 %": float(np.quantile(times, 0.95)),
        },
        "load_and_first_answer_ms": {
            "minimum": min(run["start"] for run in runs),
            "median": statistics.median(run["start"] for run in runs),
        },
        "bytes": sum(map(len, data)),
        "gzip_bytes": sum(len(gzip.compress(part)) for part in data),
        "largest_difference_of_a_logit": float((torch.tensor(runs[0]["logits"]) - expected).abs().max()),
    }


def main() -> None:
    """Measure all candidates, and write the results."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("ort", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "browser.json")
    parser.add_argument("--browser", default="/usr/bin/chromium")
    options = parser.parse_args()
    package = (options.ort.parent / "package.json").read_text(encoding="utf-8")
    image = lenet5.load_data("digits").test.images[:1]
    pretrained = lenet5.load("mnist_v2")
    pixels = torch.nn.functional.interpolate(image.float(), 28).round().to(torch.uint8)
    with torch.inference_mode():
        expected = pretrained.model(pretrained.preprocess(pixels))[0]
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        build(folder, options.ort)
        handler = functools.partial(Handler, directory=name)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=options.browser, args=[*CHROMIUM])
        address = f"http://127.0.0.1:{server.server_port}"
        runs: dict[str, list[dict[str, Any]]] = {candidate: [] for candidate in FILES}
        for _ in range(options.rounds):
            for candidate in FILES:
                runs[candidate].append(measure(browser, address, candidate, pixels.flatten().tolist()))
        (folder / "page.html").write_text(lenet5.demo.page(), encoding="utf-8")
        lifts = [measure_lifts(browser, folder / "page.html") for _ in range(options.rounds)]
        results = {candidate: summary(folder, candidate, rounds, expected) for candidate, rounds in runs.items()}
        versions = {"chromium": browser.version, "onnxruntime-web": json.loads(package)["version"]}
        about = {"versions": versions, "machine": platform.machine(), "rounds": options.rounds}
    every = [time for times in lifts for time in times]
    answer = {"first": [times[0] for times in lifts], "median": statistics.median(every), "maximum": max(every)}
    text = json.dumps({**about, "candidates": results, "lift_to_answer_ms": answer}, indent=2) + "\n"
    options.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
