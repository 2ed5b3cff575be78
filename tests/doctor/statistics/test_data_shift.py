"""BN208: data that are not those of training."""

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.data import digits

Batches = list[tuple[Tensor, Tensor]]


@pytest.mark.parametrize("factor", [255, 16, 1 / 16, 1 / 255])
def test_a_factor_is_named(trained: nn.Module, batches: Batches, factor: float) -> None:
    diagnosis = normwise.diagnose(trained, [(x * factor, y) for x, y in batches], select=["BN2"])
    assert [finding.code for finding in diagnosis.findings] == ["BN208"], str(diagnosis)
    assert diagnosis.findings[0].symptoms[0].path == "2"
    said = diagnosis.findings[0].message.split("scaled by ")[1].rstrip(".")
    assert float(said) == pytest.approx(factor, rel=0.1)


def test_factor_and_offset_are_named(trained: nn.Module, batches: Batches) -> None:
    diagnosis = normwise.diagnose(trained, [((x - 0.5) / 0.25, y) for x, y in batches], select=["BN2"])
    assert diagnosis.findings[0].code == "BN208", str(diagnosis)
    scaled, moved = diagnosis.findings[0].message.rstrip(".").split("scaled by ")[1].split(" and moved by ")
    assert float(scaled) == pytest.approx(4, rel=0.1)
    assert float(moved) == pytest.approx(-2, rel=0.15)


def test_inverted_images_are_named(trained: nn.Module, batches: Batches) -> None:
    diagnosis = normwise.diagnose(trained, [(1 - x, y) for x, y in batches], select=["BN2"])
    assert diagnosis.findings[0].code == "BN208", str(diagnosis)
    scaled, moved = diagnosis.findings[0].message.rstrip(".").split("scaled by ")[1].split(" and moved by ")
    assert float(scaled) == pytest.approx(-1, rel=0.1)
    assert float(moved) == pytest.approx(1, rel=0.15)


def test_the_fix_is_in_the_users_script(trained: nn.Module, batches: Batches) -> None:
    diagnosis = normwise.diagnose(trained, [(16 * x, y) for x, y in batches], select=["BN2"])
    assert diagnosis.findings[0].safety == "manual"
    assert "preprocess the data as for training" in diagnosis.findings[0].fix
    assert not diagnosis.fix()[1].proven


def test_one_layer_tells_a_factor() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    x = torch.randn(256, 4) + 1
    for _ in range(100):
        model(x)
    found = normwise.diagnose(model.eval(), 10 * x, select=["BN2"]).findings
    assert [finding.code for finding in found] == ["BN208"]


def test_weights_that_changed_everywhere_are_no_shift(trained: nn.Module, batches: Batches) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    found = normwise.diagnose(trained, batches, select=["BN2"]).findings
    assert [finding.code for finding in found] == ["BN201"]


def test_test_data_are_no_shift(trained: nn.Module) -> None:
    data = digits()
    test = list(zip(data.test_images.split(50), data.test_labels.split(50), strict=True))
    assert not normwise.diagnose(trained, test, loss=nn.CrossEntropyLoss(), select=["BN2"]).findings


def test_statistics_that_were_measured_are_not_taken_for_initial_ones() -> None:
    """By momentum and steps nearly all of them would be those of a new layer."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 16, bias=False), nn.BatchNorm1d(16, momentum=0.001), nn.ReLU(), nn.Linear(16, 3)
    )
    x = 0.3 * torch.randn(256, 4)
    model(x)
    normwise.calibrate(model, x)
    found = normwise.diagnose(model.eval(), 16 * x, select=["BN2"]).findings
    assert [finding.code for finding in found] == ["BN208"]
