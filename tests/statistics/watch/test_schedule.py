"""Steps that a watch records."""

import pytest
import torch
from torch import nn

import normwise
from normwise.statistics.watch.schedule import schedule_of


@pytest.mark.parametrize(
    ("every", "steps"),
    [
        (None, [0, 1, 2, 4, 8, 16, 32, 64, 128, 200, 400, 600, 800, 1000]),
        (200, [0, 200, 400, 600, 800, 1000]),
        (300, [0, 300, 600, 900]),
    ],
)
def test_only_the_default_has_a_dense_beginning(every: int | None, steps: list[int]) -> None:
    schedule = schedule_of(every)
    assert [step for step in range(1001) if schedule.is_due(step)] == steps


def test_a_short_training_has_several_records() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    with normwise.watch(model) as recording:
        for _ in range(20):
            model(torch.randn(6, 3))
    assert [point.step for point in recording.points] == [0, 1, 2, 4, 8, 16]
    assert [(row["step"], row["layer"]) for row in recording.to_rows()][-1] == (16, "1")
    assert recording.record.every == 200
