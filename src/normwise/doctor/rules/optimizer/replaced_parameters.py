"""BN603: an optimiser that holds the parameters of layers that were replaced."""

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Source, Symptom


class ReplacedParameters(Rule):
    """An optimiser that holds the parameters of layers that were replaced."""

    code = "BN603"
    name = "replaced-parameters"
    severity = "error"
    needs = ("optimizer",)
    finds = (
        "Parameters in the optimiser that do not belong to the model, and layers of the model whose parameters have "
        "the same shapes but are in no group: these layers were replaced or copied after the optimiser was made."
    )
    why = (
        "The optimiser continues with the parameters of the old layers, which no forward pass uses. The new layers "
        "get gradients but never change. Nothing fails, and the loss may even fall, since the rest of the model "
        "learns."
    )
    measured = (
        "The shapes of the parameters that the model has and the optimiser lacks are matched with those of the "
        "parameters that the optimiser has and the model lacks. A layer is reported if all of its parameters are "
        "matched, provided that at least half of the optimiser's foreign parameters are."
    )
    fixed = (
        "Make the optimiser after the last change of the model; or pass optimizer= to normwise.convert, "
        "normwise.fold and the others, which update it."
    )
    safety = "manual"
    supersedes = ("BN602",)
    sources = (
        Source("torch.optim", "constructing it", "https://docs.pytorch.org/docs/stable/optim.html"),
        Source("pytorch issue 86590", "", "https://github.com/pytorch/pytorch/issues/86590"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers that replaced others."""
        held = facts.optimizer_facts
        strange = Counter(shape for group in held.foreign for shape in group)
        if not strange or not held.missing:
            return
        owners: dict[str, list[str]] = {}
        for name in held.missing:
            owners.setdefault(name.rpartition(".")[0], []).append(name)
        left, found = Counter(strange), []
        for path, names in owners.items():
            module = facts.model.get_submodule(path)
            shapes = Counter(tuple(facts.model.get_parameter(name).shape) for name in names)
            if all(left[shape] >= count for shape, count in shapes.items()):
                left -= shapes
                count = sum(facts.model.get_parameter(name).numel() for name in names)
                numbers = (
                    measured("parameters that the optimiser lacks", count),
                    measured("tensors of the same shapes in it that are not in the model", len(names)),
                )
                found.append(Symptom(path, type(module).__name__, numbers, badness=count))
        # A loss or another model may have parameters in the optimiser, some of a common shape.
        if found and 2 * left.total() <= strange.total():
            yield from found
            if not held.group_of:
                count = len(held.missing)
                yield Symptom("", "", (measured("parameters that the optimiser lacks", count),), badness=-1.0)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Count the layers."""
        if not facts.optimizer_facts.group_of:
            return "The optimiser trains a copy of the model, and none of the model's parameters."
        return (
            "The optimiser trains the parameters of layers that are no longer in the model, instead of those of "
            f"{len(symptoms)} new layer{'s' * (len(symptoms) != 1)}."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Make it again."""
        kind = type(facts.optimizer).__name__
        return (
            f"optimizer = {kind}(model.parameters(), lr=...)  # after the last change of the model\n"
            "# or let the change update it: normwise.convert(model, ..., optimizer=optimizer)"
        )

    def sick(self) -> Case:
        """Return a model whose BN layer was replaced after the optimiser was made."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model[1] = nn.BatchNorm1d(8, eps=1e-3)
        return Case(model, optimizer=optimizer)

    def healthy(self) -> Case:
        """Return one whose optimiser was made afterwards."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        model[1] = nn.BatchNorm1d(8, eps=1e-3)
        return Case(model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
