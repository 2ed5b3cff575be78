"""BN514: local statistics of few values on each of several processes."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Severity, Source, Symptom

#: Values a channel on a process below which a batch's statistics are noisy.
_FEW = 16


class FewValuesPerProcess(Rule):
    """Local statistics of few values on each of several processes."""

    code = "BN514"
    name = "few-values-per-process"
    severity = "warning"
    needs = ("data", "processes")
    finds = (
        "A BN layer that gets fewer than 16 values a channel on each process, and normalises by those alone, though "
        "there are more on the other processes."
    )
    why = (
        "The batch of a data-parallel training is large, and the batch that a local layer normalises by is that of one "
        "process. Of n independent values the mean is off by 1/√n of a standard deviation: by a quarter for 16. "
        "Adding processes makes the gradients better, and leaves this noise as it is."
    )
    measured = (
        "One training step on the first batch counts the values a channel that each BN layer gets on each process, in "
        "proportion to the usual batch. A layer is named where the fewest are below 16, with the number that all "
        "processes have together. It is a warning where the data are likely those of training, or a loss is given."
    )
    fixed = (
        "Synchronise the layers: each then normalises by the batch of all processes, at the price of one exchange "
        "forward and one backward a layer. Where that is still few, take a norm that needs no batch. Both change "
        "training."
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
                measured("values a channel on a process", min(reached)),
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
            f"{worst.path or 'The model'} normalises by {few} value{'s' * (few != 1)} a channel, those of one process; "
            f"synchronised over the {len(facts.ranks)} processes it would have {whole}."
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
