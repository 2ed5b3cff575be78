"""Application of safe fixes to a copy, proven by measuring again."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn
from torch.distributed import ProcessGroup

from normwise.doctor.examine_together import examine_together
from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Rule
from normwise.errors import ArgumentError, DistributedError, ModelError
from normwise.records import Examination, Remedy, Severity, Symptom, Treatment, faults_of, proof_of
from normwise.statistics.preserve.snapshot import Snapshot
from normwise.surgery.core.decision import LeftError

_COPY = "copy the model to be healed"


def treat(
    facts: Facts,
    rules: Sequence[Rule],
    examination: Examination,
    model: nn.Module | None = None,
    *,
    inplace: bool = False,
    severities: Mapping[str, Severity] | None = None,
) -> tuple[nn.Module, Treatment]:
    """Apply the safe fixes of an examination's findings, prove their gain, and return the healed model.

    The fixes are proven if no fixed finding is found again, and if neither loss nor outputs in evaluation are
    farther from those with exact statistics than before. Otherwise the model is returned unchanged. If several
    processes have examined it together, each applies the same fixes, and they measure together.

    Raises:
        ArgumentError: ``model`` has other layers than the examined model.
        ModelError: the model can't be copied.
        DistributedError: a process did not arrive, failed, or could not apply a fix that another process applied.
    """
    old = facts.model if model is None else model
    if list(facts.layers) != [path for path, _ in old.named_modules() if path in facts.layers]:
        raise ArgumentError(
            "the model has other BN layers than the one that was diagnosed; diagnose it first"
        )
    healed = _copied(old) if facts.meeting is None else facts.meeting.in_step(_COPY, lambda: _copied(old))
    by_code = {rule.code: rule for rule in rules}
    remedies = _apply(facts, by_code, examination, healed)
    if not any(remedy.applied for remedy in remedies):
        return old, Treatment(
            remedies, False, "no finding has a fix that is safe to apply", examination, examination
        )

    def facts_again() -> Facts:
        return Facts.of_model(
            healed,
            None if facts.data is None else [batch.given for batch in facts.batches.batches],
            loss=facts.loss,
            max_batches=facts.max_batches,
            name=facts.name,
        )

    _, after = examine_together(facts_again, rules, severities, facts.meeting)
    faults = faults_of(remedies, examination, after)
    if faults:
        left = tuple(
            replace(remedy, applied=False, reason=f"undone, {remedy.reason}") if remedy.applied else remedy
            for remedy in remedies
        )
        return old, Treatment(left, False, "; ".join(faults), examination, after)
    if inplace:
        kept = Snapshot(old, values=True)
        try:
            _apply(facts, by_code, examination, old)
        except BaseException:
            kept.restore()
            raise
        healed = old
    return healed, Treatment(remedies, True, proof_of(examination, after), examination, after)


def _copied(model: nn.Module) -> nn.Module:
    try:
        return _copy(model)
    except Exception as error:
        raise ModelError(f"the model can't be copied: {error}") from error


def _copy(model: nn.Module) -> nn.Module:
    """Copy a model, even if its modules hold computed weights, as under the masks of pruning.

    The copy has the same process groups.
    """
    memo: dict[int, object] = {
        id(value): value if isinstance(value, ProcessGroup) else value.detach().clone()
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, ProcessGroup) or (isinstance(value, Tensor) and not value.is_leaf)
    }
    return copy.deepcopy(model, memo)


def _apply(
    facts: Facts, rules: dict[str, Rule], examination: Examination, model: nn.Module
) -> tuple[Remedy, ...]:
    remedies = []
    for finding in examination.findings:
        applied, reason = False, f"its fix is {finding.safety}: see the finding"
        if finding.safety == "safe":
            applied, reason = _healed(facts, rules[finding.code], model, finding.symptoms)
        remedies.append(Remedy(finding.code, finding.name, applied, reason))
    return tuple(remedies)


def _healed(facts: Facts, rule: Rule, model: nn.Module, symptoms: Sequence[Symptom]) -> tuple[bool, str]:
    """Apply a fix, in all processes of the group; return whether it was applied, and a description or the obstacle."""

    def heal() -> tuple[bool, str]:
        try:
            return True, rule.heal(facts, model, symptoms)
        except LeftError as left:
            return False, str(left)

    if facts.meeting is None:
        return heal()
    answers = facts.meeting.gather(f"apply the fix of {rule.code}", heal)
    left = {rank: why for rank, (done, why) in zip(facts.meeting.ranks, answers, strict=True) if not done}
    if left and len(left) < len(answers):
        rank, why = next(iter(left.items()))
        raise DistributedError(
            f"the fix of {rule.code} could be applied on {len(answers) - len(left)} of {len(answers)} processes, and "
            f"not on rank {rank}: {why}. The models were left as they were; ignore {rule.code} to apply the others"
        )
    return answers[0]
