"""Application of rules to facts about a Keras model."""

import math
import time
from collections.abc import Mapping, Sequence

import numpy as np

from normwise.errors import ModelError
from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.passes.moving_statistics import error_of
from normwise.keras.doctor.rule import Rule
from normwise.records import (
    Environment,
    Examination,
    LayerHealth,
    ProbeOutcome,
    Severity,
    Symptom,
    findings_of,
)


def examine(
    facts: Facts, rules: Sequence[Rule], severities: Mapping[str, Severity] | None = None
) -> Examination:
    """Apply rules, and return their findings, worst first; without data, rules that need them are skipped and named.

    Raises:
        NormwiseError: the data can't be read, or the model fails on them and no finding says why.
    """
    began = time.perf_counter()
    applied = [rule for rule in rules if facts.has.issuperset(rule.needs)]
    symptoms: dict[str, list[Symptom]] = {rule.code: list(rule.evidence(facts)) for rule in applied}
    findings = findings_of(rules, facts, symptoms, severities)
    probe = facts.probe if "data" in facts.has else None
    if probe is not None and probe.failed and all(finding.severity != "error" for finding in findings):
        raise ModelError(f"the model fails on its data, so that it can't be examined: {probe.failed}")
    nothing = ProbeOutcome()
    return Examination(
        facts.name,
        findings,
        tuple(_health(facts, path) for path in facts.norms),
        probe.running if probe else nothing,
        probe.batch if probe else nothing,
        probe.exact if probe else nothing,
        0 if probe is None else len(facts.batches.batches),
        tuple(rule.code for rule in applied),
        {rule.code: "they need data" for rule in rules if rule not in applied},
        time.perf_counter() - began,
        Environment.here(),
    )


def _health(facts: Facts, path: str) -> LayerHealth:
    """Return the measurements of a layer; without data only the layer's name."""
    norm = facts.norms[path]
    exact = facts.probe.exact_statistics.get(path) if "data" in facts.has else None
    if exact is None or norm.mean is None or norm.variance is None:
        return LayerHealth(path, norm.kind)
    (mean, variance), moments = exact, facts.probe.moments[path]
    usable = variance > 1e-12 * max(float(variance.mean()), 1e-30)
    shift = np.abs(norm.mean - mean) / np.sqrt(variance + norm.eps)
    ratio = norm.variance[usable] / variance[usable]
    error = error_of(norm.mean, norm.variance, exact, norm.eps)
    return LayerHealth(
        path,
        norm.kind,
        float(shift.max()),
        float(np.median(shift)),
        float(ratio.min()) if len(ratio) else math.nan,
        float(ratio.max()) if len(ratio) else math.nan,
        error,
        float(np.median(moments.mean_noise)),
        min(moments.counts),
        float(np.sqrt(np.mean(np.square(mean)))),
        float(np.sqrt(variance.mean())),
        float(np.mean(~usable)),
        facts.probe.order.index(path),
    )
