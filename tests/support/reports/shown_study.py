"""A study such as normwise makes, with everything in it that is hard to show."""

import math

from normwise.records import (
    ClaimResult,
    Effect,
    Figure,
    Series,
    Source,
    Study,
)
from tests.support.records import ENVIRONMENT

NAN = math.nan
HOSTILE = 'no <b>bold</b>, no |pipe|, no "quote" & no </script><script>throw 1</script>'


def _curve(name: str, reach: float, pace: float, style: int) -> Series:
    steps = tuple(float(step) for step in range(0, 2001, 50))
    y = tuple(reach - (reach - 0.1) * math.exp(-step / pace) for step in steps)
    return Series(
        label=name,
        x=steps,
        y=y,
        low=tuple(value - 0.02 * math.exp(-step / 900) for value, step in zip(y, steps, strict=True)),
        high=tuple(value + 0.02 * math.exp(-step / 900) for value, step in zip(y, steps, strict=True)),
        style=style,
    )


def _rates() -> Figure:
    """Both axes logarithmic, and values that a logarithm does not have."""
    rates = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    return Figure(
        name="loss-by-rate",
        title="Final training loss by learning rate",
        caption="Mean over 5 seeds; the band is the 95% interval. A gap is a run that diverged.",
        x_label="learning rate",
        y_label="training loss after 2000 steps (nats)",
        series=(
            Series(
                "with batch normalization",
                rates,
                (2.3, 1.9, 1.1, 0.31, 0.08, 0.011, 0.0021, 0.0009, 0.0, 0.4),
                (2.2, 1.7, 0.9, 0.25, 0.06, 0.008, 0.0014, 0.0005, 0.0, 0.2),
                (2.4, 2.1, 1.3, 0.38, 0.11, 0.015, 0.0030, 0.0016, 0.0, 0.8),
                style=0,
            ),
            Series(
                "without",
                rates,
                (2.3, 2.2, 1.9, 1.2, 0.42, 0.13, NAN, 2.1, NAN, NAN),
                (2.2, 2.1, 1.7, 0.9, 0.30, -0.1, NAN, 1.9, NAN, NAN),
                (2.4, 2.3, 2.1, 1.5, 0.60, 0.40, NAN, 2.3, NAN, NAN),
                style=1,
            ),
        ),
        x_log=True,
        y_log=True,
    )


def _categories() -> Figure:
    norms = ("batch", "layer", "group", "instance", "none at all, with a careful initialisation")
    return Figure(
        name="accuracy-by-norm",
        title=f"Test accuracy by normalization: {HOSTILE}",
        caption=f"Points are means over 5 seeds, bars 95% intervals; {HOSTILE}.",
        x_label="normalization",
        y_label="test accuracy with running statistics, at the end of training",
        series=(
            Series(
                "batch size 8",
                norms,
                (0.962, 0.971, 0.969, 0.955, NAN),
                (0.951, 0.966, 0.962, 0.941, NAN),
                (0.972, 0.976, 0.975, 0.968, NAN),
                style=2,
            ),
            Series(
                HOSTILE,
                norms,
                (0.978, 0.972, 0.970, 0.957, 0.941),
                (0.974, 0.968, 0.964, 0.944, 0.930),
                (0.981, 0.976, 0.975, 0.969, 0.952),
                style=3,
            ),
        ),
        y_percent=True,
        lines=False,
    )


def _many() -> Figure:
    """Every style at once, without spreads."""
    depths = (2.0, 4.0, 8.0, 16.0, 32.0)
    series = tuple(
        Series(f"variant {style}", depths, tuple(10.0**-style * d**0.5 for d in depths), style=style)
        for style in range(8)
    )
    return Figure(
        name="gradients",
        title="Gradient norm by depth",
        caption="One line a variant.",
        x_label="layers",
        y_label="gradient norm at the first layer",
        series=series,
        x_log=True,
        y_log=True,
    )


def study() -> Study:
    """Return three findings: logarithmic axes, gaps, every style, and text that is not markup."""
    curves = Figure(
        name="accuracy-by-step",
        title="Test accuracy over optimiser steps",
        caption="Each at its own best learning rate. Lines are means over 5 seeds, bands 95% intervals.",
        x_label="optimiser step",
        y_label="test accuracy",
        series=(
            _curve("with batch normalization", 0.981, 180, 0),
            _curve("without, at its own best learning rate", 0.968, 520, 1),
            _curve("without, at the learning rate that is best with batch normalization", 0.71, 900, 2),
        ),
        y_percent=True,
    )
    common = "A multilayer perceptron of 3 hidden layers of 100 units, sigmoid; SGD without momentum."
    return Study(
        preset="full",
        data="mnist",
        date="2025-03-01T12:30:00+00:00",
        runs=240,
        cpu_seconds=9150.0,
        wall_seconds=4680.0,
        environment=ENVIRONMENT,
        findings=(
            ClaimResult(
                claim="faster",
                statement="Batch normalization reaches a given accuracy in fewer steps.",
                protocol=(common, "Each arm at the best of 9 learning rates, chosen by its own final loss."),
                falsifier="A ratio of steps whose interval includes 1 or lies below it.",
                rule="Supported if the interval lies above 1.5, not supported if it includes 1.",
                sources=(
                    Source(
                        "Ioffe & Szegedy, Batch Normalization (2015)",
                        "section 4.1",
                        "https://arxiv.org/abs/1502.03167",
                    ),
                    Source("A work with a strange address", "", "javascript:alert(1)"),
                ),
                effects=(
                    Effect("fewer steps to 95% test accuracy", "times", 2.9, 2.1, 4.0, 0.95, 5),
                    Effect("final test accuracy", "percentage points", 1.3, -0.2, 2.8, 0.95, 5),
                    Effect(
                        "steps of the slowest seed",
                        "times",
                        5.12,
                        NAN,
                        NAN,
                        0.95,
                        1,
                        note="One seed did not get there within the budget of 2000 steps; counted as 2000.",
                    ),
                ),
                verdict="supported",
                sentence="With batch normalization the network reached 95% test accuracy in 2.9 times fewer "
                "steps, and by no seed's count in less than 2.1 times fewer.",
                figures=(curves,),
                seeds=(0, 1, 2, 3, 4),
                runs=90,
            ),
            ClaimResult(
                claim="higher-rates",
                statement="Batch normalization allows much higher learning rates.",
                protocol=(common, "Learning rates from 0.001 to 10, two a decade."),
                falsifier="A usable range that is no wider than without.",
                rule="Depends on the optimiser if the intervals of the two optimisers do not overlap.",
                sources=(),
                effects=(
                    Effect("wider range of usable learning rates", "decades", 1.24, 0.91, 1.57, 0.95, 5),
                ),
                verdict="depends",
                sentence="The range was 1.24 decades wider with SGD, and 0.1 with Adam.",
                figures=(_rates(), _many()),
                seeds=(0, 1, 2, 3, 4),
                runs=100,
            ),
            ClaimResult(
                claim="regularizes",
                statement=f"Batch normalization regularizes: {HOSTILE}.",
                protocol=(common, HOSTILE),
                falsifier=HOSTILE,
                rule=HOSTILE,
                sources=(Source(HOSTILE, HOSTILE, f"https://example.org/?{HOSTILE}"),),
                effects=(
                    Effect(HOSTILE, "percentage points", -12.34, -15.01, 1.2e-7, 0.95, 5, note=HOSTILE),
                ),
                verdict="not supported",
                sentence=f"The gap did not shrink; {HOSTILE}.",
                figures=(_categories(),),
                seeds=(0, 1, 2, 3, 4),
                runs=50,
            ),
        ),
    )
