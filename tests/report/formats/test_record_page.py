"""Reports that show themselves: a page of each, and the text in a notebook."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import normwise
from normwise.records import Recording
from normwise.records.shown import Shown

X = 3 + 2 * torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


_REPORTS: dict[str, tuple[Callable[[], Shown], str, str]] = {
    "accelerate": (
        lambda: normwise.accelerate(_model(), X, timed=False)[1],
        "<h1>Faster layers</h1>",
        "<td>BatchNorm2d</td><td>replaced, took over the activation &#39;relu&#39;</td>",
    ),
    "calibrate": (
        lambda: normwise.calibrate(_model(), X),
        "running statistics were far from the data&#39;s in 1 of 1 layer (worst: 1)",
        "<td>BatchNorm2d</td><td>bad, off by ",
    ),
    "convert": (
        lambda: normwise.convert(_model(), "group")[1],
        "<h1>Normalisation converted</h1>",
        "<td>BatchNorm2d</td>",
    ),
    "fold": (
        lambda: normwise.fold(_model().eval(), X, timed=False)[1],
        "1 of 1 folded; largest relative difference",
        "<td>BatchNorm2d</td><td>folded into Conv2d &#39;0&#39; before it</td>",
    ),
    "freeze": (lambda: normwise.freeze(_model()), "1 of 1 BN layers frozen", "<td>frozen</td>"),
    "insert": (
        lambda: normwise.insert(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), X[:, :, 0, 0])[1],
        "<h1>Batch normalization inserted</h1>",
        "<td>Linear</td>",
    ),
    "unfreeze": (
        lambda: normwise.unfreeze(_model()),
        "<h1>Statistics learn again</h1>",
        "no layer was frozen",
    ),
}


@pytest.mark.parametrize("name", list(_REPORTS))
def test_an_operation_has_a_page_with_its_outcome_and_each_layer(name: str) -> None:
    make, said, cell = _REPORTS[name]
    page = make().to_html()
    assert page.startswith("<!doctype html>")
    assert said in page
    assert cell in page
    assert "<script>\n\n</script>" in page  # none that would have to be loaded


def test_a_notebook_shows_the_text_with_everything_escaped() -> None:
    model = nn.Sequential()
    model.add_module("<b>", nn.BatchNorm2d(3))
    report = normwise.calibrate(model, X)
    shown = report._repr_html_()
    assert "&lt;b&gt; (BatchNorm2d): bad" in shown
    assert "<b>" not in shown
    assert "<b>" not in report.to_html()


def test_a_diagnosis_has_its_page() -> None:
    diagnosis = normwise.diagnose(_model().eval(), [X])
    assert diagnosis.to_html() == diagnosis.examination.to_html()
    assert "BN202" in diagnosis.to_html()
    assert "BN202" in diagnosis._repr_html_()


def test_a_recording_has_its_page(recording: Recording) -> None:
    assert "Batch normalization while training" in recording.to_html()
    assert recording._repr_html_().startswith("<pre")
