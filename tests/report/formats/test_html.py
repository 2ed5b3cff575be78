import dataclasses
import json
import re
from itertools import pairwise

import pytest

from normwise.records import Recording, Run, Study
from normwise.report import recording_page, run_page, study_page
from normwise.report.figures.recording_figures import heat_maps, layer_figures
from tests.support.reports.html_reader import Reader


@pytest.fixture(scope="module")
def page(study: Study) -> str:
    return study_page(study)


@pytest.fixture(scope="module")
def reader(page: str) -> Reader:
    return Reader(page)


def test_hostile_text_is_text(reader: Reader) -> None:
    assert 'no <b>bold</b>, no |pipe|, no "quote" & no </script><script>throw 1</script>' in "".join(
        reader.text
    )
    assert "b" not in [tag for tag, _ in reader.elements]


def test_each_figure_has_its_data_as_json_and_as_a_table(study: Study, reader: Reader) -> None:
    figures = [figure for finding in study.findings for figure in finding.figures]
    kinds = [attrs.get("type") for tag, attrs in reader.elements if tag == "script"]
    # Plotly and our own script are the only two that run.
    assert kinds == ["application/json"] * len(figures) + [None, None]
    for figure, script in zip(figures, [s for s in reader.scripts if s.startswith("{")], strict=True):
        traces = json.loads(script)["traces"]
        assert sum(trace["meta"]["role"] == "series" for trace in traces) == len(figure.series)
    assert sum(attrs.get("class") == "data" for _, attrs in reader.elements) == len(figures)
    assert sum("Chart: " in label for label in reader.all("aria-label")) == len(figures)


def test_nothing_is_fetched(reader: Reader) -> None:
    assert reader.all("src") == []
    links = [(tag, attrs["href"] or "") for tag, attrs in reader.elements if "href" in attrs]
    assert {tag for tag, href in links if href.startswith("http")} == {"a"}
    assert all(href.startswith(("https://", "#", "data:")) for _, href in links)


def test_links_within_the_page_lead_somewhere(reader: Reader) -> None:
    ids = reader.all("id")
    assert len(ids) == len(set(ids))
    assert {href[1:] for href in reader.all("href") if href.startswith("#")} <= set(ids)
    assert set(reader.all("aria-labelledby")) <= set(ids)


def test_all_protocols_stand_at_the_bottom_with_the_machine(study: Study, reader: Reader) -> None:
    bottom = "".join(reader.text).split("How it was run")[1]
    machine = bottom.index("Machine and versions")
    for finding in study.findings:
        for part in (finding.claim, *finding.protocol):
            assert bottom.index(part) < machine
    assert bottom.count(study.findings[0].protocol[0]) == 1  # the line that they share


def test_verdicts_are_words(reader: Reader) -> None:
    text = " ".join("".join(reader.text).split())
    for badge in ("✓ supported", "✗ not supported", "~ depends"):
        assert text.count(badge) == 2


def test_headings_leave_no_level_out(reader: Reader) -> None:
    levels = [int(tag[1]) for tag, _ in reader.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_same_records_give_the_same_bytes(study: Study, run: Run, page: str) -> None:
    assert study_page(study) == page
    assert run_page(run) == run_page(run)


def test_colours_can_be_told_from_the_page(page: str) -> None:
    light, dark = re.findall(r":root \{(.*?)\}", page, re.DOTALL)[:2]
    for theme in (light, dark):
        colours = dict(re.findall(r"--([\w-]+): #([0-9a-f]{6})", theme))
        for name, colour in colours.items():
            if name in ("page", "panel", "rule"):
                continue
            # WCAG 2: 3 for graphics, 4.5 for text.
            needed = 3 if name.startswith("series") else 4.5
            assert _contrast(colour, colours["page"]) >= needed, name
        assert len({v for k, v in colours.items() if k.startswith("series")}) == 8


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_run_has_its_configuration_and_result(run: Run) -> None:
    text = " ".join(" ".join(Reader(run_page(run)).text).split())
    assert "mlp on mnist, norm batch, seed 3" in text
    assert run.config.key in text
    assert "Test accuracy, batch statistics 98.0%" in text


def test_records_with_nothing_in_them_are_still_pages(study: Study, run: Run) -> None:
    bare = dataclasses.replace(study.findings[0], effects=(), figures=(), sources=(), protocol=(), seeds=())
    Reader(study_page(dataclasses.replace(study, findings=(bare,))))
    Reader(study_page(dataclasses.replace(study, findings=())))
    text = "".join(Reader(run_page(dataclasses.replace(run, points=(), result=None))).text)
    assert "Nothing has been evaluated yet." in text


def test_a_recording_has_all_its_figures_with_their_data(recording: Recording) -> None:
    reader = Reader(recording_page(recording))
    maps = heat_maps(recording)
    figures = [figure for layer in layer_figures(recording) for figure in layer.figures]
    drawn = [json.loads(script) for script in reader.scripts if script.startswith("{")]
    assert [one["traces"][0]["type"] for one in drawn] == ["heatmap"] * len(maps) + ["scatter"] * len(figures)
    # One more is that of all layers.
    assert sum(attrs.get("class") == "data" for _, attrs in reader.elements) == len(drawn) + 1
    text = " ".join("".join(reader.text).split())
    assert "frozen.norm drifted the most" in text
    assert "called 3 times a step" in text


def test_the_page_of_a_recording_is_sound(recording: Recording) -> None:
    page = recording_page(recording)
    reader = Reader(page)
    assert page == recording_page(recording)
    ids = reader.all("id")
    assert len(ids) == len(set(ids))
    assert set(reader.all("aria-labelledby")) <= set(ids)
    assert reader.all("src") == []
    assert "b" not in [tag for tag, _ in reader.elements]
    assert recording.layers[1].path in "".join(reader.text)


def test_a_recording_of_nothing_is_still_a_page(recording: Recording) -> None:
    text = "".join(Reader(recording_page(dataclasses.replace(recording, points=()))).text)
    assert "Nothing has been recorded yet." in text
    assert "Layer by layer" not in text


@pytest.mark.parametrize("layers", [1, 60])
def test_a_recording_of_few_and_of_many_layers_is_a_page(recording: Recording, layers: int) -> None:
    names = [f"blocks.{i}.norm" for i in range(layers)]
    many = dataclasses.replace(
        recording,
        layers=tuple(dataclasses.replace(recording.layers[0], path=name) for name in names),
        points=tuple(
            dataclasses.replace(point, layers=dict.fromkeys(names, point.layers["stem"]))
            for point in recording.points
        ),
    )
    reader = Reader(recording_page(many))
    assert [attrs.get("class") for tag, attrs in reader.elements if tag == "details"].count("layer") == layers
    drawn = [json.loads(script)["traces"][0] for script in reader.scripts if script.startswith("{")]
    maps = [trace for trace in drawn if trace["type"] == "heatmap"]
    text = "".join(reader.text)
    assert all(name in text for name in names)
    assert len(maps) == 6
    assert all(len(trace["z"]) == layers for trace in maps)
