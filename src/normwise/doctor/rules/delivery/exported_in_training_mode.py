"""BN701: a model that was traced, scripted or exported while its BN layers were in training mode."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Severity, Source, Symptom


class ExportedInTrainingMode(Rule):
    """A model that was traced, scripted or exported while its BN layers were in training mode."""

    code = "BN701"
    name = "exported-in-training-mode"
    severity = "error"
    needs = ("model",)
    finds = (
        "A graph of torch.jit.trace, torch.jit.script, torch.fx or torch.export that normalises by the batch "
        "although it has running statistics. Scripted layers, whose mode can still be changed, are reported if "
        "neither a loss nor an optimizer is given; other graphs if no optimizer is given."
    )
    why = (
        "Tracing and exporting write the mode into the graph, and eval() does not change it. The delivered model "
        "normalises by whatever batch it gets, updates its statistics in each call, and may fail on a single sample."
    )
    measured = "The rule reads the argument of each batch normalization call in the graph that sets how it normalises."
    fixed = (
        "Call model.eval(), and trace or export again. You have to do this in your script, since a graph can't be "
        "fixed safely."
    )
    safety = "manual"
    supersedes = ("BN306",)
    sources = (
        Source("anomalib issue 2909", "", "https://github.com/open-edge-platform/anomalib/issues/2909"),
        Source("pytorch issue 75252", "", "https://github.com/pytorch/pytorch/issues/75252"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return each module whose graph normalises by the batch."""
        if facts.optimizer is not None:
            return
        calls = [call for call in facts.graph_calls if call.has_statistics]
        for path in dict.fromkeys(call.path for call in calls):
            here = [call for call in calls if call.path == path]
            wrong = [call for call in here if call.by_batch and (call.fixed or not facts.expects_training)]
            if not wrong:
                continue
            fixed = sum(call.fixed for call in wrong)
            evidence = (
                measured("calls by the batch", len(wrong)),
                measured("calls in all", len(here)),
                measured("calls whose mode eval() can't change", fixed),
            )
            detail = ", ".join(dict.fromkeys(call.name for call in wrong[:3]))
            yield Symptom(path, wrong[0].kind, evidence, detail, len(wrong))

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Count the calls."""
        count = int(sum(symptom.evidence[0].value for symptom in symptoms))
        calls = "one call normalises" if count == 1 else f"{count} calls normalise"
        return f"The graph was made in training mode: {calls} by the batch instead of the running statistics."

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "warning" where ``eval()`` still helps."""
        return "error" if any(symptom.evidence[2].value for symptom in symptoms) else "warning"

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Export again."""
        if not any(symptom.evidence[2].value for symptom in symptoms):
            return "model.eval()  # then save it again"
        return (
            "model.eval()  # the original model; then make the graph again:\n"
            "traced = torch.jit.trace(model, batch)  # or torch.export.export(model, (batch,))"
        )

    def sick(self) -> Case:
        """Return a model exported in training mode."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        x = torch.randn(64, 4)
        return Case(torch.export.export(model.train(), (x,)).module(), [x])

    def healthy(self) -> Case:
        """Return one exported in evaluation."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        x = torch.randn(64, 4)
        return Case(torch.export.export(model.eval(), (x,)).module(), [x])
