"""BN514: local statistics that are computed from few values on each of several processes."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Severity, Source, Symptom

#: Values per channel on a process below which a batch's statistics are noisy.
_FEW = 16


class FewValuesPerProcess(Rule):
    """Local statistics that are computed from few values on each of several processes."""

    code = "BN514"
    name = "few-values-per-process"
    severity = "warning"
    needs = ("data", "processes")
    finds = (
        "A BN layer that gets fewer than 16 values per channel on a process, and does not use those of the other "
        "processes."
    )
    why = (
        "In data-parallel training the whole batch is large, but a local layer normalises by the part on its own "
        "process. The mean of n independent values is off by 1/√n of a standard deviation: by a quarter for 16. More "
        "processes make the gradients better, but do not reduce this noise."
    )
    measured = (
        "One training step on the first batch counts the values per channel of each BN layer on each process, scaled "
        "to the usual batch. A layer is named if the smallest number is below 16, with the number on all processes "
        "together. It is a warning where the data are likely those of training, or a loss is given."
    )
    fixed = (
        "Synchronise the layers: each then normalises by the batch of all processes, which costs one exchange per "
        "layer in the forward pass and one in the backward pass. If that is still too few values, use a norm that "
        "needs no batch. Both change training."
    )
    safety = "unsafe"
    sources = (
        Source("Wu & He 2018", "section 1", "https://arxiv.org/abs/1803.08494"),
        Source("google/automl issue 881", "", "https://github.com/google/automl/issues/881"),
        Source("TorchSeg issue 95", "", "https://github.com/yu-changqian/TorchSeg/issues/95"),
    )
    supersedes = ("BN503",)

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the local layers with few values on a process."""
        count = len(facts.ranks)
        for norm in facts.ranks[0].norms.values():
            values = [(rank.local_values or {}).get(norm.layer_path, 0) for rank in facts.ranks]
            reached = [each for each in values if each]
            if not reached or min(reached) >= _FEW:
                continue
            evidence = (
                measured("values per channel on a process", min(reached)),
                measured(f"on all {count} together", sum(values)),
            )
            yield Symptom(norm.layer_path, norm.kind, evidence, badness=1 / min(reached))

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "info" for data that only evaluation is known to read."""
        return "warning" if facts.data_are_for_training or "loss" in facts.has else "info"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare one process with all of them."""
        worst = symptoms[0]
        few, whole = (int(number.value) for number in worst.evidence[:2])
        return (
            f"{worst.path or 'The model'} normalises by {few} value{'s' * (few != 1)} per channel, those of one "
            f"process; synchronised over the {len(facts.ranks)} processes it would have {whole}."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Synchronise the layers, or replace them."""
        synchronised = 'model, report = normwise.convert(model, to="sync")'
        if symptoms[0].evidence[1].value >= _FEW:
            return synchronised
        return (
            f"{synchronised}  # still few; or a norm that needs no batch:\n"
            'model, report = normwise.convert(model, to="group")'
        )

    def sick(self) -> Case:
        """Return four processes with eight samples each."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x, y = torch.randn(320, 4), torch.randint(3, (320,))
        model(x)
        batches = list(zip(x.split(8), y.split(8), strict=True))
        loss = nn.CrossEntropyLoss()
        others = [Case(model, batches[rank::4], loss) for rank in (1, 2, 3)]
        return Case(model.eval(), batches[::4], loss, ranks=others)

    def healthy(self) -> Case:
        """Return four with 40 each."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x, y = torch.randn(320, 4), torch.randint(3, (320,))
        model(x)
        batches = list(zip(x.split(40), y.split(40), strict=True))
        loss = nn.CrossEntropyLoss()
        others = [Case(model, batches[rank::4], loss) for rank in (1, 2, 3)]
        return Case(model.eval(), batches[::4], loss, ranks=others)
