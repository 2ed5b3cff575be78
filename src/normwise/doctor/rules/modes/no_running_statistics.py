"""BN304: BN layers that keep no running statistics."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.doctor.wording import calibration, cost_of_batch_mates
from normwise.records import Severity, Source, Symptom

#: Share of their own scatter by which outputs may move with the batch until evaluation is called wrong.
_MOVED = 0.25


class NoRunningStatistics(Rule):
    """BN layers that keep no running statistics."""

    code = "BN304"
    name = "no-running-statistics"
    severity = "warning"
    needs = ("model",)
    finds = (
        "BN layers that were built with track_running_stats=False or whose buffers are None, so that they also "
        "normalise by the batch in evaluation; and layers whose track_running_stats was switched off later: they "
        "still evaluate with their buffers, which training no longer updates."
    )
    why = (
        "Without running statistics a prediction depends on the samples that happen to be in the batch, and a single "
        "sample may fail. With buffers that are no longer updated, evaluation uses the statistics of an earlier "
        "model. In torch the flag has a different meaning when it is passed to the constructor and when it is set "
        "later."
    )
    measured = (
        "The rule reads buffers and flags. With data, the outputs in evaluation of the first half of a batch are "
        "compared with those of the same samples without the other half, and one sample is tried alone."
    )
    fixed = (
        "Let normwise.convert give the layers running statistics, and normwise.calibrate fill them. This adds keys "
        "to the state_dict and changes outputs, so you have to decide. If the flag was switched off later, set it "
        "back."
    )
    safety = "unsafe"
    supersedes = ("BN201", "BN202", "BN306")
    sources = (
        Source("pytorch issue 37823", "", "https://github.com/pytorch/pytorch/issues/37823"),
        Source("pytorch issue 156051", "", "https://github.com/pytorch/pytorch/issues/156051"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers without buffers, and those whose buffers nothing updates."""
        for path, kind in facts.layers.items():
            if not kind.learns_statistics or not kind.initialised or kind.frozen:
                continue
            name = type(kind.layer).__name__
            if not kind.has_statistics:
                channels = measured("channels", kind.channels)
                yield Symptom(path, name, (channels,), "without running mean and variance", 1.0)
            elif getattr(kind.layer, "track_running_stats", True) is False:
                counter = getattr(kind.layer, "num_batches_tracked", None)
                steps = int(counter) if isinstance(counter, torch.Tensor) and counter.numel() == 1 else 0
                detail = "track_running_stats is False, and it has buffers"
                yield Symptom(path, name, (measured("batches that it has counted", steps),), detail)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say which of the two it is, of most layers."""
        without = sum(not facts.layers[symptom.path].has_statistics for symptom in symptoms)
        count = without or len(symptoms)
        layers = "A BN layer" if count == 1 else f"{count} BN layers"
        if not without:
            verb = "has" if count == 1 else "have"
            return f"{layers} {verb} track_running_stats off: evaluation uses buffers that training no longer updates."
        if count == 1:
            return f"{layers} keeps no running statistics, so that it normalises by the batch in evaluation."
        return f"{layers} keep no running statistics, so that they normalise by the batch in evaluation."

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "error" where outputs depend on the batch, one sample fails, or buffers are not those of the data."""
        if "data" not in facts.has:
            return "warning"
        if all(facts.layers[symptom.path].has_statistics for symptom in symptoms):
            return "error" if not facts.probe.failed and facts.probe.exact_helps else "warning"
        fails = _failure(facts)
        return "error" if fails or facts.dependence > _MOVED else "warning"

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say how far outputs move with the batch, and whether one sample fails."""
        if "data" not in facts.has:
            return ""
        if all(facts.layers[symptom.path].has_statistics for symptom in symptoms):
            return facts.probe.cost_of_statistics
        fails = _failure(facts)
        alone = f"a batch of one sample fails with {fails}" if fails else ""
        return "; ".join(filter(None, (cost_of_batch_mates(facts.dependence), alone)))

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Give them statistics, or set the flag."""
        if any(not facts.layers[symptom.path].has_statistics for symptom in symptoms):
            first = 'model, _ = normwise.convert(model, "torch", track_running_stats=True, example=batch)'
        else:
            first = (
                "for found in normwise.surgery.find(model):\n"
                "    found.layer.track_running_stats = True  # or normwise.freeze(model), to keep statistics"
            )
        return f"{first}\n{calibration(facts)}"

    def sick(self) -> Case:
        """Return a layer that was built without running statistics."""
        torch.manual_seed(0)
        norm = nn.BatchNorm1d(8, track_running_stats=False)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), norm, nn.ReLU(), nn.Linear(8, 3))
        return Case(model.eval(), [torch.randn(16, 4) for _ in range(8)])

    def healthy(self) -> Case:
        """Return one with running statistics."""
        torch.manual_seed(0)
        norm = nn.BatchNorm1d(8)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), norm, nn.ReLU(), nn.Linear(8, 3))
        batches = [torch.randn(16, 4) for _ in range(8)]
        for batch in batches * 20:
            model(batch)
        return Case(model.eval(), batches)


def _failure(facts: Facts) -> str:
    """Return the error of the model on a single sample, which may be all of the data; empty if it accepts one."""
    failed = facts.probe.failed
    return failed if "more than 1 value per channel" in failed else facts.failure_alone
