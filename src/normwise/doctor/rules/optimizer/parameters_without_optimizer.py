"""BN602: γ and β that are in no group of the optimiser."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Severity, Source, Symptom

_TOGETHER = "with the layers around it"


class ParametersWithoutOptimizer(Rule):
    """γ and β that are in no group of the optimiser."""

    code = "BN602"
    name = "parameters-without-optimizer"
    severity = "warning"
    needs = ("optimizer",)
    finds = (
        "BN layers whose γ or β need gradients but are in no group of the optimiser, while it trains the layers "
        "around them; or an optimiser that has no parameter of the model at all. It is a note if a whole part of the "
        "model is left out."
    )
    why = (
        "The parameters get gradients but never change: γ stays 1 and β stays 0, so the layer can't shift the input "
        "of the next activation to a useful range. Nothing fails. It happens if groups are chosen by name or shape "
        "and the group for the rest is forgotten."
    )
    measured = (
        "The rule looks up each parameter of the model in the groups of the optimiser. The layers around a BN layer "
        "are those in the smallest module that has other parameters as well."
    )
    fixed = "Add the parameters to the optimiser; or, if they should not be trained, freeze them explicitly."
    safety = "manual"
    sources = (
        Source("torch.optim", "per-parameter options", "https://docs.pytorch.org/docs/stable/optim.html"),
        Source("pytorch issue 86590", "", "https://github.com/pytorch/pytorch/issues/86590"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers that the optimiser does not train; the model as a whole where it trains nothing."""
        held = facts.optimizer_facts
        if not held.group_of:
            if held.missing:
                numbers = (
                    measured("parameters of the model in the optimiser", 0),
                    measured("parameters that need gradients", len(held.missing)),
                    measured("other parameters in the optimiser", sum(map(len, held.foreign))),
                )
                yield Symptom("", "", numbers)
            return
        found = list(_left_out(facts))
        alone = [symptom for symptom in found if symptom.detail != _TOGETHER]
        yield from alone or found

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return a note where whole parts of the model are left out."""
        return "info" if all(symptom.detail == _TOGETHER for symptom in symptoms) else "warning"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Count the parameters."""
        if not symptoms[0].path and not facts.optimizer_facts.group_of:
            return "The optimiser has none of the model's parameters: it was made for another model, or for a copy."
        count = int(sum(symptom.evidence[0].value for symptom in symptoms))
        where = f", {_TOGETHER}" if self.severity_of(facts, symptoms) == "info" else ""
        return f"{count:,} parameters γ and β need gradients but are in no group of the optimiser{where}."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Add them."""
        if not facts.optimizer_facts.group_of:
            kind = type(facts.optimizer).__name__
            return (
                f"optimizer = {kind}(model.parameters(), lr=...)  # made after the last change of the model"
            )
        if self.severity_of(facts, symptoms) == "info":
            return "\n".join(f"model.get_submodule({s.path!r}).requires_grad_(False)" for s in symptoms)
        return (
            'held = {id(p) for group in optimizer.param_groups for p in group["params"]}\n'
            "missing = [p for p in model.parameters() if p.requires_grad and id(p) not in held]\n"
            'optimizer.add_param_group({"params": missing, "weight_decay": 0.0})'
        )

    def sick(self) -> Case:
        """Return a model of which the optimiser has only the matrices."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        return Case(model, optimizer=torch.optim.AdamW(decayed, weight_decay=0.01))

    def healthy(self) -> Case:
        """Return one of which it has all."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        return Case(model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))


def _left_out(facts: Facts) -> Iterable[Symptom]:
    missing = set(facts.optimizer_facts.missing)
    names = {id(parameter): name for name, parameter in facts.model.named_parameters()}
    of_norms = {
        id(parameter)
        for kind in facts.layers.values()
        for parameter in kind.layer._parameters.values()
        if parameter is not None
    }
    around = {
        name: name in missing
        for name, parameter in facts.model.named_parameters()
        if id(parameter) not in of_norms and parameter.requires_grad
    }
    for path, kind in facts.layers.items():
        own = [] if not kind.initialised else [p for p in kind.layer._parameters.values() if p is not None]
        left = [parameter for parameter in own if names.get(id(parameter)) in missing]
        if left:
            count = sum(parameter.numel() for parameter in left)
            detail = _TOGETHER if _neighbours_are_left_out(path, around) else ""
            yield Symptom(path, type(kind.layer).__name__, (measured("parameters", count),), detail, count)


def _neighbours_are_left_out(path: str, around: dict[str, bool]) -> bool:
    """Return whether the optimiser has none of the other parameters in the smallest module that has some."""
    while path:
        path = path.rpartition(".")[0]
        inside = [left for name, left in around.items() if not path or name.startswith(f"{path}.")]
        if inside:
            return all(inside)
    return False
