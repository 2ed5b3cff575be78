import dataclasses
import json
import re

import pytest

from normwise.records import Recording, Run
from normwise.report import recording_page, run_page, runs_page
from normwise.report.figures.recording_figures import heat_maps, layer_figures
from tests.support.reports.html_reader import Reader


def test_the_same_records_give_the_same_bytes(run: Run) -> None:
    assert run_page(run) == run_page(run)


def test_colours_can_be_told_from_the_page(run: Run) -> None:
    light, dark = re.findall(r":root \{(.*?)\}", run_page(run), re.DOTALL)[:2]
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
    text = " ".join(" ".join(Reader(run_page(run)).english).split())
    assert "mlp on mnist, norm batch, seed 3" in text
    assert run.config.key in text
    assert "Test accuracy, batch statistics 98.0%" in text


def test_a_run_with_nothing_in_it_is_still_a_page(run: Run) -> None:
    text = "".join(Reader(run_page(dataclasses.replace(run, points=(), result=None))).text)
    assert "Nothing has been evaluated yet." in text


def test_runs_side_by_side_have_one_figure_with_a_line_each(run: Run) -> None:
    other = dataclasses.replace(run, config=dataclasses.replace(run.config, lr=0.5), points=run.points[:20])
    unfinished = dataclasses.replace(run, points=(), result=None)
    reader = Reader(page := runs_page({"a": run, "<b>": other, "c": unfinished}))
    accuracy, loss = (json.loads(script) for script in reader.scripts if script.startswith("{"))
    assert [trace["name"] for trace in accuracy["traces"]] == ["a", "&lt;b&gt;"]
    assert [len(trace["x"]) for trace in accuracy["traces"]] == [41, 20]
    assert len({trace["meta"]["style"] for trace in loss["traces"]}) == 2
    text = " ".join("".join(reader.text).split())
    assert "3 runs side by side" in text
    assert "1 run not finished. Test accuracy with running statistics: from" in text
    assert "Learning rate 0.1 0.5 0.1" in " ".join(" ".join(reader.english).split())
    assert "Batch size" not in text
    assert "<b>" not in page
    ids = reader.all("id")
    assert set(reader.all("aria-labelledby")) <= set(ids)
    assert len(ids) == len(set(ids))


def test_runs_of_one_configuration_without_points_are_still_a_page(run: Run) -> None:
    begun = dataclasses.replace(run, points=(), result=None)
    text = "".join(Reader(runs_page({"a": begun, "b": begun})).text)
    assert "The runs have the same configuration." in text
    assert "Nothing has been evaluated yet." in text


def test_a_recording_has_all_its_figures_with_their_data(recording: Recording) -> None:
    reader = Reader(recording_page(recording))
    maps = heat_maps(recording)
    figures = [figure for layer in layer_figures(recording) for figure in layer.figures]
    drawn = [json.loads(script) for script in reader.scripts if script.startswith("{")]
    assert [one["traces"][0]["type"] for one in drawn] == ["heatmap"] * len(maps) + ["scatter"] * len(figures)
    # One more is that of all layers.
    assert sum(attrs.get("class") == "data" for _, attrs in reader.elements) == len(drawn) + 1
    text = " ".join("".join(reader.english).split())
    assert "Running statistics are somewhat off in 2 of 2 layers" in text
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
    assert len(maps) == 7
    assert all(len(trace["z"]) == layers for trace in maps)
