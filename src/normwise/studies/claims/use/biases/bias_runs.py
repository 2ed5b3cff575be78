"""Runs with a bias before or behind BN and without one, which claims about biases share."""

import math
from dataclasses import replace

from normwise.records import Run, RunConfig
from normwise.studies.judging.run_queries import result
from normwise.studies.networks import arm
from normwise.studies.preset import Preset

NETWORKS = ("dense_bn", "ioffe_mlp")
STEPS, LR = 50, 0.1
_TESTED = 100
#: Relative difference that float64 rounding may grow to over the run.
ROUNDING = 1e-6


def with_and_without(
    preset: Preset, name: str, norm: str, place: str = "before"
) -> tuple[RunConfig, RunConfig]:
    """Return the runs with biases in the hidden layers and without, BN before or after the activation."""
    options = {} if place == "before" else {"placement": place}
    bias = _run(preset, name, norm)
    return (
        replace(bias, options=options, measures=("bias_gradient",)),
        replace(bias, options={**options, "bias": False}),
    )


def bias_behind(preset: Preset, name: str) -> RunConfig:
    """Return the run with a bias between BN and the activation, beside those of the layers."""
    return replace(_run(preset, name, "batch_and_bias"), measures=("merged_bias",))


def _run(preset: Preset, name: str, norm: str) -> RunConfig:
    network = preset.networks[name]
    return arm(preset, network, norm, steps=STEPS, lr=LR, eval_every=1, dtype="float64", test_samples=_TESTED)


def difference(one: Run, other: Run) -> float:
    """Return the largest relative difference of the loss; infinite where one did not get to the end with numbers."""
    row = differences(one, other)
    well = not result(one).diverged and not result(other).diverged
    return max(row) if well and row and all(map(math.isfinite, row)) else math.inf


def differences(one: Run, other: Run) -> list[float]:
    """Return the relative difference of the loss at each step that both took."""
    pairs = zip(one.points[1:], other.points[1:], strict=False)
    return [abs(p.loss - q.loss) / abs(q.loss) for p, q in pairs]
