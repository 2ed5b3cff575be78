"""The page of a study in a browser, as a reader opens it: on a desk, on a phone, in the dark, in either language."""

import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pytest
from PIL import Image

from normwise.records import Study
from normwise.report import forest_svg, study_page

OVERFLOW = "() => document.documentElement.scrollWidth - innerWidth"
OPEN_ALL = "() => document.querySelectorAll('details').forEach((item) => { item.open = true; })"
OUTSIDE = """() => [...document.querySelectorAll("p, h1, h2, h3, li, td, th, svg")]
  .filter((item) => !item.closest(".scroll, .skip, thead, nav"))
  .filter((item) => item.getBoundingClientRect().right > innerWidth + 1)
  .map((item) => item.outerHTML.slice(0, 80))"""
SEEN = """() => [...document.querySelectorAll("h1 span, .takeaway span")]
  .filter((item) => item.getClientRects().length).map((item) => item.lang)"""
DOTS = """() => [...document.querySelectorAll("#verdicts .row .dot")].map((dot) => ({
  outcome: dot.parentElement.getAttribute("class"),
  fill: getComputedStyle(dot).fill,
  stroke: getComputedStyle(dot).stroke,
  crossed: dot.parentElement.querySelector(".cross") !== null,
}))"""


class Open(Protocol):
    def __call__(self, *, width: int = 1200, scheme: str = "light", scripts: bool = True) -> Any: ...


@pytest.fixture(scope="module")
def file(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "study.html"
    path.write_text(study_page(study), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def opened(browser: Any, file: Path) -> Iterator[Open]:
    contexts = []

    @cache
    def open_page(*, width: int = 1200, scheme: str = "light", scripts: bool = True) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 844}, color_scheme=scheme, java_script_enabled=scripts
        )
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.complaints.append(request.url))
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [360, 390, 800, 1200])
@pytest.mark.parametrize("language", ["#in-english", "#in-chinese"])
def test_it_fits_and_is_quiet(opened: Open, width: int, language: str) -> None:
    page = opened(width=width)
    page.check(language)
    page.evaluate(OPEN_ALL)
    assert page.evaluate(OVERFLOW) <= 0
    assert page.evaluate(OUTSIDE) == []
    fetched = [line for line in page.complaints if not line.startswith("data:")]
    assert fetched == [page.url]
    page.check("#in-english")


def test_the_first_verdicts_are_on_the_first_screen(opened: Open) -> None:
    top = "() => document.querySelector('#verdicts .row').getBoundingClientRect().bottom"
    page = opened()
    page.evaluate("() => scrollTo(0, 0)")
    assert page.evaluate(top) < 600


def test_one_language_is_seen_and_the_switch_changes_it_without_a_script(opened: Open) -> None:
    for scripts in (True, False):
        page = opened(scripts=scripts)
        page.check("#in-english")
        page.locator("h1 span[lang=en]").wait_for(state="visible")
        assert not page.locator("h1 span[lang=zh-Hans]").is_visible()
        page.check("#in-chinese")
        page.locator("h1 span[lang=zh-Hans]").wait_for(state="visible")
        assert not page.locator(".takeaway span[lang=en]").first.is_visible()
        page.check("#in-english")


def test_the_language_is_remembered(browser: Any, file: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(file.as_uri())
    assert set(page.evaluate(SEEN)) == {"en"}
    page.check("#in-chinese")
    page.reload()
    assert set(page.evaluate(SEEN)) == {"zh-Hans"}
    assert page.evaluate("() => document.documentElement.lang") == "zh-Hans"
    context.close()


def test_the_switch_is_reached_and_used_by_keys(browser: Any, file: Path) -> None:
    page = browser.new_page()
    page.goto(file.as_uri())
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.name") == "language":
            break
    page.keyboard.press("ArrowRight")
    assert page.is_checked("#in-chinese")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_outcomes_look_different(opened: Open, scheme: str) -> None:
    dots = opened(scheme=scheme).evaluate(DOTS)
    page = opened(scheme=scheme).evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert {dot["outcome"] for dot in dots} == {"shown", "open", "refuted", "reversed"}
    for dot in dots:
        assert (dot["fill"] == page) == (dot["outcome"] != "shown")
        assert dot["crossed"] == (dot["outcome"] in ("refuted", "reversed"))
    assert len({dot["stroke"] for dot in dots}) == 3


def test_dark_is_dark(opened: Open) -> None:
    colours = """() => [document.body, document.querySelector("h1"), document.querySelector(".picture .label")]
      .map((item) => getComputedStyle(item)).map((style) => [style.backgroundColor, style.color, style.fill].join())"""
    light, dark = (opened(scheme=scheme).evaluate(colours) for scheme in ("light", "dark"))
    assert all(one != other for one, other in zip(light, dark, strict=True))


def test_a_picture_is_drawn_in_its_colours_wherever_it_is_shown(opened: Open) -> None:
    page = opened()
    blue, orange = (0, 0x68, 0xA8), (0xC2, 0x4E, 0)  # --series-0 and --series-1
    for place in (".glance", "section.claim"):
        image = Image.open(io.BytesIO(page.locator(f"{place} .picture").first.screenshot())).convert("RGB")
        colours = {colour: count for count, colour in image.getcolors(1 << 20) or []}
        assert colours[blue] > 100, place
        assert colours[orange] > 50, place
        assert colours.get((0, 0, 0), 0) == 0, place


def test_words_of_a_picture_stay_in_it(opened: Open) -> None:
    outside = """() => [...document.querySelectorAll("figure .picture")].flatMap((picture) => {
      const frame = picture.getBoundingClientRect();
      return [...picture.querySelectorAll("text")]
        .filter((text) => text.getClientRects().length && text.getBoundingClientRect().width)
        .filter((text) => text.getBoundingClientRect().right > frame.right + 2
          || text.getBoundingClientRect().left < frame.left - 2)
        .map((text) => text.textContent);
    })"""
    page = opened()
    for language in ("#in-chinese", "#in-english"):
        page.check(language)
        assert page.evaluate(outside) == []


def test_the_forest_alone_is_a_picture(browser: Any, study: Study, tmp_path: Path) -> None:
    (tmp_path / "forest.svg").write_text(forest_svg(study), encoding="utf-8")
    (tmp_path / "page.html").write_text("<img src='forest.svg'>", encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    assert page.evaluate("() => document.querySelector('img').naturalWidth") == 960
    page.close()


def test_pictures_have_the_words_of_the_language(opened: Open) -> None:
    words = """(place) => [...document.querySelector(place + " .picture text.label").ownerSVGElement
      .querySelectorAll("text.label")].filter((text) => text.getClientRects().length).map((text) => text.textContent)"""
    page = opened()
    page.check("#in-chinese")
    assert "测试准确率" in page.evaluate(words, "section.claim")
    page.check("#in-english")
    assert "test accuracy" in page.evaluate(words, "section.claim")


def test_a_picture_that_is_shown_twice_changes_its_language_in_both_places(browser: Any, file: Path) -> None:
    page = browser.new_page()
    page.goto(file.as_uri())
    shots = []
    for language in ("#in-english", "#in-chinese"):
        page.check(language)
        shots.append(
            [page.locator(f"{place} .picture").first.screenshot() for place in (".glance", "section.claim")]
        )
    page.close()
    assert all(one != other for one, other in zip(*shots, strict=True))


def test_a_row_of_the_plot_is_a_line_or_two(opened: Open) -> None:
    heights = """() => [...document.querySelectorAll("#verdicts .row")].slice(0, 4)
      .map((row) => row.getBoundingClientRect().height)"""
    assert max(opened().evaluate(heights)) < 60
