"""Application of rules to facts."""

import time
from collections.abc import Mapping, Sequence

from normwise.doctor.facts.facts import Facts, Need
from normwise.doctor.rule import Rule
from normwise.errors import ModelError
from normwise.records import (
    Environment,
    Examination,
    LayerHealth,
    ProbeOutcome,
    Severity,
    Symptom,
    findings_of,
)

_MISSING: dict[Need, str] = {
    "model": "they need the model itself",
    "data": "they need data",
    "loss": "they need a loss",
    "optimizer": "they need the optimizer",
    "onnx": "they are for ONNX files",
    "processes": "they compare processes: call normwise.diagnose on all, with process_group",
}


def examine(
    facts: Facts, rules: Sequence[Rule], severities: Mapping[str, Severity] | None = None
) -> Examination:
    """Apply rules, and return their findings, worst first.

    Args:
        facts: Facts about a model or a checkpoint.
        rules: Rules to apply; those whose needs are missing are skipped, and named.
        severities: Severities of some rules by code, instead of their own.

    Raises:
        NormwiseError: the data can't be read, or the model fails on them and no finding says why.
    """
    began = time.perf_counter()
    found: dict[str, list[Symptom]] = {}
    skipped: dict[str, str] = {}
    for rule in rules:
        lacking: list[Need] = [need for need in rule.needs if need not in facts.has]
        if lacking:
            # A user with a model does not need to hear of rules for ONNX files, or one with a single process
            # of rules for several.
            if "onnx" not in lacking and ("processes" not in lacking or facts.processes > 1):
                is_sealed = facts.data is not None and lacking[0] in ("data", "loss")
                skipped[rule.code] = (facts.sealed if is_sealed else "") or _MISSING[lacking[0]]
            continue
        found[rule.code] = list(rule.evidence(facts))
    findings = findings_of(rules, facts, found, severities)
    has_data = "data" in facts.has
    probe = facts.probe if has_data else None
    if probe is not None and probe.failed and all(finding.severity != "error" for finding in findings):
        raise ModelError(f"the model fails on its data, so that it can't be examined: {probe.failed}")
    nothing = ProbeOutcome()
    return Examination(
        facts.name,
        findings,
        tuple(layer_health(facts)),
        probe.running if probe else nothing,
        probe.batch if probe else nothing,
        probe.exact if probe else nothing,
        len(facts.batches.batches) if has_data else 0,
        tuple(rule.code for rule in rules if all(need in facts.has for need in rule.needs)),
        skipped,
        time.perf_counter() - began,
        Environment.here(),
    )


def layer_health(facts: Facts) -> list[LayerHealth]:
    """Return the measurements of each layer; without data only the layers' names."""
    if "data" not in facts.has:
        return [LayerHealth(norm.path, norm.kind) for norm in facts.norms.values()]
    probe = facts.probe
    depth = {path: number for number, path in enumerate(probe.order)}
    found = []
    for norm in facts.norms.values():
        record, moments = probe.layers.get(norm.path), probe.moments.get(norm.path)
        if record is None or moments is None or not moments.counts:
            found.append(LayerHealth(norm.path, norm.kind))
            continue
        mean, variance = probe.exact_statistics.get(norm.path, (moments.means[0], moments.variances[0]))
        found.append(
            LayerHealth(
                norm.path,
                norm.kind,
                record.mean_shift,
                record.typical_mean_shift,
                record.variance_ratio_low,
                record.variance_ratio_high,
                record.error,
                moments.mean_noise.median().item(),
                min(moments.counts),
                mean.square().mean().sqrt().item(),
                variance.mean().sqrt().item(),
                (variance <= 1e-12 * variance.mean().clamp_min(1e-30)).double().mean().item(),
                depth.get(norm.path, len(depth)),
            )
        )
    return found
