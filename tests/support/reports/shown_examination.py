"""Examinations with everything in them that is hard to show, a large one, and fixes."""

import dataclasses
import math

from normwise.records import (
    Examination,
    Finding,
    LayerHealth,
    Measured,
    ProbeOutcome,
    Remedy,
    Symptom,
    Treatment,
)
from tests.support.records import ENVIRONMENT

HOSTILE = 'no <b>bold</b> & no </script><script>throw 1</script> "quoted"'


def layer(number: int, error: float, path: str = "") -> LayerHealth:
    """Return a layer of a model with many."""
    return LayerHealth(
        path or f"stages.{number // 50}.blocks.{number % 50}.norm",
        "BatchNorm2d",
        mean_shift=3 * error,
        typical_mean_shift=error,
        variance_ratio_low=0.5,
        variance_ratio_high=2.0,
        error=error,
        noise=0.05,
        values=3136,
        input_mean=0.3,
        input_deviation=1.25,
        dead=0.0,
        depth=number,
    )


def symptom(of: LayerHealth, detail: str = "") -> Symptom:
    """Return what a rule found in a layer."""
    evidence = (Measured("normalised values off by", of.error, "σ"), Measured("values per channel", 12345.0))
    return Symptom(of.path, of.kind, evidence, detail, of.error)


def finding(*symptoms: Symptom, code: str = "BN201", **changes: object) -> Finding:
    """Return an error of stale statistics."""
    made = Finding(
        code, "stale-statistics", "error", "The running statistics are not those of the data.", symptoms,
        "evaluation loss 2.31; with exact statistics 0.45", "normwise.calibrate(model, loader)", "safe",
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def sick() -> Examination:
    """Return findings of all severities on layers with hostile names and without names, not reached and not finite."""
    layers = (
        dataclasses.replace(layer(1, 0.9, HOSTILE), dead=0.25),
        layer(0, math.inf, "stem.norm"),
        dataclasses.replace(layer(2, 0.0, "head.norm"), kind="SyncBatchNorm", noise=math.nan),
        LayerHealth("never.called", "BatchNorm1d"),
    )
    whole = Symptom("", "", (), "the model")
    return Examination(
        target=HOSTILE,
        findings=(
            finding(*(symptom(one) for one in layers[:2])),
            finding(symptom(layers[2], HOSTILE), code="BN501", severity="warning", cost="", fix=HOSTILE),
            finding(whole, code="BN101", severity="info", safety="manual"),
        ),
        layers=layers,
        running=ProbeOutcome(2.31, 0.42, 1.5),
        batch=ProbeOutcome(math.inf, 0.97, 0.1),
        exact=ProbeOutcome(0.45, 0.98, 0.0),
        batches=20,
        checked=("BN101", "BN201", "BN202", "BN501"),
        skipped={"BN601": "they need the optimizer", "BN602": "they need the optimizer"},
        seconds=1.25,
        environment=ENVIRONMENT,
    )


def healthy() -> Examination:
    """Return an examination without findings."""
    layers = tuple(layer(i, 0.02, f"blocks.{i}.norm") for i in range(4))
    return dataclasses.replace(
        sick(), target="net", findings=(), layers=layers, running=ProbeOutcome(0.45, 0.98, 0.0), skipped={}
    )


def of_model() -> Examination:
    """Return what is known of a model without data."""
    layers = tuple(LayerHealth(f"blocks.{i}.norm", "BatchNorm2d") for i in range(4))
    nothing = ProbeOutcome()
    return dataclasses.replace(
        healthy(), layers=layers, running=nothing, batch=nothing, exact=nothing, batches=0, seconds=1e-5
    )


def large() -> Examination:
    """Return 500 layers, of which a hundred are sick."""
    layers = tuple(layer(i, 2.0 + i / 100 if 200 <= i < 300 else 0.03) for i in range(500))
    worst = sorted((one for one in layers if one.error > 0.25), key=lambda one: -one.error)
    return dataclasses.replace(
        sick(), target="large", findings=(finding(*map(symptom, worst)),), layers=layers
    )


def treatment() -> Treatment:
    """Return fixes of which one was applied and proven."""
    return Treatment(
        (
            Remedy("BN201", "stale-statistics", True, "statistics of 4 of 4 layers replaced"),
            Remedy("BN501", HOSTILE, False, "its fix is unsafe: see the finding"),
        ),
        True,
        "accuracy in evaluation 42.0% before, 98.0% after",
        dataclasses.replace(sick(), target="net"),
        healthy(),
    )
