"""Image files, pasted images and the camera go through the same page."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest

from .reading import check, next_answer, read

if TYPE_CHECKING:
    from playwright.sync_api import FilePayload, Page

Visit = Callable[..., "Page"]
PHOTOGRAPHS = Path(__file__).parents[3] / "docs" / "images"


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def photograph(mask: npt.NDArray[np.bool_], *, dark_on_light: bool) -> npt.NDArray[np.uint8]:
    """Render ink on paper in slanting light, with some noise."""
    big = np.pad(mask.repeat(2, 0).repeat(2, 1), ((100, 60), (220, 90)))
    light = np.linspace(120, 220, big.shape[1])[None] + np.linspace(-30, 20, big.shape[0])[:, None]
    noise = np.random.default_rng(0).normal(0, 4, big.shape)
    grey = np.where(big, 0.35 * light, light)
    grey = (grey if dark_on_light else 255 - grey) + noise
    return grey.clip(0, 255).astype(np.uint8)


def open_file(page: "Page", data: bytes, name: str = "digit.png") -> None:
    payload: FilePayload = {"name": name, "mimeType": "image/png", "buffer": data}
    page.locator("#file").set_input_files(payload)


@pytest.mark.parametrize("dark_on_light", [True, False])
@pytest.mark.parametrize("digit", [2, 5, 8])
def test_digit_on_unevenly_lit_paper_is_found(visit: Visit, digit: int, dark_on_light: bool) -> None:
    page = visit()
    page.get_by_role("button", name=f"Draw a {digit}").click()
    drawn = read(page)
    open_file(page, png(photograph(drawn.mask, dark_on_light=dark_on_light)))
    next_answer(page)
    reading = read(page)
    check(reading, reading.pixels)
    assert reading.answers["today"]["label"] == digit
    assert np.abs(reading.pixels.astype(int) - drawn.pixels).mean() < 12  # of 255


@pytest.mark.parametrize(("name", "digit"), [("squared", 2), ("shadow", 5), ("pencil", 7)])
def test_photographs_of_the_documentation_are_read(visit: Visit, name: str, digit: int) -> None:
    page = visit()
    open_file(page, (PHOTOGRAPHS / f"{name}.jpg").read_bytes(), f"{name}.jpg")
    next_answer(page)
    assert [answer["label"] for answer in read(page).answers.values()] == [digit, digit]


def test_file_that_is_no_image_is_named(visit: Visit) -> None:
    page = visit()
    open_file(page, b"not an image", "note.png")
    alert = page.get_by_role("alert")
    alert.filter(has_text="note.png cannot be read. Expected an image").wait_for()
    page.get_by_role("button", name="Draw a 3").click()
    assert alert.inner_text() == ""


def test_empty_paper_holds_no_digit(visit: Visit) -> None:
    page = visit()
    open_file(page, png(np.full((200, 300), 200, np.uint8)))
    page.get_by_role("alert").filter(has_text="No digit was found").wait_for()
    assert page.evaluate("lenet5.latest") is None


@pytest.mark.parametrize("event", ["paste", "drop"])
def test_image_can_be_pasted_or_dropped(visit: Visit, event: str) -> None:
    page = visit()
    page.get_by_role("button", name="Draw a 6").click()
    data = base64.b64encode(png(photograph(read(page).mask, dark_on_light=True))).decode()
    page.locator("#clear").click()
    page.evaluate(
        """([event, data]) => {
            const transfer = new DataTransfer();
            const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
            transfer.items.add(new File([bytes], "digit.png", {type: "image/png"}));
            document.body.dispatchEvent(event === "paste"
                ? new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true})
                : new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
        }""",
        [event, data],
    )
    next_answer(page)
    assert read(page).answers["today"]["label"] == 6


def test_camera_takes_a_picture_and_stops(visit: Visit) -> None:
    page = visit("server", permissions=["camera"])
    button = page.locator("#camera")
    button.click()
    page.locator("#video").wait_for(state="visible")
    stream: Any = page.evaluate_handle("document.getElementById('video').srcObject")
    assert button.inner_text() == "Take picture"
    button.click()
    page.locator("#video").wait_for(state="hidden")
    assert stream.evaluate("(stream) => stream.getTracks().map((track) => track.readyState)") == ["ended"]
    assert button.inner_text() == "Camera"


def test_refused_camera_is_explained(visit: Visit) -> None:
    page = visit("server")
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('refused')); }")
    page.locator("#camera").click()
    page.get_by_role("alert").filter(has_text="The camera cannot be used. Allow it in the browser").wait_for()
