"""``normwise report`` of a folder that ``watch`` wrote."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from normwise.records import Recording, from_plain
from normwise.statistics import watch

Command = Callable[..., Any]


@pytest.fixture
def recorded(folder: Path) -> Recording:
    """Recording in the folder "watched"."""
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
    with watch(model, every=2, to=folder / "watched") as recording:
        for _ in range(5):
            model(torch.randn(16, 4)).sum().backward()
    return recording.record


def test_json_is_the_record(normwise: Command, recorded: Recording) -> None:
    done = normwise("report", "watched", "--format", "json")
    assert (done.code, done.err) == (0, "")
    assert from_plain(Recording, json.loads(done.out)) == recorded


@pytest.mark.parametrize(("options", "beginning"), [((), "Batch norm"), (("-f", "html"), "<!doctype html>")])
def test_text_and_a_page(
    normwise: Command, recorded: Recording, options: tuple[str, ...], beginning: str
) -> None:
    done = normwise("report", "watched", *options)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(beginning)
    assert "3 records of 1 layer, from step 0 to 4." in done.out


def test_a_page_goes_to_a_file(normwise: Command, folder: Path, recorded: Recording) -> None:
    assert normwise("report", "watched", "-f", "html", "-o", "page.html").out == ""
    assert (folder / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_markdown_is_for_studies(normwise: Command, recorded: Recording) -> None:
    done = normwise("report", "watched", "-f", "markdown")
    assert done.code == 2
    assert done.err.startswith("error: Markdown and SVG are for studies; a recording has text, json and html")


def test_a_damaged_recording_is_one_error(normwise: Command, folder: Path, recorded: Recording) -> None:
    (folder / "watched" / "recording.json").write_text("{")
    done = normwise("report", "watched")
    assert (done.code, done.out) == (2, "")
    assert "recording.json is damaged" in done.err
