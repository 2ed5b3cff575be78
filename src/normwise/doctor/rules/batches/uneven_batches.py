"""BN512: processes with different numbers of batches."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.processes.rank_facts import RankFacts, ranks_text
from normwise.doctor.rule import Case, Rule, measured
from normwise.nn import SyncBatchNorm
from normwise.records import Severity, Source, Symptom


class UnevenBatches(Rule):
    """Processes with different numbers of batches."""

    code = "BN512"
    name = "uneven-batches"
    severity = "error"
    needs = ("data", "processes")
    finds = "Processes of a group whose data have different numbers of batches in an epoch."
    why = (
        "A synchronised layer waits in each training step for the batches of all processes, and so does "
        "DistributedDataParallel for their gradients. The process with one batch more waits for partners that have "
        "ended the epoch: the training hangs at its end, or continues with the processes one step apart."
    )
    measured = (
        "Each process reports the length of its loader. If the data have no length, up to max_batches batches are "
        "counted, so a larger max_batches finds more. It is an error if a layer is synchronised or the model is in "
        "DistributedDataParallel, and a warning otherwise; for data that only evaluation reads it is a note."
    )
    fixed = (
        "Give all processes the same number of batches: torch.utils.data.DistributedSampler splits a data set "
        "evenly, and drop_last=True leaves out the rest. From streams, take as many batches as the shortest one has, "
        "or train within normwise.distributed.joined and ignore this rule."
    )
    safety = "manual"
    sources = (
        Source("pytorch issue 91872", "", "https://github.com/pytorch/pytorch/issues/91872"),
        Source("pytorch issue 38174", "", "https://github.com/pytorch/pytorch/issues/38174"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the model where the numbers differ."""
        known = {rank.rank: rank.batches for rank in facts.ranks if rank.batches is not None}
        least = {rank.rank: _at_least(rank) for rank in facts.ranks}
        fewest, most = min(known.values(), default=0), max(least.values())
        if not known or fewest >= most:
            return
        short = [rank for rank, batches in known.items() if batches == fewest]
        longest = [rank for rank, batches in least.items() if batches == most]
        evidence = [
            measured(f"batches on {ranks_text(short)}", fewest),
            measured(f"batches{'' if longest[0] in known else ' at least'} on {ranks_text(longest)}", most),
        ]
        yield Symptom("", "", tuple(evidence), _samplers(facts), badness=most - fewest)

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "error" where training waits, and "info" for data that only evaluation is known to read."""
        if not facts.data_are_for_training and "loss" not in facts.has:
            return "info"
        return "error" if _waits(facts) else "warning"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare the numbers."""
        fewest, most = (int(number.value) for number in symptoms[0].evidence[:2])
        waits = (
            "so that the end of an epoch hangs or fails"
            if _waits(facts)
            else "so that they make different numbers of steps"
        )
        return f"One process has {fewest} batches in an epoch and another has {most}, {waits}."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Split the data evenly."""
        fewest = int(symptoms[0].evidence[0].value)
        return (
            "sampler = torch.utils.data.DistributedSampler(dataset, shuffle=True, drop_last=True)\n"
            "loader = torch.utils.data.DataLoader(dataset, batch_size=..., sampler=sampler, drop_last=True)\n"
            f"# or, for data that can't be split evenly: for batch in itertools.islice(loader, {fewest})"
        )

    def sick(self) -> Case:
        """Return two processes with synchronised layers, one of which has one batch less."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), SyncBatchNorm(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x, y = torch.randn(608, 4), torch.randint(3, (608,))
        model(x)
        batches = list(zip(x.split(32), y.split(32), strict=True))
        loss = nn.CrossEntropyLoss()
        return Case(model.eval(), batches[:10], loss, ranks=(Case(model, batches[10:], loss),))

    def healthy(self) -> Case:
        """Return two with the same number."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), SyncBatchNorm(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x, y = torch.randn(640, 4), torch.randint(3, (640,))
        model(x)
        batches = list(zip(x.split(32), y.split(32), strict=True))
        loss = nn.CrossEntropyLoss()
        return Case(model.eval(), batches[:10], loss, ranks=(Case(model, batches[10:], loss),))


def _at_least(rank: RankFacts) -> int:
    """Return the number of batches of an epoch, or one more than were read where that is not known."""
    return rank.batches_read + 1 if rank.batches is None else rank.batches


def _waits(facts: Facts) -> bool:
    return any(rank.synchronised or rank.parallel for rank in facts.ranks)


def _samplers(facts: Facts) -> str:
    """Return the samplers where they don't divide the data among processes; empty where none is known."""
    samplers = sorted({rank.sampler for rank in facts.ranks if rank.sampler})
    divided = any("Distributed" in sampler for sampler in samplers)
    return f"the sampler is {' or '.join(samplers)}" if samplers and not divided else ""
