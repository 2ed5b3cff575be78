"""BN305: digits of two scanners, in batches of one each, and in mixed ones."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normwise
from normwise.data import digits


def _trained(mixed: bool, size: int = 64, epochs: int = 4) -> tuple[nn.Module, list[tuple[Tensor, Tensor]]]:
    """Train on digits, of which half come from a scanner with another gain."""
    torch.manual_seed(0)
    data = digits()
    inputs, labels = data.train_images[:1280].flatten(1), data.train_labels[:1280]
    scanner = torch.rand(len(inputs)) < 0.5
    inputs = torch.where(scanner[:, None], 4 * inputs + 2, inputs)
    model = nn.Sequential(
        nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(),
        nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    batches: list[tuple[Tensor, Tensor]] = []
    for _ in range(epochs):
        order = torch.randperm(len(inputs))
        parts = [order] if mixed else [order[scanner[order]], order[~scanner[order]]]
        batches = [
            (inputs[rows], labels[rows]) for part in parts for rows in part.split(size) if len(rows) == size
        ]
        batches = [batches[i] for i in torch.randperm(len(batches))]
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model.eval(), batches


def test_batches_of_one_source_each_are_the_first_finding_with_their_cause() -> None:
    model, batches = _trained(mixed=False)
    diagnosis = normwise.diagnose(model, batches, loss=F.cross_entropy)
    finding = diagnosis.findings[0]
    assert (finding.code, finding.safety) == ("BN305", "manual")
    assert "each batch comes from one class, source or domain" in finding.message
    examination = diagnosis.examination
    assert examination.batch.accuracy > examination.exact.accuracy + 0.1
    assert "BN201" not in {one.code for one in diagnosis.findings}


@pytest.mark.parametrize("size", [4, 64])
def test_mixed_batches_are_none_small_ones_neither(size: int) -> None:
    model, batches = _trained(mixed=True, size=size)
    assert normwise.diagnose(model, batches, loss=F.cross_entropy, select=["BN305"]).findings == ()


def test_stale_statistics_are_not_taken_for_it() -> None:
    model, batches = _trained(mixed=True)
    for path in ("1", "4"):
        model.get_submodule(path).get_buffer("running_var").mul_(30)
    codes = [one.code for one in normwise.diagnose(model, batches, loss=F.cross_entropy).findings]
    assert codes[0].startswith("BN2")
    assert "BN305" not in codes


def test_the_code_of_its_fix_evaluates_by_batches() -> None:
    model, batches = _trained(mixed=False)
    x, y = batches[0]
    with normwise.statistics.using_batch_statistics(model):
        by_batch = (model(x).argmax(1) == y).double().mean()
    assert by_batch > (model(x).argmax(1) == y).double().mean()
