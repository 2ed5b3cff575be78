"""BN103: a BN layer directly after another."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.passes.axes import origins
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Measured, Severity, Source, Symptom

_SAME = "the same channels"


class NormAfterNorm(Rule):
    """A BN layer directly after another."""

    code = "BN103"
    name = "norm-after-norm"
    severity = "warning"
    needs = ("data",)
    finds = (
        "A BN layer whose input is the output of another BN layer, with no computation between. It is a note if "
        "values were moved so that the second layer normalises other channels."
    )
    why = (
        "The second layer cancels the γ and β of the first: they learn nothing, and the ε of both add up. It costs "
        "the time and memory of a layer. Usually an activation or a weighted layer was forgotten, or a layer that "
        "already contains BN was given another."
    )
    measured = (
        "Values are followed back from each BN layer in one evaluation pass, past operations that only move them. "
        "The mean and standard deviation of its input are measured: after another BN layer they are that layer's β "
        "and |γ|."
    )
    fixed = "Remove one of the two layers, or add what was forgotten between them, and train again."
    safety = "unsafe"
    sources = (Source("Ioffe & Szegedy 2015", "section 3.2", "https://arxiv.org/abs/1502.03167"),)

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the second layers."""
        found = set()
        for norm in facts.flow.norms():
            sources = list(origins(norm, 1))
            if len(sources) != 1 or sources[0][0].name != "norm" or norm.path in found:
                continue
            first, axis = sources[0]
            before = facts.layers[first.path]
            if before.activation is not None or before.followers or first.path == norm.path:
                continue
            found.add(norm.path)
            channels = norm.shape[1] if len(norm.shape) > 1 else 0
            same = axis == 1 or channels == 1
            detail = (
                f"after {type(before.layer).__name__} {first.path!r}, {_SAME if same else 'other channels'}"
            )
            kind = type(facts.layers[norm.path].layer).__name__
            yield Symptom(norm.path, kind, tuple(_numbers(facts, norm.path)), detail, float(same))

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return a note if all normalise other channels."""
        return "warning" if any(symptom.detail.endswith(_SAME) for symptom in symptoms) else "info"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say what the second one does."""
        if self.severity_of(facts, symptoms) == "info":
            return "A BN layer directly follows another, and normalises the same values by other channels."
        return "A BN layer directly follows another, so that it cancels γ and β of the first."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Remove the second one."""
        return "\n".join(f"model.set_submodule({s.path!r}, torch.nn.Identity())" for s in symptoms)

    def sick(self) -> Case:
        """Return two BN layers in a row."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)
        )
        x = torch.randn(64, 4)
        for _ in range(100):
            model(x)
        return Case(model.eval(), [x])

    def healthy(self) -> Case:
        """Return two with an activation and a linear layer between."""
        torch.manual_seed(0)
        model = nn.Sequential(
            *(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU()),
            *(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)),
        )
        x = torch.randn(64, 4)
        for _ in range(100):
            model(x)
        return Case(model.eval(), [x])


def _numbers(facts: Facts, path: str) -> list[Measured]:
    statistics = facts.probe.exact_statistics.get(path)
    if statistics is None or not statistics[0].numel():
        return []
    mean, variance = statistics
    return [
        measured("mean of its input up to", mean.abs().max().item()),
        measured("standard deviation of its input", variance.clamp_min(0).mean().sqrt().item()),
    ]
