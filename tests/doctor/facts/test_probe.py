"""Outcomes of models whose outputs have odd shapes."""

import pytest
import torch
from torch import Tensor, nn

from normwise.doctor import Facts


class _Sequences(nn.Module):
    def __init__(self, flat: bool) -> None:
        super().__init__()
        self.norm, self.flat = nn.BatchNorm1d(4), flat

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return x.mean((1, 2)) if self.flat else x


def _distance(model: nn.Module, *shapes: tuple[int, ...]) -> float:
    torch.manual_seed(0)
    batches = [2 * torch.randn(shape) for shape in shapes]
    probe = Facts.of_model(model.eval(), batches).probe
    assert probe.failed == ""
    return probe.running.distance


def test_outputs_of_sequences_of_several_lengths_are_compared() -> None:
    # Twice as large as normalised: off by a standard deviation.
    several = _distance(_Sequences(flat=False), (64, 4, 5), (64, 4, 9))
    assert several == pytest.approx(1, abs=0.05)
    assert several == pytest.approx(_distance(_Sequences(flat=False), (64, 4, 9), (64, 4, 9)), abs=0.05)


def test_a_number_for_each_sample_is_compared() -> None:
    assert _distance(_Sequences(flat=True), (64, 4, 5), (64, 4, 9)) == pytest.approx(1, abs=0.1)


def test_batches_of_one_sequence_each_are_compared() -> None:
    assert _distance(_Sequences(flat=False), (1, 4, 50), (1, 4, 90)) == pytest.approx(1, abs=0.1)
