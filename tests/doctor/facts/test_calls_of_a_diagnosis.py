"""Calls of the model in a diagnosis, and the moments that are taken of each call."""

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.doctor.facts.passes.batch_moments import extremes, sample_scatter

_BATCHES, _SIZE = 6, 32


class _Counted(nn.Module):
    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        self.count = sizes.append

    def forward(self, x: Tensor) -> Tensor:
        self.count(len(x))
        return self.net(x)


def test_all_rules_together_make_three_passes_and_a_few_single_calls() -> None:
    torch.manual_seed(0)
    sizes: list[int] = []
    model = _Counted(sizes)
    batches = [(torch.randn(_SIZE, 4), torch.randint(0, 3, (_SIZE,))) for _ in range(_BATCHES)]
    for _ in range(20):
        for x, _y in batches:
            model(x)
    sizes.clear()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    found = normwise.diagnose(model.eval(), batches, loss=nn.CrossEntropyLoss(), optimizer=optimizer)
    assert found.is_healthy
    # The flow, the training step, and a batch beside half of it.
    assert sorted(sizes) == [_SIZE // 2, *[_SIZE] * (3 * _BATCHES + 3)]


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 1), (5, 3, 7), (5, 3, 4, 6), (1, 3, 2, 2, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extremes_and_scatter_are_those_of_the_values(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    low, high = extremes(values)
    flat = values.double().reshape(*shape[:2], -1)
    assert low.equal(flat.amin((0, 2)))
    assert high.equal(flat.amax((0, 2)))
    scatter = sample_scatter(values)
    expected = flat.mean(2).var(0) if len(values) > 1 else torch.full((3,), torch.nan, dtype=torch.float64)
    torch.testing.assert_close(scatter, expected, rtol=1e-4, atol=1e-6, equal_nan=True)
