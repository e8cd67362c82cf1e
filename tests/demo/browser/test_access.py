"""The page serves keys, fingers, screen readers, light and dark, and narrow screens."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from .reading import check, read

if TYPE_CHECKING:
    from playwright.sync_api import Page

Visit = Callable[..., "Page"]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def press(page: "Page", key: str, times: int = 1) -> None:
    for _ in range(times):
        page.keyboard.press(key)


def focused(page: "Page") -> str:
    return str(page.evaluate("document.activeElement.id || document.activeElement.textContent"))


def test_digit_is_drawn_with_keys_alone(visit: Visit) -> None:
    page = visit()
    press(page, "Tab")
    assert focused(page) == "pad"
    press(page, "Space")
    press(page, "ArrowDown", 14)
    assert page.get_by_role("status").inner_text() == "Pen down"
    press(page, "Space")
    reading = read(page)
    check(reading, reading.pixels)
    assert [answer["label"] for answer in reading.answers.values()] == [1, 1]
    assert page.get_by_role("status").inner_text().startswith("1998: 1, ")
    press(page, "Backspace")
    assert page.evaluate("lenet5.latest") is None
    press(page, "Space")
    press(page, "PageDown", 5)
    press(page, "Shift+ArrowLeft")
    press(page, "Escape")
    assert read(page).pixels.any()
    press(page, "Delete")
    assert page.evaluate("lenet5.latest") is None


def test_pen_that_leaves_the_pad_is_lifted(visit: Visit) -> None:
    page = visit()
    press(page, "Tab")
    press(page, "Space")
    press(page, "ArrowDown", 10)
    press(page, "Tab")
    assert focused(page) == "undo"
    assert page.get_by_role("status").inner_text().startswith("1998: ")


def test_examples_are_drawn_with_keys(visit: Visit) -> None:
    page = visit()
    page.get_by_role("button", name="Draw a 4").focus()
    press(page, "Enter")
    assert read(page).answers["today"]["label"] == 4


def test_examples_are_animated_unless_less_motion_is_preferred(visit: Visit) -> None:
    page = visit(reduced_motion="no-preference")
    page.get_by_role("button", name="Draw a 8").click()
    page.get_by_role("status").filter(has_text="Today: 8").wait_for()
    assert read(page).answers["today"]["label"] == 8


def test_answer_is_announced_when_the_pen_lifts_and_not_before(
    visit: Visit, draw: Callable[..., None], example: Callable[..., Any]
) -> None:
    page = visit()
    status = page.get_by_role("status")
    page.evaluate(
        "globalThis.said = []; new MutationObserver(() => said.push(document.getElementById('status').textContent))"
        ".observe(document.getElementById('status'), {childList: true})"
    )
    draw(page, example(page, 3))
    said = page.evaluate("said")
    assert len(said) == len(example(page, 3))  # once for each stroke
    assert said[-1] == status.inner_text() == "1998: 3, > 99.9 %. Today: 3, > 99.9 %."
    assert status.get_attribute("aria-live") == "polite"


def test_finger_draws_on_a_phone_without_scrolling(visit: Visit, example: Callable[..., Any]) -> None:
    page = visit(**PHONE)
    page.evaluate("scrollTo(0, 20)")
    before = page.evaluate("scrollY")
    box = page.locator("#pad").bounding_box()
    assert box
    client = page.context.new_cdp_session(page)
    for stroke in example(page, 2):
        places = [{"x": box["x"] + x * box["width"] / 280, "y": box["y"] + y * box["height"] / 280} for x, y in stroke]
        client.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": places[:1]})
        for place in places[1:]:
            client.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [place]})
        client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert page.evaluate("scrollY") == before
    reading = read(page)
    check(reading, reading.pixels)
    assert reading.answers["today"]["label"] == 2


@pytest.mark.parametrize("width", [320, 390, 640, 768, 1024, 1280])  # 640 is 1280 at a zoom of 200 %
def test_nothing_is_wider_than_the_screen(visit: Visit, width: int) -> None:
    page = visit(viewport={"width": width, "height": 700})
    page.get_by_role("button", name="Draw a 8").click()
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = "[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5)"
    assert page.evaluate(f"{wide}.filter((e) => !e.closest('.hidden')).map((e) => e.className || e.tagName)") == []


def test_colours_follow_light_and_dark(visit: Visit) -> None:
    page = visit(color_scheme="light")
    page.get_by_role("button", name="Draw a 0").click()
    colours = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")  # told
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        colours.append((background, page.evaluate("document.querySelector('#today .f6 canvas').toDataURL()")))
    (light, light_map), (dark, dark_map) = colours
    assert light != dark
    assert light_map != dark_map


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("drawn", [True, False])
def test_axe_finds_no_serious_violation(visit: Visit, scheme: str, width: int, drawn: bool) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="nox -s demo installs axe")
    page = visit(viewport={"width": width, "height": 900}, color_scheme=scheme)
    if drawn:
        page.get_by_role("button", name="Draw a 9").click()
        page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    violations = axe.Axe().run(page).response["violations"]
    assert [(each["id"], each["impact"], each["nodes"][0]["html"][:100]) for each in violations] == []
