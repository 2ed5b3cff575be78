"""Safe fixes, applied to a Keras model and proven by measuring again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from normwise.errors import ModelError
from normwise.keras.doctor.examine import examine
from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.rule import Rule
from normwise.keras.untyped import ops
from normwise.records import Examination, Remedy, Severity, Treatment, faults_of, proof_of


def treat(
    facts: Facts, rules: Sequence[Rule], examination: Examination, severities: Mapping[str, Severity]
) -> Treatment:
    """Apply the safe fixes of the findings to the model, and undo them if their gain is not proven.

    They are proven if no fixed finding is found again, and if neither loss nor outputs in evaluation are farther
    from those with exact statistics than before.

    Raises:
        NormwiseError: the model fails when it is measured again; it is then restored.
    """
    layers = {path: norm.layer for path, norm in facts.norms.items()}
    held = {path: _held(layer) for path, layer in layers.items() if layer.built}
    by_code = {rule.code: rule for rule in rules}
    remedies = []
    try:
        for finding in examination.findings:
            applied, reason = False, f"its fix is {finding.safety}: see the finding"
            if finding.safety == "safe":
                try:
                    reason = by_code[finding.code].heal(facts, layers, finding.symptoms)
                    applied = True
                except ModelError as left:
                    reason = str(left)
            remedies.append(Remedy(finding.code, finding.name, applied, reason))
        if not any(remedy.applied for remedy in remedies):
            reason = "no finding has a fix that is safe to apply"
            return Treatment(tuple(remedies), False, reason, examination, examination)
        after = examine(_again(facts), rules, severities)
    except BaseException:
        _put_back(layers, held)
        raise
    if faults := faults_of(remedies, examination, after):
        _put_back(layers, held)
        left = tuple(
            replace(remedy, applied=False, reason=f"undone, {remedy.reason}") if remedy.applied else remedy
            for remedy in remedies
        )
        return Treatment(left, False, "; ".join(faults), examination, after)
    return Treatment(tuple(remedies), True, proof_of(examination, after), examination, after)


def _again(facts: Facts) -> Facts:
    """Return new facts about the model, on the same batches."""
    found = Facts(
        facts.model,
        facts.data,
        loss=facts.given_loss,
        max_batches=facts.max_batches,
        batch_size=facts.batch_size,
        name=facts.name,
    )
    if facts.data is not None:
        # They may come from a generator, which yields them only once.
        found.batches = facts.batches
    return found


def _held(layer: Any) -> tuple[list[Any], float | None]:
    return [ops.copy(variable) for variable in layer.non_trainable_variables], layer.momentum


def _put_back(layers: Mapping[str, Any], held: Mapping[str, tuple[list[Any], float | None]]) -> None:
    for path, (values, momentum) in held.items():
        for variable, value in zip(layers[path].non_trainable_variables, values, strict=True):
            variable.assign(value)
        layers[path].momentum = momentum
