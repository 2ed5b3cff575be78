"""Figures with everything in them that is hard to draw: logarithms, gaps, failed runs, long and hostile names."""

import math

from normwise.records import Figure, Series

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


def rates() -> Figure:
    """Return logarithmic axes, with values that a logarithm does not have, and failed runs."""
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
                failed=(0, 0, 0, 0, 0, 0, 0, 0, 0, 2),
            ),
            Series(
                "without",
                rates,
                (2.3, 2.2, 1.9, 1.2, 0.42, 0.13, NAN, 2.1, NAN, NAN),
                (2.2, 2.1, 1.7, 0.9, 0.30, -0.1, NAN, 1.9, NAN, NAN),
                (2.4, 2.3, 2.1, 1.5, 0.60, 0.40, NAN, 2.3, NAN, NAN),
                style=1,
                failed=(0, 0, 0, 0, 0, 0, 5, 3, 5, 5),
            ),
        ),
        x_log=True,
        y_log=True,
    )


def categories() -> Figure:
    """Return points over names, with bars, beside one another."""
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


def many() -> Figure:
    """Return every style at once, without spreads."""
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


def curves() -> Figure:
    """Return curves of training with bands, and names that need several lines."""
    return Figure(
        name="accuracy-by-step",
        title="Test accuracy over optimiser steps",
        caption="Each at its own best learning rate. Lines are means over 5 seeds, bands 95% intervals.",
        x_label="optimiser step",
        y_label="test accuracy",
        series=(
            _curve("with BN", 0.981, 180, 0),
            _curve("without BN, at its own best learning rate", 0.968, 520, 1),
            _curve("without BN, at the learning rate that is best with BN", 0.71, 900, 2),
        ),
        y_percent=True,
    )


def depths() -> Figure:
    """Return lines that end where every run failed."""
    depths = (2.0, 5.0, 10.0, 20.0, 40.0)
    return Figure(
        name="accuracy-by-depth",
        title="Test accuracy by depth",
        caption="A cross is a run that diverged.",
        x_label="layers",
        y_label="test accuracy",
        series=(
            Series("with BN", depths, (0.98, 0.98, 0.975, 0.95, 0.61), style=0),
            Series("without BN", depths, (0.97, 0.9, 0.1, NAN, NAN), style=1, failed=(0, 0, 0, 5, 5)),
        ),
        x_log=True,
        y_percent=True,
    )


def figures() -> tuple[Figure, ...]:
    """Return all of them."""
    return curves(), rates(), many(), categories()
