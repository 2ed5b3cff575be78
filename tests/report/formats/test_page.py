"""The pages in a browser, as a reader opens them: from a file, without a network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from normwise.records import Recording, Run
from normwise.report import examination_page, recording_page, run_page, treatment_page
from normwise.report.views import run_view
from tests.support.reports import shown_examination, shown_figures

# Drawn to the last figure that is not folded away, and at rest.
DRAWN = """() => {
  const plots = [...document.querySelectorAll(".plot")].filter((plot) => !plot.closest("details:not([open])"));
  return plots.length > 0 && plots.every((plot) => plot.querySelector("svg.main-svg[aria-hidden=true]"));
}"""
# For each figure, for each of its series: what was drawn of it.
SERIES = """() => [...document.querySelectorAll(".plot")].map((plot) =>
  [...plot.querySelectorAll(".scatterlayer .trace")]
    .map((trace, i) => ({
      role: plot.data[i].meta.role,
      style: plot.data[i].meta.style,
      points: trace.querySelectorAll("path.point").length,
      bars: trace.querySelectorAll(".errorbar path[d]:not([d=''])").length,
      line: trace.querySelector("path.js-line")?.getAttribute("d") ?? "",
      fill: trace.querySelector("path.js-fill")?.getAttribute("d") ?? "",
      colour: getComputedStyle(trace.querySelector("path.point, path.js-fill")).fill,
      box: trace.getBoundingClientRect().width,
    })))"""
COLOURS = """() => ({
  page: getComputedStyle(document.body).backgroundColor,
  text: getComputedStyle(document.body).color,
  plot: getComputedStyle(document.querySelector(".plot svg.main-svg")).backgroundColor,
  tick: getComputedStyle(document.querySelector(".plot .xtick text")).fill,
  line: getComputedStyle(document.querySelector(".plot path.point")).fill,
})"""
OVERFLOW = "() => document.documentElement.scrollWidth - innerWidth"


@dataclass
class Opened:
    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def files(run: Run, recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    pages = {
        "run": run_page(run),
        "recording": recording_page(recording),
        "sick": examination_page(shown_examination.sick()),
        "healthy": examination_page(shown_examination.healthy()),
        "large": examination_page(shown_examination.large()),
        "treatment": treatment_page(shown_examination.treatment()),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_view, "run_figures", lambda run: shown_figures.figures())
        pages["figures"] = run_page(run)
    for name, page in pages.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in pages}


@pytest.fixture(scope="module")
def opened(browser: Any, files: dict[str, Path]) -> Iterator[Callable[..., Opened]]:
    """Opens a page, once for each set of arguments: most tests only look."""
    contexts = []

    @cache
    def open_page(name: str, *, width: int = 1200, scheme: str = "light") -> Opened:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        result = Opened(context.new_page())
        result.page.on("console", lambda message: result.complaints.append(message.text))
        result.page.on("pageerror", lambda error: result.complaints.append(str(error)))
        result.page.on("request", lambda request: result.requests.append(request.url))
        result.page.goto(files[name].as_uri())
        result.page.wait_for_function(DRAWN)
        return result

    yield open_page
    for context in contexts:
        context.close()


def test_each_figure_is_drawn(opened: Callable[..., Opened]) -> None:
    tab = opened("figures")
    figures = shown_figures.figures()
    for figure, traces in zip(figures, tab.page.evaluate(SERIES), strict=True):
        series = [trace for trace in traces if trace["role"] == "series"]
        assert len(series) == len(figure.series)
        for trace in series:
            assert trace["points"] > 0
            assert trace["box"] > 50
            assert bool(trace["line"]) == figure.lines
            assert trace["bars"] or figure.lines
        bands = [trace for trace in traces if trace["role"] == "band"]
        assert len(bands) == (sum(bool(s.low) for s in figure.series) if figure.lines else 0)
        assert all(band["fill"] for band in bands)


def test_a_style_has_one_colour_on_the_whole_page(opened: Callable[..., Opened]) -> None:
    colours: dict[int, set[str]] = {}
    for traces in opened("figures").page.evaluate(SERIES):
        for trace in traces:
            colours.setdefault(trace["style"], set()).add(trace["colour"])
    assert sorted(colours) == list(range(8))
    assert all(len(own) == 1 for own in colours.values())
    assert len(set.union(*colours.values())) == 8


def test_gaps_are_gaps(opened: Callable[..., Opened]) -> None:
    with_bn, without = (t for t in opened("figures").page.evaluate(SERIES)[1] if t["role"] == "series")
    # Of ten learning rates 0 has no logarithm, and one loss is 0; without, three diverged as well.
    assert (with_bn["points"], without["points"]) == (8, 6)
    assert without["line"].count("M") < without["points"]
    assert "NaN" not in with_bn["line"] + without["line"]


@pytest.mark.parametrize("name", ["figures", "run", "recording", "sick", "large", "treatment"])
@pytest.mark.parametrize("width", [360, 1200])
def test_pages_are_quiet_complete_and_fit(opened: Callable[..., Opened], name: str, width: int) -> None:
    tab = opened(name, width=width)
    tab.page.evaluate("() => document.querySelectorAll('details').forEach((item) => { item.open = true; })")
    tab.page.wait_for_function(DRAWN)
    assert tab.page.evaluate(OVERFLOW) <= 0
    outside = """() => [...document.querySelectorAll("p, h1, h2, h3, li, dd, figure, .plot svg")]
      .filter((item) => !item.closest(".scroll, .skip"))
      .filter((item) => item.getBoundingClientRect().right > innerWidth + 1)
      .map((item) => item.outerHTML.slice(0, 80))"""
    assert tab.page.evaluate(outside) == []
    tab.page.mouse.wheel(0, 5000)
    assert tab.complaints == []
    fetched = [url for url in tab.requests if not url.startswith(("data:", "blob:"))]
    assert fetched == [tab.page.url]


def test_legends_stand_below_the_axes(opened: Callable[..., Opened]) -> None:
    below = """() => [...document.querySelectorAll(".plot")].map((plot) =>
      plot.querySelector("g.legend").getBoundingClientRect().top -
      plot.querySelector("g.xaxislayer-above").getBoundingClientRect().bottom)"""
    for width in (360, 1200):
        assert min(opened("figures", width=width).page.evaluate(below)) > 0


def test_dark_is_dark_and_follows_a_change(opened: Callable[..., Opened]) -> None:
    light, dark = opened("figures").page.evaluate(COLOURS), opened("figures", scheme="dark")
    assert all(light[part] != colour for part, colour in dark.page.evaluate(COLOURS).items())
    dark.page.emulate_media(color_scheme="light")
    tick = "(colour) => getComputedStyle(document.querySelector('.plot .xtick text')).fill === colour"
    dark.page.wait_for_function(tick, arg=light["tick"])
    assert dark.page.evaluate(COLOURS) == light
    assert dark.complaints == []


def test_no_button_sends_the_figure_away(opened: Callable[..., Opened]) -> None:
    buttons = """() => [...document.querySelector(".plot").querySelectorAll(".modebar-btn")]
      .map((button) => button.dataset.title)"""
    titles = opened("figures").page.evaluate(buttons)
    assert titles == ["Download plot as a PNG", "Zoom", "Pan", "Reset axes"]
    assert opened("figures", width=360).page.evaluate(buttons) == []


CELLS = """() => [...document.querySelectorAll(".plot")]
  .filter((plot) => plot.data?.[0].type === "heatmap")
  .map((plot) => ({
    rows: plot.data[0].z.length,
    image: plot.querySelector(".heatmaplayer image").getBoundingClientRect().height,
    bar: plot.querySelectorAll(".cbaxis text").length,
    high: plot.data[0].colorscale.at(-1)[1],
  }))"""


def test_heat_maps_are_drawn_in_the_colours_of_the_page(opened: Callable[..., Opened]) -> None:
    light, dark = (opened("recording", scheme=scheme).page.evaluate(CELLS) for scheme in ("light", "dark"))
    assert len(light) == len(dark) == 7
    for cells in (*light, *dark):
        assert cells["rows"] == 5
        assert cells["image"] > 50
        assert cells["bar"] >= 3
    assert {cells["high"] for cells in light} == {"rgb(27,31,36)"}  # --ink
    assert {cells["high"] for cells in dark} == {"rgb(228,231,235)"}


def test_a_layers_figures_are_drawn_when_it_is_opened(browser: Any, files: dict[str, Path]) -> None:
    page = browser.new_page()
    page.goto(files["recording"].as_uri())
    page.wait_for_function(DRAWN)
    drawn = """() => [...document.querySelectorAll("details.layer")]
      .map((layer) => layer.querySelectorAll("svg.main-svg").length)"""
    assert set(page.evaluate(drawn)) == {0}
    page.locator("details.layer > summary").first.click()
    page.wait_for_function(DRAWN)
    first, *others = page.evaluate(drawn)
    assert first > 0
    assert set(others) == {0}
    page.close()


LAYERS = """() => {
  const plot = document.querySelector(".plot");
  const [band, ...series] = plot.querySelectorAll(".scatterlayer .trace");
  const box = band.querySelector("path.js-fill").getBoundingClientRect();
  const middle = (point) => { const at = point.getBoundingClientRect(); return at.top + at.height / 2; };
  return {
    fill: getComputedStyle(band.querySelector("path.js-fill")).fill,
    inside: [...series[0].querySelectorAll("path.point")].map((point) => middle(point) > box.top),
    names: [...plot.querySelectorAll(".annotation-text")].map((name) => name.textContent),
    ticks: plot.querySelectorAll(".xtick text").length,
  };
}"""


def test_sick_and_healthy_layers_differ_at_a_glance(opened: Callable[..., Opened]) -> None:
    assert opened("healthy").page.evaluate(LAYERS)["inside"] == [True] * 4
    assert opened("sick").page.evaluate(LAYERS)["inside"] == [False, False, True]


def test_layers_of_a_large_model_are_told_apart(opened: Callable[..., Opened]) -> None:
    seen = opened("large", width=360).page.evaluate(LAYERS)
    assert len(seen["inside"]) == 500
    assert seen["names"] == ["…es.5.blocks.49.norm"]
    assert seen["ticks"] == 11


def test_the_button_copies_the_fix(browser: Any, files: dict[str, Path]) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(files["sick"].as_uri())
    page.locator("#BN501 button.copy").click()
    page.wait_for_function("() => document.querySelector('#BN501 button.copy').textContent === 'Copied'")
    assert page.evaluate("() => navigator.clipboard.readText()") == shown_examination.HOSTILE
    context.close()


def test_the_language_is_chosen_and_figures_follow(browser: Any, files: dict[str, Path]) -> None:
    page = browser.new_page()
    page.goto(files["healthy"].as_uri())
    page.wait_for_function(DRAWN)
    name = "() => document.querySelector('.plot .legendtext:not(:empty)').textContent"
    assert page.evaluate(name) == "fine: up to 0.15 σ"
    assert page.locator("h2#rules").inner_text() == "Rules"
    page.locator("#in-chinese").check()
    page.wait_for_function(f"() => ({name})() === '正常：不超过 0.15 σ'")
    assert page.locator("h2#rules").inner_text() == "规则"
    page.close()
