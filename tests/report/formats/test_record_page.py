"""Reports that show themselves: a page of each, and the text in a notebook."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import normwise
from normwise.records import Recording
from normwise.records.shown import Shown
from tests.support.reports.html_reader import Reader

X = 3 + 2 * torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


_REPORTS: dict[str, tuple[Callable[[], Shown], str, str]] = {
    "accelerate": (
        lambda: normwise.accelerate(_model(), X, timed=False)[1],
        "Faster layers",
        "BatchNorm2d replaced, took over the activation 'relu'",
    ),
    "calibrate": (
        lambda: normwise.calibrate(_model(), X),
        "running statistics were far from the data's in 1 of 1 layer (worst: 1)",
        "BatchNorm2d bad, off by ",
    ),
    "convert": (
        lambda: normwise.convert(_model(), "group")[1],
        "Normalisation converted",
        "BatchNorm2d",
    ),
    "fold": (
        lambda: normwise.fold(_model().eval(), X, timed=False)[1],
        "1 of 1 folded; largest relative difference",
        "BatchNorm2d folded into Conv2d '0' before it",
    ),
    "freeze": (lambda: normwise.freeze(_model()), "1 of 1 BN layers frozen", "1 frozen"),
    "insert": (
        lambda: normwise.insert(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), X[:, :, 0, 0])[1],
        "Batch normalization inserted",
        "Linear",
    ),
    "unfreeze": (
        lambda: normwise.unfreeze(_model()),
        "Statistics learn again",
        "no layer was frozen",
    ),
}


@pytest.mark.parametrize("name", list(_REPORTS))
def test_an_operation_has_a_page_with_its_outcome_and_each_layer(name: str) -> None:
    make, said, cell = _REPORTS[name]
    page = make().to_html()
    text = " ".join(" ".join(Reader(page).english).split())
    assert page.startswith("<!doctype html>")
    assert said in text
    assert cell in text
    assert "Plotly" not in page


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
