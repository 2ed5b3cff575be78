"""A run and a recording such as normwise makes, with everything in them that is hard to show."""

import math
from dataclasses import replace
from typing import Any

from normwise.records import (
    LayerPoint,
    OverChannels,
    Point,
    Recording,
    Result,
    Run,
    RunConfig,
    UnitPoint,
    WatchedLayer,
    WatchedStep,
)
from tests.support.records import ENVIRONMENT
from tests.support.reports.shown_figures import HOSTILE, NAN


def run() -> Run:
    """Return a run that begins without a loss."""
    config = RunConfig(
        model="mlp",
        data="mnist",
        norm="batch",
        steps=1000,
        batch_size=60,
        lr=0.1,
        seed=3,
        eval_every=25,
        options={"hidden": 3, "note": HOSTILE},
        test_samples=2000,
    )
    points = tuple(
        Point(
            step=step,
            loss=NAN if step == 0 else 2.3 * math.exp(-step / 300),
            test_loss=2.3 * math.exp(-step / 350) + 0.05,
            test_accuracy=0.98 - 0.88 * math.exp(-step / 150),
        )
        for step in range(0, 1001, 25)
    )
    result = Result(steps=1000, diverged=False, test_accuracy=0.9789, batch_statistics_accuracy=0.9801)
    return Run(config=config, environment=ENVIRONMENT, points=points, result=result)


def recording() -> Recording:
    """Return a recording of layers that drift, are frozen, shared, without running statistics, never called.

    In its first record the running statistics are those of new layers.
    """

    def over(value: float) -> OverChannels:
        return OverChannels(-value, 0.1 * value, value, 0.5 * value)

    def point(step: int, drift: float, **others: Any) -> LayerPoint:
        new = step == 0
        made = LayerPoint(
            calls=1,
            by_batch=True,
            samples=32,
            values=2048,
            batch_mean=over(3.0),
            batch_var=over(2.0),
            noise_mean=over(0.02),
            noise_var=over(0.1),
            running_mean=OverChannels(0.0, 0.0, 0.0, 0.0) if new else over(1.0),
            running_var=OverChannels(1.0, 1.0, 1.0, 1.0) if new else over(2.0),
            shift=over(500.0 if new else drift),
            log_ratio=over(40.0 if new else 2 * math.log(2)),
            weight=over(1.0),
            bias=over(0.0),
            weight_grad=0.5 / (step + 1),
            bias_grad=0.25 / (step + 1),
            output_grad=NAN if new else 2.0 / step,
            units=tuple(
                UnitPoint(channel, (-1.0 - channel, 0.0, 1.0 + step / 100), (-0.5, 0.1 * channel, 0.75))
                for channel in (0, 5)
            ),
        )
        return replace(made, **others)

    bare = dict.fromkeys(("running_mean", "running_var", "shift", "log_ratio", "weight", "bias"))
    points = tuple(
        WatchedStep(
            step,
            {
                "stem": point(step, 4.0 / (1 + step / 50)),
                HOSTILE: point(step, 0.04, calls=3),
                "frozen.norm": point(step, 0.8, by_batch=False, weight_grad=NAN, bias_grad=NAN),
                "bare": point(step, 0.0, weight_grad=NAN, bias_grad=NAN, units=(), **bare),
            },
        )
        for step in range(0, 801, 200)
    )
    layers = (
        WatchedLayer("stem", "BatchNorm2d", 16),
        WatchedLayer(HOSTILE, "BatchNorm2d", 16),
        WatchedLayer("frozen.norm", "FrozenBatchNorm2d", 16),
        WatchedLayer("bare", "LazyBatchNorm1d", 0),
        WatchedLayer("unused", "BatchNorm2d", 8),
    )
    return Recording("2025-03-01T12:30:00+00:00", 200, layers, ENVIRONMENT, points)
