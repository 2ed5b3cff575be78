"""BN601: γ and β under weight decay."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Source, Symptom


class DecayedNormParameters(Rule):
    """γ and β under weight decay."""

    code = "BN601"
    name = "decayed-norm-parameters"
    severity = "info"
    needs = ("optimizer",)
    finds = "BN layers whose γ or β are in a group of the optimiser with weight decay."
    why = (
        "Weight decay on γ shrinks the outputs of a layer, and on β moves them to 0. That does not regularise the "
        "weights before the layer, which can grow without changing its output. Most recipes for large networks "
        "exclude both; in small networks it makes little difference."
    )
    measured = "The rule looks up the group of each γ and β in the optimiser, and reads its weight_decay."
    fixed = (
        "Split the parameters into two groups when you build the optimiser. This changes the next training."
    )
    safety = "manual"
    sources = (
        Source("Goyal et al. 2017", "section 5.1", "https://arxiv.org/abs/1706.02677"),
        Source("He et al. 2019", "section 3.1", "https://arxiv.org/abs/1812.01187"),
        Source("autrainer pull request 166", "", "https://github.com/autrainer/autrainer/pull/166"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with such parameters."""
        held = facts.optimizer_facts
        names = {id(parameter): name for name, parameter in facts.model.named_parameters()}
        for path, kind in facts.layers.items():
            if not kind.initialised:
                continue
            count, decay = 0, 0.0
            for parameter in kind.layer._parameters.values():
                if parameter is None or not parameter.requires_grad:
                    continue
                name = names.get(id(parameter))
                own = held.setting(name, "weight_decay") if name in held.group_of else 0.0
                if own > 0:
                    count, decay = count + parameter.numel(), max(decay, own)
            if count:
                numbers = (measured("parameters", count), measured("weight decay", decay))
                yield Symptom(path, type(kind.layer).__name__, numbers, badness=count * decay)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Count the parameters."""
        count = int(sum(symptom.evidence[0].value for symptom in symptoms))
        return f"{count:,} parameters γ and β of BN layers are under weight decay."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Make two groups."""
        kind = type(facts.optimizer).__name__
        decay = max(symptom.evidence[1].value for symptom in symptoms)
        return (
            "decayed = [p for p in model.parameters() if p.ndim > 1]\n"
            "others = [p for p in model.parameters() if p.ndim <= 1]\n"
            f'groups = [{{"params": decayed, "weight_decay": {decay:g}}}, {{"params": others, "weight_decay": 0.0}}]\n'
            f"optimizer = {kind}(groups, lr=...)  # and its other arguments"
        )

    def sick(self) -> Case:
        """Return a model whose parameters are all in one group with weight decay."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        return Case(model, optimizer=torch.optim.AdamW(model.parameters(), weight_decay=0.01))

    def healthy(self) -> Case:
        """Return one with two groups."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
        groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
        return Case(model, optimizer=torch.optim.AdamW(groups, weight_decay=0.01))
